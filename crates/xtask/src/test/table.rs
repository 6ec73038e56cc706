//! Where the time went.

use std::time::Duration;

use super::duration::show;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Well.
    Passed,
    /// There was nothing to do.
    UpToDate,
    /// With this status, which is the command's own.
    Failed(u8),
    /// A step before it failed.
    NotRun,
}

/// One step.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) took: Option<Duration>,
    pub(super) outcome: Outcome,
}

/// All steps, and the slowest of the test programs.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
    programs: Vec<(String, Duration)>,
}

/// So many test programs are listed.
const SLOWEST: usize = 12;

impl Table {
    /// Adds a step that has ended, or was not begun.
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a test program and the time of its tests.
    pub(super) fn add_program(&mut self, name: String, took: Duration) {
        self.programs.push((name, took));
    }

    /// The table, in lines.
    pub(super) fn render(&self) -> String {
        let mut lines = vec!["Where the time went:".to_owned()];
        for Row { name, took, outcome } in &self.rows {
            let took = took.map_or_else(String::new, show);
            let outcome = match outcome {
                Outcome::Passed => "passed".to_owned(),
                Outcome::UpToDate => "up to date".to_owned(),
                Outcome::Failed(status) => format!("FAILED with status {status}"),
                Outcome::NotRun => "not run".to_owned(),
            };
            lines.push(format!("  {name:40} {took:>12}  {outcome}"));
        }
        let all = self.rows.iter().filter_map(|row| row.took).sum();
        lines.push(format!("  {:40} {:>12}", "all", show(all)));
        let mut slowest: Vec<_> = self.programs.iter().filter(|(_, took)| !took.is_zero()).collect();
        slowest.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        if !slowest.is_empty() {
            lines.push("Of it in the tests of:".to_owned());
        }
        for (name, took) in slowest.into_iter().take(SLOWEST) {
            lines.push(format!("  {name:40} {:>12}", show(*took)));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_step_and_the_slowest_programs_first() {
        let mut table = Table::default();
        table.add(Row { name: "format", took: Some(Duration::from_secs(2)), outcome: Outcome::Passed });
        table.add(Row { name: "tests", took: Some(Duration::from_secs(90)), outcome: Outcome::Failed(101) });
        table.add(Row { name: "more", took: None, outcome: Outcome::NotRun });
        table.add_program("fast".into(), Duration::from_secs(1));
        table.add_program("slow".into(), Duration::from_secs(80));
        table.add_program("none".into(), Duration::ZERO);
        let text = table.render();
        assert!(text.contains("FAILED with status 101") && text.contains("not run"), "{text}");
        let line = |name: &str| text.lines().position(|line| line.trim_start().starts_with(name));
        assert!(line("all").is_some() && line("slow") < line("fast") && line("none").is_none(), "{text}");
        assert!(text.contains("1 min 32 s"), "{text}");
    }
}
