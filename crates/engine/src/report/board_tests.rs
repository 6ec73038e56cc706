use super::*;
use crate::decide::{Action, ReasonView};
use crate::ports::{ChangeId, CommitMeta, DeploymentOutcome, HealthState, Person};
use crate::report::{AppState, Timeline};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn source() -> SourceId {
    SourceId("infra".to_owned())
}

fn web() -> WorkloadId {
    "shop:helmrelease/web".parse().unwrap()
}

fn container(action: Action, code: &str) -> ContainerView {
    ContainerView {
        name: "web".to_owned(),
        line: 24,
        filter: Some("glob:main-*".to_owned()),
        current: Some("shop/web:main-1".to_owned()),
        target: (action == Action::Update).then(|| "shop/web:main-2".to_owned()),
        action,
        reason: ReasonView { code: code.to_owned(), text: format!("because of {code}") },
    }
}

fn decided(workload: WorkloadId, container: ContainerView) -> DecidedWorkload {
    DecidedWorkload {
        workload,
        file: "releases/web.yaml".to_owned(),
        line: 2,
        automated: true,
        hold: None,
        containers: vec![container],
    }
}

fn healthy() -> Health {
    Health { state: HealthState::Healthy, reason: "3 of 3 ready".to_owned() }
}

fn release(phase: &str, second: i64) -> ReleaseView {
    ReleaseView {
        name: "shop-web".to_owned(),
        namespace: "shop".to_owned(),
        phase: phase.to_owned(),
        revision: Some(4),
        chart: Some("web-1.2.3".to_owned()),
        message: "the real error".to_owned(),
        since: at(second),
    }
}

#[test]
fn a_new_round_of_decisions_keeps_what_runs_and_drops_what_is_gone() {
    let board = Board::new("0.1.0");
    let gone: WorkloadId = "shop:deployment/gone".parse().unwrap();
    board.decided(
        &source(),
        vec![decided(web(), container(Action::Keep, "newest")), decided(gone, container(Action::Keep, "newest"))],
    );
    let elsewhere = SourceId("elsewhere".to_owned());
    let other: WorkloadId = "other:deployment/other".parse().unwrap();
    board.decided(&elsewhere, vec![decided(other.clone(), container(Action::Keep, "newest"))]);
    board.health(&web(), &healthy(), at(1));
    board.released(&web(), release("Succeeded", 1));

    board.decided(&source(), vec![decided(web(), container(Action::Update, "newer-tag"))]);
    let items = board.snapshot(at(2)).items;
    assert_eq!(
        items.iter().map(|item| item.workload.to_string()).collect::<Vec<_>>(),
        [other.to_string(), web().to_string()]
    );
    assert_eq!(items[1].health.as_ref().unwrap().since, at(1));
    assert_eq!(items[1].release.as_ref().unwrap().revision, Some(4));
    assert_eq!(items[1].containers[0].action, Action::Update);
}

#[test]
fn since_is_when_it_became_so_not_when_it_was_last_looked_at() {
    let board = Board::new("0.1.0");
    board.decided(&source(), vec![decided(web(), container(Action::Keep, "newest"))]);
    for second in [1, 5] {
        board.health(&web(), &healthy(), at(second));
        board.released(&web(), release("Succeeded", second));
    }
    let item = board.snapshot(at(9)).items.remove(0);
    assert_eq!((item.health.unwrap().since, item.release.unwrap().since), (at(1), at(1)));
    board.health(&web(), &Health { state: HealthState::Failed, reason: "crash loop".to_owned() }, at(7));
    assert_eq!(board.snapshot(at(9)).items[0].health.as_ref().unwrap().since, at(7));
}

#[test]
fn the_headline_is_the_most_pressing_state() {
    let board = Board::new("0.1.0");
    let state = |board: &Board| {
        let item = board.snapshot(at(0)).items.remove(0);
        (item.state, item.because)
    };
    board.decided(&source(), vec![decided(web(), container(Action::Keep, "newest"))]);
    assert_eq!(state(&board).0, AppState::Unknown);
    board.health(&web(), &healthy(), at(1));
    assert_eq!(state(&board), (AppState::Healthy, "3 of 3 ready".to_owned()));

    let mut paused = decided(web(), container(Action::Hold, "paused"));
    paused.hold = Some(HoldView { code: "paused".to_owned(), text: "fluxcd.io/automated is \"false\"".to_owned() });
    board.decided(&source(), vec![paused.clone()]);
    assert_eq!(state(&board).0, AppState::Paused);

    board.decided(&source(), vec![decided(web(), container(Action::Hold, "pinned"))]);
    assert_eq!(state(&board), (AppState::Held, "because of pinned".to_owned()));
    board.decided(&source(), vec![decided(web(), container(Action::Update, "newer-tag"))]);
    assert_eq!(state(&board).0, AppState::Waiting);

    let timeline = Timeline { committed: Some(at(1)), ..Timeline::default() };
    let change =
        ChangeView { id: ChangeId("a".to_owned()), from: None, to: None, revision: None, timeline, result: None };
    board.changed(&web(), Some(change.clone()));
    assert_eq!(state(&board), (AppState::Releasing, "committed".to_owned()));
    board.changed(&web(), Some(ChangeView { result: Some(DeploymentOutcome::Done), ..change }));

    board.decided(&source(), vec![decided(web(), container(Action::Blocked, "bad-filter"))]);
    assert_eq!(state(&board), (AppState::Blocked, "web: because of bad-filter".to_owned()));
    board.decided(&source(), vec![paused]);
    board.released(&web(), release("ChartFetchFailed", 3));
    assert_eq!(state(&board), (AppState::Failed, "the real error".to_owned()));
}

#[test]
fn a_source_tells_its_revision_and_its_problems_by_place() {
    let board = Board::new("0.1.0");
    let person = Person { name: "A".to_owned(), email: "a@example.com".to_owned() };
    let head = Head {
        commit: CommitMeta {
            revision: Revision("4".repeat(40)),
            author: person.clone(),
            committer: person,
            committed: at(0),
            message: "Change".to_owned(),
        },
        fetched: at(1),
    };
    board.failed(&source(), "cannot reach git.example.com");
    assert_eq!(board.snapshot(at(1)).sources[0].error.as_deref(), Some("cannot reach git.example.com"));
    board.fetched(&source(), &head);
    let problem = |line, text: &str| ProblemView {
        file: "b.yaml".to_owned(),
        line,
        object: None,
        text: text.to_owned(),
        error: true,
    };
    let long = "x".repeat(5000);
    board.mirrored(
        &source(),
        &head.commit.revision,
        at(2),
        32,
        vec![problem(9, &long), problem(3, "bad"), problem(3, "bad")],
    );
    let view = board.snapshot(at(3)).sources.remove(0);
    assert_eq!((view.error, view.objects, view.mirrored_at), (None, 32, Some(at(2))));
    assert_eq!(view.problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [3, 9]);
    assert!(view.problems[1].text.ends_with("… (4000 more)"));
}

#[test]
fn the_report_reads_back_and_survives_words_of_a_newer_version() {
    let board = Board::new("0.1.0");
    board.controller(true, false);
    board.decided(&source(), vec![decided(web(), container(Action::Update, "newer-tag"))]);
    board.health(&web(), &healthy(), at(1));
    let snapshot = board.snapshot(at(2));
    let json = serde_json::to_string(&snapshot).unwrap();
    assert!(json.starts_with(r#"{"apiVersion":"cli.tagboat/v1","kind":"AppList","time":"2023-"#), "{json}");
    assert_eq!(serde_json::from_str::<crate::report::StatusView>(&json).unwrap(), snapshot);

    let newer = json
        .replace(r#""state":"waiting""#, r#""state":"pondering","mood":"calm""#)
        .replace("shop:helmrelease/web", "shop:helmrelease/wéb");
    let read: crate::report::StatusView = serde_json::from_str(&newer).unwrap();
    assert_eq!(read.items[0].state, AppState::Unknown);
    assert_eq!(read.items[0].workload.name(), "wéb");
}

#[test]
fn what_was_learnt_before_a_source_declared_the_workload_is_kept() {
    let board = Board::new("0.1.0");
    board.released(&web(), release("Succeeded", 1));
    board.health(&web(), &healthy(), at(1));
    assert_eq!(board.snapshot(at(2)).items, [], "nobody has declared it");
    board.decided(&source(), vec![decided(web(), container(Action::Keep, "newest"))]);
    let items = board.snapshot(at(2)).items;
    assert_eq!(items[0].state, AppState::Healthy);
    assert_eq!(items[0].release.as_ref().unwrap().phase, "Succeeded");
}
