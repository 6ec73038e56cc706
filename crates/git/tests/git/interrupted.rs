//! A connection that breaks or falls silent in the middle of an answer.

use crate::support::{Fixture, config, open, processes_of};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tagboat_engine::ports::{FaultKind, GitRepository};
use tagboat_testkit::{NewCommit, Scratch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the proxy does when it has passed on all that it may.
#[derive(Clone, Copy, Debug)]
enum Then {
    Close,
    FallSilent,
}

/// Passes on bytes of the server's answers, altogether as many as `allowance` says.
struct Proxy {
    address: String,
    allowance: Arc<AtomicUsize>,
}

impl Proxy {
    async fn start(server: String, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let allowance = Arc::new(AtomicUsize::new(usize::MAX));
        let shared = Arc::clone(&allowance);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(pass_on(client, upstream, Arc::clone(&shared), then));
            }
        });
        Self { address, allowance }
    }
}

async fn pass_on(client: TcpStream, upstream: TcpStream, allowance: Arc<AtomicUsize>, then: Then) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = [0; 256];
    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
        let left = allowance.load(Ordering::SeqCst);
        let passed = read.min(left);
        allowance.store(left - passed, Ordering::SeqCst);
        if to_client.write_all(&buffer[..passed]).await.is_err() {
            return;
        }
        if passed < read {
            match then {
                Then::Close => return,
                Then::FallSilent => std::future::pending::<()>().await,
            }
        }
    }
}

/// Fetches once as a start, then with an answer of every length in turn, then whole.
async fn cut_everywhere(then: Then, steps: &[usize], expected: &[FaultKind]) {
    let Fixture { server, remote, .. } = Fixture::new().await;
    let url = server.url(&remote);
    let host = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let proxy = Proxy::start(host.clone(), then).await;
    let folder = Scratch::new("git-cache").unwrap();
    let mut config = config(&url.replace(&host, &proxy.address), folder.path());
    config.timeout = match then {
        Then::Close => Duration::from_secs(20),
        Then::FallSilent => Duration::from_secs(2),
    };
    let local = open(config).await;
    let old = local.fetch().await.unwrap().commit.revision;
    let noise: Vec<u8> = (0..20_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let new = remote.commit("main", &NewCommit::file("More", "x.yaml", &noise)).unwrap();
    for &step in steps {
        proxy.allowance.store(step, Ordering::SeqCst);
        let fault = local.fetch().await.unwrap_err();
        assert!(expected.contains(&fault.kind), "{then:?} after {step} bytes: {fault:?}");
        let files = local.files(&old, &[]).await.unwrap_or_else(|fault| panic!("{then:?} after {step} bytes: {fault}"));
        assert_eq!(files.len(), 3, "{then:?} after {step} bytes");
        assert_eq!(processes_of(folder.path()), Vec::<String>::new(), "{then:?} after {step} bytes");
    }
    proxy.allowance.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(local.fetch().await.unwrap().commit.revision.0, new);
    let leftovers = std::fs::read_dir(folder.join("cache/repository.git/objects/pack")).unwrap().flatten();
    let leftovers: Vec<_> =
        leftovers.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().starts_with("tmp")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[tokio::test]
async fn an_answer_that_is_cut_anywhere_leaves_the_clone_usable() {
    let steps = [0, 10, 100, 300, 500, 700, 1_000, 1_500, 2_000, 5_000, 20_000, 60_000];
    cut_everywhere(Then::Close, &steps, &[FaultKind::Unavailable]).await;
}

#[tokio::test]
async fn a_server_that_falls_silent_meets_the_deadline_and_leaves_the_clone_usable() {
    cut_everywhere(Then::FallSilent, &[0, 700, 20_000], &[FaultKind::Timeout]).await;
}
