//! `tagboat plan`: decides once, on a folder and a file of tags, without cluster or network.

mod checkout;
mod print;
mod tags;

use crate::exit::Exit;
use crate::offline::{self, Manifests};
use anyhow::{Context, Result};
use checkout::Checkout;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tagboat_engine::commit::{self, Bump};
use tagboat_engine::decide::{Action, Decision, Knowledge, LineHistory, Tags, decide_all};
use tagboat_engine::mirror::{Desired, DesiredObject};
use tagboat_engine::policy::Effective;
use tagboat_engine::ports::{FileEdit, Revision, SourceId};
use tagboat_image::Repository;
use tagboat_manifest::{Container, Problem, Severity, Workload};

/// Decide once, from a folder and a file of tags: what would change, and why the rest would not.
///
/// Needs no cluster and no network. Exit status: 0 nothing to do; 3 something would change (or did, with --write);
/// 1 the whole thing failed; 2 wrong usage. Single files that are bad, and blocked images, do not change 0 or 3.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The infrastructure repository: a git work tree, or any folder.
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,
    /// What the registries offer, as JSON:
    /// {"images":{"acme/web":[{"tag":"main-1a2b","pushed":"2020-12-25T16:00:00Z","created":"…","digest":"sha256:…"}]}}
    #[arg(long, value_name = "FILE")]
    tags: PathBuf,
    /// Only these paths of the folder.
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<String>,
    /// text: a line for each image. json: one object. diff: what would change in the files.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Edit the files in place.
    #[arg(long)]
    write: bool,
    /// Commits of this author (a name, or a mail address) are automation's, not a person's; may be repeated. Tagboat's
    /// own and Weave Flux's always are.
    #[arg(long = "automation-author", value_name = "NAME")]
    automation_authors: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
    Diff,
}

/// Runs the command.
///
/// # Errors
/// The folder or the file of tags cannot be read, or an edit could not be written.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let images = tags::read(&arguments.tags)?;
    let root = &arguments.repo;
    anyhow::ensure!(root.is_dir(), "{} is not a folder", root.display());
    let Manifests { files, skipped } = offline::manifests(root, &arguments.paths)?;
    let mut desired = Desired::read(&files, &mut BTreeMap::new());
    desired.problems.extend(skipped.into_iter().map(|skipped| problem(skipped.path, skipped.reason)));
    let checkout = Checkout::discover(root, &arguments.automation_authors)?;
    let mut histories = BTreeMap::new();
    let mut shallow = false;
    if let Some(checkout) = &checkout {
        for workload in desired.workloads.iter().filter(|workload| workload.policies.is_automated()) {
            for container in &workload.containers {
                let line = checkout.line(workload, container).unwrap_or_else(|error| {
                    let unreadable = problem(workload.file.clone(), format!("{error:#}; pins in it are unknown"));
                    if !desired.problems.contains(&unreadable) {
                        desired.problems.push(unreadable);
                    }
                    LineHistory::default()
                });
                shallow |= line.unknown;
                histories.insert((workload.file.clone(), workload.line, container.name.clone()), line);
            }
        }
    }
    let knowledge = Offline {
        images: &images,
        histories: checkout.is_some().then_some(&histories),
        namespaces: namespaces(&desired.objects),
    };
    let mut decisions = decide_all(&desired.workloads, &knowledge);
    let bumps: Vec<Bump> = decisions
        .iter()
        .filter(|decision| decision.action() == Action::Update)
        .map(|decision| Bump {
            decision: decision.clone(),
            digest: decision.candidate.as_ref().and_then(|candidate| candidate.digest.clone()),
        })
        .collect();
    let planned = commit::plan(&SourceId("plan".to_owned()), &Revision(String::new()), &files, bumps);
    for (bump, text) in planned.refused {
        refuse(&mut decisions, &bump.decision, text);
    }
    let edits = planned.commit.map(|commit| commit.edits).unwrap_or_default();
    let report = print::Report { decisions: &decisions, desired: &desired, files: &files, edits: &edits, shallow };
    if arguments.write {
        write(root, &edits)?;
    }
    report.problems(arguments.output == Output::Json);
    print::to_stdout(&match arguments.output {
        Output::Text => report.text(arguments.write),
        Output::Json => report.json()?,
        Output::Diff => report.diff(),
    })?;
    Ok(if edits.is_empty() { Exit::Done } else { Exit::Difference })
}

/// A problem of a file as a whole.
fn problem(file: String, text: String) -> Problem {
    Problem { file, line: 1, column: 1, severity: Severity::Error, text }
}

/// An image that cannot be edited is blocked, and says why.
fn refuse(decisions: &mut [Decision], refused: &Decision, text: String) {
    for decision in decisions.iter_mut() {
        if (&decision.workload, &decision.container, &decision.file)
            == (&refused.workload, &refused.container, &refused.file)
        {
            decision.block(text.clone());
        }
    }
}

fn write(root: &std::path::Path, edits: &[FileEdit]) -> Result<()> {
    for edit in edits {
        offline::replace(&root.join(&edit.path), &edit.bytes).with_context(|| {
            let left: Vec<&str> =
                edits.iter().map(|edit| edit.path.as_str()).skip_while(|path| *path != edit.path).collect();
            format!("the plan was written in part; still to do: {}", left.join(", "))
        })?;
    }
    Ok(())
}

/// What is known without a cluster: the file of tags, and the work tree's history.
struct Offline<'a> {
    images: &'a tags::Images,
    histories: Option<&'a BTreeMap<(String, usize, String), LineHistory>>,
    /// The annotations of the Namespaces that are among the manifests.
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

fn namespaces(objects: &[DesiredObject]) -> BTreeMap<String, BTreeMap<String, String>> {
    let namespaces = objects.iter().filter(|it| it.object.api_version == "v1" && it.object.kind == "Namespace");
    namespaces
        .map(|it| {
            let annotations = it.json.pointer("/metadata/annotations").and_then(Value::as_object);
            let texts = annotations
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
            (it.object.name.clone(), texts.collect())
        })
        .collect()
}

impl Knowledge for Offline<'_> {
    fn policies(&self, workload: &Workload) -> Effective {
        match workload.id.namespace().and_then(|namespace| self.namespaces.get(namespace)) {
            Some(annotations) => Effective::in_namespace(workload, annotations),
            None => Effective::of_git(workload),
        }
    }

    fn tags(&self, _: &Workload, repository: &Repository) -> Cow<'_, Tags> {
        self.images.of(repository)
    }

    fn history(&self, workload: &Workload, container: &Container) -> Option<LineHistory> {
        let key = (workload.file.clone(), workload.line, container.name.clone());
        self.histories.map(|histories| histories.get(&key).cloned().unwrap_or_default())
    }
}
