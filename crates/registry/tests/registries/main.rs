//! The adapter against the real distribution registry, and against a server that misbehaves as that one cannot.

// A test that cannot go on ends, and says where.
#![allow(clippy::unwrap_used)]

mod access;
mod hostile;
mod images;
mod paging;
mod store;
mod support;
