use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a real component could not be started or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A third-party component has not been built yet.
    #[error("the component {name} is not in {}; run `cargo xtask components` (about a quarter of an hour, once)", directory.display())]
    ComponentMissing {
        /// The component's name, such as `etcd`.
        name: String,
        /// The folder it was looked for in.
        directory: PathBuf,
    },
    /// A program of the operating system is not installed.
    #[error(
        "the program {program} is not installed; run `cargo xtask packages` (Debian and Ubuntu: package {package})"
    )]
    ProgramMissing {
        /// The program's name.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A server ended before it was ready.
    #[error("{server} ended with {status} before it was ready; the end of its log:\n{log}")]
    Ended {
        /// The server's name.
        server: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// A server runs but did not become ready in time.
    #[error("{server} was not ready after {after:?}; the end of its log:\n{log}")]
    NotReady {
        /// The server's name.
        server: &'static str,
        /// How long it was waited for.
        after: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// Something that was waited for did not happen in time.
    #[error("{what} did not happen within {after:?}; last seen: {seen}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long it was waited for.
        after: Duration,
        /// What was there instead.
        seen: String,
    },
    /// A file or a process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A program that was run to its end failed.
    #[error("`{command}` failed with {status}:\n{output}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error, and where that is empty to standard output.
        output: String,
    },
    /// A server answered something else than what was asked for.
    #[error("{what}: {answer}")]
    Answer {
        /// What was asked.
        what: String,
        /// What came back.
        answer: String,
    },
    /// An HTTP request could not be made.
    #[error("{what}: {source}")]
    Http {
        /// What was being done.
        what: String,
        /// The client's error.
        source: reqwest::Error,
    },
    /// The Kubernetes client failed.
    #[error("{what}: {source}")]
    Kubernetes {
        /// What was being done.
        what: String,
        /// The client's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A certificate or key could not be made.
    #[error("making a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::Io`], for `map_err`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// An [`Error::Http`], for `map_err`.
    pub(crate) fn http(what: impl Into<String>) -> impl FnOnce(reqwest::Error) -> Self {
        let what = what.into();
        move |source| Self::Http { what, source }
    }

    /// An [`Error::Kubernetes`], for `map_err`.
    pub(crate) fn kubernetes<E>(what: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let what = what.into();
        move |source| Self::Kubernetes { what, source: source.into() }
    }
}
