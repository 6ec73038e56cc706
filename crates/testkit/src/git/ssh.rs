use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{User, geteuid};

use super::Repository;
use crate::process::{Probe, Process, run_blocking, server_command};
use crate::{Error, Result, Scratch, components};

const READY: Duration = Duration::from_secs(30);
/// Where OpenSSH wants an empty folder when it runs as root; the package's service makes it, but no service runs here.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// Git over SSH: the real `sshd`, with a host key and one authorized key of the test's own.
#[derive(Debug)]
pub struct GitSsh {
    /// `None` only while the host key is being changed.
    process: Option<Process>,
    port: u16,
    user: String,
    home: Arc<Scratch>,
}

impl GitSsh {
    /// Starts it.
    pub async fn start() -> Result<Self> {
        let home = Arc::new(Scratch::new("git-ssh")?);
        let user = User::from_uid(geteuid())
            .map_err(|error| Error::Io { what: "looking up this process's user".into(), source: error.into() })?
            .ok_or_else(|| Error::Answer {
                what: "looking up this process's user".into(),
                answer: "it has no name".into(),
            })?
            .name;
        if geteuid().is_root() {
            std::fs::create_dir_all(PRIVILEGE_SEPARATION)
                .map_err(Error::io(format!("making {PRIVILEGE_SEPARATION}")))?;
        }
        generate_key(&home, "client")?;
        generate_key(&home, "host")?;
        let program = components::system("sshd", "openssh-server")?;
        let (process, [port]) = Process::start("sshd", &home.join("log"), READY, |[port]: [u16; 1]| {
            Ok((server(&program, &home, &user, port)?, Probe::Connects))
        })
        .await?;
        Ok(Self { process: Some(process), port, user, home })
    }

    /// Makes an empty repository in this server's folder.
    pub fn create_repository(&self, name: &str) -> Result<Repository> {
        Repository::create_in(self.home.clone(), name)
    }

    /// The URL of a repository: one of this server, or any other on this machine.
    pub fn url(&self, repository: &Repository) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, repository.path().display())
    }

    /// The file of the private key that may log in; only its owner may read it, as OpenSSH wants.
    pub fn client_key(&self) -> PathBuf {
        self.home.join("client")
    }

    /// The line of a `known_hosts` file for the present host key.
    pub fn known_hosts(&self) -> Result<String> {
        let file = self.home.join("host.pub");
        let key = std::fs::read_to_string(&file).map_err(Error::io(format!("reading {}", file.display())))?;
        let words: Vec<_> = key.split_whitespace().take(2).collect();
        Ok(format!("[127.0.0.1]:{} {}\n", self.port, words.join(" ")))
    }

    /// Starts again on the same port with another host key, as an attacker in the middle would have.
    pub async fn rotate_host_key(&mut self) -> Result<()> {
        self.process = None;
        for name in ["host", "host.pub"] {
            let file = self.home.join(name);
            std::fs::remove_file(&file).map_err(Error::io(format!("removing {}", file.display())))?;
        }
        generate_key(&self.home, "host")?;
        let program = components::system("sshd", "openssh-server")?;
        let command = server(&program, &self.home, &self.user, self.port)?;
        let log = self.home.join("log");
        self.process =
            Some(Process::start_once("sshd", &log, READY, command, &Probe::Connects, Some(self.port)).await?);
        Ok(())
    }

    /// The end of the server's log: who logged in, and who was refused.
    pub fn log_tail(&self) -> String {
        self.process.as_ref().map(Process::log_tail).unwrap_or_default()
    }

    /// The server's process id; 0 while it is not running.
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::id)
    }
}

fn server(program: &Path, home: &Scratch, user: &str, port: u16) -> Result<Command> {
    let config = [
        format!("Port {port}"),
        "ListenAddress 127.0.0.1".to_owned(),
        format!("HostKey {}", home.join("host").display()),
        format!("AuthorizedKeysFile {}", home.join("client.pub").display()),
        format!("AllowUsers {user}"),
        "PidFile none".to_owned(),
        // The folder is below a world-writable one (/tmp), which OpenSSH would take for unsafe.
        "StrictModes no".to_owned(),
        "UsePAM no".to_owned(),
        "PasswordAuthentication no".to_owned(),
        "KbdInteractiveAuthentication no".to_owned(),
        "PermitRootLogin prohibit-password".to_owned(),
        "AcceptEnv GIT_PROTOCOL".to_owned(),
        "MaxStartups 100".to_owned(),
        "LogLevel VERBOSE".to_owned(),
    ];
    let file = home.write("sshd_config", config.join("\n") + "\n")?;
    // sshd runs itself again for each connection and therefore wants to be called by its absolute path.
    let mut command = server_command(program)?;
    command.args(["-D", "-e", "-f"]).arg(file);
    Ok(command)
}

fn generate_key(home: &Scratch, name: &str) -> Result<()> {
    let mut command = Command::new(components::system("ssh-keygen", "openssh-client")?);
    command.env_clear().args(["-q", "-t", "ed25519", "-N", "", "-C", "testkit", "-f"]).arg(home.join(name));
    run_blocking(&mut command, b"").map(drop)
}
