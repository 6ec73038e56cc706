//! A file of manifests: what is in it, and what is wrong with it.

use serde_json::Value;

use crate::id::WorkloadId;
use crate::objects::{self, Found};
use crate::problem::{Problem, Severity};
use crate::workload::Workload;
use crate::yaml::{self, Document, Fault};

/// Largest file that is read, in bytes.
const MAX_FILE: usize = 5 << 20;
/// Largest document that is read, in bytes.
const MAX_DOCUMENT: usize = 1 << 20;

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
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        match text_of(bytes) {
            Ok(text) => file.read(text),
            Err(fault) => file.report(fault),
        }
        file
    }

    fn read(&mut self, text: &str) {
        for (index, document) in yaml::load(text).into_iter().enumerate() {
            match document {
                Ok(document) => self.read_document(&document, index + 1),
                Err(mut fault) => {
                    hint_at_template(text, &mut fault);
                    self.report(fault);
                }
            }
        }
    }

    fn read_document(&mut self, document: &Document<'_>, number: usize) {
        if document.is_empty() {
            return;
        }
        let root = document.node(document.root);
        if document.bytes.len() > MAX_DOCUMENT {
            let text = format!("document {number} has {} bytes, at most {MAX_DOCUMENT} are read", document.bytes.len());
            self.report(Fault::of(root, text));
            return;
        }
        for duplicate in &document.duplicates {
            self.problems.push(Problem {
                file: self.path.clone(),
                line: duplicate.line,
                column: duplicate.column,
                severity: Severity::Warning,
                text: format!(
                    "duplicate key {:?} (first at line {}); the last one counts",
                    duplicate.key, duplicate.first_line
                ),
            });
        }
        for object in objects::objects(document, number) {
            if let Err(mut fault) = object.and_then(|found| self.add(&found)) {
                hint_at_template(document.text, &mut fault);
                self.report(fault);
            }
        }
    }

    fn add(&mut self, found: &Found<'_, '_>) -> Result<(), Fault> {
        let json = yaml::to_json(&found.place)?;
        let index = self.objects.len();
        self.workloads.extend(Workload::read(found, &self.path, index));
        self.objects.push(Object {
            api_version: found.api_version.clone(),
            kind: found.kind.clone(),
            namespace: found.namespace.clone(),
            name: found.name.clone(),
            json,
            location: Location { file: self.path.clone(), line: found.place.line() },
            index,
        });
        Ok(())
    }

    fn report(&mut self, fault: Fault) {
        self.problems.push(Problem {
            file: self.path.clone(),
            line: fault.line,
            column: fault.column,
            severity: Severity::Error,
            text: fault.text,
        });
    }

    /// The workloads of this name. More than one is a fault that the caller reports.
    pub fn workloads_named<'a>(&'a self, id: &'a WorkloadId) -> impl Iterator<Item = &'a Workload> {
        self.workloads.iter().filter(move |workload| workload.id == *id)
    }
}

/// The bytes as text. A byte-order mark stays: the parser takes it as one, and byte positions count it.
fn text_of(bytes: &[u8]) -> Result<&str, Fault> {
    let whole = |text: String| Fault { at: 0, line: 1, column: 1, text };
    if bytes.len() > MAX_FILE {
        return Err(whole(format!("the file has {} bytes, at most {MAX_FILE} are read", bytes.len())));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(whole("not valid UTF-8 at byte 0: the file is UTF-16; save it as UTF-8".to_owned()));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = error.valid_up_to();
        let before = String::from_utf8_lossy(&bytes[..good]);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Fault {
            at: good,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            text: format!("not valid UTF-8 at byte {good}"),
        }
    })
}

/// The commonest reason for strange faults in a repository with charts in it.
fn hint_at_template(text: &str, fault: &mut Fault) {
    if yaml::line_at(text, fault.at).contains("{{") {
        fault.text.push_str("; looks like a Helm template; not a manifest");
    }
}
