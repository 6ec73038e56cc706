//! The figures as a Markdown page.

use super::machine::Machine;

/// One figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) name: String,
    /// What came out, with its unit.
    pub(super) value: String,
    /// What it should be, where that is settled.
    pub(super) aim: &'static str,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Report {
    machine: Machine,
    figures: Vec<Figure>,
}

impl Report {
    /// One without figures.
    pub(super) fn new(machine: Machine) -> Self {
        Self { machine, figures: Vec::new() }
    }

    /// Adds a figure.
    pub(super) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Adds figures.
    pub(super) fn add_all(&mut self, figures: Vec<Figure>) {
        self.figures.extend(figures);
    }

    /// The page.
    pub(super) fn render(&self) -> String {
        let Machine { cores, processor, memory, system, commit, time } = &self.machine;
        let date = time.strftime("%Y-%m-%d");
        let mut page = format!(
            "# Benchmarks\n\nWritten by `cargo xtask bench --write`. Release build, all servers on the same machine's \
             loopback.\n\n- machine: {cores} cores, {processor}, {memory} of memory, {system}\n- commit: {commit}\n- \
             date: {date}\n\n| figure | measured | aim |\n|---|---|---|\n"
        );
        for Figure { name, value, aim } in &self.figures {
            page.push_str(&format!("| {name} | {value} | {aim} |\n"));
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_machine_the_commit_and_the_date() {
        let machine = Machine {
            cores: 2,
            processor: "Some CPU".into(),
            memory: "4.0 GiB".into(),
            system: "Linux 6.1".into(),
            commit: "0123456789ab".into(),
            time: "2026-03-09T14:05:12Z".parse().unwrap(),
        };
        let mut report = Report::new(machine);
        report.add(Figure { name: "edits".into(), value: "80 ms".into(), aim: "under 200 ms" });
        let page = report.render();
        for part in ["2 cores, Some CPU", "0123456789ab", "2026-03-09\n", "| edits | 80 ms | under 200 ms |\n"] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }
}
