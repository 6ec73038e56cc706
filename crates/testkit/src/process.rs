//! Child processes: servers that die with this process, and tools that are run to their end.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::{Error, Result, components, port};

const ATTEMPTS: usize = 5;
const LOG_TAIL: u64 = 6_000;
const POLL: Duration = Duration::from_millis(15);

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

/// All servers are started by one thread that lives as long as the process. A parent-death signal is sent when the
/// *thread* that started the child ends, and a test's own thread ends while others still use a shared server.
static SPAWNER: LazyLock<Mutex<mpsc::Sender<Job>>> = LazyLock::new(|| {
    let (jobs, queue) = mpsc::channel::<Job>();
    // Where no thread can be started, the channel is closed and `spawn` reports it.
    let _ = std::thread::Builder::new().name("testkit-spawner".into()).spawn(move || {
        for (mut command, answer) in queue {
            let _ = answer.send(command.spawn());
        }
    });
    Mutex::new(jobs)
});

fn spawn(command: Command) -> std::io::Result<Child> {
    let (answer, answered) = mpsc::channel();
    let gone = || std::io::Error::other("the thread that starts servers is gone");
    SPAWNER.lock().unwrap_or_else(PoisonError::into_inner).send((command, answer)).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

/// A command for a server: an empty environment, and on Linux a SIGKILL from the kernel when this process dies, however
/// it dies (`setpriv` sets that and then becomes the server).
pub(crate) fn server_command(program: &Path) -> Result<Command> {
    let mut command = if cfg!(target_os = "linux") {
        let mut command = Command::new(components::system("setpriv", "util-linux")?);
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    Ok(command)
}

/// How a server shows that it is ready.
pub(crate) enum Probe {
    /// It accepts TCP connections on its first port.
    Connects,
    /// This request is answered with a status below 400, or the given one.
    Answers(Box<reqwest::RequestBuilder>, u16),
}

impl Probe {
    /// The server is ready when it answers this request well, or with the status `also`.
    pub(crate) fn answers(request: reqwest::RequestBuilder, also: u16) -> Self {
        Self::Answers(Box::new(request), also)
    }
}

/// A running server; killed on drop, with the children it has in its process group.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a server on free ports and waits until it is ready; where somebody else took a port, tries again.
    pub(crate) async fn start<const PORTS: usize>(
        name: &'static str,
        log: &Path,
        deadline: Duration,
        command: impl Fn([u16; PORTS]) -> Result<(Command, Probe)>,
    ) -> Result<(Self, [u16; PORTS])> {
        let mut attempt = 1;
        loop {
            let mut ports = [0; PORTS];
            for port in &mut ports {
                *port = port::free()?;
            }
            let (command, probe) = command(ports)?;
            match Self::start_once(name, log, deadline, command, &probe, ports.first().copied()).await {
                Err(Error::Ended { log, .. })
                    if attempt < ATTEMPTS && log.to_lowercase().contains("address already in use") =>
                {
                    attempt += 1
                }
                Err(error) => return Err(error),
                Ok(process) => return Ok((process, ports)),
            }
        }
    }

    /// Starts a server whose ports are settled.
    pub(crate) async fn start_once(
        name: &'static str,
        log: &Path,
        deadline: Duration,
        mut command: Command,
        probe: &Probe,
        port: Option<u16>,
    ) -> Result<Self> {
        let file = File::create(log).map_err(Error::io(format!("creating {}", log.display())))?;
        let errors = file.try_clone().map_err(Error::io("sharing the log file"))?;
        // A group of its own: Ctrl-C at the terminal must not end servers before what uses them.
        command.stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0);
        let child = spawn(command).map_err(Error::io(format!("starting {name}")))?;
        let mut process = Self { name, child, log: log.to_path_buf() };
        process.wait_ready(deadline, probe, port).await?;
        Ok(process)
    }

    async fn wait_ready(&mut self, deadline: Duration, probe: &Probe, port: Option<u16>) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().map_err(Error::io(format!("waiting for {}", self.name)))? {
                return Err(Error::Ended { server: self.name, status, log: self.log_tail() });
            }
            if probe.succeeds(port).await {
                return Ok(());
            }
            if started.elapsed() > deadline {
                return Err(Error::NotReady { server: self.name, after: deadline, log: self.log_tail() });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = || format!("stopping {}", self.name);
        let id = i32::try_from(self.child.id()).map_err(|error| Error::io(what())(std::io::Error::other(error)))?;
        nix::sys::signal::kill(Pid::from_raw(id), Signal::SIGTERM)
            .map_err(|error| Error::io(what())(std::io::Error::from(error)))?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().map_err(Error::io(format!("waiting for {}", self.name)))? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                let what = format!("the end of {} after SIGTERM", self.name);
                return Err(Error::Timeout { what, after: limit, seen: self.log_tail() });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log).unwrap_or_else(|error| format!("(its log {} cannot be read: {error})", self.log.display()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group's id is the child's. It cannot be another's by now: the child has not been waited for.
        if matches!(self.child.try_wait(), Ok(None)) {
            if let Ok(id) = i32::try_from(self.child.id()) {
                let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
            }
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

impl Probe {
    async fn succeeds(&self, port: Option<u16>) -> bool {
        match self {
            Self::Connects => match port {
                Some(port) => tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok(),
                None => true,
            },
            Self::Answers(request, also) => match request.as_ref().try_clone() {
                Some(request) => request
                    .timeout(Duration::from_secs(2))
                    .send()
                    .await
                    .is_ok_and(|answer| answer.status().as_u16() < 400 || answer.status().as_u16() == *also),
                None => false,
            },
        }
    }
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs a tool to its end with a deadline and gives back its standard output.
pub(crate) async fn run(
    mut command: tokio::process::Command,
    input: Option<&[u8]>,
    deadline: Duration,
) -> Result<Vec<u8>> {
    use tokio::io::AsyncWriteExt;
    let shown = show(command.as_std());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(Error::io(format!("starting `{shown}`")))?;
    let mut stdin = child.stdin.take();
    let work = async {
        let feed = async {
            if let (Some(pipe), Some(bytes)) = (stdin.as_mut(), input) {
                // A tool that ends before it has read everything says why itself.
                let _ = pipe.write_all(bytes).await;
            }
            drop(stdin);
        };
        let (_, output) = tokio::join!(feed, child.wait_with_output());
        output
    };
    let output = tokio::time::timeout(deadline, work)
        .await
        .map_err(|_| Error::Timeout {
            what: format!("the end of `{shown}`"),
            after: deadline,
            seen: "it still ran and was killed".into(),
        })?
        .map_err(Error::io(format!("running `{shown}`")))?;
    check(shown, output.status, &output.stdout, &output.stderr)?;
    Ok(output.stdout)
}

/// [`run`] for callers that are not async: short local commands such as `git hash-object`.
pub(crate) fn run_blocking(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    use std::io::Write;
    let shown = show(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io(format!("starting `{shown}`")))?;
    if let Some(mut stdin) = child.stdin.take() {
        let bytes = input.to_vec();
        // From another thread: a tool that writes before it has read all would otherwise wait for us, and we for it.
        std::thread::spawn(move || stdin.write_all(&bytes));
    }
    let output = child.wait_with_output().map_err(Error::io(format!("running `{shown}`")))?;
    check(shown, output.status, &output.stdout, &output.stderr)?;
    Ok(output.stdout)
}

fn check(command: String, status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let said = if stderr.is_empty() { stdout } else { stderr };
    Err(Error::Command { command, status, output: String::from_utf8_lossy(said).trim_end().to_owned() })
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_else(|| command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy().into_owned());
    words.collect::<Vec<_>>().join(" ")
}
