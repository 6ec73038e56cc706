use serde_json::{Value, json};
use tagboat_engine::ports::{Cluster as _, FaultKind, FieldManager};

use crate::{Bench, config_map, deployment, mirror};

#[tokio::test]
async fn applying_the_same_again_changes_nothing() {
    let bench = Bench::new("apply").await;
    let object = deployment(&bench.namespace, "web", "example.com/web:1");
    let first = bench.apply(&object).await;
    assert!(first.changed);
    assert_eq!((first.generation, first.warnings.as_slice()), (Some(1), [].as_slice()));
    let again = bench.apply(&object).await;
    assert!(!again.changed, "{again:?}");
    assert_eq!((again.generation, &again.uid), (Some(1), &first.uid));
    let other = bench.apply(&deployment(&bench.namespace, "web", "example.com/web:2")).await;
    assert!(other.changed && other.generation == Some(2), "{other:?}");
}

#[tokio::test]
async fn a_dry_run_tells_and_stores_nothing() {
    let bench = Bench::new("apply").await;
    let object = config_map(&bench.namespace, "dry", json!({"a": "1"}));
    let applied = bench.api.apply(&tagboat_engine::ports::Apply { dry_run: true, ..mirror(&object) }).await.unwrap();
    assert!(applied.changed);
    assert_eq!(bench.api.get(&bench.id("v1", "ConfigMap", "dry")).await.unwrap(), None);
}

#[tokio::test]
async fn undeclared_fields_and_doubled_env_are_normalised_with_a_warning() {
    let bench = Bench::new("apply").await;
    let mut object = deployment(&bench.namespace, "odd", "example.com/web:1");
    object["spec"]["bogus"] = json!(true);
    let container = &mut object["spec"]["template"]["spec"]["containers"][0];
    container["imagez"] = json!("x");
    container["env"] = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "A", "value": "3"}]);
    container["ports"] =
        json!([{"containerPort": 80, "name": "a"}, {"containerPort": 80, "protocol": "TCP", "name": "b"}]);
    let applied = bench.apply(&object).await;
    let text = applied.warnings.join("\n");
    for expected in [
        ".spec.bogus is not a field of this kind and was left out",
        ".spec.template.spec.containers[name=\"web\"].imagez is not a field",
        ".spec.template.spec.containers[name=\"web\"].env has 2 entries with key [name=\"A\"]: the last one counts",
        ".ports has 2 entries with key [containerPort=80,protocol=\"TCP\"]",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let live = bench.get(&object).await;
    let container = &live["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["env"], json!([{"name": "B", "value": "2"}, {"name": "A", "value": "3"}]));
    assert_eq!(container["ports"][0]["name"], "b");
    assert!(!bench.apply(&object).await.changed);
}

#[tokio::test]
async fn what_the_api_server_would_refuse_anyway_is_refused_with_the_field() {
    let bench = Bench::new("apply").await;
    let mut doubled = deployment(&bench.namespace, "bad", "example.com/web:1");
    doubled["spec"]["template"]["spec"]["containers"] =
        json!([{"name": "a", "image": "x"}, {"name": "a", "image": "y"}]);
    let fault = bench.api.apply(&mirror(&doubled)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid);
    assert!(fault.text.contains("containers: duplicate entries for key [name=\"a\"]"), "{fault}");

    let mut negative = deployment(&bench.namespace, "bad", "example.com/web:1");
    negative["spec"]["replicas"] = json!(-1);
    let fault = bench.api.apply(&mirror(&negative)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid);
    assert!(fault.text.contains("spec.replicas") && fault.text.contains(&bench.namespace), "{fault}");

    let fault = bench.api.apply(&mirror(&config_map(&bench.namespace, "bad", json!({"a": 1})))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid);
    assert!(fault.text.contains(".data.a: expected string"), "{fault}");

    let fault = bench.api.apply(&mirror(&config_map("no-such-namespace", "bad", json!({})))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);

    let unknown = json!({"apiVersion": "example.com/v9", "kind": "Gizmo", "metadata": {"name": "a", "namespace": bench.namespace}});
    let fault = bench.api.apply(&mirror(&unknown)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
    assert!(fault.text.contains("no matches for kind \"Gizmo\" in version \"example.com/v9\""), "{fault}");
}

#[tokio::test]
async fn values_of_a_refused_secret_are_not_shown() {
    let bench = Bench::new("apply").await;
    for (field, value) in [("stringData", json!(918_273_645)), ("data", json!("canary-918273645!"))] {
        let mut secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": bench.namespace}});
        secret[field] = json!({ "password": value });
        let fault = bench.api.apply(&mirror(&secret)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid, "{fault}");
        assert!(!format!("{fault:?}").contains("918273645"), "{fault:?}");
    }
}

#[tokio::test]
async fn what_git_dropped_disappears_from_objects_of_kubectl_apply() {
    let bench = Bench::new("takeover").await;
    let mut before = deployment(&bench.namespace, "old", "example.com/web:1");
    before["metadata"]["labels"] = json!({"dropped": "yes", "kept": "yes"});
    before["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "DROPPED", "value": "1"}]);
    bench.kubectl_apply(&[], &before).await;
    let mut after = deployment(&bench.namespace, "old", "example.com/web:1");
    after["metadata"]["labels"] = json!({"kept": "yes"});
    assert!(bench.apply(&after).await.changed);
    let live = bench.get(&after).await;
    assert_eq!(live["metadata"]["labels"], json!({"kept": "yes"}));
    assert_eq!(live.pointer("/spec/template/spec/containers/0/env"), None);
    let annotations = live["metadata"]["annotations"].as_object();
    assert!(
        !annotations.is_some_and(|all| all.keys().any(|key| key.starts_with("kubectl.kubernetes.io/"))),
        "{annotations:?}"
    );
    let owners: Vec<&str> = live["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["manager"].as_str())
        .collect();
    assert!(owners.contains(&"tagboat") && !owners.contains(&"kubectl-client-side-apply"), "{owners:?}");
    // What the API server had filled in is there again, and nothing was rolled out anew without need.
    assert_eq!(live["spec"]["progressDeadlineSeconds"], 600);
    assert!(!bench.apply(&after).await.changed);
}

#[tokio::test]
async fn a_service_is_taken_over_without_losing_its_address() {
    let bench = Bench::new("takeover").await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": bench.namespace},
        "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]}});
    bench.kubectl_apply(&[], &service).await;
    let before = bench.get(&service).await;
    bench.apply(&service).await;
    let after = bench.get(&service).await;
    assert_eq!(before["spec"], after["spec"]);
}

#[tokio::test]
async fn a_release_takes_over_what_helm_3_wrote() {
    let bench = Bench::new("takeover").await;
    let before = config_map(&bench.namespace, "chart", json!({"kept": "1", "dropped": "1"}));
    bench
        .cluster
        .kubectl_with(&["create", "--field-manager=helm", "-f", "-"], before.to_string().as_bytes())
        .await
        .unwrap();
    let after = config_map(&bench.namespace, "chart", json!({"kept": "1"}));
    let release = tagboat_engine::ports::Apply { manager: FieldManager::Release, ..mirror(&after) };
    bench.api.apply(&release).await.unwrap();
    assert_eq!(bench.get(&after).await["data"], json!({"kept": "1"}));
}

#[tokio::test]
async fn replicas_of_an_autoscaler_are_left_to_it() {
    let bench = Bench::new("scale").await;
    let mut object = deployment(&bench.namespace, "web", "example.com/web:1");
    object["spec"]["replicas"] = json!(1);
    bench.apply(&object).await;
    // The scale subresource is how autoscalers write.
    bench.kubectl(&["scale", "deployment/web", "--replicas=3"]).await;
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("example.com/web:2");
    let applied = bench.apply(&object).await;
    assert!(applied.changed);
    assert!(
        applied.warnings.iter().any(|warning| warning.starts_with(".spec.replicas was left out")),
        "{:?}",
        applied.warnings
    );
    let live = bench.get(&object).await;
    assert_eq!(live["spec"]["replicas"], 3);
    assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], "example.com/web:2");
}

#[tokio::test]
async fn fields_of_another_applier_are_left_and_reported() {
    let bench = Bench::new("conflict").await;
    // A key with dots reads like a path.
    let object = config_map(&bench.namespace, "shared", json!({"ours": "1", "theirs": "git", "a.b.c": "git"}));
    bench.apply(&object).await;
    let theirs = config_map(&bench.namespace, "shared", json!({"theirs": "other", "a.b.c": "other"}));
    bench.kubectl_apply(&["--server-side", "--force-conflicts", "--field-manager=other-team"], &theirs).await;
    let changed = config_map(&bench.namespace, "shared", json!({"ours": "2", "theirs": "git", "a.b.c": "git"}));
    let applied = bench.apply(&changed).await;
    assert!(applied.changed);
    assert_eq!(
        applied.warnings,
        [".data.a.b.c was left out: \"other-team\" applies it", ".data.theirs was left out: \"other-team\" applies it"]
    );
    assert_eq!(bench.get(&object).await["data"], json!({"ours": "2", "theirs": "other", "a.b.c": "other"}));
}

#[tokio::test]
async fn an_edit_by_hand_is_put_back() {
    let bench = Bench::new("drift").await;
    let object = config_map(&bench.namespace, "drift", json!({"a": "git"}));
    bench.apply(&object).await;
    bench.kubectl(&["patch", "configmap", "drift", "--type=merge", "-p", r#"{"data":{"a":"hand"}}"#]).await;
    let applied = bench.apply(&object).await;
    assert!(applied.changed && applied.warnings.is_empty(), "{applied:?}");
    assert_eq!(bench.get(&object).await["data"]["a"], "git");
}

#[tokio::test]
async fn a_service_account_can_do_no_more_than_its_own_rights() {
    let bench = Bench::new("runas").await;
    bench.kubectl(&["create", "serviceaccount", "deployer"]).await;
    let object = config_map(&bench.namespace, "mine", json!({"a": "1"}));
    let apply =
        tagboat_engine::ports::Apply { run_as: Some(format!("{}/deployer", bench.namespace)), ..mirror(&object) };
    let fault = bench.api.apply(&apply).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
    let who = format!("system:serviceaccount:{}:deployer", bench.namespace);
    assert!(fault.text.contains(&who) && fault.text.contains("configmaps"), "{fault}");
    let account = format!("{}:deployer", bench.namespace);
    bench.kubectl(&["create", "rolebinding", "deployer", "--clusterrole=edit", "--serviceaccount", &account]).await;
    // Authorisation learns of new bindings by a watch.
    for _ in 0..50 {
        if let Ok(applied) = bench.api.apply(&apply).await {
            assert!(applied.changed);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the binding never counted");
}

#[tokio::test]
async fn a_definition_and_its_object_can_follow_each_other() {
    let bench = Bench::new("staged").await;
    let group = format!("{}.example.com", bench.namespace);
    let name = format!("widgets.{group}");
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object",
                "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}}]}});
    let api_version = format!("{group}/v1");
    assert_eq!(bench.api.scope(&api_version, "Widget").await.unwrap(), None);
    bench.apply(&definition).await;
    bench.api.established(&name, std::time::Duration::from_secs(30)).await.unwrap();
    let widget = json!({"apiVersion": api_version, "kind": "Widget", "metadata": {"name": "w", "namespace": bench.namespace}, "spec": {"size": 1, "colour": "red"}});
    let applied = bench.apply(&widget).await;
    assert_eq!(applied.warnings, [".spec.colour is not a field of this kind and was left out"]);
    let served = bench.api.capabilities().await.unwrap();
    assert!(served.kube_version.starts_with("v1."), "{}", served.kube_version);
    for expected in [api_version.as_str(), &format!("{api_version}/Widget"), "v1", "apps/v1/Deployment"] {
        assert!(served.api_versions.iter().any(|version| version == expected), "{expected}");
    }
    let gone = bench.api.delete(&tagboat_engine::ports::ObjectRef::of(&definition).unwrap(), None).await.unwrap();
    assert!(gone);
    let fault = bench.api.established("nothing.example.com", std::time::Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Timeout);
    assert!(fault.text.contains("it is not there"), "{fault}");
}

#[tokio::test]
async fn one_broken_api_service_hides_nothing_else() {
    let bench = Bench::new("broken").await;
    let version = format!("v1.{}.example.com", bench.namespace);
    let service: Value = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": version},
        "spec": {"group": format!("{}.example.com", bench.namespace), "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"name": "nobody", "namespace": bench.namespace}}});
    bench.apply(&service).await;
    let object = config_map(&bench.namespace, "fine", json!({}));
    bench.apply(&object).await;
    assert_eq!(bench.api.scope("apps/v1", "Deployment").await.unwrap(), Some(tagboat_engine::ports::Scope::Namespaced));
    assert!(bench.api.capabilities().await.is_ok());
    bench.api.delete(&tagboat_engine::ports::ObjectRef::of(&service).unwrap(), None).await.unwrap();
}
