//! The workspace's arrows: which crate may depend on which.
//!
//! `image` ← `manifest` ← `engine` ← each adapter ← `tagboat`; `api` ← `manifest`, `cluster`. What stands further up may
//! use everything below it; adapters never use one another. Arrows bind normal and build dependencies; tests may use
//! `testkit` besides.

#![allow(clippy::expect_used, reason = "functions that tests share panic as tests do")]

use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

const ADAPTERS: [&str; 6] = ["registry", "git", "cluster", "helm", "notify", "web"];

fn allowed(of: &str) -> BTreeSet<&'static str> {
    let pure = ["image", "api", "manifest"];
    match of {
        "image" | "api" | "testkit" => BTreeSet::new(),
        "manifest" => ["image", "api"].into(),
        "engine" => pure.into(),
        "tagboat" => pure.into_iter().chain(["engine"]).chain(ADAPTERS).collect(),
        "xtask" => ["testkit", "api"].into(),
        adapter if ADAPTERS.contains(&adapter) => pure.into_iter().chain(["engine"]).collect(),
        other => panic!("crate {other} has no place in the design: name it in docs/ARCHITECTURE.md and here"),
    }
}

fn short(package: &str) -> &str {
    package.strip_prefix("tagboat-").unwrap_or(package)
}

/// The wrong arrows among `edges`.
fn wrong(edges: &BTreeMap<String, BTreeMap<String, DependencyKind>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (of, dependencies) in edges {
        let may = allowed(of);
        for (on, kind) in dependencies {
            let fine = may.contains(on.as_str()) || (*kind == DependencyKind::Development && is_for_tests(of, on));
            if !fine {
                wrong.push(format!("{of} → {on} ({kind})"));
            }
        }
    }
    wrong
}

fn is_for_tests(of: &str, on: &str) -> bool {
    on == "testkit" || (of == "testkit" && on == "image")
}

fn edges() -> BTreeMap<String, BTreeMap<String, DependencyKind>> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    let members: BTreeSet<String> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let mut edges: BTreeMap<String, BTreeMap<String, DependencyKind>> = BTreeMap::new();
    for package in &metadata.packages {
        let own = edges.entry(short(&package.name).to_owned()).or_default();
        for dependency in package.dependencies.iter().filter(|dependency| members.contains(&dependency.name)) {
            let kind = own.entry(short(&dependency.name).to_owned()).or_insert(dependency.kind);
            if *kind == DependencyKind::Development {
                *kind = dependency.kind;
            }
        }
    }
    edges
}

#[test]
fn every_arrow_points_where_the_design_says() {
    let edges = edges();
    assert!(edges.len() >= 13, "found only {:?}", edges.keys());
    assert_eq!(wrong(&edges), Vec::<String>::new());
}

#[test]
fn a_wrong_arrow_is_found() {
    let mut edges = edges();
    edges.entry("registry".to_owned()).or_default().insert("git".to_owned(), DependencyKind::Normal);
    edges.entry("image".to_owned()).or_default().insert("testkit".to_owned(), DependencyKind::Normal);
    assert_eq!(wrong(&edges).len(), 2);
}

#[test]
fn no_crate_is_a_drawer_for_everything() {
    for name in edges().keys() {
        assert!(!["utils", "util", "common", "helpers", "shared"].contains(&name.as_str()), "{name}");
    }
}
