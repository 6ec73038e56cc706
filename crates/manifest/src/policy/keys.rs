//! The keys of policies, and what is nearly one.

use strsim::osa_distance;

/// The prefix that Flux writes today.
pub const FLUX: &str = "fluxcd.io/";
/// The prefix of older Flux, with the same vocabulary.
pub const FLUX_LEGACY: &str = "flux.weave.works/";
/// The prefix of filters: `filter.fluxcd.io/web` is `fluxcd.io/tag.web`.
pub const FILTER: &str = "filter.fluxcd.io/";
/// The prefix of Tagboat's own policies.
pub const TAGBOAT: &str = "tagboat.dev/";

/// What an annotation's key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key<'k> {
    /// A policy under `fluxcd.io/`, or the older `flux.weave.works/`.
    Flux { policy: &'k str, legacy: bool },
    /// The filter of a container.
    Filter { container: &'k str, legacy: bool },
    /// A policy of Tagboat's own.
    Tagboat { policy: &'k str },
    /// Nearly a policy.
    Misspelt { nearest: String, restricts: bool },
    /// Not about policies.
    Other,
}

const FLUX_POLICIES: [&str; 5] = ["automated", "locked", "locked_user", "locked_msg", "ignore"];
const TAGBOAT_POLICIES: [&str; 2] = ["paused", "suspend"];

pub(super) fn classify(key: &str) -> Key<'_> {
    for (prefix, legacy) in [(FLUX, false), (FLUX_LEGACY, true)] {
        if let Some(policy) = key.strip_prefix(prefix) {
            return flux(prefix, policy, legacy);
        }
    }
    if let Some(container) = key.strip_prefix(FILTER) {
        return Key::Filter { container, legacy: false };
    }
    if let Some(policy) = key.strip_prefix(TAGBOAT) {
        return match TAGBOAT_POLICIES.iter().find(|known| is_near(policy, known)) {
            Some(known) if *known == policy => Key::Tagboat { policy },
            Some(known) => Key::Misspelt { nearest: format!("{TAGBOAT}{known}"), restricts: true },
            None => Key::Other,
        };
    }
    other_prefix(key)
}

/// The container that an annotation of this key sets the filter of.
pub(crate) fn filtered_container(key: &str) -> Option<&str> {
    match classify(key) {
        Key::Filter { container, .. } => Some(container),
        _ => None,
    }
}

fn flux<'k>(prefix: &str, policy: &'k str, legacy: bool) -> Key<'k> {
    if let Some(container) = policy.strip_prefix("tag.") {
        return Key::Filter { container, legacy };
    }
    if FLUX_POLICIES.contains(&policy) {
        return Key::Flux { policy, legacy };
    }
    if policy == "tag_all" {
        return Key::Misspelt { nearest: format!("{FILTER}<container>"), restricts: true };
    }
    if let Some((word, container)) = policy.split_once('.')
        && (word == "filter" || is_near(word, "tag"))
    {
        return Key::Misspelt { nearest: format!("{FILTER}{container}"), restricts: true };
    }
    match FLUX_POLICIES.iter().find(|known| is_near(policy, known)) {
        // A misspelt `automated` leaves automation off, which is the strict side.
        Some(known) => {
            Key::Misspelt { nearest: format!("{prefix}{known}"), restricts: matches!(*known, "locked" | "ignore") }
        }
        None => Key::Other,
    }
}

/// A prefix that is nearly one of ours, if what follows would be a policy there.
fn other_prefix(key: &str) -> Key<'_> {
    /// Prefixes of Flux and its kin that are their own.
    const OTHERS: [&str; 5] =
        ["tag.fluxcd.io", "repository.fluxcd.io", "registry.fluxcd.io", "helm.fluxcd.io", "toolkit.fluxcd.io"];
    let Some((prefix, rest)) = key.split_once('/') else { return Key::Other };
    if OTHERS.contains(&prefix) {
        return Key::Other;
    }
    let near = |known: &str| osa_distance(&prefix.to_ascii_lowercase(), known.trim_end_matches('/')) <= 2;
    if near(FILTER) || prefix == "filter.flux.weave.works" || prefix == "filter.tagboat.dev" {
        return Key::Misspelt { nearest: format!("{FILTER}{rest}"), restricts: true };
    }
    for known in [FLUX, FLUX_LEGACY] {
        if near(known) && (FLUX_POLICIES.contains(&rest) || rest.starts_with("tag.")) {
            return Key::Misspelt { nearest: format!("{known}{rest}"), restricts: rest != "automated" };
        }
    }
    if near(TAGBOAT) && TAGBOAT_POLICIES.contains(&rest) {
        return Key::Misspelt { nearest: format!("{TAGBOAT}{rest}"), restricts: true };
    }
    Key::Other
}

/// Equal, but for case and one slip of the fingers; two in a long word.
fn is_near(word: &str, known: &str) -> bool {
    let allowed = if known.len() >= 6 { 2 } else { 1 };
    word.len() <= known.len() + allowed && osa_distance(&word.to_ascii_lowercase(), known) <= allowed
}
