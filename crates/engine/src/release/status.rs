//! The status of a HelmRelease: phases and conditions as helm-operator has them, with the real error text.

use jiff::Timestamp;
use tagboat_api::{ConditionType, HelmReleaseCondition, HelmReleasePhase as Phase, HelmReleaseStatus};

/// How much of an error a condition shows, in characters.
const MESSAGE_LIMIT: usize = 1000;

/// Something that happened to a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<'a> {
    /// The phase that it is in now.
    pub phase: Phase,
    /// The release's name.
    pub release: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// The real error, for a phase that failed.
    pub error: Option<&'a str>,
}

impl Step<'_> {
    fn message(&self) -> String {
        let (release, namespace) = (self.release, self.namespace);
        let what = match self.phase {
            Phase::ChartFetched => "Chart fetch was successful for",
            Phase::ChartFetchFailed => "Chart fetch failed for",
            Phase::Installing => return format!("Running installation for Helm release '{release}' in '{namespace}'."),
            Phase::Upgrading => return format!("Running upgrade for Helm release '{release}' in '{namespace}'."),
            Phase::Deployed => "Installation or upgrade succeeded for",
            Phase::DeployFailed => "Installation or upgrade failed for",
            Phase::Testing => "Testing",
            Phase::TestFailed => "Test failed for",
            Phase::Tested => "Tested",
            Phase::Succeeded => "Release was successful for",
            Phase::RollingBack => "Rolling back",
            Phase::RolledBack => "Rolled back",
            Phase::RollbackFailed => "Rollback failed for",
            Phase::Failed => "Release failed for",
        };
        let text = format!("{what} Helm release '{release}' in '{namespace}'");
        match self.error {
            Some(error) => shortened(&format!("{text}: {error}")),
            None => format!("{text}."),
        }
    }

    /// The conditions that a phase sets (section 1.3 of helm-operator's reference).
    fn conditions(&self) -> &'static [(ConditionType, &'static str)] {
        match self.phase {
            Phase::ChartFetched => &[(ConditionType::ChartFetched, "True")],
            Phase::ChartFetchFailed => &[(ConditionType::ChartFetched, "False"), (ConditionType::Released, "False")],
            Phase::Installing | Phase::Upgrading => &[(ConditionType::Deployed, "Unknown")],
            Phase::Deployed => &[(ConditionType::Deployed, "True")],
            Phase::DeployFailed => &[(ConditionType::Deployed, "False"), (ConditionType::Released, "False")],
            Phase::Testing => &[(ConditionType::Tested, "Unknown")],
            Phase::Tested => &[(ConditionType::Tested, "True")],
            Phase::TestFailed => &[(ConditionType::Tested, "False"), (ConditionType::Released, "False")],
            Phase::Succeeded => &[(ConditionType::Released, "True")],
            Phase::Failed => &[(ConditionType::Released, "False")],
            Phase::RollingBack => &[(ConditionType::RolledBack, "Unknown")],
            Phase::RolledBack => &[(ConditionType::RolledBack, "True")],
            Phase::RollbackFailed => &[(ConditionType::RolledBack, "False")],
        }
    }
}

/// The status after a step. Where nothing but times would change, it is the status before, times and all: so nothing is
/// written when nothing happened.
pub fn advance(before: &HelmReleaseStatus, step: &Step<'_>, now: Timestamp) -> HelmReleaseStatus {
    let mut status = before.clone();
    status.phase = Some(step.phase);
    status.release_name = Some(step.release.to_owned());
    let message = step.message();
    for (type_, value) in step.conditions() {
        let reason = format!("{:?}", step.phase);
        let before = status.conditions.iter().position(|condition| condition.type_ == *type_);
        let old = before.map(|at| status.conditions.remove(at));
        let same_status = old.as_ref().is_some_and(|old| old.status == *value);
        let unchanged = same_status
            && old
                .as_ref()
                .is_some_and(|old| old.reason.as_deref() == Some(&reason) && old.message.as_deref() == Some(&message));
        let kept = |time: fn(&HelmReleaseCondition) -> Option<Timestamp>| old.as_ref().and_then(time);
        let condition = HelmReleaseCondition {
            type_: *type_,
            status: (*value).to_owned(),
            last_update_time: if unchanged { kept(|old| old.last_update_time) } else { Some(now) },
            last_transition_time: if same_status { kept(|old| old.last_transition_time) } else { Some(now) },
            reason: Some(reason),
            message: Some(message.clone()),
        };
        let at = before.unwrap_or(status.conditions.len());
        status.conditions.insert(at, condition);
    }
    if step.phase == Phase::Succeeded {
        status.conditions.retain(|condition| condition.type_ != ConditionType::RolledBack);
        status.rollback_count = None;
    }
    status
}

/// A text that fits into a condition.
pub(super) fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= MESSAGE_LIMIT {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MESSAGE_LIMIT).collect();
    format!("{kept}…({} more)", length - MESSAGE_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(phase: Phase, error: Option<&str>) -> Step<'_> {
        Step { phase, release: "voice", namespace: "voice-dev", error }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn a_failure_shows_the_real_error() {
        let status =
            advance(&HelmReleaseStatus::default(), &step(Phase::DeployFailed, Some("no matches for kind")), at(0));
        let released = status.conditions.iter().find(|found| found.type_ == ConditionType::Released).unwrap();
        assert_eq!(released.status, "False");
        let message = released.message.as_deref().unwrap();
        assert_eq!(
            message,
            "Installation or upgrade failed for Helm release 'voice' in 'voice-dev': no matches for kind"
        );
        assert_eq!(released.reason.as_deref(), Some("DeployFailed"));
    }

    #[test]
    fn the_same_step_again_changes_nothing() {
        let once = advance(&HelmReleaseStatus::default(), &step(Phase::ChartFetchFailed, Some("404")), at(0));
        assert_eq!(advance(&once, &step(Phase::ChartFetchFailed, Some("404")), at(60)), once);
        let other = advance(&once, &step(Phase::ChartFetchFailed, Some("503")), at(60));
        assert_eq!(other.conditions[0].last_transition_time, Some(at(0)), "the verdict is the same");
        assert_eq!(other.conditions[0].last_update_time, Some(at(60)));
    }

    #[test]
    fn success_follows_failure() {
        let failed = advance(&HelmReleaseStatus::default(), &step(Phase::DeployFailed, Some("x")), at(0));
        let deployed = advance(&failed, &step(Phase::Deployed, None), at(1));
        let done = advance(&deployed, &step(Phase::Succeeded, None), at(1));
        let verdicts: Vec<(ConditionType, &str)> =
            done.conditions.iter().map(|found| (found.type_, found.status.as_str())).collect();
        assert_eq!(verdicts, [(ConditionType::Deployed, "True"), (ConditionType::Released, "True")]);
        assert_eq!(done.conditions[1].last_transition_time, Some(at(1)));
    }

    #[test]
    fn a_long_error_is_cut_and_says_so() {
        let text = shortened(&"ü".repeat(1500));
        assert!(text.ends_with("…(500 more)"), "{text}");
    }
}
