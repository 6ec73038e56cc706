//! The work tree's history, for pins.

use anyhow::{Context, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use tagboat_engine::decide::{Automation, LineHistory, read_line};
use tagboat_engine::ports::{PathHistory, Person};
use tagboat_git::WorkTree;
use tagboat_manifest::{Container, Workload};

/// How many changes of one file are read.
const HISTORY: usize = 5_000;

/// A git work tree.
pub struct Checkout {
    tree: WorkTree,
    automation: Automation,
    histories: RefCell<BTreeMap<String, PathHistory>>,
}

impl Checkout {
    /// The work tree that the folder belongs to; `None` where there is none: then nobody has pinned anything.
    ///
    /// `authors` are names or mail addresses whose commits are automation's, beside the known ones.
    pub fn discover(root: &Path, authors: &[String]) -> Result<Option<Self>> {
        let tree =
            WorkTree::discover(root).with_context(|| format!("cannot read the history of {}", root.display()))?;
        let own = Person { name: "Tagboat".to_owned(), email: "tagboat@localhost".to_owned() };
        let mut automation = Automation::known(&own);
        automation.emails.extend(authors.iter().filter(|author| author.contains('@')).cloned());
        automation.names.extend(authors.iter().filter(|author| !author.contains('@')).cloned());
        Ok(tree.map(|tree| Self { tree, automation, histories: RefCell::default() }))
    }

    /// What history says of an image's line.
    pub fn line(&self, workload: &Workload, container: &Container) -> Result<LineHistory> {
        let Ok(current) = &container.current else { return Ok(LineHistory::default()) };
        let mut histories = self.histories.borrow_mut();
        if !histories.contains_key(&workload.file) {
            let history = self
                .tree
                .history(&workload.file, HISTORY)
                .with_context(|| format!("cannot read the history of {}", workload.file))?;
            histories.insert(workload.file.clone(), history);
        }
        Ok(histories
            .get(&workload.file)
            .map(|history| read_line(history, &workload.id, &container.name, current, &self.automation))
            .unwrap_or_default())
    }
}
