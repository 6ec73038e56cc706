//! One renderer process and its pipes.

use super::protocol::{self, FrameError, Reply, ReplyBody};
use crate::Error;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// How long a new process may take until it says that it is ready.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// How much of what a process says on its standard error is kept.
const SAID_LIMIT: usize = 4096;

/// A running renderer. Dropping it kills it; should Tagboat itself be killed, its closed input ends it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    said: Arc<Mutex<Vec<u8>>>,
    next_id: u64,
}

impl Process {
    /// Starts a process without any environment and waits until its sandbox is up.
    pub(super) async fn start(program: &Path) -> Result<Self, Error> {
        let fails = |reason: String| Error::RendererStart { program: program.to_owned(), reason };
        let mut child = Command::new(program)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| fails(error.to_string()))?;
        let (Some(input), Some(output), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(fails("its pipes are not there".to_owned()));
        };
        let said = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(listen(stderr, Arc::clone(&said)));
        let mut process = Self { child, input, output, said, next_id: 1 };
        match tokio::time::timeout(START_DEADLINE, process.receive()).await {
            Ok(Ok(Reply { body: ReplyBody::Ready { helm, sandbox: true }, .. })) => {
                tracing::debug!(helm.version = helm, process.id = process.id(), "renderer started");
                Ok(process)
            }
            Ok(Ok(_)) => Err(fails("it does not say that its sandbox is up".to_owned())),
            Ok(Err(FrameError::Gone)) => Err(fails(process.epitaph().await)),
            Ok(Err(FrameError::Bad(reason))) => Err(fails(reason)),
            Err(_) => Err(fails(format!("it is not ready after {} s", START_DEADLINE.as_secs()))),
        }
    }

    /// An id for the next request.
    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The process's id; `None` when it has ended.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a frame.
    pub(super) async fn send(&mut self, frame: &[u8]) -> Result<(), FrameError> {
        protocol::write(&mut self.input, frame).await
    }

    /// Receives a frame.
    pub(super) async fn receive(&mut self) -> Result<Reply, FrameError> {
        protocol::read(&mut self.output).await
    }

    /// How it ended and the first line of what it said; Go's own traces hold no values.
    pub(super) async fn epitaph(&mut self) -> String {
        let ended = match tokio::time::timeout(Duration::from_secs(2), self.child.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "its pipe closed but it still runs".to_owned(),
        };
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&said);
        match text.lines().find(|line| !line.trim().is_empty()) {
            Some(line) => format!("{ended}: {}", line.chars().take(300).collect::<String>()),
            None => ended,
        }
    }
}

/// Reads all that the process says, so that it never blocks, and keeps the beginning.
async fn listen(mut stderr: ChildStderr, said: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let room = SAID_LIMIT.saturating_sub(said.len()).min(count);
        said.extend_from_slice(&chunk[..room]);
    }
}

/// Resident memory of a process in bytes; `None` where the system does not tell.
pub(super) fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
