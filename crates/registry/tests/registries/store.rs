//! The cache on disk.

use jiff::Timestamp;
use tagboat_engine::ports::{KnownRepository, KnownTag, TagStore as _};
use tagboat_image::Repository;
use tagboat_registry::RedbTagStore;

fn repository(name: &str) -> Repository {
    Repository::parse(&format!("reg.example/{name}")).unwrap()
}

fn known(tag: &str) -> KnownRepository {
    let at: Timestamp = "2020-12-25T16:00:00Z".parse().unwrap();
    let tag_known = KnownTag {
        digest: Some(format!("sha256:{}", "a".repeat(64)).parse().unwrap()),
        created: Some(at),
        pushed: None,
        first_seen: at,
    };
    KnownRepository { scanned: Some(at), tags: [(tag.parse().unwrap(), tag_known)].into(), ..Default::default() }
}

#[test]
fn what_was_saved_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tags.redb");
    let store = RedbTagStore::open(&path, 10).unwrap();
    assert_eq!(store.load(&repository("web")).unwrap(), None);
    store.save(&repository("web"), &known("main-1")).unwrap();
    store.save(&repository("web"), &known("main-2")).unwrap();
    drop(store);
    let store = RedbTagStore::open(&path, 10).unwrap();
    assert_eq!(store.load(&repository("web")).unwrap(), Some(known("main-2")));
    assert_eq!(store.load(&repository("api")).unwrap(), None);
}

#[test]
fn the_longest_unused_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tags.redb");
    let store = RedbTagStore::open(&path, 3).unwrap();
    for name in ["a", "b", "c"] {
        store.save(&repository(name), &known(name)).unwrap();
    }
    store.load(&repository("a")).unwrap().unwrap();
    store.save(&repository("d"), &known("d")).unwrap();
    let there = |store: &RedbTagStore| {
        let names = ["a", "b", "c", "d", "e"];
        names.into_iter().filter(|name| store.load(&repository(name)).unwrap().is_some()).collect::<String>()
    };
    assert_eq!(there(&store), "acd");
    drop(store);
    // A smaller limit takes effect with the next save.
    let store = RedbTagStore::open(&path, 1).unwrap();
    store.save(&repository("e"), &known("e")).unwrap();
    assert_eq!(there(&store), "e");
}

#[test]
fn a_damaged_file_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tags.redb");
    std::fs::write(&path, b"this is no store, but it was not empty either").unwrap();
    let store = RedbTagStore::open(&path, 10).unwrap();
    for number in 0..50 {
        store.save(&repository(&format!("web-{number}")), &known("main-1")).unwrap();
    }
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    // Damage all over a file that was good: each time the store opens, and knows the right thing or nothing.
    for at in (0..whole.len()).step_by(whole.len() / 24) {
        let mut damaged = whole.clone();
        let end = (at + 512).min(damaged.len());
        damaged[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&path, damaged).unwrap();
        let store = RedbTagStore::open(&path, 10).unwrap_or_else(|error| panic!("damage at {at}: {error}"));
        let found = store.load(&repository("web-7")).unwrap();
        assert!(found.is_none() || found == Some(known("main-1")), "damage at {at}: {found:?}");
        store.save(&repository("web-7"), &known("main-2")).unwrap();
        assert_eq!(store.load(&repository("web-7")).unwrap(), Some(known("main-2")));
    }
    for length in [0, 1, 4096, whole.len() / 2] {
        std::fs::write(&path, &whole[..length]).unwrap();
        RedbTagStore::open(&path, 10).unwrap_or_else(|error| panic!("cut at {length}: {error}"));
    }
}

#[test]
fn a_file_that_another_one_has_open_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tags.redb");
    let store = RedbTagStore::open(&path, 10).unwrap();
    store.save(&repository("web"), &known("main-1")).unwrap();
    let error = RedbTagStore::open(&path, 10).err().unwrap().to_string();
    assert!(error.contains("tags.redb") && error.contains("open"), "{error}");
    assert_eq!(store.load(&repository("web")).unwrap(), Some(known("main-1")));
}

#[test]
fn a_store_in_memory_does_the_same() {
    let store = RedbTagStore::in_memory(10).unwrap();
    store.save(&repository("web"), &known("main-1")).unwrap();
    assert_eq!(store.load(&repository("web")).unwrap(), Some(known("main-1")));
}
