//! The adapter against real servers: git over HTTP and SSH, on loopback.

mod authentication;
mod damage;
mod history;
mod push;
mod reading;
mod ssh;
mod support;
mod voice_infra;
