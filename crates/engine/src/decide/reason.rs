use super::line::Pin;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use tagboat_image::Tag;

/// What is done with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It moves to the decision's target.
    Update,
    /// It stays: there is nothing better, or nobody asked for automation.
    Keep,
    /// It stays because somebody wants it so.
    Hold,
    /// It stays because Tagboat cannot tell (D3: fail closed).
    Blocked,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Update => "update",
            Self::Keep => "keep",
            Self::Hold => "hold",
            Self::Blocked => "blocked",
        })
    }
}

/// Why an image moves, or stays.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// A newer tag passes the filter.
    NewerTag {
        /// The filter.
        filter: String,
        /// How many tags pass it.
        matching: usize,
        /// How many tags there are.
        seen: usize,
        /// When the target was pushed, or else built.
        time: Option<Timestamp>,
    },
    /// The current tag does not pass the filter, so the newest that does is taken.
    FilterChanged {
        /// The filter.
        filter: String,
        /// The current tag.
        current: Tag,
    },
    /// The current tag is gone from the registry, and a tag was pushed after it was set.
    CurrentGone {
        /// The filter.
        filter: String,
        /// The current tag.
        current: Tag,
    },
    /// It runs the newest tag that passes the filter.
    Newest {
        /// The filter.
        filter: String,
        /// How many tags pass it.
        matching: usize,
        /// How many tags there are.
        seen: usize,
    },
    /// The registry has no tag that is newer than the current one, which is not the first in order.
    OnlyOlder {
        /// The filter.
        filter: String,
        /// The newest of them.
        newest: Tag,
    },
    /// No tag passes the filter.
    NoMatch {
        /// The filter.
        filter: String,
        /// How many tags there are.
        seen: usize,
        /// The newest of them, whatever the filter says.
        newest: Option<Tag>,
    },
    /// Nobody asked for automation.
    NotAutomated,
    /// A person set this tag, and nothing was pushed since (D5).
    Pinned {
        /// By whom, when and in which commit.
        pin: Pin,
        /// What would have been taken otherwise.
        instead_of: Tag,
        /// Whether that has been on this line before; else it is older than the pin.
        stood: bool,
    },
    /// `fluxcd.io/locked`.
    Locked {
        /// Who locked it, if the lock says.
        user: Option<String>,
        /// Why, if the lock says.
        message: Option<String>,
        /// Whether the live object says so, and not git.
        live: bool,
    },
    /// `tagboat.dev/paused`, `tagboat.dev/suspend`, `fluxcd.io/ignore`, or automation switched off on the live object.
    Paused {
        /// The annotation, as `key: "value"`.
        by: String,
        /// Where: `git`, `the live object` or `the namespace …`.
        at: String,
    },
    /// The filter cannot be read.
    InvalidFilter {
        /// What is wrong with it.
        text: String,
    },
    /// An annotation that would hold something back names nothing that exists, or two say different things.
    InvalidPolicy {
        /// What is wrong with it.
        text: String,
    },
    /// The image cannot be read or edited.
    UnsupportedImage {
        /// Why.
        text: String,
    },
    /// Nothing is known of the image's tags.
    NotScanned {
        /// Why, if it was tried.
        text: String,
    },
    /// The registry's list is not whole, or has shrunk and must be seen twice.
    Incomplete {
        /// What is missing.
        text: String,
    },
    /// Tags pass the filter, but none of them has a time to order it by.
    NoTimes {
        /// The filter.
        filter: String,
        /// How many pass.
        matching: usize,
    },
    /// The current tag is gone from the registry, and history does not reach back to when it was set.
    HistoryUnknown {
        /// The current tag.
        current: Tag,
    },
    /// The commit could not be made; what was tried is in the text.
    NotCommitted {
        /// Why.
        text: String,
    },
}

impl Reason {
    /// What is done for this reason.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::NewerTag { .. } | Self::FilterChanged { .. } | Self::CurrentGone { .. } => Action::Update,
            Self::Newest { .. } | Self::OnlyOlder { .. } | Self::NoMatch { .. } | Self::NotAutomated => Action::Keep,
            Self::Pinned { .. } | Self::Locked { .. } | Self::Paused { .. } => Action::Hold,
            Self::InvalidFilter { .. }
            | Self::InvalidPolicy { .. }
            | Self::UnsupportedImage { .. }
            | Self::NotScanned { .. }
            | Self::Incomplete { .. }
            | Self::NoTimes { .. }
            | Self::HistoryUnknown { .. }
            | Self::NotCommitted { .. } => Action::Blocked,
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NewerTag { .. } => "newer-tag",
            Self::FilterChanged { .. } => "filter-changed",
            Self::CurrentGone { .. } => "current-tag-gone",
            Self::Newest { .. } => "newest",
            Self::OnlyOlder { .. } => "only-older-tags",
            Self::NoMatch { .. } => "no-tag-matches",
            Self::NotAutomated => "not-automated",
            Self::Pinned { .. } => "pinned",
            Self::Locked { .. } => "locked",
            Self::Paused { .. } => "paused",
            Self::InvalidFilter { .. } => "invalid-filter",
            Self::InvalidPolicy { .. } => "invalid-policy",
            Self::UnsupportedImage { .. } => "unsupported-image",
            Self::NotScanned { .. } => "not-scanned",
            Self::Incomplete { .. } => "incomplete-list",
            Self::NoTimes { .. } => "tags-without-time",
            Self::HistoryUnknown { .. } => "history-unknown",
            Self::NotCommitted { .. } => "not-committed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewerTag { filter, matching, seen, time } => {
                write!(f, "newest of {matching} tags that match {filter} ({seen} seen)")?;
                time.map_or(Ok(()), |time| write!(f, ", of {time}"))
            }
            Self::FilterChanged { filter, current } => {
                write!(f, "the current tag {current} does not match {filter}; this is the newest that does")
            }
            Self::CurrentGone { filter, current } => {
                write!(
                    f,
                    "the current tag {current} is gone from the registry; this is the newest that matches {filter}"
                )
            }
            Self::Newest { filter, matching, seen } => {
                write!(f, "runs the newest of {matching} tags that match {filter} ({seen} seen)")
            }
            Self::OnlyOlder { filter, newest } => {
                write!(f, "the newest tag that matches {filter} is {newest}, which is not newer than the current one")
            }
            Self::NoMatch { filter, seen, newest } => {
                write!(f, "no tag of {seen} matches {filter}")?;
                newest.as_ref().map_or(Ok(()), |newest| write!(f, "; newest is {newest}"))?;
                // The commonest slip: `stage-` for `stage-*`.
                match filter.strip_prefix("glob:") {
                    Some(name) if !name.contains('*') => {
                        write!(f, "; without a `*` it matches the tag {name:?} alone: was {name}* meant?")
                    }
                    _ => Ok(()),
                }
            }
            Self::NotAutomated => f.write_str("automation is off: no annotation fluxcd.io/automated: \"true\""),
            Self::Pinned { pin, instead_of, stood } => write!(
                f,
                "{} set this tag by hand in {} at {}; {instead_of} {}, so the next new tag that is pushed will be taken",
                pin.by,
                pin.revision.short(),
                pin.since,
                if *stood { "has been here before" } else { "was not pushed after that" },
            ),
            Self::Locked { user, message, live } => {
                f.write_str("locked by the annotation fluxcd.io/locked: \"true\"")?;
                if *live {
                    f.write_str(" on the live object")?;
                }
                if let Some(user) = user {
                    write!(f, ", by {user}")?;
                }
                message.as_ref().map_or(Ok(()), |message| write!(f, ": {message}"))
            }
            Self::Paused { by, at } => write!(f, "paused by {by} on {at}"),
            Self::InvalidFilter { text }
            | Self::InvalidPolicy { text }
            | Self::UnsupportedImage { text }
            | Self::NotScanned { text }
            | Self::Incomplete { text }
            | Self::NotCommitted { text } => f.write_str(text),
            Self::HistoryUnknown { current } => write!(
                f,
                "the current tag {current} is gone from the registry, and the clone is too shallow to tell when it was \
                 set, and so what is newer"
            ),
            Self::NoTimes { filter, matching } => {
                write!(f, "{matching} tags match {filter}, but the registry tells no time for any of them")
            }
        }
    }
}
