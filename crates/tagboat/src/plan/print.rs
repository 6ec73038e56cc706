//! What `plan` prints.

use anyhow::Result;
use serde::Serialize;
use similar::TextDiff;
use std::fmt::Write as _;
use std::io::Write as _;
use tagboat_engine::decide::{Action, Decision, DecisionView};
use tagboat_engine::mirror::Desired;
use tagboat_engine::ports::{FileEdit, RepoFile};

/// Everything that was decided.
pub struct Report<'a> {
    pub decisions: &'a [Decision],
    pub desired: &'a Desired,
    pub files: &'a [RepoFile],
    pub edits: &'a [FileEdit],
    pub shallow: bool,
}

#[derive(Serialize)]
struct Json {
    decisions: Vec<DecisionView>,
    errors: Vec<ErrorView>,
}

#[derive(Serialize)]
struct ErrorView {
    file: String,
    line: usize,
    column: usize,
    text: String,
}

const SHALLOW: &str = "the clone is shallow: it does not reach back to where every tag was set, so pins are unknown";

impl Report<'_> {
    /// One object.
    pub fn json(&self) -> Result<String> {
        let errors = self.desired.problems.iter().filter(|problem| problem.is_error());
        let mut errors: Vec<ErrorView> = errors
            .map(|problem| ErrorView {
                file: problem.file.clone(),
                line: problem.line,
                column: problem.column,
                text: problem.text.clone(),
            })
            .collect();
        if self.shallow {
            errors.push(ErrorView { file: String::new(), line: 0, column: 0, text: SHALLOW.to_owned() });
        }
        let json = Json { decisions: self.decisions.iter().map(DecisionView::from).collect(), errors };
        Ok(serde_json::to_string_pretty(&json)? + "\n")
    }

    /// A unified diff.
    pub fn diff(&self) -> String {
        let mut text = String::new();
        for edit in self.edits {
            let before = self.files.iter().find(|file| file.path == edit.path).map(|file| &file.bytes[..]);
            let before = String::from_utf8_lossy(before.unwrap_or_default());
            let after = String::from_utf8_lossy(&edit.bytes);
            let diff = TextDiff::from_lines(before.as_ref(), after.as_ref());
            let header = (name_in_diff("a/", &edit.path), name_in_diff("b/", &edit.path));
            let _ = write!(text, "{}", diff.unified_diff().header(&header.0, &header.1));
        }
        text
    }

    /// A line for each image, and one below it that says why.
    pub fn text(&self, written: bool) -> String {
        let name = |decision: &Decision| printable(&format!("{} {}", decision.workload, decision.container));
        let width = self.decisions.iter().map(|decision| name(decision).chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for decision in self.decisions {
            let image = match (&decision.current, &decision.target) {
                (Some(current), Some(target)) => format!("{current} -> {}", target.version()),
                (Some(current), None) => current.to_string(),
                (None, _) => "?".to_owned(),
            };
            let reason = printable(&decision.reason.to_string());
            let file = printable(&decision.file);
            let _ = writeln!(text, "{:width$}  {:<7}  {image}", name(decision), decision.action().to_string());
            let _ = writeln!(text, "{:width$}           {file}:{}: {reason}", "", decision.line);
        }
        let count = |action| self.decisions.iter().filter(|decision| decision.action() == action).count();
        let _ = writeln!(
            text,
            "{} {}: {} {}, {} kept, {} held, {} blocked",
            self.decisions.len(),
            if self.decisions.len() == 1 { "image" } else { "images" },
            count(Action::Update),
            if written { "updated" } else { "to update" },
            count(Action::Keep),
            count(Action::Hold),
            count(Action::Blocked),
        );
        text
    }

    /// What is wrong, on standard error; `warnings_only` where the errors are printed elsewhere.
    #[allow(clippy::print_stderr, reason = "this is where the command speaks")]
    pub fn problems(&self, warnings_only: bool) {
        for problem in self.desired.problems.iter().filter(|problem| !(warnings_only && problem.is_error())) {
            let severity = if problem.is_error() { "error" } else { "warning" };
            eprintln!("{severity}: {}", printable(&problem.to_string()));
        }
        if self.shallow {
            eprintln!("warning: {SHALLOW}");
        }
    }
}

/// Writes to standard output. A reader that has gone away (`plan | head`) is no failure.
pub fn to_stdout(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Text out of a file, without what would move a terminal's cursor, colour it or turn its direction.
fn printable(text: &str) -> String {
    let dangerous = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if dangerous(c) {
            out.extend(c.escape_unicode())
        } else {
            out.push(c)
        }
        out
    })
}

/// A file's name as git writes it in a diff: quoted where it holds a quote, a backslash or a control character.
fn name_in_diff(side: &str, path: &str) -> String {
    let special = |c: char| c.is_control() || matches!(c, '"' | '\\');
    // What follows a tab is no part of the name: that is how one with a space is told from a time stamp.
    if !path.contains(special) {
        return format!("{side}{path}{}", if path.contains(' ') { "\t" } else { "" });
    }
    let mut quoted = format!("\"{side}");
    for c in path.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(quoted, "\\{byte:03o}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
