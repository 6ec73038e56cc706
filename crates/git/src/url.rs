use std::fmt;

const ALLOWED: &str = "allowed are https://host/path, ssh://user@host/path and user@host:path";

/// How a remote is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP over TLS.
    Https,
    /// Plain HTTP, only where the configuration opts in.
    Http,
    /// SSH, in either spelling.
    Ssh,
}

impl Scheme {
    /// The name under which git's `protocol.*.allow` knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
        }
    }
}

/// The URL of a repository: a known transport, no credentials inside, nothing that a program could read as an option.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RemoteUrl {
    text: String,
    scheme: Scheme,
    host: String,
    port: Option<u16>,
}

impl RemoteUrl {
    /// Stands for a work tree in messages; nothing is ever fetched from it.
    pub(crate) fn local(folder: &std::path::Path) -> Self {
        Self { text: folder.display().to_string(), scheme: Scheme::Https, host: String::new(), port: None }
    }

    /// Reads a URL. The error never repeats the text, because a password may stand in it.
    pub fn parse(text: &str, allow_http: bool) -> Result<Self, String> {
        if text.is_empty() {
            return Err(format!("the URL is empty; {ALLOWED}"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("the URL holds a space, a line break or a control character".into());
        }
        if text.starts_with('-') {
            return Err(format!("the URL begins with '-'; {ALLOWED}"));
        }
        match text.split_once("://") {
            Some((scheme, rest)) => Self::parse_url(text, scheme, rest, allow_http),
            None if text.contains("::") => Err(format!("remote helpers (`name::…`) are not allowed; {ALLOWED}")),
            None => Self::parse_scp(text),
        }
    }

    fn parse_url(text: &str, scheme: &str, rest: &str, allow_http: bool) -> Result<Self, String> {
        let scheme = match scheme {
            "https" => Scheme::Https,
            "http" if allow_http => Scheme::Http,
            "http" => return Err("plain http sends credentials in the clear: use https, or set `allow_http`".into()),
            "ssh" => Scheme::Ssh,
            _ => return Err(format!("this kind of URL is not allowed; {ALLOWED}")),
        };
        let parsed = ::url::Url::parse(text).map_err(|_| format!("the URL cannot be read; {ALLOWED}"))?;
        if parsed.password().is_some() {
            return Err("the URL holds a password: put credentials in a Secret and name it in the configuration".into());
        }
        if scheme != Scheme::Ssh && rest.split('/').next().unwrap_or_default().contains('@') {
            return Err(
                "the URL holds a user name: put credentials in a Secret and name it in the configuration".into()
            );
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err("the URL has a query or a fragment".into());
        }
        let host = parsed.host_str().unwrap_or_default();
        check_host(host)?;
        check_user(parsed.username())?;
        if parsed.path().trim_matches('/').is_empty() {
            return Err("the URL has no path: which repository?".into());
        }
        Ok(Self { text: text.to_owned(), scheme, host: host.to_owned(), port: parsed.port() })
    }

    fn parse_scp(text: &str) -> Result<Self, String> {
        let (place, path) =
            text.split_once(':').ok_or_else(|| format!("this is neither a URL nor user@host:path; {ALLOWED}"))?;
        let (user, host) =
            place.split_once('@').ok_or_else(|| format!("the user before the host is missing; {ALLOWED}"))?;
        if user.contains(':') {
            return Err("the URL holds a password: put credentials in a Secret and name it in the configuration".into());
        }
        if path.contains('@') && path.contains(':') {
            return Err(format!("this cannot be read as user@host:path; {ALLOWED}"));
        }
        check_host(host)?;
        check_user(user)?;
        if user.is_empty() {
            return Err(format!("the user before the host is missing; {ALLOWED}"));
        }
        if path.trim_matches('/').is_empty() || path.starts_with('-') {
            return Err("the URL has no path, or one that begins with '-'".into());
        }
        Ok(Self { text: text.to_owned(), scheme: Scheme::Ssh, host: host.to_owned(), port: None })
    }

    /// The transport.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, in brackets where it is an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The URL as the `git` program gets it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// `scheme://host:port/`, to which HTTP credentials are confined.
    pub(crate) fn origin(&self) -> String {
        match self.port {
            Some(port) => format!("{}://{}:{port}/", self.scheme.name(), self.host),
            None => format!("{}://{}/", self.scheme.name(), self.host),
        }
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'));
    if host.is_empty() || host.starts_with('-') || !plain {
        return Err("the URL has no host, or one that is not a host name or an address".into());
    }
    Ok(())
}

fn check_user(user: &str) -> Result<(), String> {
    let plain = user.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if user.starts_with('-') || !plain {
        return Err(
            "the URL's user name may hold letters, digits, '.', '_' and '-', and must not begin with '-'".into()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_allowed_spelling_is_read() {
        let table = [
            ("https://github.com/org/infra.git", Scheme::Https, "github.com"),
            ("https://git.example.org:8443/infra", Scheme::Https, "git.example.org"),
            ("ssh://git@host:2222/org/infra.git", Scheme::Ssh, "host"),
            ("ssh://host/infra", Scheme::Ssh, "host"),
            ("git@github.com:org/infra.git", Scheme::Ssh, "github.com"),
        ];
        for (text, scheme, host) in table {
            let url = RemoteUrl::parse(text, false).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!((url.scheme(), url.host(), url.as_str()), (scheme, host, text));
        }
    }

    #[test]
    fn plain_http_needs_an_opt_in() {
        assert!(RemoteUrl::parse("http://host/x", false).unwrap_err().contains("allow_http"));
        assert_eq!(RemoteUrl::parse("http://host:1/x", true).unwrap().origin(), "http://host:1/");
    }

    #[test]
    fn hostile_urls_are_refused_without_repeating_a_password() {
        let hostile = [
            "",
            "ext::sh -c touch% pwned",
            "ext::sh",
            "file:///etc/passwd",
            "/etc",
            "../x",
            "git://host/x",
            "ftp://host/x",
            "-oProxyCommand=touch hunter2",
            "ssh://-oProxyCommand=hunter2/x",
            "ssh://-x@host/x",
            "-x@host:x",
            "git@-oProxyCommand=hunter2:x",
            "git@host:-x",
            "https://user:hunter2@host/x",
            "https://hunter2@host/x",
            "ssh://user:hunter2@host/x",
            "user:hunter2@host:x",
            "https://host",
            "https://host/",
            "https:///x",
            "https://host/x?token=hunter2",
            "https://host/x#hunter2",
            "https://host/a b",
            "https://host/a\nb",
            "https://host/a\r\nb",
            "https://ho$st/x",
            "ssh://git@ho`st/x",
            "git@host:",
            "host:x",
            "@host:x",
            "HTTPS+evil://host/x",
            "https://host:99999/x",
        ];
        for text in hostile {
            let why = RemoteUrl::parse(text, true).expect_err(text);
            assert!(!why.contains("hunter2"), "{text:?} came back in {why:?}");
        }
    }
}
