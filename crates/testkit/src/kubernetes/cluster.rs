use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tokio::sync::OnceCell;

use super::{ApiServer, AuditEntry, ControllerManager, Etcd, Kwok, NODE, READY, Scheduler};
use crate::{Error, Result, Scratch, components, process, tls};

const TOOL: Duration = Duration::from_secs(120);

/// What a [`Cluster`] is to have beyond the usual.
#[derive(Debug, Default, Clone)]
pub struct ClusterOptions {
    /// More stages for KWOK: YAML documents of kind `Stage`.
    pub stages: Vec<String>,
}

/// A whole cluster, or the one that `TAGBOAT_TEST_KUBECONFIG` names.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
    own: Option<Own>,
    scratch: Scratch,
}

/// The servers, in the order in which they are stopped.
#[derive(Debug)]
struct Own {
    kwok: Kwok,
    scheduler: Scheduler,
    controllers: ControllerManager,
    api: ApiServer,
    etcd: Etcd,
}

/// A user with a kubeconfig of their own.
#[derive(Debug, Clone)]
pub struct User {
    kubeconfig: PathBuf,
}

impl Cluster {
    /// Starts a cluster of the caller's own; it is gone when the value is dropped.
    pub async fn start() -> Result<Self> {
        Self::start_with(ClusterOptions::default()).await
    }

    /// Starts a cluster with options.
    pub async fn start_with(options: ClusterOptions) -> Result<Self> {
        if let Some(file) = std::env::var_os("TAGBOAT_TEST_KUBECONFIG").filter(|value| !value.is_empty()) {
            return Self::existing(Path::new(&file));
        }
        let scratch = Scratch::new("cluster")?;
        let etcd = Etcd::start().await?;
        let api = ApiServer::start(&etcd).await?;
        let node = async {
            create_node(&client(api.kubeconfig()).await?).await?;
            // KWOK reads Logs objects from the API server, so the definitions of those come first.
            let definitions = components::path("kwok-crds.yaml")?;
            let mut apply = kubectl(&scratch, api.kubeconfig())?;
            apply.arg("create").arg("--validate=false").arg("-f").arg(definitions);
            process::run(apply, None, TOOL).await?;
            Kwok::start(&api, &options.stages).await
        };
        let (kwok, controllers, scheduler) =
            tokio::try_join!(node, ControllerManager::start(&api), Scheduler::start(&api))?;
        let kubeconfig = api.kubeconfig().to_path_buf();
        let cluster = Self { kubeconfig, own: Some(Own { kwok, scheduler, controllers, api, etcd }), scratch };
        cluster.wait_usable().await?;
        Ok(cluster)
    }

    /// A cluster that runs already, with the rights of a kubeconfig file. What only a cluster of the test's own has
    /// (users, audit log, logs of Pods that a test writes) is an error here.
    pub fn existing(kubeconfig: &Path) -> Result<Self> {
        Ok(Self { kubeconfig: kubeconfig.to_path_buf(), own: None, scratch: Scratch::new("cluster")? })
    }

    /// The cluster that all tests of this process share: started by the first, gone with the process. Tests keep apart
    /// by namespaces ([`Cluster::namespace`]).
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// A client with all rights. It belongs to the caller's async runtime: make one per test.
    pub async fn client(&self) -> Result<kube::Client> {
        client(&self.kubeconfig).await
    }

    /// A kubeconfig file with all rights.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig
    }

    /// The API server, where it is the test's own.
    pub fn api_server(&self) -> Option<&ApiServer> {
        self.own.as_ref().map(|own| &own.api)
    }

    /// The process ids of all its servers.
    pub fn process_ids(&self) -> Vec<u32> {
        self.own.as_ref().map_or_else(Vec::new, |own| {
            vec![
                own.kwok.process_id(),
                own.scheduler.process_id(),
                own.controllers.process_id(),
                own.api.process_id(),
                own.etcd.process_id(),
            ]
        })
    }

    /// Makes a namespace with a name of its own, in which Pods can be made at once.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{:x}-{count}", rand::random::<u32>());
        let client = self.client().await?;
        let object = Namespace {
            metadata: kube::api::ObjectMeta { name: Some(name.clone()), ..Default::default() },
            ..Default::default()
        };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .map_err(Error::kubernetes(format!("creating the namespace {name}")))?;
        // Pods are refused until the controller manager has made the default service account.
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(client, &name);
        wait(&format!("the default service account of {name}"), Duration::from_secs(60), async || {
            Ok(accounts.get_opt("default").await?.map_or(Err("none".to_owned()), |_| Ok(())))
        })
        .await?;
        Ok(name)
    }

    /// A user who authenticates with a client certificate, with the rights that RBAC gives to the name or the group.
    pub fn user(&self, name: &str, group: Option<&str>) -> Result<User> {
        Ok(User { kubeconfig: self.own()?.api.user_kubeconfig(name, group)? })
    }

    /// Runs `kubectl` with all rights and gives back what it printed.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with(arguments, b"").await
    }

    /// Runs `kubectl` with an input, such as a manifest for `apply -f -`.
    pub async fn kubectl_with(&self, arguments: &[&str], input: &[u8]) -> Result<String> {
        let mut command = kubectl(&self.scratch, &self.kubeconfig)?;
        command.args(arguments);
        text(process::run(command, Some(input), TOOL).await?)
    }

    /// Runs the real `helm` with all rights and gives back what it printed.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String> {
        let mut command = crate::charts::helm_command(self.scratch.path())?;
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments);
        text(process::run(command, None, TOOL).await?)
    }

    /// Every answered request so far but those of the cluster's own servers, oldest first.
    pub fn audit_entries(&self) -> Result<Vec<AuditEntry>> {
        self.own()?.api.audit_entries()
    }

    /// Makes `text` the log of a Pod's containers, so that `kubectl logs` and the API give it.
    pub async fn set_pod_logs(&self, namespace: &str, pod: &str, text: &str) -> Result<()> {
        let kwok = &self.own()?.kwok;
        let file = kwok.write_log(namespace, pod, text)?;
        let kind =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("kwok.x-k8s.io", "v1alpha1", "Logs"), "logs");
        let logs: Api<DynamicObject> = Api::namespaced_with(self.client().await?, namespace, &kind);
        let object = json!({
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Logs",
            "metadata": { "name": pod, "namespace": namespace },
            "spec": { "logs": [{ "logsFile": file, "follow": false }] },
        });
        logs.patch(pod, &PatchParams::apply("testkit").force(), &Patch::Apply(object))
            .await
            .map_err(Error::kubernetes(format!("writing the Logs object of {namespace}/{pod}")))?;
        kwok.wait_log(namespace, pod, text).await
    }

    fn own(&self) -> Result<&Own> {
        self.own.as_ref().ok_or_else(|| Error::Answer {
            what: "asking for what only a cluster of the test's own has".into(),
            answer: "TAGBOAT_TEST_KUBECONFIG names another cluster; unset it for this test".into(),
        })
    }

    async fn wait_usable(&self) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client().await?);
        wait("a ready node without taints", READY, async || {
            let node = nodes.get(NODE).await?;
            let ready = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let ready = ready.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
            Ok(if ready && taints.is_empty() { Ok(()) } else { Err(format!("ready: {ready}, taints: {taints:?}")) })
        })
        .await
    }
}

impl User {
    /// The user's kubeconfig file.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client that acts as the user.
    pub async fn client(&self) -> Result<kube::Client> {
        client(&self.kubeconfig).await
    }
}

async fn client(kubeconfig: &Path) -> Result<kube::Client> {
    tls::install_provider();
    let what = format!("making a client of {}", kubeconfig.display());
    let config = Kubeconfig::read_from(kubeconfig).map_err(Error::kubernetes(what.clone()))?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .map_err(Error::kubernetes(what.clone()))?;
    kube::Client::try_from(config).map_err(Error::kubernetes(what))
}

async fn create_node(client: &kube::Client) -> Result<()> {
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NODE,
            "annotations": { "kwok.x-k8s.io/node": "fake" },
            "labels": { "kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" },
        },
    });
    let node: Node = serde_json::from_value(node).map_err(Error::kubernetes("making the Node"))?;
    Api::all(client.clone())
        .create(&PostParams::default(), &node)
        .await
        .map_err(Error::kubernetes("creating the Node"))?;
    Ok(())
}

fn kubectl(scratch: &Scratch, kubeconfig: &Path) -> Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(components::path("kubectl")?);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", scratch.path())
        .env("KUBECONFIG", kubeconfig);
    Ok(command)
}

async fn wait(
    what: &str,
    limit: Duration,
    look: impl AsyncFn() -> std::result::Result<std::result::Result<(), String>, kube::Error>,
) -> Result<()> {
    let started = Instant::now();
    loop {
        let seen = match look().await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(seen)) => seen,
            Err(error) => error.to_string(),
        };
        if started.elapsed() > limit {
            return Err(Error::Timeout { what: what.to_owned(), after: limit, seen });
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|error| Error::Answer { what: "reading a tool's output".into(), answer: error.to_string() })
}
