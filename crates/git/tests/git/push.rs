use crate::support::{Fixture, NOW, plan, processes_of};
use std::time::Duration;
use tagboat_engine::ports::{CommitMeta, FaultKind, FileEdit, GitRepository, PushOutcome};
use tagboat_testkit::NewCommit;

const FILE: &str = "kubernetes/dev/voice.yaml";

fn landed(outcome: PushOutcome) -> CommitMeta {
    match outcome {
        PushOutcome::Landed(commit) => commit,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_push_changes_one_file_and_leaves_every_other_byte_and_mode() {
    let fixture = Fixture::new().await;
    let parent = fixture.tip().await;
    let before = fixture.remote.git(&["ls-tree", "-r", &parent.0]).unwrap();
    let plan = plan(&parent, FILE, "image: voice:2\n", "id-1");
    let commit = landed(fixture.local.push(&plan).await.unwrap());
    let commits = fixture.remote.commits("main").unwrap();
    assert_eq!(commits[0].id, commit.revision.0);
    assert_eq!(commits[0].message, plan.message.trim_end());
    assert_eq!(
        (commits[0].author.as_str(), &commits[0].author),
        ("Tagboat <tagboat@example.org>", &commits[0].committer)
    );
    assert_eq!(commits[0].time, NOW.parse().unwrap());
    assert_eq!(commits[1].id, parent.0);
    let after = fixture.remote.git(&["ls-tree", "-r", "main"]).unwrap();
    let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(before, after)| before != after).collect();
    assert_eq!(changed.len(), 1, "{before}\n{after}");
    assert!(changed[0].1.starts_with("100644 ") && changed[0].1.ends_with(FILE));
    assert!(after.contains("100755 "), "{after}");
    assert_eq!(fixture.remote.read("main", FILE).unwrap(), b"image: voice:2\n");
    assert_eq!(fixture.local.head().unwrap().commit, commit);
    assert_eq!(fixture.tip().await, commit.revision);
}

#[tokio::test]
async fn an_executable_file_stays_executable() {
    let fixture = Fixture::new().await;
    let parent = fixture.tip().await;
    landed(fixture.local.push(&plan(&parent, "run.sh", "#!/bin/bash\n", "id-1")).await.unwrap());
    assert!(fixture.remote.git(&["ls-tree", "main", "run.sh"]).unwrap().starts_with("100755 "));
}

#[tokio::test]
async fn a_push_onto_a_branch_that_moved_reports_the_new_head_and_keeps_the_persons_commit() {
    let fixture = Fixture::new().await;
    let parent = fixture.tip().await;
    let human = fixture.remote.commit("main", &NewCommit::file("Fix by hand", FILE, b"image: voice:9\n")).unwrap();
    let outcome = fixture.local.push(&plan(&parent, FILE, "image: voice:2\n", "id-1")).await.unwrap();
    let PushOutcome::Moved(head) = outcome else { panic!("{outcome:?}") };
    assert_eq!(head.commit.revision.0, human);
    assert_eq!(fixture.remote.head("main").unwrap(), Some(human.clone()));
    let commit =
        landed(fixture.local.push(&plan(&head.commit.revision, FILE, "image: voice:10\n", "id-2")).await.unwrap());
    let ids: Vec<_> = fixture.remote.commits("main").unwrap().into_iter().map(|commit| commit.id).collect();
    assert_eq!(ids, [commit.revision.0, human, parent.0]);
}

#[tokio::test]
async fn a_push_that_races_within_the_server_moves_and_loses_nothing() {
    let fixture = Fixture::new().await;
    let parent = fixture.tip().await;
    fixture.remote.git(&["branch", "human", "main"]).unwrap();
    let human = fixture.remote.commit("human", &NewCommit::file("Fix by hand", FILE, b"image: voice:9\n")).unwrap();
    // The branch moves after the server has accepted our lease and before it stores our commit.
    fixture.remote.install_hook("update", "#!/bin/sh\nexec git update-ref refs/heads/main refs/heads/human\n").unwrap();
    let outcome = fixture.local.push(&plan(&parent, FILE, "image: voice:2\n", "id-1")).await.unwrap();
    let PushOutcome::Moved(head) = outcome else { panic!("{outcome:?}") };
    assert_eq!(head.commit.revision.0, human);
    assert_eq!(fixture.remote.head("main").unwrap(), Some(human));
}

#[tokio::test]
async fn a_rewound_branch_is_not_pushed_back() {
    let fixture = Fixture::new().await;
    let first = fixture.tip().await;
    fixture.remote.commit("main", &NewCommit::file("More", "x.yaml", b"x")).unwrap();
    let second = fixture.tip().await;
    fixture.remote.set_branch("main", &first.0).unwrap();
    let outcome = fixture.local.push(&plan(&second, FILE, "image: voice:2\n", "id-1")).await.unwrap();
    let PushOutcome::Moved(head) = outcome else { panic!("{outcome:?}") };
    assert_eq!(head.commit.revision, first);
    assert_eq!(fixture.remote.head("main").unwrap(), Some(first.0));
}

#[tokio::test]
async fn a_hooks_refusal_comes_back_in_its_own_words_without_control_characters() {
    let fixture = Fixture::new().await;
    let parent = fixture.tip().await;
    let hook = "#!/bin/sh\nprintf '\\033[31mBranch main is protected.\\033[0m\\007 Ask Dana.\\n' >&2\nhead -c 5000 /dev/zero | tr '\\0' x >&2\nexit 1\n";
    fixture.remote.install_hook("pre-receive", hook).unwrap();
    let outcome = fixture.local.push(&plan(&parent, FILE, "image: voice:2\n", "id-1")).await.unwrap();
    let PushOutcome::Refused(text) = outcome else { panic!("{outcome:?}") };
    assert!(text.starts_with("pre-receive hook declined: Branch main is protected. Ask Dana."), "{text}");
    assert!(text.len() <= 1024 && !text.contains(char::is_control), "{text}");
    assert_eq!(fixture.remote.head("main").unwrap(), Some(parent.0));
}

#[tokio::test]
async fn a_repository_that_may_only_be_read_refuses_the_push() {
    let fixture = Fixture::new().await;
    let parent = fixture.tip().await;
    fixture.remote.git(&["config", "http.receivepack", "false"]).unwrap();
    let outcome = fixture.local.push(&plan(&parent, FILE, "image: voice:2\n", "id-1")).await.unwrap();
    let PushOutcome::Refused(text) = outcome else { panic!("{outcome:?}") };
    assert!(text.contains("may not write to http://127.0.0.1"), "{text}");
}

#[tokio::test]
async fn a_push_whose_answer_is_lost_has_landed_once() {
    let fixture = Fixture::new().await;
    let parent = fixture.tip().await;
    fixture.server.lose_next_push_answer(1);
    let commit = landed(fixture.local.push(&plan(&parent, FILE, "image: voice:2\n", "id-1")).await.unwrap());
    let ids: Vec<_> = fixture.remote.commits("main").unwrap().into_iter().map(|commit| commit.id).collect();
    assert_eq!(ids, [commit.revision.0, parent.0]);
}

#[tokio::test]
async fn a_lost_answer_is_settled_even_after_somebody_else_has_pushed() {
    let fixture = Fixture::new().await;
    let parent = fixture.tip().await;
    let human =
        "#!/bin/sh\nnew=$(git commit-tree -p main -m Human main^{tree})\nexec git update-ref refs/heads/main $new\n";
    let human = human.replace("git commit-tree", "git -c user.name=Dana -c user.email=dana@example.org commit-tree");
    fixture.remote.install_hook("post-receive", &human).unwrap();
    fixture.server.lose_next_push_answer(1);
    let commit = landed(fixture.local.push(&plan(&parent, FILE, "image: voice:2\n", "id-1")).await.unwrap());
    let commits = fixture.remote.commits("main").unwrap();
    assert_eq!((commits.len(), commits[1].id.as_str()), (3, commit.revision.0.as_str()));
    assert_eq!(fixture.local.head().unwrap().commit.revision.0, commits[0].id);
}

#[tokio::test]
async fn a_hanging_hook_meets_the_deadline_and_a_late_landing_is_recognised() {
    let fixture = Fixture::with(|config| config.timeout = Duration::from_secs(2)).await;
    let parent = fixture.tip().await;
    // It waits for the test, or for the end of the repository where the test has failed.
    let hook = "#!/bin/sh\nwhile [ -d \"$GIT_DIR\" ] && [ ! -e \"$GIT_DIR/go\" ]; do sleep 0.05; done\nexit 0\n";
    fixture.remote.install_hook("pre-receive", hook).unwrap();
    let plan = plan(&parent, FILE, "image: voice:2\n", "id-1");
    let started = std::time::Instant::now();
    let fault = fixture.local.push(&plan).await.unwrap_err();
    assert!(fault.is_transient(), "{fault:?}");
    assert!(fault.text.contains("did not land") && fault.text.contains("after 2 s"), "{fault}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(processes_of(&fixture.clone_path()), Vec::<String>::new());

    std::fs::write(fixture.remote.path().join("go"), "").unwrap();
    for _ in 0..200 {
        if fixture.remote.head("main").unwrap() != Some(parent.0.clone()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let commit = landed(fixture.local.push(&plan).await.unwrap());
    let ids: Vec<_> = fixture.remote.commits("main").unwrap().into_iter().map(|commit| commit.id).collect();
    assert_eq!(ids, [commit.revision.0, parent.0]);
}

#[tokio::test]
async fn a_dropped_push_leaves_no_process_and_the_repository_works_on() {
    let fixture = Fixture::new().await;
    let parent = fixture.tip().await;
    let hook = "#!/bin/sh\nwhile [ -d \"$GIT_DIR\" ] && [ ! -e \"$GIT_DIR/go\" ]; do sleep 0.05; done\nexit 1\n";
    fixture.remote.install_hook("pre-receive", hook).unwrap();
    let first = plan(&parent, FILE, "image: voice:2\n", "id-1");
    let dropped = tokio::time::timeout(Duration::from_secs(1), fixture.local.push(&first)).await;
    assert!(dropped.is_err());
    for _ in 0..100 {
        if processes_of(&fixture.clone_path()).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(processes_of(&fixture.clone_path()), Vec::<String>::new());
    std::fs::write(fixture.remote.path().join("go"), "").unwrap();
    fixture.remote.remove_hook("pre-receive").unwrap();
    landed(fixture.local.push(&plan(&parent, FILE, "image: voice:3\n", "id-2")).await.unwrap());
}

#[tokio::test]
async fn a_plan_that_cannot_be_carried_out_is_refused_before_anything_is_sent() {
    let fixture = Fixture::new().await;
    let parent = fixture.tip().await;
    let good = plan(&parent, FILE, "image: voice:2\n", "id-1");
    let mut no_edits = good.clone();
    no_edits.edits.clear();
    let mut twice = good.clone();
    twice.edits.push(FileEdit { path: FILE.into(), bytes: "x".into() });
    let mut no_trailer = good.clone();
    no_trailer.message = "Auto-release voice:2\n".into();
    let mut no_subject = good.clone();
    no_subject.message = "\n\nTagboat-Change-Id: id-1".into();
    let mut control = good.clone();
    control.message.push('\u{1b}');
    let table = [
        (no_edits, FaultKind::Invalid),
        (twice, FaultKind::Invalid),
        (no_trailer, FaultKind::Invalid),
        (no_subject, FaultKind::Invalid),
        (control, FaultKind::Invalid),
        (plan(&parent, FILE, "image: voice:1\n", "id-1"), FaultKind::Invalid),
        (plan(&parent, "kubernetes/dev", "x", "id-1"), FaultKind::Invalid),
        (plan(&parent, "../x", "x", "id-1"), FaultKind::Invalid),
        (plan(&parent, "kubernetes/new.yaml", "x", "id-1"), FaultKind::NotFound),
        (plan(&parent, "none/new.yaml", "x", "id-1"), FaultKind::NotFound),
    ];
    fixture.server.forget_requests();
    for (plan, kind) in table {
        let fault = fixture.local.push(&plan).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
    }
    assert_eq!(fixture.server.requests().len(), 0);
}

#[tokio::test]
async fn a_commit_over_several_files_is_one_commit() {
    let fixture = Fixture::new().await;
    let parent = fixture.tip().await;
    let mut plan = plan(&parent, FILE, "image: voice:2\n", "id-1");
    plan.edits.push(FileEdit { path: "kubernetes/prod/voice.yaml".into(), bytes: "image: voice:2\n".into() });
    let commit = landed(fixture.local.push(&plan).await.unwrap());
    let changed = fixture.remote.git(&["diff", "--name-only", &parent.0, &commit.revision.0]).unwrap();
    assert_eq!(changed.lines().collect::<Vec<_>>(), [FILE, "kubernetes/prod/voice.yaml"]);
}

#[tokio::test]
async fn two_writers_and_a_person_on_one_branch_lose_nothing() {
    let fixture = Fixture::new().await;
    let other = tagboat_testkit::Scratch::new("git-cache").unwrap();
    let second = crate::support::open(crate::support::config(&fixture.server.url(&fixture.remote), other.path())).await;
    let write = async |local: &tagboat_git::Repository, path: &str, name: &str| {
        let mut head = local.fetch().await.unwrap();
        let mut moved = 0;
        for round in 0..6 {
            loop {
                let plan = plan(
                    &head.commit.revision,
                    path,
                    &format!("image: voice:{name}{round}\n"),
                    &format!("{name}-{round}"),
                );
                match local.push(&plan).await.unwrap() {
                    PushOutcome::Landed(_) => break head = local.head().unwrap(),
                    PushOutcome::Moved(new) => (head, moved) = (new, moved + 1),
                    PushOutcome::Refused(text) => panic!("{text}"),
                }
                assert!(moved < 100);
            }
        }
        moved
    };
    let human = async {
        for round in 0..6 {
            let content = format!("# {round}\n");
            // Somebody else may have pushed between reading the branch and setting it: then try again, as people do.
            while fixture.remote.commit("main", &NewCommit::file("By hand", "README.md", content.as_bytes())).is_err() {
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (first, second, ()) =
        tokio::join!(write(&fixture.local, FILE, "a"), write(&second, "kubernetes/prod/voice.yaml", "b"), human);
    assert!(first + second > 0, "they never met");
    let commits = fixture.remote.commits("main").unwrap();
    assert_eq!(commits.len(), 1 + 3 * 6);
    for id in (0..6).flat_map(|round| [format!("a-{round}"), format!("b-{round}")]) {
        let line = format!("Tagboat-Change-Id: {id}");
        assert_eq!(commits.iter().filter(|commit| commit.message.lines().any(|own| own == line)).count(), 1, "{id}");
    }
}
