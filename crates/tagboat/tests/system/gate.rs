//! A door before a server, which a test closes and opens: what a network does.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A door on a port of its own. While it is closed, new connections are cut and those that stood are broken.
pub struct Door {
    pub address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
}

impl Door {
    /// Opens a door before `server`, which is `host:port`.
    pub async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(watch::Sender::new(true));
        let (server, state) = (server.to_owned(), Arc::clone(&open));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, mut state) = (server.clone(), state.subscribe());
                tokio::spawn(async move {
                    if !*state.borrow_and_update() {
                        return;
                    }
                    let (mut client, Ok(mut server)) = (client, TcpStream::connect(server).await) else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = state.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { address, open }
    }

    pub fn close(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }
}
