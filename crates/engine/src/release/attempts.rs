//! When a release that failed is tried again.

use crate::ports::{Fault, ObjectRef};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The first wait; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(10);
/// The longest wait after a failure that may pass by itself.
const LONGEST_TRANSIENT: Duration = Duration::from_secs(5 * 60);
/// The longest wait after a failure that most likely needs somebody.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// What is remembered of one release's failures. It is memory only: a new process tries at once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    uid: String,
    generation: Option<i64>,
    failures: u32,
    text: String,
    not_before: Timestamp,
}

/// The failures of all releases.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failed: Mutex<HashMap<ObjectRef, Attempt>>,
}

/// What a failure means for the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    /// How long to wait.
    pub(super) wait: Duration,
    /// Whether the same failure was there before: it has been told already.
    pub(super) repeated: bool,
}

impl Attempts {
    /// Until when a release is to be left alone; a change of the object ends the wait.
    pub(super) fn held(
        &self,
        id: &ObjectRef,
        uid: &str,
        generation: Option<i64>,
        now: Timestamp,
    ) -> Option<(Timestamp, String)> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = failed.get(id).filter(|found| found.uid == uid && found.generation == generation)?;
        (now < attempt.not_before).then(|| (attempt.not_before, attempt.text.clone()))
    }

    /// Notes a failure.
    pub(super) fn failed(
        &self,
        id: &ObjectRef,
        uid: &str,
        generation: Option<i64>,
        fault: &Fault,
        now: Timestamp,
    ) -> Next {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = failed.get(id).filter(|found| found.uid == uid && found.generation == generation);
        let failures = before.map_or(0, |found| found.failures);
        let repeated = before.is_some_and(|found| found.text == fault.text);
        let longest = if fault.is_transient() { LONGEST_TRANSIENT } else { LONGEST };
        let backed_off = FIRST.saturating_mul(1 << failures.min(10)).min(longest);
        let wait = backed_off.max(fault.retry_after.unwrap_or_default());
        let not_before = SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok());
        failed.insert(
            id.clone(),
            Attempt {
                uid: uid.to_owned(),
                generation,
                failures: failures.saturating_add(1),
                text: fault.text.clone(),
                not_before: not_before.unwrap_or(Timestamp::MAX),
            },
        );
        Next { wait, repeated }
    }

    /// Forgets a release's failures; tells whether there were any.
    pub(super) fn succeeded(&self, id: &ObjectRef) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::FaultKind;

    fn id() -> ObjectRef {
        ObjectRef { api_version: "v1".into(), kind: "HelmRelease".into(), namespace: None, name: "voice".into() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn waits_grow_up_to_a_limit_that_depends_on_the_failure() {
        let attempts = Attempts::default();
        let down = Fault::new(FaultKind::Unavailable, "down");
        let waits: Vec<u64> =
            (0..8).map(|_| attempts.failed(&id(), "u", Some(1), &down, at(0)).wait.as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300]);
        let bad = Fault::new(FaultKind::Invalid, "bad");
        assert_eq!(attempts.failed(&id(), "u", Some(1), &bad, at(0)).wait.as_secs(), 900);
        let throttled = down.clone().retry_after(Duration::from_secs(4000));
        assert_eq!(attempts.failed(&id(), "u", Some(1), &throttled, at(0)).wait.as_secs(), 4000);
    }

    #[test]
    fn the_same_failure_is_told_once_and_a_change_ends_the_wait() {
        let attempts = Attempts::default();
        let down = Fault::new(FaultKind::Unavailable, "down");
        assert!(!attempts.failed(&id(), "u", Some(1), &down, at(0)).repeated);
        assert!(attempts.failed(&id(), "u", Some(1), &down, at(10)).repeated);
        assert_eq!(attempts.held(&id(), "u", Some(1), at(11)), Some((at(30), "down".to_owned())));
        assert_eq!(attempts.held(&id(), "u", Some(2), at(11)), None);
        assert_eq!(attempts.held(&id(), "u", Some(1), at(30)), None);
        assert!(attempts.succeeded(&id()));
        assert!(!attempts.failed(&id(), "u", Some(1), &down, at(40)).repeated);
    }
}
