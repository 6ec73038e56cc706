use crate::error::WebError;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

/// What one listener allows.
#[derive(Debug, Clone)]
pub struct Limits {
    /// So many connections at once; further ones are closed at once.
    pub connections: usize,
    /// How long a client may take to send a request's head, the first or the next.
    pub head: Duration,
    /// How long requests in flight may go on when the process ends.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 128, head: Duration::from_secs(10), drain: Duration::from_secs(5) }
    }
}

/// A socket that listens. Binding is apart from serving, so that a bad address ends the process at its start.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// [`WebError::Bind`] when the address cannot be had.
    pub async fn bind(address: SocketAddr) -> Result<Self, WebError> {
        let bind = |source| WebError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self { listener, address })
    }

    /// Listens on an address that only this machine, or this pod, can reach.
    ///
    /// # Errors
    /// [`WebError::NotLoopback`] for any other address.
    pub async fn bind_loopback(address: SocketAddr) -> Result<Self, WebError> {
        if !address.ip().is_loopback() {
            return Err(WebError::NotLoopback { address });
        }
        Self::bind(address).await
    }

    /// The address that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes, and then lets the requests in flight end.
    pub async fn serve(self, router: Router, limits: Limits, shutdown: impl Future<Output = ()>) {
        let permits = Arc::new(Semaphore::new(limits.connections));
        let graceful = GracefulShutdown::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly: waiting is what helps.
                    tracing::warn!(listener.address = %self.address, "Cannot accept a connection: {error}");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                tracing::debug!(listener.address = %self.address, client.address = %peer, "Too many connections");
                continue;
            };
            spawn(stream, permit, router.clone(), &limits, &graceful);
        }
        drop(self.listener);
        let _ = timeout(limits.drain, graceful.shutdown()).await;
    }
}

fn spawn(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    router: Router,
    limits: &Limits,
    graceful: &GracefulShutdown,
) {
    let mut server = Builder::new(TokioExecutor::new()).http1_only();
    server.http1().timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(32 * 1024);
    let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        // A client that goes away in the middle is nobody's fault.
        let _ = connection.await;
        drop(permit);
    });
}
