//! Why an edit was refused.

use std::fmt;

use tagboat_image::Repository;

use super::Change;
use crate::id::WorkloadId;
use crate::workload::ImageProblem;
use crate::yaml::Obstacle;

/// Which image an edit was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    /// The workload.
    pub workload: WorkloadId,
    /// The container.
    pub container: String,
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, container {:?}", self.workload, self.container)
    }
}

impl From<&Change> for Box<ImageName> {
    fn from(change: &Change) -> Self {
        Self::new(ImageName { workload: change.workload.clone(), container: change.container.clone() })
    }
}

/// Why an edit was refused. Nothing is changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file holds no such workload.
    #[error("the file has no workload {workload}{}", there(.has, "it has"))]
    NoWorkload {
        /// The workload asked for.
        workload: WorkloadId,
        /// The workloads that the file has.
        has: Vec<WorkloadId>,
    },
    /// The file holds no such workload, and a part of it cannot be read.
    #[error("{line}:{column}: {text}; no workload {workload} is in what can be read of the file")]
    Unreadable {
        /// The workload asked for.
        workload: WorkloadId,
        /// The line, from 1.
        line: usize,
        /// The column, in characters from 1.
        column: usize,
        /// What is wrong.
        text: String,
    },
    /// Several documents are that workload.
    #[error("{workload} is defined twice, at lines {first_line} and {second_line}; neither is changed")]
    Ambiguous {
        /// The workload asked for.
        workload: WorkloadId,
        /// Where the first begins.
        first_line: usize,
        /// Where the second begins.
        second_line: usize,
    },
    /// The workload has no such container.
    #[error("{} has no container {:?}{}", .image.workload, .image.container, there(.has, "it has"))]
    NoContainer {
        /// The image asked for.
        image: Box<ImageName>,
        /// The containers that it has.
        has: Vec<String>,
    },
    /// Two containers have that name.
    #[error(
        "{} has two containers {:?}, at lines {first_line} and {second_line}; neither is changed",
        .image.workload, .image.container
    )]
    AmbiguousContainer {
        /// The image asked for.
        image: Box<ImageName>,
        /// Where the first one's image is.
        first_line: usize,
        /// Where the second one's image is.
        second_line: usize,
    },
    /// What the container runs now cannot be told.
    #[error("{image}, line {line}: {source}")]
    Image {
        /// The image asked for.
        image: Box<ImageName>,
        /// The line of the value.
        line: usize,
        /// What is wrong with it.
        source: Box<ImageProblem>,
    },
    /// The new image is of another repository. An edit moves an image along its repository, never to another one.
    #[error("{image}, is of the repository {current}; {to} is another one")]
    OtherRepository {
        /// The image asked for.
        image: Box<ImageName>,
        /// The repository now.
        current: Repository,
        /// The repository asked for.
        to: Repository,
    },
    /// The new image has neither tag nor digest, or not what the file's way of writing it needs.
    #[error("{image}: {reason}")]
    Version {
        /// The image asked for.
        image: Box<ImageName>,
        /// What is missing.
        reason: String,
    },
    /// The value cannot be replaced where it stands.
    #[error("line {line}: {path} cannot be edited: {source}")]
    Obstacle {
        /// The value's path.
        path: String,
        /// The value's line.
        line: usize,
        /// What is in the way.
        source: Obstacle,
    },
    /// The value is written in a way that an edit does not touch: a block scalar, an explicit tag, several lines.
    #[error("line {line}: {path} cannot be edited: {reason}")]
    Style {
        /// The value's path.
        path: String,
        /// The value's line.
        line: usize,
        /// How it is written.
        reason: String,
    },
    /// Two changes want different text in one place.
    #[error("line {line}: {path} is set to {first:?} and to {second:?} at once")]
    Contradiction {
        /// The value's path.
        path: String,
        /// The value's line.
        line: usize,
        /// One text.
        first: String,
        /// The other.
        second: String,
    },
    /// After the edit, the file did not read as it should: something in it was not as it seemed.
    #[error("the edit was undone: after it, the file would differ in more than {path} (line {line})")]
    NotVerified {
        /// The first value that was to change.
        path: String,
        /// Its line.
        line: usize,
    },
}

fn there<T: ToString>(has: &[T], lead: &str) -> String {
    if has.is_empty() {
        return String::new();
    }
    format!("; {lead} {}", has.iter().map(T::to_string).collect::<Vec<_>>().join(", "))
}
