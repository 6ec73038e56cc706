use crate::{BranchName, Credentials, Error, RemoteUrl, Scheme};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tagboat_engine::ports::{Person, SourceId};

/// Variables of the process' environment that may be passed on to git: how to reach the network, and nothing else.
const PASSED_ON: [&str; 7] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY"];

/// One repository and branch.
#[derive(Debug, Clone)]
pub struct GitConfig {
    /// Its name in the configuration; it stands in every message.
    pub source: SourceId,
    /// `https://host/path`, `ssh://user@host/path` or `user@host:path`; credentials never stand in it.
    pub url: String,
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// A folder of this repository's own, created where it is missing: a cache that may be deleted at any time.
    pub directory: PathBuf,
    /// Author and committer of our commits.
    pub author: Person,
    /// What the remote wants to see.
    pub credentials: Credentials,
    /// Deadline for one fetch or push.
    pub timeout: Duration,
    /// Deadline for the first fetch, which brings the whole history.
    pub clone_timeout: Duration,
    /// Whether plain `http://` is accepted.
    pub allow_http: bool,
    /// The `git` program's absolute path; `None` looks for it in `PATH`.
    pub git_program: Option<PathBuf>,
    /// The `ssh` program's absolute path; `None` looks for it in `PATH` where it is needed.
    pub ssh_program: Option<PathBuf>,
    /// Certificates to trust as well as the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Proxy settings for git, such as `HTTPS_PROXY`. Git sees nothing else of the process' own environment.
    pub environment: Vec<(String, String)>,
    /// Bounds on what is read.
    pub limits: Limits,
}

impl GitConfig {
    /// A configuration with the defaults: 60 s, five minutes for the first fetch, no credentials, no plain HTTP.
    pub fn new(
        source: SourceId,
        url: impl Into<String>,
        branch: impl Into<String>,
        directory: PathBuf,
        author: Person,
    ) -> Self {
        Self {
            source,
            url: url.into(),
            branch: branch.into(),
            directory,
            author,
            credentials: Credentials::None,
            timeout: Duration::from_secs(60),
            clone_timeout: Duration::from_secs(300),
            allow_http: false,
            git_program: None,
            ssh_program: None,
            ca_file: None,
            environment: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Everything that is wrong with it, without touching disk or network; empty where all is well.
    pub fn problems(&self) -> Vec<ConfigProblem> {
        self.check().err().unwrap_or_default()
    }

    pub(crate) fn check(&self) -> Result<(RemoteUrl, BranchName), Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut note = |field, text: String| problems.push(ConfigProblem { field, text });
        let url = RemoteUrl::parse(&self.url, self.allow_http).map_err(|text| note("url", text)).ok();
        let branch = BranchName::parse(&self.branch).map_err(|text| note("branch", text)).ok();
        if let Err(text) = check_person(&self.author) {
            note("author", text);
        }
        if !self.directory.is_absolute() {
            note("directory", format!("{} is not an absolute path", self.directory.display()));
        }
        if self.timeout.is_zero() || self.clone_timeout.is_zero() {
            note("timeout", "must be longer than 0".into());
        }
        for (field, program) in [("git_program", &self.git_program), ("ssh_program", &self.ssh_program)] {
            if let Some(path) = program.as_ref().filter(|path| !path.is_absolute()) {
                note(field, format!("{} is not an absolute path", path.display()));
            }
        }
        for (name, _) in &self.environment {
            if !PASSED_ON.contains(&name.as_str()) {
                note("environment", format!("{name:?} is not passed on to git; allowed are {}", PASSED_ON.join(", ")));
            }
        }
        if let Some(url) = &url
            && let Err(text) = check_credentials(url, &self.credentials)
        {
            note("credentials", text);
        }
        match (url, branch) {
            (Some(url), Some(branch)) if problems.is_empty() => Ok((url, branch)),
            _ => Err(problems),
        }
    }
}

/// Something wrong in a [`GitConfig`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it and what is allowed; never a secret.
    pub text: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.text)
    }
}

/// Bounds on what is fetched and read; past one, the call fails with a fault of kind `Limit` that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the clone on disk.
    pub clone_bytes: u64,
    /// Bytes of one file. A manifest past it is skipped and reported; it does not fail the others.
    pub file_bytes: usize,
    /// Bytes of all manifests of one call.
    pub total_bytes: usize,
    /// Manifests in one call.
    pub files: usize,
    /// Folders above a file.
    pub depth: usize,
    /// Commits that one question about history may walk.
    pub commits: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clone_bytes: 1 << 30,
            file_bytes: 5 << 20,
            total_bytes: 256 << 20,
            files: 20_000,
            depth: 64,
            commits: 200_000,
        }
    }
}

fn check_person(person: &Person) -> Result<(), String> {
    for (what, value) in [("name", &person.name), ("email", &person.email)] {
        if value.trim().is_empty() {
            return Err(format!("the {what} is empty"));
        }
        if value.contains(|c: char| c == '<' || c == '>' || c.is_control()) {
            return Err(format!("the {what} {value:?} holds '<', '>', a line break or a control character"));
        }
    }
    if person.email.contains(char::is_whitespace) {
        return Err(format!("the email {:?} holds a space", person.email));
    }
    Ok(())
}

fn check_credentials(url: &RemoteUrl, credentials: &Credentials) -> Result<(), String> {
    match (url.scheme(), credentials) {
        (Scheme::Ssh, Credentials::Ssh { .. }) | (Scheme::Https | Scheme::Http, Credentials::None) => Ok(()),
        (Scheme::Ssh, _) => Err("an SSH URL needs an SSH key and known_hosts".into()),
        (_, Credentials::Ssh { .. }) => Err("an SSH key is of no use for an HTTP URL".into()),
        (_, Credentials::Basic { username, .. }) => {
            // RFC 7617: a colon would end the user name; control characters are not allowed in it.
            if username.contains(|c: char| c == ':' || c.is_control()) {
                return Err("the user name holds ':' or a control character".into());
            }
            Ok(())
        }
    }
}

impl From<(SourceId, Vec<ConfigProblem>)> for Error {
    fn from((source, problems): (SourceId, Vec<ConfigProblem>)) -> Self {
        let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self::Config { source_id: source, problems: text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KnownHosts, SecretValue};
    use secrecy::SecretString;

    fn config() -> GitConfig {
        let author = Person { name: "Tagboat".into(), email: "tagboat@example.org".into() };
        GitConfig::new(SourceId("infra".into()), "https://host/x", "main", "/cache/infra".into(), author)
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let mut config = config();
        assert_eq!(config.problems(), []);
        config.url = "https://me:hunter2@host/x".into();
        config.branch = "-x".into();
        config.author.email = "a\nb".into();
        config.directory = "relative".into();
        config.environment = vec![("LD_PRELOAD".into(), "x".into())];
        let fields: Vec<_> = config.problems().iter().map(|problem| problem.field).collect();
        assert_eq!(fields, ["url", "branch", "author", "directory", "environment"]);
        assert!(!Error::from((config.source.clone(), config.problems())).to_string().contains("hunter2"));
    }

    #[test]
    fn authors_that_would_break_a_commit_are_refused() {
        for (name, email) in [
            ("", "a@b"),
            ("  ", "a@b"),
            ("a", ""),
            ("a\nb", "a@b"),
            ("a<b", "a@b"),
            ("a", "a>@b"),
            ("a", "a b"),
            ("a\0", "b"),
        ] {
            assert!(check_person(&Person { name: name.into(), email: email.into() }).is_err(), "{name:?} {email:?}");
        }
    }

    #[test]
    fn credentials_must_fit_the_url() {
        let mut config = config();
        config.credentials = Credentials::Ssh {
            identity: SecretValue::Inline(SecretString::from("key")),
            known_hosts: KnownHosts::Inline(String::new()),
        };
        assert_eq!(config.problems().len(), 1);
        config.url = "git@host:x".into();
        assert_eq!(config.problems(), []);
        config.credentials = Credentials::None;
        assert_eq!(config.problems().len(), 1);
    }
}
