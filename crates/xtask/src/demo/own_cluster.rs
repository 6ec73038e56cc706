//! A cluster of the user's own: the demo takes nothing over there, and leaves nothing behind.

use std::path::Path;

use anyhow::{bail, ensure};
use tagboat_testkit::Cluster;

use super::tell::tell;
use crate::example;

const NAMESPACE: &str = "tagboat-demo";
const CLUSTER_ROLE: &str = "bookshop-developers";
const DEFINITION: &str = "helmreleases.helm.fluxcd.io";

/// The user's cluster while the demo has its objects there.
pub(super) struct OwnCluster {
    cluster: Cluster,
    /// Whether HelmRelease's definition was there before, and so stays.
    has_definition: bool,
}

impl OwnCluster {
    /// Makes sure that nothing of the demo's names is there, and makes its namespace.
    pub(super) async fn take(kubeconfig: &Path) -> anyhow::Result<Self> {
        let cluster = Cluster::existing(kubeconfig)?;
        for (kind, name) in objects() {
            let found = get(&cluster, kind, &name).await?;
            ensure!(found.is_empty(), "the cluster has a {kind} {name} already; the demo needs that name for itself");
        }
        let has_definition = !get(&cluster, "customresourcedefinition", DEFINITION).await?.is_empty();
        if has_definition {
            let releases = cluster.kubectl(&["get", DEFINITION, "--all-namespaces", "-o", "name"]).await?;
            if let Some(first) = releases.lines().next() {
                bail!("the cluster has HelmReleases already, such as {first}, and Tagboat would release them, too");
            }
        }
        cluster.kubectl(&["create", "namespace", NAMESPACE]).await?;
        Ok(Self { cluster, has_definition })
    }

    /// The namespace for Tagboat's own objects.
    pub(super) fn namespace(&self) -> &'static str {
        NAMESPACE
    }

    /// Removes what the demo made. The controller must be gone by then: it would make it again.
    pub(super) async fn clean_up(&mut self) -> anyhow::Result<()> {
        tell("Removing what the demo made in the cluster ...");
        let mut failed = Vec::new();
        for (kind, name) in
            objects().chain((!self.has_definition).then(|| ("customresourcedefinition", DEFINITION.to_owned())))
        {
            let delete = ["delete", kind, &name, "--ignore-not-found", "--wait=true", "--timeout=110s"];
            if let Err(error) = self.cluster.kubectl(&delete).await {
                failed.push(format!("{kind} {name}: {error}"));
            }
        }
        ensure!(failed.is_empty(), "not everything could be removed:\n  {}", failed.join("\n  "));
        Ok(())
    }
}

/// What the demo makes outside of any namespace; everything else is in those.
fn objects() -> impl Iterator<Item = (&'static str, String)> {
    let namespaces = example::ENVIRONMENTS.iter().map(|environment| ("namespace", format!("bookshop-{environment}")));
    namespaces.chain([("namespace", NAMESPACE.to_owned()), ("clusterrole", CLUSTER_ROLE.to_owned())])
}

async fn get(cluster: &Cluster, kind: &str, name: &str) -> anyhow::Result<String> {
    let found = cluster.kubectl(&["get", kind, name, "--ignore-not-found", "-o", "name"]).await?;
    Ok(found.trim().to_owned())
}
