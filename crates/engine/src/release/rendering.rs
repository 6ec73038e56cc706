//! Has a chart rendered, and answers its lookups.

use super::plan::Action;
use super::{Desired, ReleasePorts};
use crate::ports::{ChartArchive, Cluster, Fault, FaultKind, Lookup, ObjectRef, RenderRequest, Rendered, Scope};
use async_trait::async_trait;
use serde_json::{Value, json};

/// Renders what an action releases.
pub(super) async fn render(
    ports: &ReleasePorts,
    desired: &Desired,
    chart: &ChartArchive,
    action: &Action,
) -> Result<Rendered, Fault> {
    let request = RenderRequest {
        chart: chart.clone(),
        release: desired.release.clone(),
        namespace: desired.namespace.clone(),
        revision: action.revision,
        upgrade: action.upgrade,
        values: desired.values.clone(),
        capabilities: ports.cluster.capabilities().await?,
    };
    ports.renderer.render(&request, &ClusterLookup { cluster: ports.cluster.as_ref() }).await
}

/// A template's `lookup`, as Helm answers it: what does not exist is an empty map, an unknown kind an error.
struct ClusterLookup<'a> {
    cluster: &'a dyn Cluster,
}

#[async_trait]
impl Lookup for ClusterLookup<'_> {
    async fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value, Fault> {
        let Some(scope) = self.cluster.scope(api_version, kind).await? else {
            let text =
                format!("unable to get apiresource from unstructured: {api_version}, Kind={kind}: it is not served");
            return Err(Fault::new(FaultKind::NotFound, text));
        };
        let namespace = (scope == Scope::Namespaced && !namespace.is_empty()).then_some(namespace);
        if name.is_empty() {
            let items = self.cluster.list(api_version, kind, namespace).await?;
            let kind = format!("{kind}List");
            return Ok(json!({"apiVersion": api_version, "kind": kind, "metadata": {}, "items": items}));
        }
        // Without its namespace, nothing namespaced is found by name.
        if scope == Scope::Namespaced && namespace.is_none() {
            return Ok(json!({}));
        }
        let id = ObjectRef {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        Ok(self.cluster.get(&id).await?.unwrap_or_else(|| json!({})))
    }
}
