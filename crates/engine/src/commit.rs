//! Turns decisions into one commit: the edited files, Flux's subject, our trailers.

use crate::decide::{Action, Decision};
use crate::ports::{ChangeId, CommitPlan, FileEdit, RepoFile, Revision, SourceId};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use tagboat_image::Digest;
use tagboat_manifest::{Change, WorkloadId, set_images};

/// The trailer that tells our commit again.
pub const CHANGE_ID_TRAILER: &str = "Tagboat-Change-Id";
/// The trailer that records one image: workload, container, reference and digest.
pub const IMAGE_TRAILER: &str = "Tagboat-Image";

/// One image that a commit sets.
#[derive(Debug, Clone, PartialEq)]
pub struct Bump {
    /// What was decided.
    pub decision: Decision,
    /// The digest that the target points to, confirmed at the registry.
    pub digest: Option<Digest>,
}

/// A commit to make, and what had to be left out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The commit; `None` where no edit is left.
    pub commit: Option<CommitPlan>,
    /// What the commit holds.
    pub bumps: Vec<Bump>,
    /// Bumps whose file refused the edit, and why.
    pub refused: Vec<(Bump, String)>,
}

/// Plans one commit for all bumps on a revision.
#[must_use]
pub fn plan(source: &SourceId, parent: &Revision, files: &[RepoFile], bumps: Vec<Bump>) -> Planned {
    plan_with(source, parent, files, bumps, WorkloadId::clone)
}

/// [`plan`], where workloads are called something else in their files (`as_written`): those may name no namespace.
#[must_use]
pub fn plan_with(
    source: &SourceId,
    parent: &Revision,
    files: &[RepoFile],
    bumps: Vec<Bump>,
    as_written: impl Fn(&WorkloadId) -> WorkloadId,
) -> Planned {
    let changes = |bumps: &[Bump]| changes(bumps, &as_written);
    let mut by_file: BTreeMap<String, Vec<Bump>> = BTreeMap::new();
    for bump in bumps {
        if bump.decision.action() == Action::Update {
            by_file.entry(bump.decision.file.clone()).or_default().push(bump);
        }
    }
    let mut planned = Planned { commit: None, bumps: Vec::new(), refused: Vec::new() };
    let mut edits = Vec::new();
    for (path, mut bumps) in by_file {
        let Some(file) = files.iter().find(|file| file.path == path) else {
            planned.refused.extend(bumps.into_iter().map(|bump| (bump, format!("{path} is not in {parent}"))));
            continue;
        };
        let Ok(text) = std::str::from_utf8(&file.bytes) else {
            planned.refused.extend(bumps.into_iter().map(|bump| (bump, format!("{path} is not UTF-8"))));
            continue;
        };
        // Each alone first: an image that cannot be edited must not hold back the others of its file.
        bumps.retain(|bump| match changes(std::slice::from_ref(bump)).map(|change| set_images(text, &change)) {
            Some(Ok(_)) => true,
            Some(Err(error)) => {
                planned.refused.push((bump.clone(), format!("{path}: {error}")));
                false
            }
            None => false,
        });
        match changes(&bumps).map(|changes| set_images(text, &changes)) {
            Some(Ok(edited)) if edited.changed => {
                edits.push(FileEdit { path, bytes: Bytes::from(edited.text.into_bytes()) });
                planned.bumps.extend(bumps);
            }
            Some(Err(error)) => {
                planned.refused.extend(bumps.into_iter().map(|bump| (bump, format!("{path}: {error}"))));
            }
            _ => {}
        }
    }
    if !edits.is_empty() {
        let change_id = change_id(source, parent, &edits);
        let message = message(&planned.bumps, &change_id);
        planned.commit = Some(CommitPlan { parent: parent.clone(), edits, message, change_id });
    }
    planned
}

fn changes(bumps: &[Bump], as_written: impl Fn(&WorkloadId) -> WorkloadId) -> Option<Vec<Change>> {
    bumps
        .iter()
        .map(|bump| {
            Some(Change {
                workload: as_written(&bump.decision.workload),
                container: bump.decision.container.clone(),
                to: bump.decision.target.clone()?,
            })
        })
        .collect()
}

/// The same plan on the same parent has the same id, so a plan that is made again after a crash is recognised.
fn change_id(source: &SourceId, parent: &Revision, edits: &[FileEdit]) -> ChangeId {
    let mut hash = Sha256::new();
    for part in [source.0.as_bytes(), parent.0.as_bytes()]
        .into_iter()
        .chain(edits.iter().flat_map(|edit| [edit.path.as_bytes(), &edit.bytes[..]]))
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut id = String::from("I");
    for byte in hash.finalize().iter().take(16) {
        let _ = write!(id, "{byte:02x}");
    }
    ChangeId(id)
}

/// Flux's subject and body, then our trailers. What is interpolated are parsed references and names: they hold no
/// newline.
fn message(bumps: &[Bump], change_id: &ChangeId) -> String {
    let targets: BTreeSet<String> =
        bumps.iter().filter_map(|bump| bump.decision.target.as_ref().map(ToString::to_string)).collect();
    let mut text = match (targets.len(), targets.first()) {
        (1, Some(only)) => format!("Auto-release {only}\n"),
        (count, _) => {
            let mut text = format!("Auto-release multiple ({count}) images\n\n");
            for target in &targets {
                let _ = writeln!(text, " - {target}");
            }
            text
        }
    };
    let _ = write!(text, "\n{CHANGE_ID_TRAILER}: {change_id}\n");
    for bump in bumps {
        let Some(target) = &bump.decision.target else { continue };
        let _ = write!(text, "{IMAGE_TRAILER}: {} {} {target}", bump.decision.workload, bump.decision.container);
        if let (Some(digest), None) = (&bump.digest, target.digest()) {
            let _ = write!(text, "@{digest}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Reason;
    use tagboat_image::Reference;

    fn bump(workload: &str, container: &str, target: &str) -> Bump {
        Bump {
            decision: Decision {
                workload: workload.parse::<WorkloadId>().unwrap(),
                container: container.to_owned(),
                file: "web.yaml".to_owned(),
                line: 1,
                current: None,
                target: Some(Reference::parse(target).unwrap()),
                candidate: None,
                reason: Reason::FilterChanged {
                    filter: "glob:*".to_owned(),
                    current: tagboat_image::Tag::new("x").unwrap(),
                },
            },
            digest: Some(Digest::new(format!("sha256:{}", "a".repeat(64))).unwrap()),
        }
    }

    #[test]
    fn one_image_in_two_workloads_has_the_short_subject() {
        let bumps = [
            bump("dev:helmrelease/web", "web", "acme/web:main-2"),
            bump("sandbox:helmrelease/web", "web", "acme/web:main-2"),
        ];
        let text = message(&bumps, &ChangeId("I01".to_owned()));
        assert_eq!(
            text,
            format!(
                "Auto-release acme/web:main-2\n\nTagboat-Change-Id: I01\n\
                 Tagboat-Image: dev:helmrelease/web web acme/web:main-2@sha256:{a}\n\
                 Tagboat-Image: sandbox:helmrelease/web web acme/web:main-2@sha256:{a}\n",
                a = "a".repeat(64)
            )
        );
    }

    #[test]
    fn several_images_are_listed_in_byte_order() {
        let bumps = [bump("a:deployment/x", "x", "acme/x:v2"), bump("a:deployment/x", "y", "acme/x:v10")];
        let text = message(&bumps, &ChangeId("I01".to_owned()));
        assert!(
            text.starts_with(
                "Auto-release multiple (2) images\n\n - acme/x:v10\n - acme/x:v2\n\nTagboat-Change-Id: I01\n"
            ),
            "{text}"
        );
    }
}
