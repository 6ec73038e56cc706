//! A repository of images: the registry's host and the path there, in canonical form.

use std::fmt;
use std::str::FromStr;

use crate::error::ReferenceError;
use crate::text::{Quoted, serde_as_text};

/// The canonical host of Docker Hub.
pub const DOCKER_HUB: &str = "docker.io";

/// Hosts that all mean Docker Hub.
const DOCKER_HUB_ALIASES: [&str; 3] = [DOCKER_HUB, "index.docker.io", "registry-1.docker.io"];

/// Longest repository path: the OCI distribution specification recommends that host and name stay below 256.
const MAX_PATH: usize = 255;

/// A repository in canonical form, so that two spellings of one repository are equal: Docker Hub is `docker.io` however
/// it is written, a single-component path there is under `library/`, and hosts are in lower case.
///
/// It displays in its short form: `docker.io/library/redis` as `redis`, `docker.io/mozilla/commonvoice` as
/// `mozilla/commonvoice`, others in full.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    host: String,
    path: String,
}

impl Repository {
    /// Reads a repository's name, in any of its spellings, without tag and digest.
    ///
    /// # Errors
    /// [`ReferenceError`] when the name is malformed, or carries a tag or a digest.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let last = text.rsplit('/').next().unwrap_or(text);
        if last.contains(['@', ':']) && !text.contains("://") {
            return Err(ReferenceError::NotARepository { text: Quoted::new(text) });
        }
        Self::parse_name(text, text)
    }

    /// Reads `name`, which is the part of `whole` without tag and digest; errors show `whole`.
    pub(crate) fn parse_name(name: &str, whole: &str) -> Result<Self, ReferenceError> {
        check_text(name, whole)?;
        let (host, path) = split_host(name);
        let host = match host {
            Some(host) => canonical_host(host, whole)?,
            None => DOCKER_HUB.to_owned(),
        };
        check_path(path, whole)?;
        let path = if host == DOCKER_HUB && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        Ok(Self { host, path })
    }

    /// The registry's host, with its port if it has one; `docker.io` for Docker Hub.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path at the registry, such as `library/redis` or `mozilla/commonvoice`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether this repository is on Docker Hub.
    #[must_use]
    pub fn is_docker_hub(&self) -> bool {
        self.host == DOCKER_HUB
    }

    /// The full canonical form, `host/path`.
    #[must_use]
    pub fn canonical(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }
}

/// Docker's rule: the first component is a host if it has a dot or a colon, or is `localhost`.
fn split_host(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, name),
    }
}

fn check_text(name: &str, whole: &str) -> Result<(), ReferenceError> {
    if whole.is_empty() || name.is_empty() {
        return Err(ReferenceError::Empty);
    }
    if let Some(end) = name.find("://") {
        return Err(ReferenceError::Scheme { text: Quoted::new(whole), scheme: name[..end + 3].to_owned() });
    }
    if is_variable(whole) {
        return Err(ReferenceError::Variable { text: Quoted::new(whole) });
    }
    Ok(())
}

/// `$(VAR)`, `${VAR}`, `$VAR` and `{{ .Values.x }}`: none of their characters is in any reference.
fn is_variable(text: &str) -> bool {
    text.contains('$') || text.contains("{{")
}

fn canonical_host(host: &str, whole: &str) -> Result<String, ReferenceError> {
    let bad = |reason: String| Err(ReferenceError::Host { text: Quoted::new(whole), reason });
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, after)) => {
                if v6.parse::<std::net::Ipv6Addr>().is_err() {
                    return bad(format!("{v6:?} is not an IPv6 address"));
                }
                (None, after.strip_prefix(':').or(if after.is_empty() { None } else { Some(after) }))
            }
            None => return bad("the host's bracket is not closed".to_owned()),
        },
        None => match host.split_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        },
    };
    if let Some(port) = port
        && !(1..=5).contains(&port.len()) | !port.bytes().all(|b| b.is_ascii_digit()) | port.parse::<u16>().is_err()
    {
        return bad(format!("{port:?} is not a port number"));
    }
    if let Some(name) = name {
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !name.split('.').all(label_ok) {
            return bad(format!("{name:?} is not a host name: labels have letters, digits and inner `-`"));
        }
    }
    let host = host.to_ascii_lowercase();
    Ok(if DOCKER_HUB_ALIASES.contains(&host.as_str()) { DOCKER_HUB.to_owned() } else { host })
}

fn check_path(path: &str, whole: &str) -> Result<(), ReferenceError> {
    let bad = |reason: String| Err(ReferenceError::Path { text: Quoted::new(whole), reason });
    if path.len() > MAX_PATH {
        return bad(format!("the repository's path has {} characters, at most {MAX_PATH} are allowed", path.len()));
    }
    for component in path.split('/') {
        if component.is_empty() {
            return bad("a component of the path is empty; remove the extra `/`".to_owned());
        }
        if let Some(c) = component.chars().find(char::is_ascii_uppercase) {
            return bad(format!("a repository's path is in lower case, found {c:?}"));
        }
        if let Some(c) =
            component.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(*c)))
        {
            return bad(format!("a repository's path has only a-z, 0-9, `.`, `_`, `-` and `/`, found {c:?}"));
        }
        if !separators_ok(component) {
            return bad(format!(
                "{component:?} must begin and end with a letter or digit, with single `.`, `_`, `__` or `-`s between"
            ));
        }
    }
    Ok(())
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, given that only those characters are there.
fn separators_ok(component: &str) -> bool {
    let is_word = |b: &u8| b.is_ascii_alphanumeric();
    let bytes = component.as_bytes();
    bytes.first().is_some_and(is_word)
        && bytes.last().is_some_and(is_word)
        && bytes.split(is_word).all(|run| matches!(run, b"" | b"." | b"_" | b"__") || run.iter().all(|&b| b == b'-'))
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_docker_hub() {
            // `docker.io/library/a/b` keeps its `library/`: without it, it would be another repository.
            match self.path.strip_prefix("library/") {
                Some(short) if !short.contains('/') => f.write_str(short),
                // A first component that looks like a host would be read as one.
                _ if split_host(&self.path).0.is_some() => write!(f, "{}/{}", self.host, self.path),
                _ => f.write_str(&self.path),
            }
        } else {
            write!(f, "{}/{}", self.host, self.path)
        }
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_text!(Repository);
