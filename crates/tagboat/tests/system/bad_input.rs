//! Bad documents among good ones: each is named, and hurts only itself.

use crate::place::{PATIENCE, item};
use crate::shop::{AUTOMATED, Shop, WEB_FILE, WEB_IMAGE, api, deployment, image, said, web};
use tagboat_testkit::{Change, NewCommit};

fn config_map(name: &str, namespace: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n{namespace}data:\n  a: b\n")
}

pub const CRD: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: shelves.shop.example.com
spec:
  group: shop.example.com
  scope: Namespaced
  names: {plural: shelves, singular: shelf, kind: Shelf}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_document_is_named_and_hurts_only_itself() {
    let shop = Shop::new().await;
    let shop_namespace = "  namespace: shop\n";
    let several = format!(
        "{}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{}}\n---\n{}",
        config_map("before", shop_namespace),
        config_map("after", shop_namespace)
    );
    let filtered = |name: &str, filter: &str| {
        deployment(name, &image(WEB_IMAGE, "main-1"), 1).replacen(
            &format!("  name: {name}\n"),
            &format!("  name: {name}\n{shop_namespace}{AUTOMATED}{filter}"),
            1,
        )
    };
    let files = [
        ("shop/broken.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [\n".to_owned()),
        ("shop/several.yaml", several),
        ("shop/twice-a.yaml", config_map("twice", shop_namespace)),
        ("shop/twice-b.yaml", format!("# once more\n{}", config_map("twice", shop_namespace))),
        // Read before its definition.
        (
            "shop/a-shelf.yaml",
            "apiVersion: shop.example.com/v1\nkind: Shelf\nmetadata: {name: oak, namespace: shop}\nspec: {}\n"
                .to_owned(),
        ),
        ("shop/definition.yaml", CRD.to_owned()),
        ("shop/unserved.yaml", "apiVersion: no.example.com/v1\nkind: Nothing\nmetadata: {name: x}\n".to_owned()),
        ("shop/placeless.yaml", config_map("placeless", "")),
        (
            "shop/counter.yaml",
            deployment("counter", &image(WEB_IMAGE, "main-1"), 1).replacen(
                "  name: counter\n",
                &format!("  name: counter\n{AUTOMATED}"),
                1,
            ),
        ),
        ("shop/stranger.yaml", filtered("stranger", "    filter.fluxcd.io/nobody: glob:main-*\n")),
        ("shop/unclear.yaml", filtered("unclear", "    filter.fluxcd.io/unclear: semver:~~one\n")),
        ("shop/api.yaml", api("main-1").replace("spec:\n", "spec:\n  invented: true\n")),
        (WEB_FILE, web("main-1", 1)),
    ];
    let changes = files.iter().map(|(path, text)| Change { path, content: Some(text.as_bytes()) }).collect();
    let revision = shop.place.repository.commit("main", &NewCommit::new("Rearrange everything", changes)).unwrap();
    let config = shop.config().replace("  git:\n", "  defaultNamespace: shop\n  git:\n");
    let controller = shop
        .start_with(&config, shop.place.cluster.kubeconfig_path(), &tagboat_testkit::ControllerOptions::default())
        .await;
    let status = shop.settled(&controller, "main-1", "main-1").await;
    assert_eq!(status["sources"][0]["mirrored"], revision.as_str());

    let problems = status["sources"][0]["problems"].as_array().unwrap();
    let of = |file: &str| -> Vec<String> {
        let all = problems.iter().filter(|problem| problem["file"] == file);
        all.map(|problem| format!("{}: {}", problem["line"], problem["text"].as_str().unwrap())).collect()
    };
    let expected = [
        ("shop/broken.yaml", "3: "),
        ("shop/several.yaml", "metadata.name"),
        (
            "shop/twice-a.yaml",
            "1: ConfigMap shop/twice is defined twice, also at shop/twice-b.yaml:2; neither was applied",
        ),
        (
            "shop/twice-b.yaml",
            "2: ConfigMap shop/twice is defined twice, also at shop/twice-a.yaml:1; neither was applied",
        ),
        ("shop/unserved.yaml", "no matches for kind \"Nothing\" in version \"no.example.com/v1\""),
        ("shop/stranger.yaml", "nobody"),
        ("shop/unclear.yaml", "~~one"),
        ("shop/api.yaml", "invented"),
    ];
    for (file, text) in expected {
        let found = of(file);
        assert!(found.len() == 1 && found[0].contains(text), "{file}: {found:#?}");
        assert_eq!(
            said(&controller, &format!("{file}:{}:", found[0].split(':').next().unwrap())),
            1,
            "{file} is logged once: {}",
            controller.log_tail()
        );
    }
    let others: Vec<_> =
        problems.iter().filter(|problem| expected.iter().all(|(file, _)| problem["file"] != *file)).collect();
    assert!(others.is_empty(), "{others:#?}");

    // What is good is there, and what has no namespace is in the configured one.
    let exists = async |kind: &str, name: &str| {
        shop.place.cluster.kubectl(&["get", kind, name, "-n", "shop", "-o", "name"]).await.is_ok()
    };
    for (kind, name) in [
        ("configmap", "before"),
        ("configmap", "after"),
        ("configmap", "placeless"),
        ("deployment", "counter"),
        ("shelves.shop.example.com", "oak"),
        ("deployment", "stranger"),
        ("deployment", "unclear"),
        ("helmrelease", "api"),
    ] {
        assert!(exists(kind, name).await, "{kind} {name} was applied");
    }
    assert!(!exists("configmap", "twice").await, "neither of two was applied");

    // A new build: only the workloads whose filters are wrong keep what they have.
    shop.place.push(WEB_IMAGE, "main-2").await;
    shop.settled(&controller, "main-2", "main-1").await;
    shop.place.wait_for_image("shop", "counter", &image(WEB_IMAGE, "main-2"), &controller).await;
    let status = controller
        .wait_for("the counter is healthy", PATIENCE, |status| {
            item(status, "shop:deployment/counter").is_some_and(|item| item["health"]["state"] == "healthy")
        })
        .await
        .unwrap();
    for name in ["stranger", "unclear"] {
        let item = item(&status, &format!("shop:deployment/{name}")).unwrap();
        assert_eq!(item["state"], "blocked", "{item:#}");
        assert_eq!(item["containers"][0]["current"], image(WEB_IMAGE, "main-1"), "{item:#}");
    }

    // A pause on a live object counts for what names no namespace, too.
    let pause = ["annotate", "deployment", "counter", "-n", "shop", "fluxcd.io/automated=false", "--overwrite"];
    shop.place.cluster.kubectl(&pause).await.unwrap();
    controller
        .wait_for("the pause is seen", PATIENCE, |status| {
            item(status, "shop:deployment/counter").is_some_and(|item| item["containers"][0]["action"] == "hold")
        })
        .await
        .unwrap();
    shop.place.push(WEB_IMAGE, "main-3").await;
    shop.settled(&controller, "main-3", "main-1").await;
    assert!(shop.read("shop/counter.yaml").contains(&image(WEB_IMAGE, "main-2")));
    controller.stop().await.unwrap();
}
