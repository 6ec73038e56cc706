//! The work tree's history, for pins.

use anyhow::{Context, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use tagboat_engine::decide::{Automation, LineHistory, read_line};
use tagboat_engine::ports::{PathHistory, Person, RepoFile};
use tagboat_git::WorkTree;
use tagboat_manifest::{Container, ManifestFile, Workload};

/// How many changes of one file are read.
const HISTORY: usize = 5_000;

/// How many are read first: automation's last change is nearly always among them.
const FEW: usize = 16;

/// How often a workload is followed from file to file.
const MOVES: usize = 8;

/// A git work tree.
pub struct Checkout {
    tree: WorkTree,
    automation: Automation,
    /// By file, with how many changes were asked for.
    histories: RefCell<BTreeMap<String, (usize, Rc<PathHistory>)>>,
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

    /// What history says of an image's line. Most lines are told by a file's last few changes; only where they are not is
    /// more read.
    pub fn line(&self, workload: &Workload, container: &Container) -> Result<LineHistory> {
        let Ok(current) = &container.current else { return Ok(LineHistory::default()) };
        let read = |history: &PathHistory| read_line(history, &workload.id, &container.name, current, &self.automation);
        let mut history = self.history(&workload.file, FEW)?;
        let mut line = read(&history);
        let told = line.set.is_some() && line.pin.is_none();
        if !told && !history.complete {
            history = self.history(&workload.file, HISTORY)?;
            line = read(&history);
        }
        if line.entered.is_some() {
            line = read(&self.follow(history.as_ref().clone(), workload, container, &line)?);
        }
        Ok(line)
    }

    fn history(&self, file: &str, limit: usize) -> Result<Rc<PathHistory>> {
        let mut histories = self.histories.borrow_mut();
        if let Some((known, history)) = histories.get(file)
            && (*known >= limit || history.complete)
        {
            return Ok(Rc::clone(history));
        }
        let history = self.tree.history(file, limit).with_context(|| format!("cannot read the history of {file}"))?;
        let history = Rc::new(history);
        histories.insert(file.to_owned(), (limit, Rc::clone(&history)));
        Ok(history)
    }

    /// Goes on with the file that a workload stood in before it came into this one, as often as it moved.
    fn follow(
        &self,
        mut history: PathHistory,
        workload: &Workload,
        container: &Container,
        line: &LineHistory,
    ) -> Result<PathHistory> {
        let Ok(current) = &container.current else { return Ok(history) };
        let mut entered = line.entered.clone();
        for _ in 0..MOVES {
            let Some(revision) = entered.take() else { break };
            let Some(at) = history.changes.iter().position(|change| change.commit.revision == revision) else { break };
            let holds = |file: &RepoFile| {
                let parsed = ManifestFile::parse(&file.path, &file.bytes);
                parsed.workloads_named(&workload.id).any(|found| found.container(&container.name).is_some())
            };
            let Some(from) = self.tree.replaced(&revision)?.into_iter().find(holds) else { break };
            let older = self.tree.history_before(&revision, &from.path, HISTORY)?;
            history.changes.truncate(at + 1);
            if let Some(change) = history.changes.last_mut() {
                change.before = Some(from.bytes);
            }
            history.changes.extend(older.changes);
            history.complete = older.complete;
            entered = read_line(&history, &workload.id, &container.name, current, &self.automation).entered;
        }
        Ok(history)
    }
}
