use crate::ports::{Fault, FaultKind};
use std::collections::BTreeMap;

/// Faults that stand: each is told when it begins, and again when it turns into another kind, however often it is met.
#[derive(Debug, Default)]
pub(super) struct Standing(BTreeMap<String, FaultKind>);

impl Standing {
    /// Whether this is news.
    pub(super) fn begins(&mut self, doing: &str, fault: &Fault) -> bool {
        let kind = match fault.kind {
            // One outage has many faces.
            FaultKind::Timeout | FaultKind::Incomplete => FaultKind::Unavailable,
            other => other,
        };
        self.0.insert(doing.to_owned(), kind) != Some(kind)
    }

    /// It works again, or is no longer tried.
    pub(super) fn ends(&mut self, doing: &str) {
        self.0.remove(doing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_news_once_until_it_ends_or_becomes_something_else() {
        let mut standing = Standing::default();
        let fault = |kind| Fault::new(kind, "x");
        assert!(standing.begins("fetch", &fault(FaultKind::Unavailable)));
        assert!(!standing.begins("fetch", &fault(FaultKind::Timeout)));
        assert!(standing.begins("mirror", &fault(FaultKind::Timeout)));
        assert!(standing.begins("fetch", &fault(FaultKind::Denied)));
        standing.ends("fetch");
        assert!(standing.begins("fetch", &fault(FaultKind::Denied)));
    }
}
