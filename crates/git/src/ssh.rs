use crate::{Credentials, Error};
use secrecy::ExposeSecret;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The files that ssh reads: in a folder of our own, because ssh wants a key that only its owner can read, and a
/// mounted Secret is not that.
#[derive(Debug)]
pub(crate) struct SshFiles {
    folder: PathBuf,
}

impl SshFiles {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes key and known hosts as they are now, and gives the command that git is to use.
    pub(crate) fn command(&self, ssh: &Path, credentials: &Credentials) -> Result<Option<String>, Error> {
        let Credentials::Ssh { identity, known_hosts } = credentials else {
            return Ok(None);
        };
        let unusable = |source| Error::Disk { action: "create", path: self.folder.clone(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(unusable)?;
        let mut key = identity.read()?.expose_secret().trim_end().to_owned();
        // OpenSSH does not read a key whose last line has no end.
        key.push('\n');
        let key = secrecy::SecretString::from(key);
        let identity = self.write("identity", key.expose_secret().as_bytes())?;
        let hosts = self.write("known_hosts", known_hosts.read()?.as_bytes())?;
        command(ssh, &identity, &hosts).map(Some)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        let path = self.folder.join(name);
        let unwritable = |source| Error::Disk { action: "write", path: path.clone(), source };
        if std::fs::read(&path).is_ok_and(|old| old == bytes) {
            return Ok(path);
        }
        // Through a new file: the mode is right from its first byte on, and a running ssh keeps what it has opened.
        let fresh = self.folder.join(format!("{name}.new"));
        let _ = std::fs::remove_file(&fresh);
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(unwritable)?;
        file.write_all(bytes).map_err(unwritable)?;
        std::fs::rename(&fresh, &path).map_err(unwritable)?;
        Ok(path)
    }
}

impl Drop for SshFiles {
    fn drop(&mut self) {
        // The key is needed no longer; what cannot be removed is still readable by its owner alone.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The value of `GIT_SSH_COMMAND`. Git hands it to a shell, so every word in it is ours: fixed options, and paths that
/// hold nothing a shell or ssh's own configuration would expand.
fn command(ssh: &Path, identity: &Path, known_hosts: &Path) -> Result<String, Error> {
    let [ssh, identity, known_hosts] = [plain(ssh)?, plain(identity)?, plain(known_hosts)?];
    let options = [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=/dev/null",
        "UpdateHostKeys=no",
        "CheckHostIP=no",
        "VerifyHostKeyDNS=no",
        "PreferredAuthentications=publickey",
        "PasswordAuthentication=no",
        "KbdInteractiveAuthentication=no",
        "ForwardAgent=no",
        "ForwardX11=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "ControlMaster=no",
        "ControlPath=none",
        "ConnectTimeout=20",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=3",
        // For the fingerprint that the host offers: ssh does not tell it otherwise when it knows no key of the host.
        "LogLevel=DEBUG1",
    ];
    let options = options.map(|option| format!("-o {option} ")).concat();
    Ok(format!("{ssh} -F none {options}-o UserKnownHostsFile={known_hosts} -i {identity}"))
}

/// A path whose every character is plain for a shell and for ssh.
fn plain(path: &Path) -> Result<&str, Error> {
    path.to_str()
        .filter(|text| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-' | b'+' | b'@' | b','))
        })
        .ok_or_else(|| {
            let allowed = "letters, digits and any of / . _ - + @ , (ssh would read others as something else)";
            Error::Invalid(format!("the path {path:?} cannot be given to ssh; allowed are {allowed}"))
        })
}

/// The host key that ssh saw, from its debug output: `ssh-ed25519 SHA256:…`.
pub(crate) fn offered_key(stderr: &str) -> Option<&str> {
    stderr.lines().find_map(|line| line.trim_end().strip_prefix("debug1: Server host key: "))
}

/// Whether a line is ssh's own debug output.
pub(crate) fn is_debug(line: &str) -> bool {
    line.starts_with("debug1: ")
        || line.starts_with("OpenSSH_")
        || line.starts_with("Authenticated to ")
        || line.starts_with("Transferred: ")
        || line.starts_with("Bytes per second: ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KnownHosts, SecretValue};
    use secrecy::SecretString;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn key_files_are_private_follow_rotation_and_go_away() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("mounted");
        std::fs::write(&source, "first").unwrap();
        let credentials = Credentials::Ssh {
            identity: SecretValue::File(source.clone()),
            known_hosts: KnownHosts::Inline("host ssh-ed25519 AAAA".into()),
        };
        let files = SshFiles::new(folder.path().join("ssh"));
        files.command(Path::new("/usr/bin/ssh"), &credentials).unwrap();
        let key = folder.path().join("ssh/identity");
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "first\n");
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&source, "second").unwrap();
        files.command(Path::new("/usr/bin/ssh"), &credentials).unwrap();
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "second\n");
        drop(files);
        assert!(!folder.path().join("ssh").exists());
    }

    #[test]
    fn no_path_reaches_the_shell_unless_it_is_plain() {
        for folder in ["/a b", "/a;b", "/$(x)", "/a'b", "/a\"b", "/%h", "/~", "/a\nb", "/a`b`"] {
            assert!(command(Path::new("/usr/bin/ssh"), Path::new(folder), Path::new("/k")).is_err(), "{folder}");
        }
        let identity = SecretValue::Inline(SecretString::from("k"));
        let credentials = Credentials::Ssh { identity, known_hosts: KnownHosts::Inline(String::new()) };
        let folder = tempfile::tempdir().unwrap();
        let command =
            SshFiles::new(folder.path().join("s")).command(Path::new("/usr/bin/ssh"), &credentials).unwrap().unwrap();
        assert!(
            command.starts_with("/usr/bin/ssh -F none -o BatchMode=yes ")
                && command.contains("-o StrictHostKeyChecking=yes ")
        );
    }
}
