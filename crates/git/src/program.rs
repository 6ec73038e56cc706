//! The `git` program: found once, run with an empty environment, in a process group of its own, with a deadline.

use crate::Error;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// How much of each output stream is kept; the rest is read and dropped.
const MAX_OUTPUT: usize = 256 * 1024;

/// How long a program may take to clean up after itself before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// The oldest git whose options are all known to work (`GIT_CONFIG_COUNT` came with 2.31).
const OLDEST: (u32, u32) = (2, 31);

/// Looks for a program where the configuration says, or else in `PATH`.
pub(crate) fn find(name: &str, configured: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(path) = configured {
        return if path.is_file() {
            Ok(path.to_owned())
        } else {
            Err(Error::Program(format!("{} is not a file (configured as the {name} program)", path.display())))
        };
    }
    let folders = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Error::Program(format!("the {name} program is not installed: it is in none of the folders of PATH"))
        })
}

/// A setting or a variable of one run. Values may be secret: they are never printed.
pub(crate) type Pairs = Vec<(OsString, OsString)>;

/// The `git` program with what every run has in common.
pub(crate) struct Program {
    path: PathBuf,
    folder: PathBuf,
    environment: Pairs,
    settings: Pairs,
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Why a run gave no output.
#[derive(Debug)]
pub(crate) enum RunError {
    Start(std::io::Error),
    Timeout,
}

impl Program {
    /// `folder` is where git runs and where its `HOME` and temporary files are.
    pub(crate) fn new(path: PathBuf, folder: PathBuf, environment: Pairs, settings: Pairs) -> Self {
        Self { path, folder, environment, settings }
    }

    /// Fails where git is too old for what is asked of it.
    pub(crate) async fn check_version(&self) -> Result<(), Error> {
        let shown = self.path.display();
        let output = self.run(["--version"], &[], Duration::from_secs(20)).await.map_err(|error| match error {
            RunError::Start(source) => Error::Program(format!("{shown} does not start: {source}")),
            RunError::Timeout => Error::Program(format!("{shown} --version does not end")),
        })?;
        match version(&output.stdout) {
            Some(found) if found >= OLDEST => Ok(()),
            _ => {
                let said: String = output.stdout.chars().filter(|c| !c.is_control()).take(80).collect();
                Err(Error::Program(format!("{shown} is {said:?}; needed is git {}.{} or newer", OLDEST.0, OLDEST.1)))
            }
        }
    }

    /// Runs git to its end, or to the deadline: then it is ended with everything it started.
    ///
    /// Dropping the future kills the whole group as well.
    pub(crate) async fn run<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        secret_settings: &[(OsString, OsString)],
        deadline: Duration,
    ) -> Result<Output, RunError> {
        let mut command = Command::new(&self.path);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let settings = self.settings.iter().chain(secret_settings);
        let mut count = 0;
        for (key, value) in settings {
            // Through the environment, which other users cannot read, and not as `-c`, which everybody can.
            command.env(format!("GIT_CONFIG_KEY_{count}"), key).env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        let mut running = Running::start(command).map_err(RunError::Start)?;
        match tokio::time::timeout(deadline, running.output()).await {
            Ok(output) => output.map_err(RunError::Start),
            Err(_) => {
                running.end().await;
                Err(RunError::Timeout)
            }
        }
    }
}

/// A running program. The group is declared first, so that on drop it is killed before the child is reaped: until
/// then, nobody else can have its number.
struct Running {
    group: Group,
    child: Child,
}

struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // An error means that nobody is left to hear it.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

impl Running {
    fn start(mut command: Command) -> std::io::Result<Self> {
        let child = command.spawn()?;
        let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
        Ok(Self { group, child })
    }

    async fn output(&mut self) -> std::io::Result<Output> {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        // To the end of both pipes first: then every child that could write to them has gone, and the group's number
        // stays ours until the wait.
        let (stdout, stderr) = tokio::try_join!(read_bounded(stdout), read_bounded(stderr))?;
        let status = self.child.wait().await?;
        self.group.0 = None;
        Ok(Output { status, stdout, stderr })
    }

    /// Asks the group to end, so that git removes its temporary files, then kills what is left.
    async fn end(&mut self) {
        self.group.signal(Signal::SIGTERM);
        let gone = async {
            // `wait` would give the number away while others of the group may live.
            while !self.is_zombie() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(GRACE, gone).await;
        self.group.signal(Signal::SIGKILL);
        self.group.0 = None;
        let _ = tokio::time::timeout(GRACE, self.child.wait()).await;
    }

    /// Whether the program itself has ended, without reaping it.
    fn is_zombie(&self) -> bool {
        use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
        let Some(pid) = self.group.0 else { return true };
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        !matches!(waitid(Id::Pid(pid), flags), Ok(WaitStatus::StillAlive))
    }
}

async fn read_bounded(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let Some(mut stream) = stream else { return Ok(String::new()) };
    let mut kept = Vec::new();
    let mut chunk = [0; 8 * 1024];
    loop {
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            return Ok(String::from_utf8_lossy(&kept).into_owned());
        }
        let room = MAX_OUTPUT.saturating_sub(kept.len()).min(read);
        kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.trim().parse().ok()?, numbers.next()?.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("git version 2.39.5\n"), Some((2, 39)));
        assert_eq!(version("git version 2.51.0.windows.1\n"), Some((2, 51)));
        assert_eq!(version("hg 6"), None);
    }

    /// Starts `sleep` as a child of the program, the way git starts ssh.
    fn sleeper(folder: &Path) -> Program {
        let env: Pairs = vec![("PATH".into(), "/usr/bin:/bin".into()), ("TAGBOAT_TEST_MARK".into(), folder.into())];
        Program::new("/usr/bin/env".into(), folder.to_owned(), env, Pairs::new())
    }

    /// Processes that carry this test's mark in their environment.
    fn marked(folder: &Path) -> usize {
        let mark = format!("TAGBOAT_TEST_MARK={}", folder.display());
        let environments = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let path = entry.ok()?.path();
            std::fs::read(path.join("environ")).ok()
        });
        environments.filter(|environment| environment.split(|b| *b == 0).any(|line| line == mark.as_bytes())).count()
    }

    async fn none_left(folder: &Path) -> bool {
        for _ in 0..100 {
            if marked(folder) == 0 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    #[tokio::test]
    async fn the_deadline_ends_the_program_and_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let program = sleeper(folder.path());
        let arguments = ["timeout", "--foreground", "300", "sleep", "300"];
        let run = program.run(arguments, &[], Duration::from_millis(300)).await;
        assert!(matches!(run, Err(RunError::Timeout)), "{run:?}");
        assert!(none_left(folder.path()).await);
    }

    #[tokio::test]
    async fn dropping_the_future_kills_the_program_and_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let program = sleeper(folder.path());
        let arguments = ["timeout", "--foreground", "300", "sleep", "300"];
        let run = program.run(arguments, &[], Duration::from_secs(60));
        let dropped = tokio::time::timeout(Duration::from_millis(500), run).await;
        assert!(dropped.is_err());
        assert!(none_left(folder.path()).await);
    }

    #[tokio::test]
    async fn output_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let program = sleeper(folder.path());
        let output = program.run(["head", "-c", "3000000", "/dev/zero"], &[], Duration::from_secs(20)).await.unwrap();
        assert_eq!(output.stdout.len(), MAX_OUTPUT);
    }
}
