//! What `plan` prints.

use anyhow::Result;
use serde::Serialize;
use similar::TextDiff;
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

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where the command speaks")]
impl Report<'_> {
    /// One object on standard output.
    pub fn json(&self) -> Result<()> {
        let mut errors: Vec<ErrorView> = self
            .desired
            .problems
            .iter()
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
        println!("{}", serde_json::to_string_pretty(&json)?);
        Ok(())
    }

    /// A unified diff on standard output; problems on standard error.
    pub fn diff(&self) {
        for edit in self.edits {
            let before = self.files.iter().find(|file| file.path == edit.path).map(|file| &file.bytes[..]);
            let before = String::from_utf8_lossy(before.unwrap_or_default());
            let after = String::from_utf8_lossy(&edit.bytes);
            let diff = TextDiff::from_lines(before.as_ref(), after.as_ref());
            let header = (format!("a/{}", edit.path), format!("b/{}", edit.path));
            print!("{}", diff.unified_diff().header(&header.0, &header.1));
        }
        self.problems();
    }

    /// A line for each image on standard output; problems on standard error.
    pub fn text(&self, written: bool) {
        let name = |decision: &Decision| format!("{} {}", decision.workload, decision.container);
        let width = self.decisions.iter().map(|decision| name(decision).len()).max().unwrap_or(0);
        for decision in self.decisions {
            let image = match (&decision.current, &decision.target) {
                (Some(current), Some(target)) => format!("{current} -> {}", target.version()),
                (Some(current), None) => current.to_string(),
                (None, _) => "?".to_owned(),
            };
            println!("{:width$}  {:<7}  {image}", name(decision), decision.action().to_string());
            println!("{:width$}           {}:{}: {}", "", decision.file, decision.line, decision.reason);
        }
        let count = |action| self.decisions.iter().filter(|decision| decision.action() == action).count();
        println!(
            "{} images: {} {}, {} kept, {} held, {} blocked",
            self.decisions.len(),
            count(Action::Update),
            if written { "updated" } else { "to update" },
            count(Action::Keep),
            count(Action::Hold),
            count(Action::Blocked),
        );
        self.problems();
    }

    fn problems(&self) {
        for problem in &self.desired.problems {
            eprintln!("{}: {problem}", if problem.is_error() { "error" } else { "warning" });
        }
        if self.shallow {
            eprintln!("warning: {SHALLOW}");
        }
    }
}
