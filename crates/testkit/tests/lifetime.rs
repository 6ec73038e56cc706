//! Nothing is left behind: no process and no folder, however a test ends.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "functions that tests share panic as tests do")]

use std::io::{BufRead, BufReader};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tagboat_testkit::{Cluster, Etcd, GitSsh, Registry, Scratch};

const AS_VICTIM: &str = "TESTKIT_LIFETIME_VICTIM";

/// Running, and not merely waiting to be collected by its parent.
fn runs(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn assert_soon(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The folders of its own that a process' command line names; its program may stand in a temporary folder, too.
fn folders(process: u32) -> Vec<PathBuf> {
    let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    let root = std::env::temp_dir();
    line.split(['\0', '='])
        .filter_map(|word| Path::new(word).strip_prefix(&root).ok()?.components().next())
        .map(|first| root.join(first))
        .filter(|folder| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tagboat-test-")))
        .collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn a_panic_takes_the_whole_cluster_with_it() {
    let mut processes = Vec::new();
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        runtime().block_on(async {
            let started = Instant::now();
            let cluster = Cluster::start().await.unwrap();
            println!("Cluster::start: {:?}", started.elapsed());
            processes = cluster.process_ids().into_iter().map(|id| (id, folders(id))).collect();
            assert!(processes.iter().all(|(id, _)| runs(*id)));
            panic!("as tests do");
        })
    }));
    assert!(panicked.is_err());
    assert!(processes.len() == 5 && processes.iter().any(|(_, folders)| !folders.is_empty()));
    for (id, folders) in processes {
        assert!(!runs(id), "process {id} runs on");
        assert!(folders.iter().all(|folder| !folder.exists()), "one of {folders:?} is still there");
    }
}

#[test]
fn a_kill_takes_every_server_and_folder_with_it() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(AS_VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ids = lines.find_map(|line| line.split_once("processes: ").map(|(_, ids)| ids.to_owned())).unwrap();
    let ids: Vec<u32> = ids.split(' ').map(|id| id.parse().unwrap()).collect();
    let folders: Vec<_> = ids.iter().flat_map(|id| folders(*id)).collect();
    assert!(ids.iter().all(|id| runs(*id)) && folders.iter().all(|folder| folder.exists()) && !folders.is_empty());
    victim.kill().unwrap();
    victim.wait().unwrap();
    for id in ids {
        assert_soon(&format!("process {id} runs on"), || !runs(id));
    }
    for folder in folders {
        assert_soon(&format!("{} is still there", folder.display()), || !folder.exists());
    }
}

/// The process that is killed; on its own it does nothing.
#[test]
fn victim() {
    if std::env::var_os(AS_VICTIM).is_none() {
        return;
    }
    runtime().block_on(async {
        let (etcd, registry, ssh) =
            (Etcd::start().await.unwrap(), Registry::start().await.unwrap(), GitSsh::start().await.unwrap());
        println!("processes: {} {} {}", etcd.process_id(), registry.process_id(), ssh.process_id());
        tokio::time::sleep(Duration::from_secs(120)).await;
    });
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    let start = || runtime().block_on(Etcd::start()).unwrap();
    let etcd = std::thread::spawn(start).join().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(runs(etcd.process_id()), "the kernel killed it with the thread");
}

#[test]
fn a_folder_is_gone_when_it_is_dropped() {
    let scratch = Scratch::new("gone").unwrap();
    let path = scratch.path().to_owned();
    scratch.write("a/b", "c").unwrap();
    assert!(path.join("a/b").exists());
    drop(scratch);
    assert!(!path.exists());
}
