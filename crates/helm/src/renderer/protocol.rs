//! The frames between Tagboat and the renderer; `renderer/main.go` documents them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tagboat_engine::ports::{Rendered, RenderedObject};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest frame to the renderer, in bytes.
const MAX_REQUEST: usize = 16 << 20;
/// The largest frame from the renderer, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// A frame to the renderer.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) body: RequestBody<'a>,
}

/// What a frame to the renderer says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RequestBody<'a> {
    Render(Render<'a>),
    Read { source: &'a str, manifest: &'a str },
    Answer(Answer),
}

/// One rendering.
#[derive(Debug, Serialize)]
pub(super) struct Render<'a> {
    pub(super) chart: &'a str,
    pub(super) release: &'a str,
    pub(super) namespace: &'a str,
    pub(super) revision: u64,
    pub(super) upgrade: bool,
    pub(super) values: &'a Value,
    pub(super) kube_version: &'a str,
    pub(super) api_versions: &'a [String],
}

/// The answer to a template's lookup.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Object(Value),
    Error(String),
}

/// A template's lookup.
#[derive(Debug, Deserialize)]
pub(super) struct Question {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A frame from the renderer.
#[derive(Debug, Deserialize)]
pub(super) struct Reply {
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) body: ReplyBody,
}

/// What a frame from the renderer says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReplyBody {
    Ready { helm: String, sandbox: bool },
    Lookup(Question),
    Rendered(Box<Rendered>),
    Objects(Vec<RenderedObject>),
    Error(String),
}

/// Why a frame did not pass.
#[derive(Debug)]
pub(super) enum FrameError {
    /// The pipe is closed or broken: the process is gone.
    Gone,
    /// The frame is not one, or too large.
    Bad(String),
}

/// Makes a frame.
pub(super) fn encode(request: &Request<'_>) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, request).map_err(|error| FrameError::Bad(error.to_string()))?;
    let length = frame.len() - 4;
    match u32::try_from(length) {
        Ok(header) if length <= MAX_REQUEST => frame[..4].copy_from_slice(&header.to_be_bytes()),
        _ => return Err(FrameError::Bad(format!("it has {length} bytes, at most {MAX_REQUEST} are allowed"))),
    }
    Ok(frame)
}

/// Writes a frame whole.
pub(super) async fn write(pipe: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> Result<(), FrameError> {
    pipe.write_all(frame).await.map_err(|_| FrameError::Gone)?;
    pipe.flush().await.map_err(|_| FrameError::Gone)
}

/// Reads one frame.
pub(super) async fn read(pipe: &mut (impl AsyncRead + Unpin)) -> Result<Reply, FrameError> {
    let mut header = [0; 4];
    pipe.read_exact(&mut header).await.map_err(|_| FrameError::Gone)?;
    let length = u32::from_be_bytes(header) as usize;
    if length > MAX_ANSWER {
        return Err(FrameError::Bad(format!("it has {length} bytes, at most {MAX_ANSWER} are allowed")));
    }
    let mut body = vec![0; length];
    pipe.read_exact(&mut body).await.map_err(|_| FrameError::Gone)?;
    serde_json::from_slice(&body).map_err(|error| FrameError::Bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_request(manifest: &str) -> Result<Vec<u8>, FrameError> {
        encode(&Request { id: 7, body: RequestBody::Read { source: "x", manifest } })
    }

    #[test]
    fn a_frame_is_its_length_and_json() {
        let frame = read_request("a: 1").unwrap();
        assert_eq!(frame[..4], u32::try_from(frame.len() - 4).unwrap().to_be_bytes());
        let json: Value = serde_json::from_slice(&frame[4..]).unwrap();
        assert_eq!(json, serde_json::json!({"id": 7, "read": {"source": "x", "manifest": "a: 1"}}));
    }

    #[test]
    fn a_request_that_is_too_large_is_refused_with_sizes() {
        let Err(FrameError::Bad(reason)) = read_request(&"x".repeat(MAX_REQUEST)) else { panic!("it was accepted") };
        assert!(reason.contains(&MAX_REQUEST.to_string()), "{reason}");
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_is_refused_before_it_is_read() {
        let mut pipe: &[u8] = &u32::MAX.to_be_bytes();
        assert!(matches!(read(&mut pipe).await, Err(FrameError::Bad(_))));
    }

    #[tokio::test]
    async fn an_end_in_the_middle_means_that_the_process_is_gone() {
        let mut pipe: &[u8] = &[0, 0, 0, 9, b'{'];
        assert!(matches!(read(&mut pipe).await, Err(FrameError::Gone)));
    }
}
