//! The infrastructure repository: mirror, commit, push.
//!
//! This crate implements the engine's port [`GitRepository`](tagboat_engine::ports::GitRepository) for one repository
//! and branch. There is no work tree and no index, so nothing that a crash could leave locked: a bare clone is a cache
//! that may be deleted at any time, and is, when it is damaged.
//!
//! ```text
//!              libgit2: objects                              the `git` program: network
//!  files ◀─── tree ◀──┐                                  ┌──▶ fetch ──┐
//!  history ◀──────────┤ clone (bare, one remote branch) ◀┤            ├── program ──▶ https, ssh
//!  plan ───▶ commit ──┘                                  └──▶ push ───┘   (own group, deadline, bounds)
//! ```
//!
//! How it fails: a push is a compare-and-swap on the planned parent (`--force-with-lease`), so it lands on what was
//! planned or not at all. When the program does not say what became of a push (it was killed, the connection broke),
//! the branch is fetched and searched for the commit's change id. A damaged clone is made anew once; a second damage
//! in the same call is an error. Credentials reach the program through its environment and through files that only
//! this user may read; never through arguments, URLs or text.

mod branch;
mod clone;
mod commit;
mod config;
mod credentials;
mod error;
mod history;
mod program;
mod push;
mod remote;
mod repository;
mod ssh;
mod text;
mod touched;
mod tree;
mod url;
mod verdict;
mod work_tree;

pub use branch::BranchName;
pub use config::{ConfigProblem, GitConfig, Limits};
pub use credentials::{Credentials, KnownHosts, SecretValue};
pub use error::Error;
pub use repository::Repository;
pub use url::{RemoteUrl, Scheme};
pub use work_tree::WorkTree;
