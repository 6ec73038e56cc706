use crate::Error;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::path::{Path, PathBuf};

/// Secrets are small; a larger file is a mistake in the configuration.
const MAX_SECRET_FILE: u64 = 256 * 1024;

/// A secret, or the file that holds it. A file is read anew for each request, so that a rotated one needs no restart.
#[derive(Clone)]
pub enum SecretValue {
    /// The secret itself.
    Inline(SecretString),
    /// A file, such as a mounted Secret's key. One line break at its end is not part of a password.
    File(PathBuf),
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("Inline(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl SecretValue {
    pub(crate) fn read(&self) -> Result<SecretString, Error> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => read_file(path).map(SecretString::from),
        }
    }

    /// As [`Self::read`], for values that are one line.
    pub(crate) fn read_line(&self) -> Result<SecretString, Error> {
        let secret = self.read()?;
        let text = secret.expose_secret();
        let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        Ok(SecretString::from(line))
    }
}

/// The host keys that are trusted, in the format of OpenSSH's `known_hosts`.
#[derive(Debug, Clone)]
pub enum KnownHosts {
    /// The lines themselves.
    Inline(String),
    /// A file; read anew for each request.
    File(PathBuf),
}

impl KnownHosts {
    pub(crate) fn read(&self) -> Result<String, Error> {
        match self {
            Self::Inline(text) => Ok(text.clone()),
            Self::File(path) => read_file(path),
        }
    }
}

/// What a repository wants to see before it lets us in.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Nothing.
    None,
    /// HTTP basic authentication; a token is a password.
    Basic {
        /// The user name (many hosts take any with a token).
        username: String,
        /// The password or token.
        password: SecretValue,
    },
    /// An SSH key.
    Ssh {
        /// The private key, in a format that OpenSSH reads, without a passphrase.
        identity: SecretValue,
        /// The host keys to trust: any other is refused.
        known_hosts: KnownHosts,
    },
}

fn read_file(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Disk { action: "read", path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_SECRET_FILE {
        return Err(Error::Limit {
            what: format!("{} has {length} bytes", path.display()),
            allowed: "256 KiB for a secret".into(),
        });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let credentials = Credentials::Basic {
            username: "robot".into(),
            password: SecretValue::Inline(SecretString::from("hunter2")),
        };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    #[test]
    fn one_line_break_at_the_end_of_a_password_file_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2 \r\n").unwrap();
        let value = SecretValue::File(path.clone());
        assert_eq!(value.read_line().unwrap().expose_secret(), "hunter2 ");
        std::fs::write(&path, "rotated").unwrap();
        assert_eq!(value.read_line().unwrap().expose_secret(), "rotated");
    }
}
