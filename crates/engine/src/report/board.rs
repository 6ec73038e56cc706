use super::headline::headline;
use super::view::{
    API_VERSION, ChangeView, ContainerView, ControllerView, HealthView, HoldView, ProblemView, ReleaseView, SourceView,
    StatusView, WorkloadView,
};
use crate::ports::{Head, Health, Revision, SourceId};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tagboat_manifest::WorkloadId;

/// What is decided about one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedWorkload {
    /// Which one.
    pub workload: WorkloadId,
    /// The file that declares it.
    pub file: String,
    /// The line where it begins, from 1.
    pub line: usize,
    /// Whether its images follow their tags.
    pub automated: bool,
    /// What keeps it where it is.
    pub hold: Option<HoldView>,
    /// Its images.
    pub containers: Vec<ContainerView>,
}

/// The present state of everything, written by the loops and read by everyone who asks.
///
/// Each loop writes what it has learnt as it learns it; a reader takes a [`snapshot`](Board::snapshot). Nothing is ever
/// decided on what stands here. A lock is held only while values are moved, never across a wait.
#[derive(Debug, Default)]
pub struct Board {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    controller: ControllerView,
    sources: BTreeMap<SourceId, SourceView>,
    /// Why nothing can be committed to a source. It stands beside what is wrong with reading it.
    commits: BTreeMap<SourceId, String>,
    workloads: BTreeMap<(SourceId, WorkloadId), WorkloadView>,
    /// What was learnt of workloads before a source has declared them: after a start, releases are looked at as early
    /// as repositories are.
    undeclared: BTreeMap<WorkloadId, WorkloadView>,
}

/// Texts on the board end after so many characters: an API server's or template's error can be very long.
const TEXT: usize = 1000;
/// So many problems of one source are listed; a last one says how many more there are.
const PROBLEMS: usize = 1000;

impl Board {
    /// An empty board.
    #[must_use]
    pub fn new(version: &str) -> Self {
        let board = Self::default();
        version.clone_into(&mut board.write().controller.version);
        board
    }

    /// Whether this process writes, and whether it may at all.
    pub fn controller(&self, leader: bool, observe: bool) {
        let mut state = self.write();
        state.controller.leader = leader;
        state.controller.observe = observe;
    }

    /// A source was fetched.
    pub fn fetched(&self, source: &SourceId, head: &Head) {
        let mut state = self.write();
        let view = state.source(source);
        view.head = Some(head.commit.revision.clone());
        view.fetched = Some(head.fetched);
        view.error = None;
    }

    /// A source could not be fetched or mirrored as a whole.
    pub fn failed(&self, source: &SourceId, error: &str) {
        self.write().source(source).error = Some(clip(error));
    }

    /// What was decided could not be committed, or nothing is in the way any more.
    pub fn commit_failed(&self, source: &SourceId, error: Option<&str>) {
        let mut state = self.write();
        match error {
            Some(error) => state.commits.insert(source.clone(), clip(error)),
            None => state.commits.remove(source),
        };
    }

    /// The cluster was made to match a revision, apart from these problems.
    pub fn mirrored(
        &self,
        source: &SourceId,
        revision: &Revision,
        at: Timestamp,
        objects: usize,
        problems: Vec<ProblemView>,
    ) {
        self.compared(source, objects, problems);
        let mut state = self.write();
        let view = state.source(source);
        view.mirrored = Some(revision.clone());
        view.mirrored_at = Some(at);
    }

    /// The cluster was compared with the newest revision: so many objects are as it wants them.
    pub fn compared(&self, source: &SourceId, objects: usize, mut problems: Vec<ProblemView>) {
        problems.sort();
        problems.dedup();
        if problems.len() > PROBLEMS {
            let more = problems.len() - PROBLEMS;
            problems.truncate(PROBLEMS);
            problems.push(ProblemView {
                file: String::new(),
                line: 0,
                object: None,
                text: format!("{more} more problems are not listed"),
                error: true,
            });
        }
        for problem in &mut problems {
            problem.text = clip(&problem.text);
        }
        let mut state = self.write();
        let view = state.source(source);
        view.objects = objects;
        view.problems = problems;
        view.error = None;
    }

    /// The images of a source were decided: these are all of its workloads. What is known besides of those that stay is
    /// kept, those that are no longer declared go.
    pub fn decided(&self, source: &SourceId, workloads: Vec<DecidedWorkload>) {
        let mut state = self.write();
        state.source(source);
        let mut old = std::mem::take(&mut state.workloads);
        let undeclared = &mut state.undeclared;
        let known = |id: &WorkloadId| old.remove(&(source.clone(), id.clone())).or_else(|| undeclared.remove(id));
        let new: Vec<WorkloadView> = workloads.into_iter().map(with_known(source, known)).collect();
        old.retain(|(of, _), _| of != source);
        old.extend(new.into_iter().map(|view| ((source.clone(), view.workload.clone()), view)));
        state.workloads = old;
    }

    /// A Helm release was looked at. The time of an unchanged phase stays.
    pub fn released(&self, workload: &WorkloadId, mut release: ReleaseView) {
        release.message = clip(&release.message);
        self.write().each(workload, |view| {
            if let Some(known) = &view.release
                && (known.phase == release.phase && known.revision == release.revision)
            {
                release.since = known.since;
            }
            view.release = Some(release.clone());
        });
    }

    /// The health of a workload's objects was looked at. The time of an unchanged verdict stays.
    pub fn health(&self, workload: &WorkloadId, health: &Health, at: Timestamp) {
        self.write().each(workload, |view| {
            let since = match &view.health {
                Some(known) if known.state == health.state => known.since,
                _ => at,
            };
            view.health = Some(HealthView { state: health.state, reason: clip(&health.reason), since });
        });
    }

    /// A change went a step further.
    pub fn changed(&self, workload: &WorkloadId, change: Option<ChangeView>) {
        self.write().each(workload, |view| view.change.clone_from(&change));
    }

    /// A source is configured no more.
    pub fn forget(&self, source: &SourceId) {
        let mut state = self.write();
        state.sources.remove(source);
        state.commits.remove(source);
        state.workloads.retain(|(of, _), _| of != source);
    }

    /// Everything, as of now.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> StatusView {
        let state = self.read();
        let items = state
            .workloads
            .values()
            .map(|view| {
                let mut view = view.clone();
                (view.state, view.because) = headline(&view);
                view
            })
            .collect();
        StatusView {
            api_version: API_VERSION.to_owned(),
            kind: "AppList".to_owned(),
            time: now,
            controller: state.controller.clone(),
            sources: state.sources.values().map(|view| state.with_commits(view)).collect(),
            items,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn source(&mut self, source: &SourceId) -> &mut SourceView {
        self.sources.entry(source.clone()).or_insert_with(|| SourceView {
            name: source.clone(),
            head: None,
            fetched: None,
            mirrored: None,
            mirrored_at: None,
            objects: 0,
            error: None,
            problems: Vec::new(),
        })
    }

    /// A source with what keeps commits from it, unless something worse is wrong with it.
    fn with_commits(&self, view: &SourceView) -> SourceView {
        let error = view.error.clone().or_else(|| self.commits.get(&view.name).cloned());
        SourceView { error, ..view.clone() }
    }

    /// A workload by name, in every source that declares it: what runs is the same for each.
    fn each(&mut self, workload: &WorkloadId, mut change: impl FnMut(&mut WorkloadView)) {
        let mut declared = false;
        for (_, view) in self.workloads.iter_mut().filter(|((_, id), _)| id == workload) {
            change(view);
            declared = true;
        }
        if !declared {
            change(self.undeclared.entry(workload.clone()).or_insert_with(|| nothing_of(workload)));
        }
    }
}

/// A workload of which nothing is known.
fn nothing_of(workload: &WorkloadId) -> WorkloadView {
    WorkloadView {
        workload: workload.clone(),
        state: super::AppState::Unknown,
        because: String::new(),
        source: SourceId(String::new()),
        file: String::new(),
        line: 0,
        automated: false,
        hold: None,
        containers: Vec::new(),
        release: None,
        health: None,
        change: None,
    }
}

/// Makes views of decided workloads, each with what was known of it.
fn with_known(
    source: &SourceId,
    mut known: impl FnMut(&WorkloadId) -> Option<WorkloadView>,
) -> impl FnMut(DecidedWorkload) -> WorkloadView {
    move |decided| {
        let known = known(&decided.workload);
        let (release, health, change) =
            known.map_or((None, None, None), |known| (known.release, known.health, known.change));
        WorkloadView {
            workload: decided.workload,
            state: super::AppState::Unknown,
            because: String::new(),
            source: source.clone(),
            file: decided.file,
            line: decided.line,
            automated: decided.automated,
            hold: decided.hold,
            containers: decided.containers,
            release,
            health,
            change,
        }
    }
}

/// The text, or its beginning and how much is missing.
fn clip(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} more)", &text[..end], text[end..].chars().count()),
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
