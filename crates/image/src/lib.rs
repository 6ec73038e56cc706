//! Image references, tags and the filters that choose among them.
//!
//! Everything here is pure: values in, values out. The types cannot hold nonsense: a [`Tag`] that exists is one that a
//! registry accepts, a [`Repository`] is in canonical form, and a [`Filter`] that exists can match some tag.
//!
//! ```text
//!   "mozilla/commonvoice:main-1a2b"          "glob:main-*"
//!               │ parse                           │ parse
//!               ▼                                 ▼
//!   Reference { name, Repository,             Filter ── admits(&Tag) ──┐
//!               Tag?, Digest? }                                        ▼
//!               └── repository() ──▶ what is scanned ──▶ Candidate ── compare ──▶ newest first
//! ```

mod candidate;
mod digest;
mod error;
mod filter;
mod reference;
mod repository;
mod tag;
mod text;

pub use candidate::{Candidate, compare, more_specific_first};
pub use digest::Digest;
pub use error::{FilterError, ReferenceError};
pub use filter::Filter;
pub use reference::Reference;
pub use repository::{DOCKER_HUB, Repository};
pub use tag::Tag;
pub use text::Quoted;
