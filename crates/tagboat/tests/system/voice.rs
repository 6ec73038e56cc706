//! The first user's own repository, at its newest revision.

use crate::place::{PATIENCE, Place, fixture, item};
use std::path::PathBuf;
use tagboat_testkit::voice_infra;

const BRANCH: &str = "master";
const MIRRORED: &str = "https://mozilla-it.github.io/helm-charts/";
const OTHERS: [&str; 3] = [
    "https://kubernetes-charts.storage.googleapis.com",
    "https://vmware-tanzu.github.io/helm-charts",
    "https://godaddy.github.io/kubernetes-external-secrets/",
];
const DEV: &str = "voice-dev:helmrelease/voice";

#[allow(clippy::print_stdout, reason = "a test that did not run says so")]
fn bundle() -> Option<PathBuf> {
    voice_infra::bundle().inspect_err(|missing| println!("NOT RUN: {missing}")).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn voice_infra_is_mirrored_and_a_tag_for_dev_reaches_its_deployment() {
    let Some(bundle) = bundle() else { return };
    let place = Place::new().await;
    place.repository.fetch_bundle(&bundle).unwrap();
    for chart in ["mozilla-common-voice", "sentence-collector"] {
        let version = if chart == "sentence-collector" { "0.1.0" } else { "0.4.1" };
        place.charts.publish_folder(&fixture("charts").join(chart), version).await.unwrap();
    }
    let before = place.repository.head(BRANCH).unwrap().unwrap();
    let manifest = String::from_utf8(
        place.repository.read(&before, "kubernetes/releases/voice-dev/voice-dev-chart.yaml").unwrap(),
    )
    .unwrap();
    let current = manifest.lines().find_map(|line| line.trim().strip_prefix("image: mozilla/commonvoice:")).unwrap();
    place.push("mozilla/commonvoice", current).await;

    // Every chart repository has a stand-in, most of them an empty one: nothing outside of this machine is asked.
    let mirrors: String = OTHERS
        .iter()
        .map(|repository| format!("  - repository: {repository}\n    mirror: {}\n", place.charts.url()))
        .collect();
    let config = place.config(BRANCH, "docker.io", MIRRORED).replace("cluster:\n", &format!("{mirrors}cluster:\n"));
    let controller = place.start(&config).await;

    // 40 documents: 32 are in the cluster, each of the other eight is reported once with file and reason.
    let status = controller
        .wait_for("the first revision is mirrored", PATIENCE, |status| {
            status["sources"][0]["mirrored"] == before.as_str()
        })
        .await
        .unwrap();
    let source = &status["sources"][0];
    assert_eq!(source["objects"], 32, "{source:#}");
    let problems: Vec<&serde_json::Value> =
        source["problems"].as_array().unwrap().iter().filter(|problem| problem["error"] == true).collect();
    assert_eq!(problems.len(), 8, "{problems:#?}");
    for (kind, count) in [("Ingress", 4), ("Deployment", 2), ("ExternalSecret", 2)] {
        let of_kind = problems.iter().filter(|problem| problem["text"].as_str().unwrap().contains(kind)).count();
        assert_eq!(of_kind, count, "{kind}: {problems:#?}");
    }

    // The stand-in charts are released; every other release says, once, that its chart cannot be had.
    controller
        .wait_for("releases are settled", PATIENCE, |status| {
            let phase = |workload: &str| item(status, workload).map(|item| item["release"]["phase"].clone());
            phase(DEV) == Some("Succeeded".into())
                && phase("voice-stage:helmrelease/sentence-collector") == Some("Succeeded".into())
                && phase("voice-prod:helmrelease/voice") == Some("Succeeded".into())
        })
        .await
        .unwrap();
    place.wait_for_image("voice-dev", "voice-dev", &format!("mozilla/commonvoice:{current}"), &controller).await;
    let list = place.cluster.helm(&["list", "--namespace", "voice-dev", "--output", "json"]).await.unwrap();
    assert!(list.contains("mozilla-common-voice-0.4.1"), "{list}");

    // A new tag: one commit, one line, Flux's subject; and the Deployment runs it.
    let tag = "main-0123456789abcdef0123456789abcdef01234567";
    place.push("mozilla/commonvoice", tag).await;
    place.wait_for_image("voice-dev", "voice-dev", &format!("mozilla/commonvoice:{tag}"), &controller).await;
    let commits = place.repository.commits(BRANCH).unwrap();
    let newest = commits.first().unwrap();
    assert_eq!(newest.message.lines().next(), Some(format!("Auto-release mozilla/commonvoice:{tag}").as_str()));
    let diff = place.repository.diff(&before, &newest.id).unwrap();
    let changed: Vec<&str> = diff
        .lines()
        .filter(|line| {
            (line.starts_with('+') || line.starts_with('-')) && !line.starts_with("+++") && !line.starts_with("---")
        })
        .collect();
    assert_eq!(changed.len(), 2, "{diff}");
    assert!(changed[1].ends_with(&format!("image: mozilla/commonvoice:{tag}")), "{diff}");

    controller
        .wait_for("dev is healthy with the new tag", PATIENCE, |status| {
            item(status, DEV).is_some_and(|item| item["change"]["timeline"]["healthy"].is_string())
        })
        .await
        .unwrap();
    let logs = controller.logs().unwrap();
    for chart in ["nginx-ingress", "grafana", "velero"] {
        let failures = logs
            .iter()
            .filter(|line| line["level"] == "WARN" && line.to_string().contains(chart))
            .filter(|line| line.to_string().contains("release failed"))
            .count();
        assert!((1..=5).contains(&failures), "{chart} was reported {failures} times");
    }
    let once = |needle: &str| logs.iter().filter(|line| line.to_string().contains(needle)).count();
    assert_eq!(once("voice-stage/db-monitor.yaml:13:"), 1, "a refused document is logged once");
}
