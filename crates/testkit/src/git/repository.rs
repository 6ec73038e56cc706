use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;

use crate::process::run_blocking;
use crate::{Error, Result, Scratch, components};

/// A bare repository, as a server has it. Its commits are made in the object database, without a work tree.
#[derive(Debug, Clone)]
pub struct Repository {
    path: PathBuf,
    /// The folder that it stands in lives as long as somebody has the repository.
    _home: Arc<Scratch>,
}

/// A change to one file.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// The file's path in the repository.
    pub path: &'a str,
    /// Its new content; `None` removes it.
    pub content: Option<&'a [u8]>,
}

/// A commit to make, as a person would: by default now, by `Dana <dana@example.org>`.
#[derive(Debug, Clone)]
pub struct NewCommit<'a> {
    /// The message.
    pub message: &'a str,
    /// Name and e-mail address of author and committer.
    pub author: (&'a str, &'a str),
    /// When it was made.
    pub time: Timestamp,
    /// The changed files.
    pub changes: Vec<Change<'a>>,
}

/// A commit as it stands in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// Its id.
    pub id: String,
    /// The author, as `name <address>`.
    pub author: String,
    /// The committer, as `name <address>`.
    pub committer: String,
    /// When it was committed.
    pub time: Timestamp,
    /// The whole message.
    pub message: String,
}

impl<'a> NewCommit<'a> {
    /// A commit that writes one file.
    pub fn file(message: &'a str, path: &'a str, content: &'a [u8]) -> Self {
        Self::new(message, vec![Change { path, content: Some(content) }])
    }

    /// A commit of changes.
    pub fn new(message: &'a str, changes: Vec<Change<'a>>) -> Self {
        Self { message, author: ("Dana", "dana@example.org"), time: Timestamp::now(), changes }
    }

    /// Made by somebody else.
    #[must_use]
    pub fn by(mut self, name: &'a str, address: &'a str) -> Self {
        self.author = (name, address);
        self
    }

    /// Made at another time.
    #[must_use]
    pub fn at(mut self, time: Timestamp) -> Self {
        self.time = time;
        self
    }
}

impl Repository {
    /// Makes an empty repository, in a temporary folder of its own, whose default branch is `main`.
    pub fn create(name: &str) -> Result<Self> {
        Self::create_in(Arc::new(Scratch::new("git")?), name)
    }

    pub(crate) fn create_in(home: Arc<Scratch>, name: &str) -> Result<Self> {
        let path = home.join(format!("{name}.git"));
        let mut command = command(&path)?;
        command.args(["init", "--quiet", "--bare", "--initial-branch=main", "--template="]).arg(&path);
        run_blocking(&mut command, b"")?;
        let repository = Self { path, _home: home };
        repository.git(&["config", "http.receivepack", "true"])?;
        // What hosting services allow: fetching any commit, and partial clones.
        repository.git(&["config", "uploadpack.allowAnySHA1InWant", "true"])?;
        repository.git(&["config", "uploadpack.allowFilter", "true"])?;
        Ok(repository)
    }

    /// The repository's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a git command in the repository and gives back what it printed.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut command = command(&self.path)?;
        command.arg("--git-dir").arg(&self.path).args(arguments);
        Ok(String::from_utf8_lossy(&run_blocking(&mut command, b"")?).into_owned())
    }

    /// The commit that a branch points to; `None` where there is no such branch.
    pub fn head(&self, branch: &str) -> Result<Option<String>> {
        let list = self.git(&["for-each-ref", "--format=%(objectname)", &format!("refs/heads/{branch}")])?;
        Ok(list.lines().next().map(str::to_owned))
    }

    /// A file's content at a revision.
    pub fn read(&self, revision: &str, path: &str) -> Result<Vec<u8>> {
        let mut command = command(&self.path)?;
        command.arg("--git-dir").arg(&self.path).args(["cat-file", "blob", &format!("{revision}:{path}")]);
        run_blocking(&mut command, b"")
    }

    /// The commits of a branch along its first parents, newest first.
    pub fn commits(&self, branch: &str) -> Result<Vec<Commit>> {
        let format = "--format=%H%x1f%an <%ae>%x1f%cn <%ce>%x1f%ct%x1f%B%x1e";
        let log = self.git(&["log", "--first-parent", format, &format!("refs/heads/{branch}")])?;
        let parse = |record: &str| {
            let fields: Vec<_> = record.trim_start_matches('\n').splitn(5, '\x1f').collect();
            let [id, author, committer, time, message] = fields[..] else { return None };
            Some(Commit {
                id: id.to_owned(),
                author: author.to_owned(),
                committer: committer.to_owned(),
                time: Timestamp::from_second(time.parse().ok()?).ok()?,
                message: message.trim_end().to_owned(),
            })
        };
        Ok(log.split('\x1e').filter_map(parse).collect())
    }

    /// The diff between two revisions, without context lines.
    pub fn diff(&self, from: &str, to: &str) -> Result<String> {
        self.git(&["diff", "--unified=0", "--no-color", from, to])
    }

    /// Commits to a branch, as somebody who pushed; the answer is the commit's id.
    pub fn commit(&self, branch: &str, commit: &NewCommit<'_>) -> Result<String> {
        let index = Index::new(self);
        let parent = self.head(branch)?;
        if let Some(parent) = &parent {
            index.git(&["read-tree", parent], b"")?;
        }
        let mut entries = String::new();
        for change in &commit.changes {
            match change.content {
                Some(content) => {
                    let blob = index.git(&["hash-object", "-w", "--stdin"], content)?;
                    let mode = if change.path.ends_with(".sh") { "100755" } else { "100644" };
                    entries.push_str(&format!("{mode} {blob}\t{}\n", change.path));
                }
                None => entries.push_str(&format!("0 {}\t{}\n", "0".repeat(40), change.path)),
            }
        }
        index.git(&["update-index", "--index-info"], entries.as_bytes())?;
        index.commit(branch, parent.as_deref(), commit)
    }

    /// Commits a folder's content, all of it, as the whole tree of a branch.
    pub fn commit_folder(&self, branch: &str, folder: &Path, message: &str) -> Result<String> {
        let index = Index::new(self);
        let mut add = index.command()?;
        add.current_dir(folder).env("GIT_WORK_TREE", folder).args(["add", "--all", "--force", "."]);
        run_blocking(&mut add, b"")?;
        index.commit(branch, self.head(branch)?.as_deref(), &NewCommit::new(message, Vec::new()))
    }

    /// Takes over every branch of a bundle; the answer is their names. A single branch becomes the default one.
    pub fn fetch_bundle(&self, bundle: &Path) -> Result<Vec<String>> {
        let bundle = bundle.to_string_lossy();
        self.git(&["fetch", "--quiet", &bundle, "+refs/heads/*:refs/heads/*"])?;
        let branches = self.git(&["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/"])?;
        let branches: Vec<_> = branches.lines().map(str::to_owned).collect();
        if let [only] = branches.as_slice() {
            self.git(&["symbolic-ref", "HEAD", &format!("refs/heads/{only}")])?;
        }
        Ok(branches)
    }

    /// Points a branch at a revision that the repository has.
    pub fn set_branch(&self, branch: &str, revision: &str) -> Result<()> {
        self.git(&["update-ref", &format!("refs/heads/{branch}"), revision]).map(drop)
    }

    /// Installs a hook, such as `pre-receive` or `update`: a program text with its `#!` line.
    pub fn install_hook(&self, name: &str, program: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.path.join("hooks");
        let path = folder.join(name);
        let what = || format!("installing the hook {}", path.display());
        std::fs::create_dir_all(&folder).map_err(Error::io(what()))?;
        // Renamed into place: a file that is still open for writing cannot be run.
        let draft = folder.join(format!("{name}.new"));
        std::fs::write(&draft, program).map_err(Error::io(what()))?;
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).map_err(Error::io(what()))?;
        std::fs::rename(&draft, &path).map_err(Error::io(what()))
    }

    /// Removes a hook.
    pub fn remove_hook(&self, name: &str) -> Result<()> {
        let path = self.path.join("hooks").join(name);
        std::fs::remove_file(&path).map_err(Error::io(format!("removing the hook {}", path.display())))
    }
}

/// An index file of one operation's own.
struct Index<'a> {
    repository: &'a Repository,
    file: PathBuf,
}

impl<'a> Index<'a> {
    fn new(repository: &'a Repository) -> Self {
        let file = repository.path.join(format!("testkit-index-{:x}", rand::random::<u64>()));
        Self { repository, file }
    }

    fn command(&self) -> Result<Command> {
        let mut command = command(&self.repository.path)?;
        command.env("GIT_DIR", &self.repository.path).env("GIT_INDEX_FILE", &self.file);
        Ok(command)
    }

    fn git(&self, arguments: &[&str], input: &[u8]) -> Result<String> {
        let output = run_blocking(self.command()?.args(arguments), input)?;
        Ok(String::from_utf8_lossy(&output).trim_end().to_owned())
    }

    fn commit(&self, branch: &str, parent: Option<&str>, commit: &NewCommit<'_>) -> Result<String> {
        let tree = self.git(&["write-tree"], b"")?;
        let (name, address) = commit.author;
        let date = format!("@{} +0000", commit.time.as_second());
        let mut command = self.command()?;
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), name).env(format!("GIT_{role}_EMAIL"), address);
            command.env(format!("GIT_{role}_DATE"), &date);
        }
        command.args(["commit-tree", &tree, "-F", "-"]);
        if let Some(parent) = parent {
            command.args(["-p", parent]);
        }
        let id = String::from_utf8_lossy(&run_blocking(&mut command, commit.message.as_bytes())?).trim_end().to_owned();
        let old = parent.map_or_else(|| "0".repeat(40), str::to_owned);
        // Compare and swap: somebody else's push in between is an error, not lost.
        self.git(&["update-ref", &format!("refs/heads/{branch}"), &id, &old], b"")?;
        Ok(id)
    }
}

impl Drop for Index<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// git, without the user's and the system's configuration.
pub(super) fn command(home: &Path) -> Result<Command> {
    let mut command = Command::new(components::system("git", "git")?);
    command.env_clear().envs(environment(home));
    Ok(command)
}

/// The environment of every git command here.
pub(super) fn environment(home: &Path) -> [(&'static str, std::ffi::OsString); 6] {
    [
        ("PATH", "/usr/local/bin:/usr/bin:/bin".into()),
        ("HOME", home.into()),
        ("LC_ALL", "C".into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
        ("GIT_TERMINAL_PROMPT", "0".into()),
    ]
}
