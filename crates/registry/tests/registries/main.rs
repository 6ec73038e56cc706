//! The adapter against the real distribution registry, and against a server that misbehaves as that one cannot.

mod access;
mod hostile;
mod images;
mod paging;
mod store;
mod support;
