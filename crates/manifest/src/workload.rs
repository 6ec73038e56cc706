//! Workloads: the objects whose images can be automated.

use std::collections::{HashMap, HashSet};

use tagboat_image::{Reference, ReferenceError};

use crate::id::WorkloadId;
use crate::images::{self, Image};
use crate::objects::Found;
use crate::policy::{FILTER, Policies, PolicyProblem, filtered_container};
use crate::yaml::{Kind, Place, Scalar};

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
    /// `HelmRelease` of `helm.fluxcd.io`; those of `helm.toolkit.fluxcd.io` are another controller's.
    HelmRelease,
}

impl WorkloadKind {
    /// The kind of workload that an object of this `apiVersion` and `kind` is, if it is one.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        match (group, kind) {
            ("apps" | "extensions", "Deployment") => Some(Self::Deployment),
            ("apps" | "extensions", "DaemonSet") => Some(Self::DaemonSet),
            ("apps", "StatefulSet") => Some(Self::StatefulSet),
            ("batch", "CronJob") => Some(Self::CronJob),
            ("helm.fluxcd.io", "HelmRelease") => Some(Self::HelmRelease),
            _ => None,
        }
    }
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
    /// Reads a workload out of an object; `None` if it is none.
    pub(crate) fn read(found: &Found<'_, '_>, file: &str, object: usize) -> Option<Self> {
        let kind = found.workload_kind()?;
        let containers: Vec<_> = images::images(kind, &found.place).into_iter().map(Container::from).collect();
        let (annotations, mut policy_problems) = read_annotations(&found.place);
        let pairs = annotations.iter().map(|annotation| (annotation.key.as_str(), annotation.value.as_str()));
        let (policies, problems) = Policies::from_annotations(pairs);
        policy_problems.extend(problems);
        policy_problems.extend(filters_for_nothing(&containers, &annotations));
        let by_key: HashMap<&str, &Annotation> =
            annotations.iter().map(|annotation| (annotation.key.as_str(), annotation)).collect();
        for problem in &mut policy_problems {
            if let Some(annotation) = by_key.get(problem.key.as_str()) {
                problem.line = Some(annotation.line);
                problem.column = Some(annotation.column);
            }
        }
        Some(Self {
            id: found.id(),
            kind,
            file: file.to_owned(),
            line: found.place.line(),
            object,
            annotations,
            policies,
            policy_problems,
            containers,
        })
    }

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

fn read_annotations(object: &Place<'_, '_>) -> (Vec<Annotation>, Vec<PolicyProblem>) {
    let mut problems = Vec::new();
    let Some(annotations) = object.at(&["metadata", "annotations"]) else { return (Vec::new(), problems) };
    let mut out = Vec::new();
    for entry in annotations.entries() {
        let document = entry.value.document;
        let key_node = document.node(entry.key_id);
        let value = match (&document.node(entry.value.id).kind, entry.value.scalar()) {
            (Kind::Scalar(text, _), Some(scalar)) => {
                if !matches!(scalar, Scalar::Str(_)) {
                    problems.push(PolicyProblem::warning(
                        &entry.key,
                        format!(
                            "an annotation must be a string, got {}; quote it, or the API server refuses the object",
                            scalar.describe()
                        ),
                    ));
                }
                text.to_string()
            }
            _ => {
                let found = entry.value.describe();
                problems.push(PolicyProblem::warning(
                    &entry.key,
                    format!("an annotation must be a string, got {found}; the API server refuses the object"),
                ));
                continue;
            }
        };
        out.push(Annotation { key: entry.key.into_owned(), value, line: key_node.line, column: key_node.column });
    }
    (out, problems)
}

/// A filter that names no container filters nothing: what it was meant for would take every tag.
fn filters_for_nothing(containers: &[Container], annotations: &[Annotation]) -> Vec<PolicyProblem> {
    /// Most names that a problem lists.
    const LISTED: usize = 20;
    let has: HashSet<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    let mut there: Vec<&str> = containers.iter().take(LISTED).map(|container| container.name.as_str()).collect();
    if containers.len() > LISTED {
        there.push("…");
    }
    let there = if there.is_empty() { "there are none".to_owned() } else { format!("has: {}", there.join(", ")) };
    let unknown = annotations.iter().filter_map(|annotation| {
        let name = filtered_container(&annotation.key).filter(|name| !has.contains(name))?;
        let mut text = format!("no container {name:?} ({there}); until it is put right the images stay");
        if let Some(meant) = name.strip_prefix("tag.") {
            text.push_str(&format!("; write {FILTER}{meant}"));
        }
        Some(PolicyProblem::blocking(&annotation.key, text))
    });
    unknown.collect()
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

impl From<Image<'_, '_>> for Container {
    fn from(image: Image<'_, '_>) -> Self {
        Self {
            line: image.target.line(),
            column: image.target.column(),
            name: image.container,
            path: image.path,
            current: image.current,
            shape: image.shape,
        }
    }
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
