//! A file of manifests: what is in it, and what is wrong with it.

use serde_json::Value;

use crate::id::WorkloadId;
use crate::problem::Problem;
use crate::workload::Workload;

/// The namespace of a namespaced object that names none.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Location {
    /// The file, as it was named to [`ManifestFile::parse`].
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// One Kubernetes object out of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// `apiVersion`, such as `apps/v1`.
    pub api_version: String,
    /// `kind`, such as `Deployment`.
    pub kind: String,
    /// `metadata.namespace`, if there is one and it is not empty.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
    /// The whole object, as `kubectl` would read it.
    pub json: Value,
    /// Where it begins.
    pub location: Location,
    /// Its place among the file's objects, from 0.
    pub index: usize,
}

impl Object {
    /// The object's name in Flux's form; `default_namespace` is for an object that names none.
    #[must_use]
    pub fn id(&self, default_namespace: &str) -> WorkloadId {
        WorkloadId::new(Some(self.namespace.as_deref().unwrap_or(default_namespace)), &self.kind, &self.name)
    }
}

/// A file of manifests: YAML with several documents, JSON, `List`s.
///
/// Reading always succeeds: what cannot be read is a [`Problem`] and hurts only itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ManifestFile {
    /// The file's name, as it was given.
    pub path: String,
    /// The objects, in the order of the file, the items of Lists unwrapped.
    pub objects: Vec<Object>,
    /// Those of the objects whose images can be automated.
    pub workloads: Vec<Workload>,
    /// What is wrong, in the order of the file.
    pub problems: Vec<Problem>,
}

impl ManifestFile {
    /// Reads a file. `path` is only for messages.
    #[must_use]
    pub fn parse(path: &str, bytes: &[u8]) -> Self {
        let _ = bytes;
        Self { path: path.to_owned(), ..Self::default() }
    }

    /// The workloads of this name. More than one is a fault that the caller reports.
    pub fn workloads_named<'a>(&'a self, id: &'a WorkloadId) -> impl Iterator<Item = &'a Workload> {
        self.workloads.iter().filter(move |workload| workload.id == *id)
    }
}
