//! The definitions that the chart installs are the ones that the types say.

#![allow(clippy::unwrap_used, reason = "a test")]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use std::path::Path;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/tagboat/crds")
}

#[test]
fn the_chart_has_exactly_the_definitions_of_the_types() {
    let mut generated = tagboat_api::crd_files().unwrap();
    generated.sort();
    let mut present: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    present.sort();
    assert_eq!(generated.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), present);
    for (name, text) in generated {
        let stored = std::fs::read_to_string(folder().join(&name)).unwrap();
        assert!(stored == text, "charts/tagboat/crds/{name} is out of date: run `cargo xtask generate`");
    }
}

#[test]
fn the_text_reads_back_as_the_same_definitions() {
    let texts = tagboat_api::crd_files().unwrap();
    let crds = tagboat_api::crds();
    assert_eq!(texts.len(), crds.len());
    for ((_, text), crd) in texts.iter().zip(crds) {
        let read: CustomResourceDefinition = serde_saphyr::from_str(text).unwrap();
        assert_eq!(read, crd);
    }
}
