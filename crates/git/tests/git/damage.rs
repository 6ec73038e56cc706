use crate::support::Fixture;
use std::fs;
use std::path::Path;
use tagboat_engine::ports::GitRepository;
use tagboat_testkit::NewCommit;

/// Files of the clone's object store.
fn objects(clone: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![clone.join("objects")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.metadata().unwrap().is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found
}

fn writable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

type Damage = (&'static str, fn(&Path));

/// What can happen to a clone, each to the whole extent.
fn damages() -> Vec<Damage> {
    vec![
        ("a lock is left", |clone| fs::write(clone.join("refs/remotes/origin/main.lock"), "").unwrap()),
        ("another lock is left", |clone| fs::write(clone.join("packed-refs.lock"), "").unwrap()),
        ("the branch's file is empty", |clone| fs::write(clone.join("refs/remotes/origin/main"), "").unwrap()),
        ("the branch points nowhere", |clone| {
            fs::write(clone.join("refs/remotes/origin/main"), format!("{}\n", "1".repeat(40))).unwrap();
        }),
        ("objects are empty", |clone| {
            for object in objects(clone) {
                writable(&object);
                fs::write(object, "").unwrap();
            }
        }),
        ("bits of objects are flipped", |clone| {
            for object in objects(clone) {
                writable(&object);
                let mut bytes = fs::read(&object).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x55;
                fs::write(object, bytes).unwrap();
            }
        }),
        ("objects are gone", |clone| objects(clone).into_iter().for_each(|object| fs::remove_file(object).unwrap())),
        ("the head is nonsense", |clone| fs::write(clone.join("HEAD"), "?").unwrap()),
        ("the configuration is nonsense", |clone| fs::write(clone.join("config"), "[[[").unwrap()),
        ("everything is gone", |clone| fs::remove_dir_all(clone).unwrap()),
        ("a file stands in its place", |clone| {
            fs::remove_dir_all(clone).unwrap();
            fs::write(clone, "").unwrap();
        }),
    ]
}

#[tokio::test]
async fn a_damaged_clone_is_made_anew_by_the_next_fetch() {
    for (name, damage) in damages() {
        let fixture = Fixture::new().await;
        fixture.tip().await;
        damage(&fixture.clone_path());
        fixture.remote.commit("main", &NewCommit::file("More", "x.yaml", b"x")).unwrap();
        let head = fixture.local.fetch().await.unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let files = fixture.local.files(&head.commit.revision, &[]).await;
        assert_eq!(files.unwrap_or_else(|fault| panic!("{name}: {fault}")).len(), 4, "{name}");
    }
}

#[tokio::test]
async fn a_damaged_clone_is_made_anew_by_the_next_reading() {
    for (name, damage) in damages() {
        let fixture = Fixture::new().await;
        let tip = fixture.tip().await;
        damage(&fixture.clone_path());
        let files = fixture.local.files(&tip, &[]).await;
        assert_eq!(files.unwrap_or_else(|fault| panic!("{name}: {fault}")).len(), 3, "{name}");
        let history = fixture.local.history(&tip, "kubernetes/dev/voice.yaml", 10).await;
        assert_eq!(history.unwrap_or_else(|fault| panic!("{name}: {fault}")).changes.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_damaged_cache_does_not_keep_a_new_process_from_starting() {
    for (name, damage) in damages() {
        let fixture = Fixture::new().await;
        let tip = fixture.tip().await;
        damage(&fixture.clone_path());
        let fixture = fixture.reopen().await;
        assert_eq!(fixture.tip().await, tip, "{name}");
        assert_eq!(fixture.local.files(&tip, &[]).await.unwrap().len(), 3, "{name}");
    }
}

#[tokio::test]
async fn half_received_packs_are_removed() {
    let fixture = Fixture::new().await;
    fixture.tip().await;
    let pack = fixture.clone_path().join("objects/pack/tmp_pack_x1");
    fs::create_dir_all(pack.parent().unwrap()).unwrap();
    fs::write(&pack, "PACK").unwrap();
    fixture.tip().await;
    assert!(!pack.exists());
}

#[tokio::test]
async fn a_clone_of_thousands_of_small_files_is_repacked() {
    let fixture = Fixture::new().await;
    fixture.tip().await;
    let packs = || {
        let entries = fs::read_dir(fixture.clone_path().join("objects/pack")).unwrap().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "pack")).count()
    };
    fixture.remote.commit("main", &NewCommit::file("More", "x.yaml", b"1")).unwrap();
    fixture.tip().await;
    assert_eq!(packs(), 2);
    let clone = git2::Repository::open_bare(fixture.clone_path()).unwrap();
    for number in 0..9_000 {
        clone.blob(format!("{number}").as_bytes()).unwrap();
    }
    fixture.remote.commit("main", &NewCommit::file("Still more", "x.yaml", b"2")).unwrap();
    let tip = fixture.tip().await;
    assert_eq!(packs(), 1);
    assert_eq!(fixture.local.files(&tip, &[]).await.unwrap().len(), 4);
}
