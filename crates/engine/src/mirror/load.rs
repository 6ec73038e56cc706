use crate::ports::{Cluster, Fault, ObjectRef, RepoFile, Scope};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tagboat_manifest::{Location, ManifestFile, Problem, Severity, Workload, WorkloadId};

/// One object that the cluster should hold.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredObject {
    /// Which one, with its namespace filled in.
    pub object: ObjectRef,
    /// The whole object.
    pub json: Value,
    /// Where it stands.
    pub location: Location,
}

/// What a revision wants.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    /// The objects, in the order of the files.
    pub objects: Vec<DesiredObject>,
    /// Their workloads.
    pub workloads: Vec<Workload>,
    /// What could not be read, and what is suspicious.
    pub problems: Vec<Problem>,
    /// Workloads that are called something else in their file, which names no namespace.
    written: BTreeMap<WorkloadId, WorkloadId>,
}

impl Desired {
    /// Reads all files of a revision. Equal files have been read before: `cache` is by blob.
    #[must_use]
    pub fn read(files: &[RepoFile], cache: &mut BTreeMap<String, ManifestFile>) -> Self {
        let mut desired = Self::default();
        let mut used = BTreeSet::new();
        for file in files {
            let key = format!("{} {}", file.blob, file.path);
            let parsed = cache.entry(key.clone()).or_insert_with(|| ManifestFile::parse(&file.path, &file.bytes));
            used.insert(key);
            desired.problems.extend(parsed.problems.iter().cloned());
            desired.workloads.extend(parsed.workloads.iter().cloned());
            for object in &parsed.objects {
                desired.objects.push(DesiredObject {
                    object: ObjectRef {
                        api_version: object.api_version.clone(),
                        kind: object.kind.clone(),
                        namespace: object.namespace.clone(),
                        name: object.name.clone(),
                    },
                    json: object.json.clone(),
                    location: object.location.clone(),
                });
            }
            for workload in &parsed.workloads {
                for problem in &workload.policy_problems {
                    let found = Problem {
                        file: file.path.clone(),
                        line: problem.line.unwrap_or(workload.line),
                        column: problem.column.unwrap_or(1),
                        severity: problem.severity,
                        text: format!("{}: {}: {}", workload.id, problem.key, problem.text),
                    };
                    if !desired.problems.contains(&found) {
                        desired.problems.push(found);
                    }
                }
            }
        }
        cache.retain(|key, _| used.contains(key));
        desired
    }

    /// Puts workloads whose manifests name no namespace into the one that the source is configured for, as [`load`] does
    /// with all objects. Where that is `default`, they are there already.
    pub fn place(&mut self, default_namespace: &str) {
        let placeless: BTreeSet<(&str, WorkloadId)> = self
            .objects
            .iter()
            .filter(|wanted| wanted.object.namespace.is_none())
            .map(|wanted| {
                let id = WorkloadId::new(Some("default"), &wanted.object.kind, &wanted.object.name);
                (wanted.location.file.as_str(), id)
            })
            .collect();
        for workload in &mut self.workloads {
            if !placeless.contains(&(workload.file.as_str(), workload.id.clone())) {
                continue;
            }
            let id = WorkloadId::new(Some(default_namespace), workload.id.kind(), workload.id.name());
            let written = std::mem::replace(&mut workload.id, id.clone());
            if written != id {
                self.written.insert(id, written);
            }
        }
    }

    /// What a workload is called in its file.
    #[must_use]
    pub fn as_written(&self, workload: &WorkloadId) -> WorkloadId {
        self.written.get(workload).unwrap_or(workload).clone()
    }
}

/// Fills in namespaces by what the API server says of each kind, and takes out what it does not serve and what is
/// defined twice.
///
/// # Errors
/// The API server cannot be asked at all.
pub async fn load(mut desired: Desired, cluster: &dyn Cluster, default_namespace: &str) -> Result<Desired, Fault> {
    let promised = promised_kinds(&desired.objects);
    let mut kept: Vec<DesiredObject> = Vec::with_capacity(desired.objects.len());
    for mut wanted in std::mem::take(&mut desired.objects) {
        let scope = match cluster.scope(&wanted.object.api_version, &wanted.object.kind).await? {
            Some(scope) => Some(scope),
            None => promised.get(&(wanted.object.group().to_owned(), wanted.object.kind.clone())).copied(),
        };
        match scope {
            None => {
                desired.problems.push(problem(
                    &wanted,
                    format!(
                        "no matches for kind {:?} in version {:?}: the cluster does not serve it; {} was not applied",
                        wanted.object.kind, wanted.object.api_version, wanted.object
                    ),
                ));
                continue;
            }
            Some(Scope::Namespaced) if wanted.object.namespace.is_none() => {
                wanted.object.namespace = Some(default_namespace.to_owned());
                if let Some(metadata) = wanted.json.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.insert("namespace".to_owned(), Value::String(default_namespace.to_owned()));
                }
            }
            Some(Scope::Cluster) => {
                wanted.object.namespace = None;
                if let Some(metadata) = wanted.json.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.remove("namespace");
                }
            }
            Some(Scope::Namespaced) => {}
        }
        kept.push(wanted);
    }
    let mut places: BTreeMap<(String, String, Option<String>, String), Vec<Location>> = BTreeMap::new();
    let identity = |object: &ObjectRef| {
        (object.group().to_owned(), object.kind.clone(), object.namespace.clone(), object.name.clone())
    };
    for wanted in &kept {
        places.entry(identity(&wanted.object)).or_default().push(wanted.location.clone());
    }
    for wanted in kept {
        let all = places.get(&identity(&wanted.object)).map_or(&[][..], Vec::as_slice);
        if all.len() > 1 {
            let others: Vec<String> = all
                .iter()
                .filter(|place| **place != wanted.location)
                .map(|place| format!("{}:{}", place.file, place.line))
                .collect();
            desired.problems.push(problem(
                &wanted,
                format!("{} is defined twice, also at {}; neither was applied", wanted.object, others.join(", ")),
            ));
        } else {
            desired.objects.push(wanted);
        }
    }
    Ok(desired)
}

fn problem(wanted: &DesiredObject, text: String) -> Problem {
    Problem {
        file: wanted.location.file.clone(),
        line: wanted.location.line,
        column: 1,
        severity: Severity::Error,
        text,
    }
}

/// Kinds that definitions of the same revision will serve, by group and kind.
fn promised_kinds(objects: &[DesiredObject]) -> BTreeMap<(String, String), Scope> {
    objects
        .iter()
        .filter(|wanted| wanted.object.kind == "CustomResourceDefinition")
        .filter_map(|wanted| {
            let text = |pointer: &str| wanted.json.pointer(pointer).and_then(Value::as_str);
            let scope = match text("/spec/scope")? {
                "Cluster" => Scope::Cluster,
                _ => Scope::Namespaced,
            };
            Some(((text("/spec/group")?.to_owned(), text("/spec/names/kind")?.to_owned()), scope))
        })
        .collect()
}
