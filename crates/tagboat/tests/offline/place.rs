//! A folder on disk, a git work tree where a test wants one, and the program run on it.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a run of the program gave.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().expect("it was not killed"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
        }
    }
}

/// Runs the program.
pub fn tagboat(arguments: &[&str]) -> Ran {
    Command::new(env!("CARGO_BIN_EXE_tagboat")).args(arguments).output().expect("the program runs").into()
}

/// A plan as JSON, with its exit status.
#[derive(Debug)]
pub struct Plan {
    pub status: i32,
    pub json: Value,
    pub stderr: String,
}

impl Plan {
    pub fn decisions(&self) -> &[Value] {
        self.json["decisions"].as_array().expect("decisions is a list")
    }

    pub fn errors(&self) -> &[Value] {
        self.json["errors"].as_array().expect("errors is a list")
    }

    /// `action code target` of the one decision for a container.
    pub fn of(&self, container: &str) -> String {
        let mut found = self.decisions().iter().filter(|decision| decision["container"] == container);
        let decision = found.next().unwrap_or_else(|| panic!("{container} is not in {:#}", self.json));
        assert!(found.next().is_none(), "{container} is in it twice: {:#}", self.json);
        outcome(decision)
    }

    pub fn reason(&self, container: &str) -> &str {
        let decision = self.decisions().iter().find(|decision| decision["container"] == container);
        decision.expect("the container is there")["reason"]["text"].as_str().expect("a text")
    }
}

/// `action code target`, without the target where there is none.
pub fn outcome(decision: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let words = [text(&decision["action"]), text(&decision["reason"]["code"]), text(&decision["target"])];
    words.join(" ").trim_end().to_owned()
}

/// A folder, gone after the test.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        fs::create_dir(place.root()).expect("a folder");
        place
    }

    /// A work tree without a commit yet.
    pub fn git() -> Self {
        let place = Self::new();
        place.run(&["init", "--quiet", "--initial-branch", "main", "."]);
        place
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("infra")
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        fs::write(path, text).expect("the file is written");
        self
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect("the file is readable")
    }

    /// Runs git here as an operator, at 2020-01-01.
    pub fn run(&self, arguments: &[&str]) -> String {
        self.run_as("operator", 0, arguments)
    }

    /// Runs git here, as somebody, some hours after 2020-01-01.
    pub fn run_as(&self, who: &str, hour: u32, arguments: &[&str]) -> String {
        let email = if who == "Weave Flux" { "support@weave.works" } else { "somebody@example.com" };
        let date = format!("{} +0000", 1_577_836_800 + hour * 3600);
        let output = Command::new("git")
            .current_dir(self.root())
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", who)
            .env("GIT_COMMITTER_NAME", who)
            .env("GIT_AUTHOR_EMAIL", email)
            .env("GIT_COMMITTER_EMAIL", email)
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_DATE", &date)
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Commits everything.
    pub fn commit(&self, who: &str, hour: u32, message: &str) -> &Self {
        self.run(&["add", "--all"]);
        self.run_as(who, hour, &["commit", "--quiet", "--allow-empty", "--message", message]);
        self
    }

    /// The file of tags: `name@hour`, or a name alone for a tag without a time, of `acme/web`.
    pub fn tags(&self, rows: &[&str]) -> &Self {
        self.images(&json!({ "acme/web": rows_of(rows) }))
    }

    pub fn images(&self, images: &Value) -> &Self {
        self.tags_file(&json!({ "images": images }).to_string())
    }

    pub fn tags_file(&self, text: &str) -> &Self {
        fs::write(self.tags_path(), text).expect("the file of tags is written");
        self
    }

    fn tags_path(&self) -> PathBuf {
        self.folder.path().join("tags.json")
    }

    /// Runs `plan` here with more arguments.
    pub fn tagboat_plan(&self, arguments: &[&str]) -> Ran {
        self.plan_of(&self.root(), arguments)
    }

    pub fn plan_of(&self, root: &Path, arguments: &[&str]) -> Ran {
        let (root, tags) = (root.to_str().expect("UTF-8").to_owned(), self.tags_path());
        let mut all = vec!["plan", "--repo", &root, "--tags", tags.to_str().expect("UTF-8")];
        all.extend(arguments);
        tagboat(&all)
    }

    /// Runs `plan --output json`.
    pub fn plan(&self) -> Plan {
        self.plan_with(&[])
    }

    pub fn plan_with(&self, arguments: &[&str]) -> Plan {
        let mut all = vec!["--output", "json"];
        all.extend(arguments);
        let ran = self.tagboat_plan(&all);
        assert!(matches!(ran.status, 0 | 3), "{ran:?}");
        Plan { status: ran.status, json: serde_json::from_str(&ran.stdout).expect("JSON"), stderr: ran.stderr }
    }
}

/// Hours after 2020-01-01, as in `main-1@5`.
pub fn rows_of(rows: &[&str]) -> Value {
    rows.iter()
        .map(|row| match row.split_once('@') {
            Some((tag, hour)) => json!({ "tag": tag, "pushed": time(hour.parse().expect("an hour")) }),
            None => json!({ "tag": row }),
        })
        .collect()
}

pub fn time(hour: i64) -> String {
    jiff::Timestamp::from_second(1_577_836_800 + hour * 3600).expect("a time").to_string()
}

/// A HelmRelease of `acme/web`, with the annotations as lines of YAML.
pub fn release(tag: &str, annotations: &[&str]) -> String {
    let mut text =
        "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata:\n  name: web\n  namespace: dev\n".to_owned();
    if !annotations.is_empty() {
        text.push_str("  annotations:\n");
    }
    for annotation in annotations {
        text.push_str(&format!("    {annotation}\n"));
    }
    text + &format!("spec:\n  values:\n    web:\n      image: acme/web:{tag}\n")
}

pub const AUTOMATED: &str = "fluxcd.io/automated: \"true\"";
pub const MAIN: &str = "filter.fluxcd.io/web: glob:main-*";
