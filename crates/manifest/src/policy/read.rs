//! From annotations to policies.

use std::collections::BTreeMap;

use tagboat_image::Filter;

use super::keys::{Key, classify};
use super::{FilterProblem, Ignore, Policies, PolicyProblem};

/// A value, the key that gave it, and whether that key is of the older kind.
struct Given<'a, T> {
    key: &'a str,
    legacy: bool,
    value: T,
}

pub(super) fn read<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Policies, Vec<PolicyProblem>) {
    let mut flags: BTreeMap<&str, Vec<Given<'a, bool>>> = BTreeMap::new();
    let mut ignores = Vec::new();
    let mut texts: BTreeMap<&str, Given<'a, &str>> = BTreeMap::new();
    let mut filters: BTreeMap<&str, Vec<Given<'a, &str>>> = BTreeMap::new();
    let mut problems = Vec::new();

    for (key, value) in annotations {
        match classify(key) {
            Key::Flux { policy: policy @ ("automated" | "locked"), legacy } => {
                let value = flag(key, value, policy != "automated", &mut problems);
                flags.entry(policy).or_default().push(Given { key, legacy, value });
            }
            Key::Flux { policy: "ignore", legacy } => {
                ignores.push(Given { key, legacy, value: ignore(key, value, &mut problems) });
            }
            Key::Flux { policy, legacy } => {
                // Free text: the newer key wins.
                if texts.get(policy).is_none_or(|given| given.legacy) {
                    texts.insert(policy, Given { key, legacy, value });
                }
            }
            Key::Tagboat { policy } => {
                let value = flag(key, value, true, &mut problems);
                flags.entry(policy).or_default().push(Given { key, legacy: false, value });
            }
            Key::Filter { container, legacy } => {
                filters.entry(container).or_default().push(Given { key, legacy, value });
            }
            Key::Misspelt { nearest, restricts } => problems.push(misspelt(key, &nearest, restricts)),
            Key::Other => {}
        }
    }

    let mut take = |policy: &str, strict: bool| {
        strictest(&flags.remove(policy)?, |value| *value == strict, ToString::to_string, &mut problems)
    };
    let mut policies = Policies {
        automated: take("automated", false),
        locked: take("locked", true),
        paused: take("paused", true),
        suspend: take("suspend", true),
        locked_user: texts.remove("locked_user").map(|given| given.value.to_owned()),
        locked_message: texts.remove("locked_msg").map(|given| given.value.to_owned()),
        ..Policies::default()
    };
    if let Some(most) = ignores.iter().map(|given| given.value).max() {
        policies.ignore = strictest(&ignores, |value| *value == most, |value| value.text().to_owned(), &mut problems);
    }
    for (container, given) in filters {
        policies.filters.insert(container.to_owned(), filter(&given, &mut problems));
    }
    if policies.is_locked() && policies.is_automated() {
        problems.push(PolicyProblem::warning("fluxcd.io/locked", "locked and automated: the lock wins".to_owned()));
    }
    (policies, problems)
}

fn flag(key: &str, value: &str, otherwise: bool, problems: &mut Vec<PolicyProblem>) -> bool {
    match value {
        "true" => true,
        "false" => false,
        _ => {
            problems.push(PolicyProblem::warning(
                key,
                format!("value must be \"true\" or \"false\", got {value:?}; treated as {otherwise}"),
            ));
            otherwise
        }
    }
}

fn ignore(key: &str, value: &str, problems: &mut Vec<PolicyProblem>) -> Ignore {
    match value {
        "true" => Ignore::Yes,
        "sync_only" => Ignore::SyncOnly,
        "false" => Ignore::No,
        _ => {
            problems.push(PolicyProblem::warning(
                key,
                format!("value must be \"true\", \"sync_only\" or \"false\", got {value:?}; treated as true"),
            ));
            Ignore::Yes
        }
    }
}

fn misspelt(key: &str, nearest: &str, restricts: bool) -> PolicyProblem {
    if restricts {
        PolicyProblem::blocking(
            key,
            format!("unknown policy {key:?}, the nearest is {nearest:?}; until it is put right the images stay"),
        )
    } else {
        PolicyProblem::warning(key, format!("unknown policy {key:?}, the nearest is {nearest:?}; it has no effect"))
    }
}

/// Of contradicting values the strictest counts, and the contradiction is reported.
fn strictest<T: PartialEq + Copy>(
    given: &[Given<'_, T>],
    is_strict: impl Fn(&T) -> bool,
    text: impl Fn(&T) -> String,
    problems: &mut Vec<PolicyProblem>,
) -> Option<T> {
    let chosen = given.iter().find(|given| is_strict(&given.value)).or(given.first())?;
    for other in given.iter().filter(|other| other.value != chosen.value) {
        problems.push(PolicyProblem::warning(
            other.key,
            format!(
                "{} is {:?} but {} is {:?}; the stricter counts, {:?}",
                other.key,
                text(&other.value),
                chosen.key,
                text(&chosen.value),
                text(&chosen.value),
            ),
        ));
    }
    Some(chosen.value)
}

/// The newer keys beat the older; where two of the newer differ, neither can be trusted.
fn filter(given: &[Given<'_, &str>], problems: &mut Vec<PolicyProblem>) -> Result<Filter, FilterProblem> {
    // There is at least one: that is how the container came to be listed.
    let Some(chosen) = given.iter().find(|given| !given.legacy).or(given.first()) else { return Ok(Filter::any()) };
    let parsed =
        Filter::parse(chosen.value).map_err(|source| FilterProblem::Invalid { key: chosen.key.to_owned(), source });
    for other in given.iter().filter(|other| other.value != chosen.value) {
        // `glob:main-*` and `main-*` are the same filter.
        if matches!((&parsed, Filter::parse(other.value)), (Ok(a), Ok(b)) if *a == b) {
            continue;
        }
        if other.legacy && !chosen.legacy {
            problems.push(PolicyProblem::warning(
                other.key,
                format!(
                    "{} sets {:?} but the newer {} sets {:?}, which counts",
                    other.key, other.value, chosen.key, chosen.value
                ),
            ));
        } else {
            let problem = FilterProblem::Conflict { first: chosen.key.to_owned(), second: other.key.to_owned() };
            problems.push(PolicyProblem::blocking(other.key, problem.to_string()));
            return Err(problem);
        }
    }
    if let Err(problem @ FilterProblem::Invalid { key, .. }) = &parsed {
        problems.push(PolicyProblem::blocking(key, problem.to_string()));
    }
    parsed
}
