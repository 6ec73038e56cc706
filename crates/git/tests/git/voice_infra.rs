//! The real infrastructure repository of 2020, with its automation's and its people's commits.

use crate::support::{config, open, plan};
use std::time::Instant;
use tagboat_engine::ports::{GitRepository, PushOutcome};
use tagboat_testkit::{GitHttp, Scratch, voice_infra};

const FILE: &str = "kubernetes/releases/voice-dev/voice-dev-chart.yaml";

#[tokio::test]
async fn the_real_history_is_read_as_git_itself_tells_it() {
    let bundle = match voice_infra::bundle() {
        Ok(bundle) => bundle,
        Err(missing) => {
            println!("NOT RUN: {missing}");
            return;
        }
    };
    let server = GitHttp::start().unwrap();
    let remote = server.create_repository("voice-infra").unwrap();
    let branches = remote.fetch_bundle(&bundle).unwrap();
    let folder = Scratch::new("git-cache").unwrap();
    let mut config = config(&server.url(&remote), folder.path());
    config.branch = branches[0].clone();
    let branch = branches[0].as_str();
    let local = open(config).await;
    let timed = |what: &str, started: Instant| println!("{what}: {:.1} ms", started.elapsed().as_secs_f64() * 1000.0);

    let started = Instant::now();
    let tip = local.fetch().await.unwrap().commit.revision;
    timed("first fetch", started);
    let started = Instant::now();
    local.fetch().await.unwrap();
    timed("fetch of nothing new", started);
    let started = Instant::now();
    let files = local.files(&tip, &["kubernetes".into()]).await.unwrap();
    timed(&format!("{} manifests", files.len()), started);

    let started = Instant::now();
    let history = local.history(&tip, FILE, usize::MAX).await.unwrap();
    timed(&format!("{} changes of {FILE}", history.changes.len()), started);
    assert!(history.complete);
    let log = remote.git(&["log", "--first-parent", "--format=%H", branch, "--", FILE]).unwrap();
    // Before the file had this name git's plain log tells nothing of it.
    let ours = history.changes.iter().filter(|change| change.path == FILE);
    let ours: Vec<_> = ours.map(|change| change.commit.revision.0.as_str()).collect();
    assert_eq!(ours, log.lines().collect::<Vec<_>>());
    assert!(ours.len() > 100, "{}", ours.len());
    let started = Instant::now();
    let short = local.history(&tip, FILE, 50).await.unwrap();
    timed("the last 50 of them", started);
    assert_eq!(short.changes, history.changes[..50]);

    let file = files.iter().find(|file| file.path == FILE).unwrap();
    let edited = format!("# edited\n{}", String::from_utf8_lossy(&file.bytes));
    let started = Instant::now();
    let outcome = local.push(&plan(&tip, FILE, &edited, "id-1")).await.unwrap();
    timed("commit and push", started);
    assert!(matches!(outcome, PushOutcome::Landed(_)), "{outcome:?}");
    assert_eq!(remote.git(&["diff", "--numstat", &tip.0, branch]).unwrap().trim(), format!("1\t0\t{FILE}"));
}
