//! Digests, details and blobs of the real registry.

use crate::support::{REPOSITORY, at, by_status, plain, registries, total};
use rstest::rstest;
use serde_json::json;
use tagboat_engine::ports::{FaultKind, ImageRegistry as _};
use tagboat_image::Digest;
use tagboat_testkit::{ImageSpec, Registry};

fn built() -> ImageSpec {
    ImageSpec::created_at("2020-12-25T16:00:00Z".parse().unwrap())
        .label("org.opencontainers.image.revision", "1a2b3c")
        .label("org.opencontainers.image.source", "https://git.example/acme/web")
        .label("maintainer", "somebody")
}

#[rstest]
#[case::oci(false)]
#[case::docker(true)]
#[tokio::test]
async fn time_and_source_are_read_from_the_configuration(#[case] docker: bool) {
    let registry = Registry::start().await.unwrap();
    let image = ImageSpec { docker, ..built() };
    let pushed = registry.push_image(REPOSITORY, "main-1", &image).await.unwrap();
    let adapter = registries(vec![plain(&registry.host())]);
    let access = at(&registry.host(), REPOSITORY);

    let digest = adapter.digest(&access, &"main-1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(digest.as_str(), pushed);
    assert_eq!(total(&adapter), 1, "a digest is one HEAD");

    let details = adapter.details(&access, &digest).await.unwrap();
    assert_eq!(details.digest, digest);
    assert_eq!(details.created, image.created);
    let labels: Vec<_> = details.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        labels,
        [
            ("org.opencontainers.image.revision", "1a2b3c"),
            ("org.opencontainers.image.source", "https://git.example/acme/web")
        ]
    );
    assert_eq!(total(&adapter), 3, "details are a manifest and a configuration");
}

#[tokio::test]
async fn an_image_without_a_build_time_has_none() {
    let registry = Registry::start().await.unwrap();
    let image = ImageSpec { created: None, ..built() };
    let digest: Digest = registry.push_image(REPOSITORY, "x", &image).await.unwrap().parse().unwrap();
    let adapter = registries(vec![plain(&registry.host())]);
    assert_eq!(adapter.details(&at(&registry.host(), REPOSITORY), &digest).await.unwrap().created, None);
}

#[rstest]
#[case::oci(false)]
#[case::docker(true)]
#[tokio::test]
async fn an_index_leads_to_the_image_for_the_platform(#[case] docker: bool) {
    let registry = Registry::start().await.unwrap();
    let amd = ImageSpec { docker, ..built() };
    let arm = ImageSpec { docker, ..ImageSpec::created_at("2021-01-01T00:00:00Z".parse().unwrap()) };
    let arm = arm.platform("linux", "arm64");
    let amd_digest = registry.push_image(REPOSITORY, "amd", &amd).await.unwrap();
    let arm_digest = registry.push_image(REPOSITORY, "arm", &arm).await.unwrap();
    let both = [(&arm, arm_digest.as_str()), (&amd, amd_digest.as_str())];
    let index = registry.push_index(REPOSITORY, "both", &both).await.unwrap();
    registry.push_index(REPOSITORY, "only-arm", &both[..1]).await.unwrap();
    let adapter = registries(vec![plain(&registry.host())]);
    let access = at(&registry.host(), REPOSITORY);

    let digest = adapter.digest(&access, &"both".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(digest.as_str(), index, "a tag's digest is the index's");
    let details = adapter.details(&access, &digest).await.unwrap();
    assert_eq!((details.digest, details.created), (digest, amd.created));

    let digest = adapter.digest(&access, &"only-arm".parse().unwrap()).await.unwrap().unwrap();
    let fault = adapter.details(&access, &digest).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid);
    assert!(fault.text.contains("no image for linux/amd64, it has linux/arm64"), "{}", fault.text);
}

#[tokio::test]
async fn what_does_not_exist_is_told_apart_from_failure() {
    let registry = Registry::start().await.unwrap();
    registry.push_image(REPOSITORY, "main-1", &built()).await.unwrap();
    let adapter = registries(vec![plain(&registry.host())]);
    let access = at(&registry.host(), REPOSITORY);
    assert_eq!(adapter.digest(&access, &"main-2".parse().unwrap()).await.unwrap(), None);
    let missing = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    assert_eq!(adapter.details(&access, &missing).await.unwrap_err().kind, FaultKind::NotFound);
    assert_eq!(adapter.blob(&access, &missing).await.unwrap_err().kind, FaultKind::NotFound);
    assert_eq!(by_status(&adapter).into_iter().collect::<Vec<_>>(), [(404, 3)], "nothing is asked twice");
}

#[tokio::test]
async fn a_blob_comes_as_it_was_pushed() {
    let registry = Registry::start().await.unwrap();
    let content: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    let digest = registry.push_blob("charts/web", content.clone()).await.unwrap();
    let adapter = registries(vec![plain(&registry.host())]);
    let blob = adapter.blob(&at(&registry.host(), "charts/web"), &digest.parse().unwrap()).await.unwrap();
    assert_eq!(blob, content);
}

#[tokio::test]
async fn an_artifact_that_is_no_image_states_its_time_in_an_annotation() {
    let registry = Registry::start().await.unwrap();
    let config = registry.push_blob("charts/web", b"{}".to_vec()).await.unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": config, "size": 2},
        "layers": [],
        "annotations": {"org.opencontainers.image.created": "2022-02-02T02:02:02Z"},
    });
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let digest = registry.push_manifest("charts/web", "1.0.0", media_type, &manifest).await.unwrap();
    let adapter = registries(vec![plain(&registry.host())]);
    let details = adapter.details(&at(&registry.host(), "charts/web"), &digest.parse().unwrap()).await.unwrap();
    assert_eq!(details.created, Some("2022-02-02T02:02:02Z".parse().unwrap()));
}
