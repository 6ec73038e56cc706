//! Workloads: the objects whose images can be automated.

use tagboat_image::{Reference, ReferenceError};

use crate::id::WorkloadId;
use crate::policy::{Policies, PolicyProblem};

/// A kind of object whose images can be automated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum WorkloadKind {
    /// `Deployment` of `apps` or the older `extensions`.
    Deployment,
    /// `DaemonSet` of `apps` or the older `extensions`.
    DaemonSet,
    /// `StatefulSet` of `apps`.
    StatefulSet,
    /// `CronJob` of `batch`.
    CronJob,
    /// `HelmRelease` of `helm.fluxcd.io`.
    HelmRelease,
}

/// An object with images.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Its name; an object without a namespace is in `default`.
    pub id: WorkloadId,
    /// What it is.
    pub kind: WorkloadKind,
    /// The file, as it was named to [`ManifestFile::parse`](crate::ManifestFile::parse).
    pub file: String,
    /// The line where the object begins, from 1.
    pub line: usize,
    /// Which of the file's [`objects`](crate::ManifestFile::objects) it is.
    pub object: usize,
    /// All of its annotations.
    pub annotations: Vec<Annotation>,
    /// The policies that the annotations set.
    pub policies: Policies,
    /// What is wrong with those, with lines.
    pub policy_problems: Vec<PolicyProblem>,
    /// Its images: for a pod template `containers`, then `initContainers`; for a HelmRelease `chart-image`, then by name.
    pub containers: Vec<Container>,
}

impl Workload {
    /// The container of this name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The names of its containers, in order.
    pub fn container_names(&self) -> impl Iterator<Item = &str> {
        self.containers.iter().map(|container| container.name.as_str())
    }

    /// The first problem of its policies that makes it keep its images: an invalid filter, a filter for a container that
    /// does not exist, a misspelt key that would have held it back.
    #[must_use]
    pub fn blocked_by(&self) -> Option<&PolicyProblem> {
        self.policy_problems.iter().find(|problem| problem.blocks)
    }
}

/// An annotation and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The key.
    pub key: String,
    /// The value, as text.
    pub value: String,
    /// The key's line, from 1.
    pub line: usize,
    /// The key's column, from 1.
    pub column: usize,
}

/// One image of a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// The container's name; for a HelmRelease `chart-image` or the key in its values.
    pub name: String,
    /// The line of the value that holds the tag, from 1; of the image where there is no tag.
    pub line: usize,
    /// The column of that value, in characters from 1.
    pub column: usize,
    /// The path of that value, such as `spec.values.voice_web.image`.
    pub path: String,
    /// The image, or why it is not known.
    pub current: Result<Reference, ImageProblem>,
    /// How the manifest writes it.
    pub shape: Shape,
}

/// How a manifest spreads an image over values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Shape {
    /// One value holds all of it: `image: registry/repository:tag`.
    Whole,
    /// The tag stands apart: `image: repository`, `tag: tag`.
    Tag,
    /// The registry stands apart: `registry: host`, `image: repository:tag`.
    Registry,
    /// All three stand apart.
    RegistryAndTag,
}

/// Why the image of a container is not known, so that it stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageProblem {
    /// A value that makes up the image is not a string: `tag: 1.10` is the number 1.1.
    #[error("{path} must be a string, got {found} — quote it")]
    NotAString {
        /// The value's path, such as `spec.values.image.tag`.
        path: String,
        /// What it is, such as `number 1.1`.
        found: String,
    },
    /// A container has no image.
    #[error("{path} is missing")]
    Missing {
        /// The path where it should be.
        path: String,
    },
    /// The text is not an image reference.
    #[error("{path}: {source}")]
    Reference {
        /// The value's path.
        path: String,
        /// What is wrong with it.
        source: ReferenceError,
    },
}
