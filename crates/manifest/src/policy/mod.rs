//! Policies: what annotations say about automation.
//!
//! Flux's vocabulary under its three prefixes, and Tagboat's own `paused` and `suspend`. Where Flux read a value it did
//! not understand as if nothing stood there, the stricter reading is taken here, and reported.

mod keys;
mod read;

use std::collections::BTreeMap;

use tagboat_image::{Filter, FilterError};

use crate::problem::Severity;

pub(crate) use keys::filtered_container;
pub use keys::{FILTER, FLUX, FLUX_LEGACY, TAGBOAT};

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
    pub(crate) filters: BTreeMap<String, Result<Filter, FilterProblem>>,
}

impl Policies {
    /// Reads policies from annotations, given as key and value; annotations that are no policy are passed over.
    ///
    /// * `fluxcd.io/` and `filter.fluxcd.io/` beat the older `flux.weave.works/`, but of two booleans that contradict
    ///   each other the stricter counts, and of two filters under the newer prefixes neither.
    /// * A boolean that is neither `"true"` nor `"false"` is reported, and read as the stricter of the two: `automated` as
    ///   false, all others as true.
    /// * A key that is nearly a policy is reported with the nearest one.
    pub fn from_annotations<'a>(
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> (Self, Vec<PolicyProblem>) {
        read::read(annotations)
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
    /// The filter that is set cannot be used: the container keeps its image.
    pub fn filter_for(&self, container: &str) -> Result<Filter, FilterProblem> {
        self.filters.get(container).cloned().unwrap_or_else(|| Ok(Filter::any()))
    }

    /// Whether a filter is set for this container.
    #[must_use]
    pub fn has_filter_for(&self, container: &str) -> bool {
        self.filters.contains_key(container)
    }

    /// The names of the containers that filters are set for.
    pub fn filtered_containers(&self) -> impl Iterator<Item = &str> {
        self.filters.keys().map(String::as_str)
    }

    /// These policies, from git, with those of the live object where they are stricter. A key that the live object does
    /// not have says nothing, and live filters are not used.
    #[must_use]
    pub fn stricter(&self, live: &Self) -> Combined {
        let mut combined = Combined { policies: self.clone(), from_live: Vec::new(), looser: Vec::new() };
        let policies = &mut combined.policies;
        // For `automated` it is "false" that is strict.
        let mut flag = |policy: &'static str, strict: bool, ours: &mut Option<bool>, theirs: Option<bool>| {
            let Some(theirs) = theirs.filter(|theirs| ours.unwrap_or(false) != *theirs) else {
                return;
            };
            let difference =
                LiveOverride { policy, git: ours.map(|value| value.to_string()), live: Some(theirs.to_string()) };
            if theirs == strict {
                *ours = Some(theirs);
                combined.from_live.push(difference);
            } else {
                combined.looser.push(difference);
            }
        };
        flag("automated", false, &mut policies.automated, live.automated);
        flag("locked", true, &mut policies.locked, live.locked);
        flag("paused", true, &mut policies.paused, live.paused);
        flag("suspend", true, &mut policies.suspend, live.suspend);
        if policies.is_locked() && !self.is_locked() {
            policies.locked_user.clone_from(&live.locked_user);
            policies.locked_message.clone_from(&live.locked_message);
        }
        if let Some(theirs) = live.ignore
            && theirs != self.ignore()
        {
            let difference = LiveOverride {
                policy: "ignore",
                git: self.ignore.map(|ignore| ignore.text().to_owned()),
                live: Some(theirs.text().to_owned()),
            };
            if theirs > self.ignore() {
                policies.ignore = Some(theirs);
                combined.from_live.push(difference);
            } else {
                combined.looser.push(difference);
            }
        }
        combined
    }
}

impl Ignore {
    /// The annotation's value.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::No => "false",
            Self::SyncOnly => "sync_only",
            Self::Yes => "true",
        }
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

impl Combined {
    /// Whether what counts for this policy (`automated`, `locked`, `ignore`, `paused`, `suspend`) is the live object's.
    #[must_use]
    pub fn is_from_live(&self, policy: &str) -> bool {
        self.from_live.iter().any(|over| over.policy == policy)
    }
}

/// A policy on which git and the live object differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveOverride {
    /// The policy, such as `automated`.
    pub policy: &'static str,
    /// What git says; `None` where it says nothing.
    pub git: Option<String>,
    /// What the live object says.
    pub live: Option<String>,
}

/// Why the filter that is set for a container cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterProblem {
    /// The filter is malformed, or no tag could ever match it.
    #[error("{key}: {source}")]
    Invalid {
        /// The annotation's key.
        key: String,
        /// What is wrong.
        source: FilterError,
    },
    /// Two annotations of equal rank set different filters.
    #[error("{first} and {second} set different filters; remove one")]
    Conflict {
        /// One annotation's key.
        first: String,
        /// The other's.
        second: String,
    },
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

impl PolicyProblem {
    pub(crate) fn warning(key: &str, text: String) -> Self {
        Self { key: key.to_owned(), line: None, column: None, severity: Severity::Warning, blocks: false, text }
    }

    pub(crate) fn blocking(key: &str, text: String) -> Self {
        Self { severity: Severity::Error, blocks: true, ..Self::warning(key, text) }
    }
}
