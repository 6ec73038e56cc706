//! The name of a workload, as Flux writes it.

use std::fmt;
use std::str::FromStr;

/// `namespace:kind/name`, such as `voice-dev:helmrelease/voice`. The kind is in lower case; what is in no namespace has
/// `<cluster>` for one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId {
    namespace: Option<String>,
    kind: String,
    name: String,
}

/// A text is not a workload's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid workload {text:?}: {reason}; expected namespace:kind/name, such as voice-dev:helmrelease/voice")]
pub struct WorkloadIdError {
    /// What was found.
    pub text: String,
    /// Which part is wrong.
    pub reason: &'static str,
}

const CLUSTER: &str = "<cluster>";

impl WorkloadId {
    /// A workload by the parts of its name, unchecked, as a manifest has them. The kind is put into lower case.
    #[must_use]
    pub fn new(namespace: Option<&str>, kind: &str, name: &str) -> Self {
        Self { namespace: namespace.map(str::to_owned), kind: kind.to_lowercase(), name: name.to_owned() }
    }

    /// The namespace; `None` for what is in no namespace.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The kind, in lower case.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The object's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.namespace().unwrap_or(CLUSTER), self.kind, self.name)
    }
}

impl FromStr for WorkloadId {
    type Err = WorkloadIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |reason| WorkloadIdError { text: text.to_owned(), reason };
        let (namespace, rest) = text.split_once(':').ok_or(bad("it has no `:`"))?;
        let (kind, name) = rest.split_once('/').ok_or(bad("it has no `/`"))?;
        let holds = |text: &str, extra: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
        };
        if namespace != CLUSTER && !holds(namespace, "_-") {
            return Err(bad("the namespace is not one"));
        }
        if !holds(kind, "_") {
            return Err(bad("the kind is not one"));
        }
        if !holds(name, "_.:-") {
            return Err(bad("the name is not one"));
        }
        Ok(Self::new((namespace != CLUSTER).then_some(namespace), kind, name))
    }
}

impl serde::Serialize for WorkloadId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for WorkloadId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
