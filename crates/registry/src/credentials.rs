//! Credentials, and the `config.json` that `docker login` writes.

use crate::error::RegistryError;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The most that is read of a `config.json`.
const MAX_FILE: u64 = 1024 * 1024;

/// What proves who we are at one registry.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// A user and a password or access token: Basic, at the registry or at its token server.
    Password {
        /// The user.
        username: String,
        /// The secret.
        password: SecretString,
    },
    /// An OAuth2 refresh token for the token server.
    Identity(SecretString),
    /// A bearer token for the registry, sent as it is.
    Bearer(SecretString),
}

impl Credential {
    /// Who it is, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Password { username, .. } => format!("the credentials of user {username:?} were used"),
            Self::Identity(_) => "a configured identity token was used".to_owned(),
            Self::Bearer(_) => "a configured bearer token was used".to_owned(),
        }
    }

    /// The value of a Basic `Authorization` header.
    pub(crate) fn basic(&self) -> Option<SecretString> {
        match self {
            Self::Password { username, password } => {
                let encoded =
                    base64::prelude::BASE64_STANDARD.encode(format!("{username}:{}", password.expose_secret()));
                Some(format!("Basic {encoded}").into())
            }
            _ => None,
        }
    }

    /// Takes the secret out of a text that somebody else wrote.
    pub(crate) fn redact(&self, text: &str) -> String {
        let secret = match self {
            Self::Password { password, .. } => password,
            Self::Identity(token) | Self::Bearer(token) => token,
        };
        let basic = self.basic();
        let encoded = basic.as_ref().map(|header| header.expose_secret().trim_start_matches("Basic "));
        [Some(secret.expose_secret()), encoded]
            .into_iter()
            .flatten()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret, "[redacted]"))
    }
}

/// The `auths` of a `config.json`.
#[derive(Debug, Default)]
pub(crate) struct DockerConfig {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    host: String,
    /// Podman and pull secrets may name a path: the credential is for the repositories below it. Empty for all.
    path: String,
    credential: Credential,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: SecretField,
    username: String,
    password: SecretField,
    identitytoken: SecretField,
    registrytoken: SecretField,
}

/// A secret in JSON; empty where it is missing.
#[derive(Default)]
struct SecretField(SecretString);

impl<'de> Deserialize<'de> for SecretField {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::<String>::deserialize(deserializer)?.unwrap_or_default().into()))
    }
}

impl SecretField {
    fn take(self) -> Option<SecretString> {
        Some(self.0).filter(|secret| !secret.expose_secret().is_empty())
    }
}

impl DockerConfig {
    /// Reads the file. A bad entry makes the whole file an error: half of the credentials would look like missing
    /// repositories later.
    pub(crate) fn read(path: &Path) -> Result<Self, RegistryError> {
        let fail = |reason: String| RegistryError::File { path: path.to_path_buf(), reason };
        let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
        if size > MAX_FILE {
            return Err(fail(format!("the file has {size} bytes, at most {MAX_FILE} are read")));
        }
        let bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
        Self::parse(&bytes).map_err(fail)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        // serde_json's messages may quote a value; the place is enough to find it.
        let file: File = serde_json::from_slice(bytes)
            .map_err(|error| format!("no config.json at {}:{}", error.line(), error.column()))?;
        let entry = |(key, auth): (String, Auth)| {
            let (host, path) = split_key(&key);
            match auth.credential() {
                Ok(Some(credential)) => Some(Ok(Entry { host, path, credential })),
                // `{}` marks a host whose credential lies with a helper.
                Ok(None) => None,
                Err(reason) => Some(Err(format!("auths[{key:?}]: {reason}"))),
            }
        };
        Ok(Self { entries: file.auths.into_iter().filter_map(entry).collect::<Result<_, _>>()? })
    }

    /// The credential for a repository at exactly this host; that of the longest path that leads to it.
    pub(crate) fn find(&self, host: &str, repository: &str) -> Option<&Credential> {
        let covers = |path: &str| {
            path.is_empty()
                || repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.entries
            .iter()
            .filter(|entry| entry.host == host && covers(&entry.path))
            .max_by_key(|entry| entry.path.len())
            .map(|entry| &entry.credential)
    }
}

impl Auth {
    fn credential(self) -> Result<Option<Credential>, String> {
        if let Some(token) = self.registrytoken.take() {
            return Ok(Some(Credential::Bearer(token)));
        }
        if let Some(token) = self.identitytoken.take() {
            return Ok(Some(Credential::Identity(token)));
        }
        if let Some(auth) = self.auth.take() {
            let decoded = lenient_base64()
                .decode(auth.expose_secret().trim())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or("auth is not base64")?;
            let (username, password) = decoded.split_once(':').ok_or("auth has no colon between user and password")?;
            let password = password.trim_end_matches('\0').to_owned().into();
            return Ok(Some(Credential::Password { username: username.to_owned(), password }));
        }
        let username = self.username;
        Ok(self.password.take().map(|password| Credential::Password { username, password }))
    }
}

/// Some tools leave the padding out.
fn lenient_base64() -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&STANDARD, config)
}

/// `https://index.docker.io/v1/` is Docker Hub's host; `quay.io/org` is a host and a path.
fn split_key(key: &str) -> (String, String) {
    let bare = key.trim().trim_start_matches("https://").trim_start_matches("http://");
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let path = match path.trim_matches('/') {
        "v1" | "v2" => "",
        path => path.strip_prefix("v1/").or_else(|| path.strip_prefix("v2/")).unwrap_or(path),
    };
    let host = host.to_ascii_lowercase();
    let host = match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        _ => host,
    };
    (host, path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
        "auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnBhOnNz"},
            "quay.io/org": {"username": "below", "password": "p"},
            "quay.io": {"username": "all", "password": "p"},
            "localhost:5000": {"registrytoken": "t"},
            "reg.azurecr.io": {"identitytoken": "i"},
            "helped.example": {}
        },
        "credsStore": "desktop"
    }"#;

    fn user(config: &DockerConfig, host: &str, path: &str) -> Option<String> {
        match config.find(host, path)? {
            Credential::Password { username, .. } => Some(username.clone()),
            other => Some(other.describe()),
        }
    }

    #[test]
    fn a_credential_belongs_to_one_host_and_the_longest_path() {
        let config = DockerConfig::parse(FILE.as_bytes()).unwrap();
        assert_eq!(user(&config, "docker.io", "mozilla/commonvoice").as_deref(), Some("hub"));
        assert_eq!(user(&config, "quay.io", "org/app").as_deref(), Some("below"));
        assert_eq!(user(&config, "quay.io", "organic/app").as_deref(), Some("all"));
        assert_eq!(user(&config, "localhost", "a"), None, "another port is another host");
        assert_eq!(user(&config, "localhost:5001", "a"), None);
        assert_eq!(user(&config, "evil.quay.io", "org/app"), None);
        assert_eq!(user(&config, "helped.example", "a"), None);
        assert!(matches!(config.find("localhost:5000", "a"), Some(Credential::Bearer(_))));
        assert!(matches!(config.find("reg.azurecr.io", "a"), Some(Credential::Identity(_))));
    }

    #[test]
    fn a_password_is_split_at_the_first_colon() {
        let config = DockerConfig::parse(FILE.as_bytes()).unwrap();
        let Some(Credential::Password { password, .. }) = config.find("docker.io", "a/b") else {
            panic!("no password")
        };
        assert_eq!(password.expose_secret(), "pa:ss");
    }

    #[test]
    fn errors_and_debug_show_no_secret() {
        for bad in [
            r#"{"auths":{"r.example":{"auth":"canary!"}}}"#,
            r#"{"auths":{"r.example":"canary"}}"#,
            r#"{"auths":{"r.example":{"auth":"Y2FuYXJ5"}}}"#,
        ] {
            let error = DockerConfig::parse(bad.as_bytes()).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
        let config = DockerConfig::parse(br#"{"auths":{"r.example":{"username":"u","password":"canary"}}}"#).unwrap();
        assert!(!format!("{config:?}").contains("canary"));
        let credential = config.find("r.example", "a").unwrap();
        assert_eq!(credential.redact("you sent canary (dTpjYW5hcnk=)"), "you sent [redacted] ([redacted])");
    }
}
