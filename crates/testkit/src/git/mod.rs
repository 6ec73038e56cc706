//! Git repositories, and real servers for them over HTTP and SSH.

mod http;
mod repository;
mod ssh;

pub use http::GitHttp;
pub use repository::{Change, Commit, NewCommit, Repository};
pub use ssh::GitSsh;
