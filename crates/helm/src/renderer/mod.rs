//! The owner of the renderer's process.
//!
//! One process serves all renderings, one after the other (a rendering takes milliseconds). It is started when needed and
//! ended when idle. While it works it is taken out of its slot: when a deadline passes, a limit is reached or the caller
//! goes away in between, it is dropped, and so killed, and the next rendering starts a new one.

mod process;
mod protocol;

use crate::Error;
use async_trait::async_trait;
use process::Process;
use protocol::{Answer, FrameError, Render, ReplyBody, Request, RequestBody};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tagboat_engine::ports::{Fault, Lookup, RenderRequest, Rendered, RenderedObject, Renderer};
use tokio::sync::Mutex;

/// The renderer's program, beside Tagboat's own executable.
const PROGRAM: &str = "tagboat-renderer";
/// How often the memory of a working renderer is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// How the renderer is run.
#[derive(Debug, Clone)]
pub struct RendererOptions {
    /// The program. Default: `tagboat-renderer` beside the running executable.
    pub program: Option<PathBuf>,
    /// How long one rendering may take, lookups included.
    pub deadline: Duration,
    /// How long an idle process is kept.
    pub idle: Duration,
    /// How much memory the process may take, in bytes.
    pub memory_limit: u64,
}

impl Default for RendererOptions {
    fn default() -> Self {
        Self {
            program: None,
            deadline: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            memory_limit: 512 << 20,
        }
    }
}

/// Renders charts with Helm's own library, in a child process.
#[derive(Debug)]
pub struct HelmRenderer {
    options: RendererOptions,
    slot: Arc<Mutex<Slot>>,
}

/// The process while nobody uses it, and how often it was put back.
#[derive(Debug, Default)]
struct Slot {
    process: Option<Process>,
    uses: u64,
}

/// A question that is answered from a whole manifest needs no cluster.
struct NoLookup;

#[async_trait]
impl Lookup for NoLookup {
    async fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<serde_json::Value, Fault> {
        Ok(serde_json::Value::Object(serde_json::Map::new()))
    }
}

impl HelmRenderer {
    /// A renderer; no process is started yet.
    pub fn new(options: RendererOptions) -> Self {
        Self { options, slot: Arc::default() }
    }

    /// Where the renderer's program is.
    ///
    /// # Errors
    /// [`Error::RendererMissing`], with the places that were looked at.
    pub fn program(&self) -> Result<PathBuf, Error> {
        let mut tried = Vec::new();
        if let Some(named) = &self.options.program {
            tried.push(named.clone());
        } else if let Ok(own) = std::env::current_exe() {
            tried.push(own.with_file_name(PROGRAM));
        } else {
            tried.push(PathBuf::from(PROGRAM));
        }
        tried.iter().find(|path| path.is_file()).cloned().ok_or(Error::RendererMissing { tried })
    }

    /// The id of the process, while one is there and idle.
    pub async fn process_id(&self) -> Option<u32> {
        self.slot.lock().await.process.as_ref().and_then(Process::id)
    }

    async fn ask(&self, subject: &str, body: RequestBody<'_>, lookup: &dyn Lookup) -> Result<ReplyBody, Error> {
        // Holding the lock is what makes renderings take turns.
        let mut slot = self.slot.lock().await;
        let mut request = Request { id: 0, body };
        let kept = slot.process.take();
        let fresh = kept.is_none();
        let mut process = match kept {
            Some(process) => process,
            None => Process::start(&self.program()?).await?,
        };
        let mut outcome = self.exchange(&mut process, subject, &mut request, lookup).await;
        if !fresh && matches!(outcome, Err(Error::RendererDied { .. })) {
            // It may have died while it was idle; what kills a renderer kills the second one too.
            process = Process::start(&self.program()?).await?;
            outcome = self.exchange(&mut process, subject, &mut request, lookup).await;
        }
        if let Ok(_) | Err(Error::Render(_)) = &outcome {
            slot.process = Some(process);
            slot.uses += 1;
            self.end_when_idle(slot.uses);
        }
        outcome
    }

    async fn exchange(
        &self,
        process: &mut Process,
        subject: &str,
        request: &mut Request<'_>,
        lookup: &dyn Lookup,
    ) -> Result<ReplyBody, Error> {
        request.id = process.next_id();
        let bad = |direction: &'static str, reason| Error::Frame { direction, release: subject.to_owned(), reason };
        let mut frame = match protocol::encode(request) {
            Ok(frame) => frame,
            Err(FrameError::Bad(reason)) => return Err(bad("request", reason)),
            Err(FrameError::Gone) => return Err(bad("request", "it cannot be encoded".to_owned())),
        };
        let deadline = tokio::time::Instant::now() + self.options.deadline;
        loop {
            let reply = match self.turn(process, subject, &frame, deadline).await? {
                Ok(reply) => reply,
                Err(FrameError::Bad(reason)) => return Err(bad("answer", reason)),
                Err(FrameError::Gone) => {
                    return Err(Error::RendererDied { release: subject.to_owned(), reason: process.epitaph().await });
                }
            };
            if reply.id != request.id {
                return Err(bad("answer", format!("it is for request {}, not {}", reply.id, request.id)));
            }
            let question = match reply.body {
                ReplyBody::Lookup(question) => question,
                ReplyBody::Error(text) => return Err(Error::Render(text)),
                body => return Ok(body),
            };
            let found = tokio::time::timeout_at(
                deadline,
                lookup.lookup(&question.api_version, &question.kind, &question.namespace, &question.name),
            );
            let answer = match found.await {
                Ok(Ok(object)) => Answer::Object(object),
                Ok(Err(fault)) => Answer::Error(fault.text),
                Err(_) => return Err(self.too_slow(subject)),
            };
            let answer = Request { id: request.id, body: RequestBody::Answer(answer) };
            frame = match protocol::encode(&answer) {
                Ok(frame) => frame,
                Err(FrameError::Bad(reason)) => return Err(bad("lookup", reason)),
                Err(FrameError::Gone) => return Err(bad("lookup", "it cannot be encoded".to_owned())),
            };
        }
    }

    /// Sends one frame and waits for the next, while it watches time and memory.
    async fn turn(
        &self,
        process: &mut Process,
        subject: &str,
        frame: &[u8],
        deadline: tokio::time::Instant,
    ) -> Result<Result<protocol::Reply, FrameError>, Error> {
        let id = process.id();
        let watch = async {
            let mut tick = tokio::time::interval(WATCH_INTERVAL);
            loop {
                tick.tick().await;
                if let Some(used) = id.and_then(process::resident).filter(|used| *used > self.options.memory_limit) {
                    return used;
                }
            }
        };
        let talk = async {
            process.send(frame).await?;
            process.receive().await
        };
        tokio::select! {
            reply = talk => Ok(reply),
            used = watch => {
                Err(Error::RenderMemory { release: subject.to_owned(), used, limit: self.options.memory_limit })
            }
            () = tokio::time::sleep_until(deadline) => Err(self.too_slow(subject)),
        }
    }

    fn too_slow(&self, subject: &str) -> Error {
        Error::RenderDeadline { release: subject.to_owned(), limit: self.options.deadline }
    }

    /// Ends the process when it has not been used again for the idle time.
    fn end_when_idle(&self, uses: u64) {
        let slot = Arc::downgrade(&self.slot);
        let idle = self.options.idle;
        tokio::spawn(async move {
            tokio::time::sleep(idle).await;
            let Some(slot) = slot.upgrade() else { return };
            let mut slot = slot.lock().await;
            if slot.uses == uses && slot.process.take().is_some() {
                tracing::debug!("renderer ended, it was idle");
            }
        });
    }
}

#[async_trait]
impl Renderer for HelmRenderer {
    async fn render(&self, request: &RenderRequest, lookup: &dyn Lookup) -> Result<Rendered, Fault> {
        let subject = format!("{}/{}", request.namespace, request.release);
        let chart = request.chart.path.to_string_lossy();
        let body = RequestBody::Render(Render {
            chart: &chart,
            release: &request.release,
            namespace: &request.namespace,
            revision: request.revision,
            upgrade: request.upgrade,
            values: &request.values,
            kube_version: &request.capabilities.kube_version,
            api_versions: &request.capabilities.api_versions,
        });
        match self.ask(&subject, body, lookup).await? {
            ReplyBody::Rendered(rendered) => Ok(*rendered),
            _ => Err(unexpected(subject).into()),
        }
    }

    async fn read(&self, manifest: &str) -> Result<Vec<RenderedObject>, Fault> {
        let body = RequestBody::Read { source: "the stored manifest", manifest };
        match self.ask("a stored manifest", body, &NoLookup).await? {
            ReplyBody::Objects(objects) => Ok(objects),
            _ => Err(unexpected("a stored manifest".to_owned()).into()),
        }
    }
}

fn unexpected(release: String) -> Error {
    Error::Frame { direction: "answer", release, reason: "it is of another kind than the request".to_owned() }
}
