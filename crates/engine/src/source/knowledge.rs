//! What a source knows beside its manifests: tags, live policies, histories of lines.

use super::{KnownLine, Source};
use crate::decide::{Knowledge, LineHistory, Tags, read_line};
use crate::policy::Effective;
use crate::ports::{Fault, ImageAccess, LiveAnnotations, PathHistory};
use crate::scan::{Question, scan};
use std::borrow::Cow;
use std::collections::BTreeMap;
use tagboat_image::{Filter, Repository, Tag};
use tagboat_manifest::{Container, Workload, WorkloadId};
use tracing::{debug, warn};

/// How many changes of one file are read for a pin.
const HISTORY: usize = 2_000;

impl Source {
    /// Scans every repository that an automated image comes from, each once.
    pub(super) async fn scan_all(&mut self) {
        let questions = self.questions();
        self.scans.retain(|repository, _| questions.contains_key(repository));
        for (repository, question) in questions {
            let ports = &self.ports;
            let scanned = scan(&question, &*ports.registry, &*ports.store, &*ports.clock).await;
            self.heartbeat.tick();
            match &scanned {
                Ok(found) => {
                    self.standing.ends(&format!("scan {repository}"));
                    for (tag, why) in &found.skipped {
                        debug!(image.repository = %repository, image.tag = %tag, "skipped: {why}");
                    }
                }
                Err(fault) => {
                    if self.standing.begins(&format!("scan {repository}"), fault) {
                        warn!(image.repository = %repository, error = %fault, "{repository} could not be scanned: {fault}");
                    }
                }
            }
            self.scans.insert(repository, scanned.map_err(|fault| fault.text));
        }
    }

    fn questions(&self) -> BTreeMap<Repository, Question> {
        let mut questions: BTreeMap<Repository, Question> = BTreeMap::new();
        for workload in self.desired.workloads.iter().filter(|workload| workload.policies.is_automated()) {
            for container in &workload.containers {
                let Ok(current) = &container.current else { continue };
                let repository = current.repository().clone();
                let question = questions.entry(repository.clone()).or_insert_with(|| Question {
                    access: ImageAccess { repository, workload: Some(workload.id.clone()) },
                    filters: Vec::new(),
                    current: Vec::new(),
                });
                let filter: Result<Filter, _> = workload.policies.filter_for(&container.name);
                question.filters.extend(filter.ok().filter(|filter| !question.filters.contains(filter)));
                let tag: Option<Tag> = current.tag().cloned();
                question.current.extend(tag.filter(|tag| !question.current.contains(tag)));
            }
        }
        questions
    }

    /// Brings the histories of automated lines up to the head. A file that no commit touched since is not read again.
    pub(super) async fn read_lines(&mut self) -> Result<(), Fault> {
        let Some(head) = self.head.clone() else { return Ok(()) };
        let revision = &head.commit.revision;
        let mut lines = std::mem::take(&mut self.lines);
        let mut newest: BTreeMap<String, PathHistory> = BTreeMap::new();
        let mut whole: BTreeMap<String, PathHistory> = BTreeMap::new();
        for workload in self.desired.workloads.iter().filter(|workload| workload.policies.is_automated()) {
            for container in &workload.containers {
                let Ok(current) = &container.current else { continue };
                let key = (workload.id.clone(), container.name.clone());
                if let Some(known) = lines.remove(&key).filter(|known| known.current == *current) {
                    if known.head == *revision {
                        self.lines.insert(key, known);
                        continue;
                    }
                    if !newest.contains_key(&workload.file) {
                        let history = self.ports.git.history(revision, &workload.file, 1).await?;
                        newest.insert(workload.file.clone(), history);
                    }
                    let latest = newest.get(&workload.file).and_then(|history| history.changes.first());
                    if latest.map(|change| &change.commit.revision) == known.newest.as_ref() {
                        self.lines.insert(key, KnownLine { head: revision.clone(), ..known });
                        continue;
                    }
                }
                if !whole.contains_key(&workload.file) {
                    let history = self.ports.git.history(revision, &workload.file, HISTORY).await?;
                    whole.insert(workload.file.clone(), history);
                    self.heartbeat.tick();
                }
                let Some(history) = whole.get(&workload.file) else { continue };
                let written = self.desired.as_written(&workload.id);
                let line = read_line(history, &written, &container.name, current, &self.settings.automation);
                let known = KnownLine {
                    newest: history.changes.first().map(|change| change.commit.revision.clone()),
                    head: revision.clone(),
                    current: current.clone(),
                    history: line,
                };
                self.lines.insert(key, known);
            }
        }
        Ok(())
    }

    /// The policies of the live object as the watch knows them.
    pub(super) fn known(&self, id: &WorkloadId) -> Option<LiveAnnotations> {
        self.ports.live.known(id)
    }
}

impl Knowledge for Source {
    fn policies(&self, workload: &Workload) -> Effective {
        match self.known(&workload.id) {
            Some(live) => Effective::with_live(workload, &live),
            None => Effective::of_git(workload),
        }
    }

    fn tags(&self, _: &Workload, repository: &Repository) -> Cow<'_, Tags> {
        match self.scans.get(repository) {
            Some(Ok(scanned)) => Cow::Borrowed(&scanned.tags),
            Some(Err(text)) => Cow::Owned(Tags::Incomplete(text.clone())),
            None => Cow::Owned(Tags::Unknown(format!("{repository} has not been scanned yet"))),
        }
    }

    fn history(&self, workload: &Workload, container: &Container) -> Option<LineHistory> {
        let known = self.lines.get(&(workload.id.clone(), container.name.clone()));
        Some(known.map(|known| known.history.clone()).unwrap_or_default())
    }
}
