//! Asking the controller: by port-forward, or at an address.

use super::Controller;
use crate::exit::Exit;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use std::fmt;
use std::time::Duration;
use tagboat_engine::report::StatusView;

/// The path of the read endpoint.
const PATH: &str = "/api/v1/status";
/// The port on the pod's loopback, where the chart puts it.
const PORT: u16 = 8081;
/// The label of the controller's pods.
const LABEL: &str = "app.kubernetes.io/name=tagboat";
/// The largest answer that is read, in bytes.
const LIMIT: usize = 64 * 1024 * 1024;
/// How long the whole question may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why the controller could not be asked.
#[derive(Debug)]
pub struct Unanswered {
    text: String,
    exit: Exit,
    hint: Option<&'static str>,
}

impl Unanswered {
    fn unreachable(text: impl Into<String>) -> Self {
        Self { text: text.into(), exit: Exit::Unreachable, hint: None }
    }

    fn hinting(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }

    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads the status.
pub async fn status(controller: &Controller) -> Result<StatusView, Unanswered> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let question = async {
        match &controller.address {
            Some(address) => at_address(controller, address).await,
            None => by_port_forward(controller).await,
        }
    };
    let body = tokio::time::timeout(DEADLINE, question).await.map_err(|_| {
        Unanswered::unreachable(format!("the controller did not answer within {} s", DEADLINE.as_secs()))
    })??;
    serde_json::from_slice(&body)
        .map_err(|error| Unanswered::unreachable(format!("the answer is not a status of Tagboat: {error}")))
}

fn judge(status: u16, body: &[u8]) -> Result<(), Unanswered> {
    let text = String::from_utf8_lossy(&body[..body.len().min(500)]).trim().to_owned();
    match status {
        200 => Ok(()),
        401 | 403 => {
            Err(Unanswered { text: format!("not permitted ({status}): {text}"), exit: Exit::Denied, hint: None }
                .hinting("kubectl create token NAME --audience tagboat > token, then --token-file token"))
        }
        _ => Err(Unanswered::unreachable(format!("the controller answered with {status}: {text}"))),
    }
}

async fn at_address(controller: &Controller, address: &url::Url) -> Result<Vec<u8>, Unanswered> {
    let wrong = |what: &str, error: &dyn fmt::Display| Unanswered::unreachable(format!("{what}: {error}"));
    let url = address.join(PATH).map_err(|error| wrong("--address", &error))?;
    let mut client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(DEADLINE);
    if let Some(path) = &controller.ca_file {
        let pem = std::fs::read(path).map_err(|error| wrong(&path.display().to_string(), &error))?;
        for certificate in reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong("--ca-file", &error))? {
            client = client.add_root_certificate(certificate);
        }
    }
    let mut request = client.build().map_err(|error| wrong("HTTP", &error))?.get(url.clone());
    if let Some(path) = &controller.token_file {
        let token = std::fs::read_to_string(path).map_err(|error| wrong(&path.display().to_string(), &error))?;
        request = request.bearer_auth(token.trim());
    }
    let mut response = request.send().await.map_err(|error| {
        wrong(&format!("no answer from {}", url.origin().ascii_serialization()), &error.without_url())
    })?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| wrong("the answer broke off", &error.without_url()))?
    {
        if body.len() + chunk.len() > LIMIT {
            return Err(Unanswered::unreachable(format!("the answer is larger than {LIMIT} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    judge(status, &body)?;
    Ok(body)
}

async fn by_port_forward(controller: &Controller) -> Result<Vec<u8>, Unanswered> {
    let wrong = |what: &str, error: &dyn fmt::Display| Unanswered::unreachable(format!("{what}: {error}"));
    let file = match &controller.kubeconfig {
        Some(path) => kube::config::Kubeconfig::read_from(path),
        None => kube::config::Kubeconfig::read(),
    }
    .map_err(|error| {
        wrong("no kubeconfig can be read", &error)
            .hinting("name one with --kubeconfig, or the controller with --address")
    })?;
    let options = kube::config::KubeConfigOptions { context: controller.context.clone(), ..Default::default() };
    let config = kube::Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|error| wrong("the kubeconfig cannot be used", &error))?;
    let client = kube::Client::try_from(config).map_err(|error| wrong("the kubeconfig cannot be used", &error))?;
    let pods: Api<Pod> = match &controller.controller_namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let found = pods.list(&ListParams::default().labels(LABEL)).await.map_err(refused)?;
    let running = found.items.iter().filter(|pod| {
        pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
            && pod.metadata.deletion_timestamp.is_none()
    });
    let Some(pod) = running.max_by_key(|pod| pod.metadata.creation_timestamp.clone()) else {
        return Err(Unanswered::unreachable(format!("no running pod with the label {LABEL} was found"))
            .hinting("is Tagboat installed? helm list --all-namespaces; or name the controller with --address"));
    };
    let name = pod.metadata.name.clone().unwrap_or_default();
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let mut forward = Api::<Pod>::namespaced(client, &namespace).portforward(&name, &[PORT]).await.map_err(refused)?;
    let stream = forward
        .take_stream(PORT)
        .ok_or_else(|| Unanswered::unreachable(format!("the port-forward to {namespace}/{name} has no stream")))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| wrong(&format!("the port-forward to {namespace}/{name}"), &error))?;
    let driving = tokio::spawn(connection);
    let request = http::Request::get(PATH)
        .header("host", format!("127.0.0.1:{PORT}"))
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|error| wrong("HTTP", &error))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| wrong(&format!("no answer from {namespace}/{name}"), &error))?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), LIMIT)
        .collect()
        .await
        .map_err(|error| wrong("the answer broke off", &error))?
        .to_bytes();
    driving.abort();
    judge(status, &body)?;
    Ok(body.to_vec())
}

fn refused(error: kube::Error) -> Unanswered {
    match &error {
        kube::Error::Api(status) if status.code == 401 || status.code == 403 => {
            Unanswered { text: format!("not permitted: {}", status.message), exit: Exit::Denied, hint: None }
                .hinting("this needs list on pods and create on pods/portforward in the controller's namespace")
        }
        _ => Unanswered::unreachable(format!("the API server cannot be asked: {error}")),
    }
}
