//! What is to be done with a release: from what is asked for and from its history alone.

use super::record::{self, Inputs};
use crate::ports::ReleaseRecord;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How long somebody else's unfinished operation is respected, at least.
const FOREIGN_PATIENCE: Duration = Duration::from_secs(3600);

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Chart, values and record are unchanged.
    Nothing {
        /// The revision that is deployed.
        revision: u64,
        /// Older revisions that still say `deployed`: a crash came between two writes.
        superseded: Vec<u64>,
    },
    /// Install or upgrade.
    Act(Action),
    /// Somebody else is at work on this release.
    Wait {
        /// Helm's word for it: `pending-upgrade`, `uninstalling`, …
        status: String,
        /// The revision.
        revision: u64,
        /// When it counts as abandoned.
        until: Timestamp,
    },
}

/// An install or an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Whether it is an upgrade: an install went through before.
    pub upgrade: bool,
    /// The revision that it writes.
    pub revision: u64,
    /// Whether that revision is there already: an attempt with the same inputs that failed, or that a crash cut off.
    pub again: bool,
    /// An unfinished revision of somebody else's, or of ours with other inputs, that is marked as failed first.
    pub abandon: Option<u64>,
    /// Revisions that say `deployed` and no longer do afterwards.
    pub supersede: Vec<u64>,
    /// Revisions whose objects may be in the cluster: the last deployed one and all attempts after it.
    pub predecessors: Vec<u64>,
}

/// Plans. `history` is ordered by revision.
pub fn plan(inputs: &Inputs, history: &[ReleaseRecord], timeout: Duration, now: Timestamp) -> Plan {
    let deployed: Vec<u64> =
        history.iter().filter(|found| found.status == "deployed").map(|found| found.version).collect();
    let Some(last) = history.last() else {
        return Plan::Act(Action {
            upgrade: false,
            revision: 1,
            again: false,
            abandon: None,
            supersede: deployed,
            predecessors: Vec::new(),
        });
    };
    let same = inputs.made(last);
    if last.status == "deployed" && same {
        let superseded = deployed.into_iter().filter(|revision| *revision != last.version).collect();
        return Plan::Nothing { revision: last.version, superseded };
    }
    let pending = last.status.starts_with("pending-");
    let uninstalling = last.status == "uninstalling";
    // An uninstall is always somebody else's; it keeps the labels of the record that it works on.
    if uninstalling || (pending && !record::is_ours(last)) {
        let patience = SignedDuration::try_from(timeout.max(FOREIGN_PATIENCE)).unwrap_or(SignedDuration::MAX);
        let until = last.modified.unwrap_or(now).checked_add(patience).unwrap_or(Timestamp::MAX);
        if now < until {
            return Plan::Wait { status: last.status.clone(), revision: last.version, until };
        }
    }
    // What stands before the last uninstall is no part of the release any more.
    let gone = |found: &ReleaseRecord| matches!(found.status.as_str(), "uninstalled" | "uninstalling");
    let current = &history[history.iter().rposition(gone).map_or(0, |at| at + 1)..];
    let again = same && (pending || last.status == "failed");
    let went_through = |found: &ReleaseRecord| matches!(found.status.as_str(), "deployed" | "superseded");
    let from = current.iter().rposition(|found| found.status == "deployed").unwrap_or(0);
    Plan::Act(Action {
        upgrade: current.iter().any(went_through),
        revision: if again { last.version } else { last.version + 1 },
        again,
        abandon: (pending && !again).then_some(last.version),
        supersede: deployed,
        predecessors: current[from..].iter().map(|found| found.version).collect(),
    })
}

/// Which revisions to remove so that `keep` are left: the oldest, never a deployed one, never the one being written.
pub(super) fn prune(history: &[ReleaseRecord], writing: u64, keep: usize) -> Vec<u64> {
    if keep == 0 {
        return Vec::new();
    }
    let others: Vec<&ReleaseRecord> = history.iter().filter(|found| found.version != writing).collect();
    let excess = (others.len() + 1).saturating_sub(keep);
    let removable = others.iter().filter(|found| found.status != "deployed");
    removable.take(excess).map(|found| found.version).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    const NOW: &str = "2026-06-01T12:00:00Z";

    fn inputs(values: u32) -> Inputs {
        Inputs::new("sha256:c", &json!({"v": values}), "ns", "voice")
    }

    /// `3d1` is revision 3, deployed, of ours with the values 1; `4p` a pending upgrade of somebody else's.
    fn history(text: &str) -> Vec<ReleaseRecord> {
        let read = |word: &str| {
            let version: u64 = word[..1].parse().unwrap();
            let status = match &word[1..2] {
                "d" => "deployed",
                "s" => "superseded",
                "f" => "failed",
                "p" => "pending-upgrade",
                "u" => "uninstalled",
                "x" => "uninstalling",
                _ => panic!("{word}"),
            };
            let labels = word[2..].parse().map(|values| inputs(values).labels(version)).unwrap_or_default();
            ReleaseRecord {
                name: "voice".to_owned(),
                namespace: "ns".to_owned(),
                version,
                status: status.to_owned(),
                labels,
                modified: Some("2026-06-01T11:30:00Z".parse().unwrap()),
                body: json!({}),
            }
        };
        text.split_whitespace().map(read).collect()
    }

    fn planned(text: &str) -> Plan {
        plan(&inputs(1), &history(text), Duration::from_secs(300), NOW.parse().unwrap())
    }

    #[rstest]
    #[case::first("", "install 1")]
    #[case::unchanged("1d1", "nothing")]
    #[case::other_values("1d2", "upgrade 2")]
    #[case::somebody_elses("1d", "upgrade 2")]
    #[case::rolled_back_by_helm("1s1 2s2 3d", "upgrade 4")]
    #[case::failed_install_again("1f1", "install 1 again")]
    #[case::failed_install_changed("1f2", "install 2")]
    #[case::failed_upgrade_again("1d2 2f1", "upgrade 2 again")]
    #[case::back_to_what_is_deployed("1d1 2f2", "upgrade 3")]
    #[case::crashed("1d2 2p1", "upgrade 2 again")]
    #[case::crashed_and_changed("1d2 2p3", "upgrade 3")]
    #[case::somebody_at_work("1d1 2p", "wait")]
    #[case::somebody_uninstalls("1d1 2x1", "wait")]
    #[case::uninstalled_with_history("1s1 2u", "install 3")]
    fn the_history_decides(#[case] before: &str, #[case] expected: &str) {
        let found = match planned(before) {
            Plan::Nothing { .. } => "nothing".to_owned(),
            Plan::Wait { .. } => "wait".to_owned(),
            Plan::Act(action) => {
                let kind = if action.upgrade { "upgrade" } else { "install" };
                format!("{kind} {}{}", action.revision, if action.again { " again" } else { "" })
            }
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_foreign_operation_is_abandoned_after_an_hour() {
        let later: Timestamp = "2026-06-01T12:31:00Z".parse().unwrap();
        let found = plan(&inputs(1), &history("1d1 2p"), Duration::from_secs(300), later);
        let Plan::Act(action) = found else { panic!("{found:?}") };
        assert_eq!((action.abandon, action.revision, action.supersede), (Some(2), 3, vec![1]));
        let patient = plan(&inputs(1), &history("1d1 2p"), Duration::from_secs(7200), later);
        assert!(matches!(patient, Plan::Wait { .. }), "a longer timeout of its own counts");
    }

    #[test]
    fn objects_of_failed_attempts_are_remembered() {
        let Plan::Act(action) = planned("1s2 2d2 3f3 4f4") else { panic!() };
        assert_eq!(action.predecessors, [2, 3, 4]);
        let Plan::Act(action) = planned("1f3 2f4") else { panic!() };
        assert_eq!(action.predecessors, [1, 2]);
    }

    #[test]
    fn a_crash_between_two_writes_leaves_one_deployed() {
        assert_eq!(planned("1d2 2d1"), Plan::Nothing { revision: 2, superseded: vec![1] });
    }

    #[test]
    fn the_deployed_record_is_never_pruned() {
        let before = history("1d2 2f3 3f3 4f3");
        assert_eq!(prune(&before, 5, 3), [2, 3]);
        assert_eq!(prune(&before, 5, 0), Vec::<u64>::new());
        assert_eq!(prune(&before, 4, 4), Vec::<u64>::new());
    }
}
