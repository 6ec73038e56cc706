use std::path::PathBuf;
use std::time::Duration;
use tagboat_engine::ports::{Fault, FaultKind};

/// What can go wrong with charts, their rendering and release records.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The renderer's program is neither where the configuration says nor beside the executable.
    #[error("the renderer is not at {}{}; it is needed to render charts: build it with `cargo xtask components`, or name it in the configuration", .tried[0].display(), .tried.get(1).map(|path| format!(", nor at {}", path.display())).unwrap_or_default())]
    RendererMissing {
        /// Where it was looked for; at least one path.
        tried: Vec<PathBuf>,
    },
    /// The renderer's process does not start, or ends before it is ready.
    #[error("the renderer {} does not start: {reason}", .program.display())]
    RendererStart {
        /// The program.
        program: PathBuf,
        /// What the system or the program itself said.
        reason: String,
    },
    /// The renderer died while it worked on a chart.
    #[error("the renderer died while it rendered {release}: {reason}; a new one will be started")]
    RendererDied {
        /// The release.
        release: String,
        /// How it ended, with what it said.
        reason: String,
    },
    /// A rendering takes too long: a template without end, or a machine without time. The process was killed.
    #[error("rendering {release} was stopped after {} s, the limit for one chart; does a template loop?", .limit.as_secs())]
    RenderDeadline {
        /// The release.
        release: String,
        /// The limit.
        limit: Duration,
    },
    /// A rendering takes too much memory. The process was killed.
    #[error("rendering {release} was stopped: the renderer took {} MiB, the limit is {} MiB", .used >> 20, .limit >> 20)]
    RenderMemory {
        /// The release.
        release: String,
        /// What it had, in bytes.
        used: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Helm's library refuses the chart or the values; its own text.
    #[error("{0}")]
    Render(String),
    /// A frame to or from the renderer is larger than the protocol allows, or is not one.
    #[error("the renderer's {direction} for {release} cannot be passed: {reason}")]
    Frame {
        /// `request` or `answer`.
        direction: &'static str,
        /// The release.
        release: String,
        /// Sizes, or what was found.
        reason: String,
    },
    /// A chart repository's URL cannot be used.
    #[error("the chart repository {url} cannot be used: {reason}")]
    RepositoryUrl {
        /// As the release writes it, without credentials.
        url: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A chart repository does not answer, or with an error.
    #[error("{url} cannot be fetched: {reason}")]
    Fetch {
        /// What was asked for.
        url: String,
        /// The status or the network's error.
        reason: String,
        /// What kind of failure it is.
        kind: FaultKind,
        /// `Retry-After`, where it was given.
        retry_after: Option<Duration>,
    },
    /// A repository's `index.yaml` is not one.
    #[error("the index of the chart repository {url} cannot be read: {reason}")]
    Index {
        /// The repository.
        url: String,
        /// Where and what.
        reason: String,
    },
    /// The repository has no chart of this name.
    #[error("the chart repository {url} has no chart {chart:?}")]
    ChartNotFound {
        /// The repository.
        url: String,
        /// The chart.
        chart: String,
    },
    /// The repository has the chart, but no version that fits.
    #[error("the chart repository {url} has no version {version} of {chart}; its newest are {newest}")]
    VersionNotFound {
        /// The repository.
        url: String,
        /// The chart.
        chart: String,
        /// What was asked for.
        version: String,
        /// The three newest versions, joined.
        newest: String,
    },
    /// A version is neither exact nor a range.
    #[error("{version:?} is neither a version of {chart} nor a range of versions: {reason}")]
    VersionInvalid {
        /// The chart.
        chart: String,
        /// What was asked for.
        version: String,
        /// What is wrong.
        reason: String,
    },
    /// An archive is not the one that the index promises.
    #[error(
        "{url} has the digest sha256:{found}, but the repository's index promises sha256:{promised}; it is not used"
    )]
    Digest {
        /// The archive.
        url: String,
        /// What the index says.
        promised: String,
        /// What came.
        found: String,
    },
    /// The cache folder cannot be read or written.
    #[error("the chart cache at {} cannot be used: {reason}", .path.display())]
    Cache {
        /// Which file or folder.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
    /// A release record is larger than a Secret may be.
    #[error(
        "the record of {release} revision {version} has {size} bytes, a Secret holds at most {limit} (manifest {manifest}, chart {chart} bytes before compression); nothing was released"
    )]
    RecordTooLarge {
        /// The release.
        release: String,
        /// The revision.
        version: u64,
        /// Encoded size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
        /// The manifest's part, before compression.
        manifest: usize,
        /// The chart's part, before compression.
        chart: usize,
    },
    /// A Secret of a release is not in Helm's format.
    #[error("the release record {secret} in {namespace} cannot be read: {reason}")]
    Record {
        /// The namespace.
        namespace: String,
        /// The Secret.
        secret: String,
        /// What is wrong.
        reason: String,
    },
    /// The API server refuses a request on a release record.
    #[error("the release record {secret} in {namespace} cannot be {act}: {reason}")]
    RecordRequest {
        /// `read`, `created`, …
        act: &'static str,
        /// The namespace.
        namespace: String,
        /// The Secret, or what names them all.
        secret: String,
        /// The API server's text.
        reason: String,
        /// What kind of failure it is.
        kind: FaultKind,
    },
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Fetch { kind, retry_after, .. } => Fault { kind, text, retry_after },
            Error::RecordRequest { kind, .. } => Fault::new(kind, text),
            Error::RendererMissing { .. } | Error::RendererStart { .. } | Error::RendererDied { .. } => {
                Fault::new(FaultKind::Unavailable, text)
            }
            Error::RenderDeadline { .. } | Error::RenderMemory { .. } | Error::RecordTooLarge { .. } => {
                Fault::new(FaultKind::Limit, text)
            }
            Error::ChartNotFound { .. } | Error::VersionNotFound { .. } => Fault::new(FaultKind::NotFound, text),
            Error::Frame { .. } => Fault::new(FaultKind::Limit, text),
            Error::Cache { .. } => Fault::new(FaultKind::Unavailable, text),
            Error::Render(_)
            | Error::RepositoryUrl { .. }
            | Error::Index { .. }
            | Error::VersionInvalid { .. }
            | Error::Digest { .. }
            | Error::Record { .. } => Fault::new(FaultKind::Invalid, text),
        }
    }
}
