use std::io;
use std::net::SocketAddr;

/// Why something could not be served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The address is taken, not this machine's, or needs a privilege; at start only.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The listener without authentication was given an address that others can reach; at start only.
    #[error("the API without authentication listens on loopback only, got {address}; use 127.0.0.1 or [::1]")]
    NotLoopback {
        /// The configured address.
        address: SocketAddr,
    },
}
