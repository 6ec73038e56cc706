//! Which URL a chart is really fetched from, and with whose credentials.

use super::ChartRepositoriesOptions;
use crate::Error;
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use url::{Host, Url};

/// Basic authentication for one origin.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password or token.
    pub password: SecretString,
}

/// The configuration's mirrors, credentials and permissions.
#[derive(Debug)]
pub(super) struct Locations {
    /// Longest prefix first.
    mirrors: Vec<(Url, Url)>,
    credentials: BTreeMap<String, Credentials>,
    plain_http: BTreeSet<String>,
}

impl Locations {
    pub(super) fn new(options: &ChartRepositoriesOptions) -> Result<Self, Error> {
        let mut mirrors = Vec::new();
        for (prefix, stand_in) in &options.mirrors {
            mirrors.push((folder(prefix)?, folder(stand_in)?));
        }
        mirrors.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.as_str().len()));
        let mut credentials = BTreeMap::new();
        for (origin, found) in &options.credentials {
            credentials.insert(folder(origin)?.origin().ascii_serialization(), found.clone());
        }
        Ok(Self { mirrors, credentials, plain_http: options.plain_http.clone() })
    }

    /// The folder of a repository, as it is really fetched.
    pub(super) fn repository(&self, url: &str) -> Result<Url, Error> {
        let url = folder(url)?;
        let real = self.mirrored(url);
        self.allow(&real)?;
        Ok(real)
    }

    /// An archive's URL, which the index gives relative to the repository or whole.
    pub(super) fn archive(&self, base: &Url, url: &str) -> Result<Url, Error> {
        let joined = base.join(url).map_err(|error| refused(url, &error.to_string()))?;
        let real = self.mirrored(joined);
        self.allow(&real)?;
        Ok(real)
    }

    /// The credentials for a URL: those of its own origin, never another's.
    pub(super) fn access(&self, url: &Url) -> Result<Option<&Credentials>, Error> {
        self.allow(url)?;
        Ok(self.credentials.get(&url.origin().ascii_serialization()))
    }

    fn mirrored(&self, url: Url) -> Url {
        for (prefix, stand_in) in &self.mirrors {
            let Some(rest) = url.as_str().strip_prefix(prefix.as_str()) else { continue };
            if let Ok(real) = stand_in.join(rest).as_ref() {
                // `..` in what is left must not lead out of the stand-in.
                if real.as_str().starts_with(stand_in.as_str()) {
                    return real.clone();
                }
            }
        }
        url
    }

    /// TLS, or a host that may go without, or a mirror on this machine.
    fn allow(&self, url: &Url) -> Result<(), Error> {
        let host = url.host_str().unwrap_or_default();
        let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}")).unwrap_or_default();
        let is_mirror = self.mirrors.iter().any(|(_, stand_in)| url.as_str().starts_with(stand_in.as_str()));
        let allowed = match url.scheme() {
            "https" => true,
            "http" => {
                self.plain_http.contains(host) || self.plain_http.contains(&with_port) || (is_mirror && loopback(url))
            }
            _ => false,
        };
        if allowed {
            return Ok(());
        }
        Err(refused(
            url.as_str(),
            "only https:// is used; http:// needs the host to be named in the configuration, or a mirror on this machine",
        ))
    }
}

/// A URL without what may be secret in it, for messages.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

/// Reads the URL of a folder; it always ends with a slash then.
fn folder(text: &str) -> Result<Url, Error> {
    let mut url = Url::parse(text.trim()).map_err(|error| refused(text, &error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(text, "it holds credentials; these belong in the configuration"));
    }
    if !url.has_host() {
        return Err(refused(text, "it names no host; charts are fetched over https://"));
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn refused(url: &str, reason: &str) -> Error {
    let url = Url::parse(url).map_or_else(|_| url.chars().take(200).collect(), |url| shown(&url));
    Error::RepositoryUrl { url, reason: reason.to_owned() }
}

fn loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locations() -> Locations {
        let mut options = ChartRepositoriesOptions::new("/nowhere".into());
        options.mirrors.insert("https://charts.example.com/stable".into(), "http://127.0.0.1:8080/charts".into());
        options.credentials.insert(
            "https://private.example.com".into(),
            Credentials { username: "reader".into(), password: "hidden".into() },
        );
        options.plain_http.insert("charts.internal:8080".into());
        Locations::new(&options).unwrap()
    }

    #[test]
    fn a_mirror_stands_in_for_a_repository_and_its_archives() {
        let locations = locations();
        let base = locations.repository("https://charts.example.com/stable").unwrap();
        assert_eq!(base.as_str(), "http://127.0.0.1:8080/charts/");
        let relative = locations.archive(&base, "voice-1.0.0.tgz").unwrap();
        assert_eq!(relative.as_str(), "http://127.0.0.1:8080/charts/voice-1.0.0.tgz");
        let whole = locations.archive(&base, "https://charts.example.com/stable/a/voice-1.0.0.tgz").unwrap();
        assert_eq!(whole.as_str(), "http://127.0.0.1:8080/charts/a/voice-1.0.0.tgz");
        let beside = locations.repository("https://charts.example.com/stable-2").unwrap();
        assert_eq!(beside.as_str(), "https://charts.example.com/stable-2/");
    }

    #[test]
    fn plain_http_needs_permission() {
        let locations = locations();
        assert!(locations.repository("http://charts.internal:8080/x").is_ok());
        for url in ["http://charts.example.com", "http://127.0.0.1:9999/", "ftp://charts.example.com/", "file:///etc"] {
            assert!(matches!(locations.repository(url), Err(Error::RepositoryUrl { .. })), "{url}");
        }
    }

    #[test]
    fn credentials_go_to_their_own_origin_alone() {
        let locations = locations();
        let base = locations.repository("https://private.example.com/charts").unwrap();
        assert_eq!(locations.access(&base).unwrap().unwrap().username, "reader");
        for other in ["https://cdn.example.com/x.tgz", "https://private.example.com:8443/x.tgz"] {
            let url = locations.archive(&base, other).unwrap();
            assert!(locations.access(&url).unwrap().is_none(), "{other}");
        }
    }

    #[test]
    fn a_url_with_credentials_is_refused_without_showing_them() {
        let error = locations().repository("https://me:hunter2@charts.example.com").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("charts.example.com"), "{error}");
    }
}
