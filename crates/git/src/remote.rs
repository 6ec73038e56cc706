//! The remote repository, through the `git` program: what it is asked, and what its answers mean.

use crate::program::{Output, Pairs, Program, RunError};
use crate::ssh::{self, SshFiles};
use crate::text::Redactor;
use crate::{BranchName, Credentials, Error, GitConfig, RemoteUrl, Scheme, program};
use base64::Engine as _;
use secrecy::ExposeSecret;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where systems keep the certificates that everybody trusts.
const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// One remote and branch.
pub(crate) struct Remote {
    program: Program,
    url: RemoteUrl,
    branch: BranchName,
    credentials: Credentials,
    ssh_program: Option<PathBuf>,
    ssh_files: SshFiles,
    ca: Option<(PathBuf, PathBuf)>,
}

/// The end of a run whose meaning depends on what was asked.
pub(crate) struct Answer {
    pub(crate) output: Output,
    pub(crate) redactor: Redactor,
}

impl Remote {
    /// Finds the programs and lays the folders; `clone` is the bare repository that git works in.
    pub(crate) async fn new(
        config: &GitConfig,
        url: RemoteUrl,
        branch: BranchName,
        clone: &Path,
    ) -> Result<Self, Error> {
        let git = program::find("git", config.git_program.as_deref())?;
        let ssh_program = match url.scheme() {
            Scheme::Ssh => Some(program::find("ssh", config.ssh_program.as_deref())?),
            Scheme::Http | Scheme::Https => None,
        };
        let home = config.directory.join("home");
        std::fs::create_dir_all(&home).map_err(|source| Error::Disk {
            action: "create",
            path: home.clone(),
            source,
        })?;
        let environment = environment(config, &git, &home, clone);
        let program = Program::new(git, home, environment, settings(url.scheme()));
        program.check_version().await?;
        let ca = config.ca_file.clone().map(|file| (file, config.directory.join("certificates.pem")));
        let ssh_files = SshFiles::new(config.directory.join("ssh"));
        let credentials = config.credentials.clone();
        Ok(Self { program, url, branch, credentials, ssh_program, ssh_files, ca })
    }

    /// Brings the branch into the clone.
    pub(crate) async fn fetch(&self, deadline: Duration) -> Result<(), Error> {
        let refspec = format!("+{}:{}", self.branch.remote_ref(), self.branch.tracking_ref());
        let arguments = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--end-of-options",
            self.url.as_str(),
            &refspec,
        ];
        let doing = format!("fetching {} of {}", self.branch, self.url);
        let answer = self.run(&arguments, &doing, deadline).await?;
        if answer.output.status.success() { Ok(()) } else { Err(self.failure(&doing, &answer)) }
    }

    /// Pushes a commit if the branch is still at `expected`. The answer is not judged here.
    pub(crate) async fn push(&self, commit: &str, expected: &str, deadline: Duration) -> Result<Answer, Error> {
        let branch = self.branch.remote_ref();
        let lease = format!("--force-with-lease={branch}:{expected}");
        let refspec = format!("{commit}:{branch}");
        let arguments = [
            "push",
            "--porcelain",
            "--no-verify",
            "--no-follow-tags",
            "--no-signed",
            "--recurse-submodules=no",
            &lease,
            "--end-of-options",
            self.url.as_str(),
            &refspec,
        ];
        self.run(&arguments, &format!("pushing to {} of {}", self.branch, self.url), deadline).await
    }

    /// Packs the clone's many small files into few. No request is made.
    pub(crate) async fn repack(&self, deadline: Duration) -> Result<(), Error> {
        let doing = format!("repacking the clone of {}", self.url);
        // What a rewritten history left behind stays for two weeks: an apply may still be at work on it.
        let answer = self.run(&["gc", "--quiet", "--prune=2.weeks.ago"], &doing, deadline).await?;
        if answer.output.status.success() { Ok(()) } else { Err(self.failure(&doing, &answer)) }
    }

    async fn run(&self, arguments: &[&str], doing: &str, deadline: Duration) -> Result<Answer, Error> {
        let mut redactor = Redactor::default();
        let settings = self.request_settings(&mut redactor)?;
        match self.program.run(arguments, &settings, deadline).await {
            Ok(output) => Ok(Answer { output, redactor }),
            Err(RunError::Timeout) => Err(Error::Timeout { doing: doing.to_owned(), after: deadline }),
            Err(RunError::Start(error)) => Err(Error::Program(format!("git did not run while {doing}: {error}"))),
        }
    }

    /// The settings that hold or lead to secrets, as they are now: a rotated one needs no restart.
    fn request_settings(&self, redactor: &mut Redactor) -> Result<Pairs, Error> {
        let mut settings = Pairs::new();
        if let Credentials::Basic { username, password } = &self.credentials {
            let password = password.read_line()?;
            let pair = format!("{username}:{}", password.expose_secret());
            redactor.add(password.expose_secret());
            redactor.add(&pair);
            let header = format!("Authorization: Basic {}", base64::engine::general_purpose::STANDARD.encode(&pair));
            // Bound to this origin; and redirects, which could carry it elsewhere, are not followed at all.
            settings.push((format!("http.{}.extraHeader", self.url.origin()).into(), header.into()));
        }
        if let Some(ssh) = &self.ssh_program
            && let Some(command) = self.ssh_files.command(ssh, &self.credentials)?
        {
            settings.push(("core.sshCommand".into(), command.into()));
        }
        if let Some((file, bundle)) = &self.ca {
            write_certificates(file, bundle)?;
            settings.push(("http.sslCAInfo".into(), bundle.into()));
        }
        Ok(settings)
    }

    /// What a failed request means, from what git, ssh and the remote said.
    pub(crate) fn failure(&self, doing: &str, answer: &Answer) -> Error {
        let stderr = &answer.output.stderr;
        let text = self.said(answer);
        let has = |needles: &[&str]| needles.iter().any(|needle| stderr.contains(needle));
        let (url, doing) = (self.url.to_string(), doing.to_owned());
        if has(&["Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED"]) {
            let offered = ssh::offered_key(stderr);
            let fingerprint = offered.map_or_else(|| "an unknown key".to_owned(), |key| answer.redactor.clean([key]));
            let changed = has(&["REMOTE HOST IDENTIFICATION HAS CHANGED"]);
            return Error::HostKey { host: self.url.host().to_owned(), fingerprint, changed };
        }
        if has(&["couldn't find remote ref", "Remote branch"]) {
            return Error::BranchMissing { branch: self.branch.to_string(), url };
        }
        if has(&["returned error: 429", "Too Many Requests"]) {
            return Error::Throttled { doing, text };
        }
        if has(&["could not read Username", "could not read Password"]) {
            // Git would ask a person now.
            let text = match self.credentials {
                Credentials::None => "it wants some, and none are configured",
                _ => "the user name, the password or the token is wrong",
            };
            return Error::Denied { url, text: text.into() };
        }
        if is_denial(stderr) {
            return Error::Denied { url, text };
        }
        if has(&[
            "returned error: 404",
            "' not found",
            "does not appear to be a git repository",
            "Repository not found",
            "repository not found",
        ]) {
            return Error::RepositoryMissing { url, text };
        }
        if has(&["fsck error", "fsck failed"]) {
            return Error::Unsound { doing, text };
        }
        if has(&["returned error: 30"]) {
            let text =
                format!("{text} (the server redirects, which is not followed: configure the address it redirects to)");
            return Error::Unreachable { doing, text };
        }
        if is_local_damage(stderr) {
            return Error::Damaged { url, text };
        }
        Error::Unreachable { doing, text }
    }

    /// What git, ssh and the remote said, without ssh's debug output; never empty.
    pub(crate) fn said(&self, answer: &Answer) -> String {
        let lines = answer.output.stderr.lines().filter(|line| !ssh::is_debug(line) && !is_filler(line));
        let text = answer.redactor.clean(lines);
        if text.is_empty() { format!("git ended with {} and said nothing", answer.output.status) } else { text }
    }

    /// What the remote itself said (`remote: …`): a hook's words, a host's explanation.
    pub(crate) fn remote_said(&self, answer: &Answer) -> String {
        let own = |line: &'static str| move |text: &&str| !text.is_empty() && *text != line;
        let lines = answer.output.stderr.lines().filter_map(|line| line.strip_prefix("remote:")).map(str::trim);
        answer.redactor.clean(lines.filter(own("error: hook declined to update")))
    }
}

/// Whether the remote turned us away for who we are.
pub(crate) fn is_denial(stderr: &str) -> bool {
    const WORDS: [&str; 16] = [
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "returned error: 401",
        "returned error: 403",
        // With the bracket ssh says it of a key; without, the system says it of a file.
        "Permission denied (",
        "Permission to ",
        "HTTP Basic: Access denied",
        "access denied",
        "Access denied",
        "marked as read only",
        "is read-only",
        "not allowed to push",
        "write access",
        "Write access",
        "service not enabled",
    ];
    WORDS.iter().any(|word| stderr.contains(word))
}

/// Whether git complains of the clone and not of the remote.
fn is_local_damage(stderr: &str) -> bool {
    const WORDS: [&str; 19] = [
        ".lock': File exists",
        "not a git repository",
        "loose object",
        "object file",
        "bad object",
        "bad tree object",
        "packfile",
        "index file",
        "does not point to a valid object",
        "missing blob",
        "missing tree",
        "missing commit",
        "did not send all necessary objects",
        "unable to read",
        "Could not read ",
        "bad config",
        "bad ref",
        "reference broken",
        "unable to resolve reference",
    ];
    // Of a remote's own damage git tells with this prefix; a new clone would not help.
    let own = stderr.lines().filter(|line| !line.starts_with("remote:") && !ssh::is_debug(line));
    own.into_iter().any(|line| {
        !line.contains("Could not read from remote repository") && WORDS.iter().any(|word| line.contains(word))
    })
}

/// What git appends to everything that ssh says.
fn is_filler(line: &str) -> bool {
    line.starts_with("Please make sure you have the correct access rights") || line == "and the repository exists."
}

fn environment(config: &GitConfig, git: &Path, home: &Path, clone: &Path) -> Pairs {
    let beside = git.parent().unwrap_or(Path::new("/usr/bin")).display();
    let mut environment: Pairs = vec![
        ("PATH".into(), format!("{beside}:/usr/local/bin:/usr/bin:/bin").into()),
        ("HOME".into(), home.into()),
        ("XDG_CONFIG_HOME".into(), home.into()),
        ("TMPDIR".into(), home.into()),
        ("LC_ALL".into(), "C".into()),
        ("GIT_DIR".into(), clone.into()),
        ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
        ("GIT_CONFIG_SYSTEM".into(), "/dev/null".into()),
        ("GIT_CONFIG_GLOBAL".into(), "/dev/null".into()),
        ("GIT_ATTR_NOSYSTEM".into(), "1".into()),
        ("GIT_TERMINAL_PROMPT".into(), "0".into()),
        ("GIT_ASKPASS".into(), "".into()),
        ("SSH_ASKPASS".into(), "".into()),
        ("GIT_NO_REPLACE_OBJECTS".into(), "1".into()),
        ("GIT_NO_LAZY_FETCH".into(), "1".into()),
        ("GIT_LFS_SKIP_SMUDGE".into(), "1".into()),
    ];
    environment.extend(config.environment.iter().map(|(name, value)| (name.into(), value.into())));
    environment
}

fn settings(scheme: Scheme) -> Pairs {
    let pairs = [
        ("protocol.allow", "never"),
        ("protocol.version", "2"),
        ("core.hooksPath", "/dev/null"),
        ("core.fsmonitor", "false"),
        ("core.symlinks", "false"),
        ("core.gitProxy", "none"),
        ("core.askPass", ""),
        ("transfer.fsckObjects", "true"),
        // Old tools wrote these; they are harmless, and a repository's history cannot be changed.
        ("fetch.fsck.zeroPaddedFilemode", "ignore"),
        ("fetch.fsck.badTimezone", "ignore"),
        ("fetch.fsck.missingSpaceBeforeDate", "ignore"),
        ("fetch.recurseSubmodules", "false"),
        ("fetch.writeCommitGraph", "false"),
        ("submodule.recurse", "false"),
        ("http.followRedirects", "false"),
        ("http.sslVerify", "true"),
        ("http.sslVersion", "tlsv1.2"),
        ("credential.helper", ""),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
        ("pack.threads", "1"),
        ("pack.windowMemory", "64m"),
        ("push.gpgSign", "false"),
        ("push.followTags", "false"),
        ("ssh.variant", "ssh"),
        ("advice.pushUpdateRejected", "false"),
    ];
    let mut settings: Pairs = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    settings.push((format!("protocol.{}.allow", scheme.name()).into(), "always".into()));
    settings
}

/// Joins the configured certificates with the system's: a private authority is trusted as well, not instead.
fn write_certificates(file: &Path, bundle: &Path) -> Result<(), Error> {
    let unreadable = |source| Error::Disk { action: "read", path: file.to_owned(), source };
    let mut text = std::fs::read(file).map_err(unreadable)?;
    if let Some(system) = SYSTEM_CERTIFICATES.iter().find_map(|path| std::fs::read(path).ok()) {
        text.push(b'\n');
        text.extend_from_slice(&system);
    }
    if std::fs::read(bundle).is_ok_and(|old| old == text) {
        return Ok(());
    }
    std::fs::write(bundle, text).map_err(|source| Error::Disk { action: "write", path: bundle.to_owned(), source })
}
