//! Who may read through the token listener, by a real API server's word.

#![allow(clippy::unwrap_used, reason = "a test")]

use reqwest::{Client, Response};
use std::net::SocketAddr;
use std::sync::Arc;
use tagboat_engine::report::Board;
use tagboat_testkit::Cluster;
use tagboat_web::{Access, Bound, Limits, TokenAccess, status_api};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Api {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Api {
    async fn start(client: kube::Client) -> Self {
        let bound = Bound::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (address, stop) = (bound.address(), CancellationToken::new());
        let access = Arc::new(Access::Token(TokenAccess::new(client)));
        let router = status_api(Arc::new(Board::new("0.1.0")), access);
        tokio::spawn(bound.serve(router, Limits::default(), stop.clone().cancelled_owned()));
        Self { address, _stop: stop.drop_guard() }
    }

    async fn get(&self, path: &str, authorization: Option<&str>) -> Response {
        let mut request = Client::new().get(format!("http://{}{path}", self.address));
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        request.send().await.unwrap()
    }

    async fn status(&self, token: &str) -> u16 {
        self.get("/api/v1/status", Some(&format!("Bearer {token}"))).await.status().as_u16()
    }
}

async fn token(cluster: &Cluster, namespace: &str, account: &str, audience: &[&str]) -> String {
    let create = [&["-n", namespace, "create", "token", account], audience].concat();
    cluster.kubectl(&create).await.unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_token_for_tagboat_whose_user_may_get_the_status_reads_it() {
    tagboat_testkit::install_provider();
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace("web-token").await.unwrap();
    for account in ["reader", "stranger"] {
        cluster.kubectl(&["-n", &namespace, "create", "serviceaccount", account]).await.unwrap();
    }
    let role = format!(
        r#"{{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{{"name":"{namespace}"}},
        "rules":[{{"apiGroups":["tagboat.dev"],"resources":["status"],"verbs":["get"]}}]}}"#
    );
    cluster.kubectl_with(&["apply", "-f", "-"], role.as_bytes()).await.unwrap();
    let subject = format!("--serviceaccount={namespace}:reader");
    let bind = ["create", "clusterrolebinding", &namespace, "--clusterrole", &namespace, &subject];
    cluster.kubectl(&bind).await.unwrap();

    let api = Api::start(cluster.client().await.unwrap()).await;
    let ours = ["--audience", "tagboat"];

    let reader = token(cluster, &namespace, "reader", &ours).await;
    assert_eq!(api.status(&reader).await, 200);
    assert_eq!(api.status(&reader).await, 200, "again, from the verdict that is kept");

    let elsewhere = token(cluster, &namespace, "reader", &[]).await;
    assert_eq!(api.status(&elsewhere).await, 401, "a token for the API server is not taken");

    let stranger = token(cluster, &namespace, "stranger", &ours).await;
    assert_eq!(api.status(&stranger).await, 403);

    let mut forged = reader.clone();
    forged.replace_range(forged.len() - 4.., "AAAA");
    assert_eq!(api.status(&forged).await, 401);
}

#[tokio::test]
async fn a_refusal_tells_nothing_about_what_exists() {
    tagboat_testkit::install_provider();
    let cluster = Cluster::shared().await.unwrap();
    let api = Api::start(cluster.client().await.unwrap()).await;
    let mut answers = Vec::new();
    for path in ["/api/v1/status", "/api/v1/workloads/secret", "/"] {
        for authorization in [None, Some("Bearer x"), Some("Bearer "), Some("Basic eDp5"), Some("nonsense")] {
            let response = api.get(path, authorization).await;
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            answers.push((response.status().as_u16(), response.text().await.unwrap()));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0].0, 401);
}

#[tokio::test]
async fn without_the_api_server_nobody_is_let_in() {
    tagboat_testkit::install_provider();
    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = kube::Config::new(format!("http://127.0.0.1:{port}").parse().unwrap());
    let api = Api::start(kube::Client::try_from(nowhere).unwrap()).await;
    assert_eq!(api.status("anything").await, 503);
}
