//! Temporary folders that are gone afterwards, however the process ends.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use tempfile::TempDir;

use crate::{Error, Result, components};

/// Collects the folders' names and removes them when this process is gone: `xargs` runs `rm` when its input closes,
/// and the kernel closes it even after a SIGKILL. (A value in a `static`, such as a shared cluster, is never dropped.)
static REAPER: LazyLock<Option<Mutex<ChildStdin>>> = LazyLock::new(|| reaper().ok().map(Mutex::new));

fn reaper() -> Result<ChildStdin> {
    let mut child = Command::new(components::system("xargs", "findutils")?)
        .args(["-0", "-r", "rm", "-rf", "--"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C goes to the whole foreground group: the reaper must outlive it.
        .process_group(0)
        .spawn()
        .map_err(Error::io("starting xargs"))?;
    child
        .stdin
        .take()
        .ok_or_else(|| Error::Io { what: "xargs has no input".into(), source: std::io::ErrorKind::BrokenPipe.into() })
}

/// A temporary folder, removed on drop and at the latest when the process ends.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// Makes an empty folder; `label` becomes part of its name.
    pub fn new(label: &str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("tagboat-test-{label}-"))
            .tempdir()
            .map_err(Error::io("making a temporary folder"))?;
        if let Some(reaper) = REAPER.as_ref() {
            let mut name = folder.path().as_os_str().as_bytes().to_vec();
            name.push(0);
            // Without the reaper a kill leaves a folder behind, which is no reason to fail a test.
            let _ = reaper.lock().unwrap_or_else(PoisonError::into_inner).write_all(&name);
        }
        Ok(Self(folder))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path in the folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file into the folder and says where it is.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(format!("making {}", folder.display())))?;
        }
        std::fs::write(&path, content).map_err(Error::io(format!("writing {}", path.display())))?;
        Ok(path)
    }

    /// Writes a file that only its owner may read: a key or a token.
    pub(crate) fn write_private(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.join(name);
        let what = format!("writing {}", path.display());
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io(what.clone()))?;
        file.write_all(content.as_ref()).map_err(Error::io(what))?;
        Ok(path)
    }
}
