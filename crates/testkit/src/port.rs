//! Free ports on loopback for servers that want to be told theirs.

use std::net::{Ipv4Addr, TcpListener};

use crate::{Error, Result};

/// Below the range that Linux takes for outgoing connections (32768 and up), so that none of those can take a port
/// between the moment it is chosen and the moment the server binds it.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// A port that nobody listens on just now. Another process may still be faster: callers try again.
pub(crate) fn free() -> Result<u16> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    for _ in 0..200 {
        let port = rand::random_range(RANGE);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(Error::Io { what: "looking for a free port on 127.0.0.1".into(), source: last })
}
