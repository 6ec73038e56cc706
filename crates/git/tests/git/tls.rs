//! HTTP over TLS, with an authority that the system does not know.

use crate::support::{config, open};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tagboat_engine::ports::{FaultKind, GitRepository};
use tagboat_testkit::{Authority, GitHttp, NewCommit, Scratch, install_provider};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Ends TLS before a server; gives the address.
async fn tls_before(server: String, authority: &Authority) -> String {
    install_provider();
    let identity = authority.server().unwrap();
    let certificates = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                // A client that does not trust us hangs up here.
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut upstream = TcpStream::connect(server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_where_it_is_configured() {
    let server = GitHttp::start().unwrap();
    let remote = server.create_repository("infra").unwrap();
    let id = remote.commit("main", &NewCommit::file("Begin", "x.yaml", b"image: x:1\n")).unwrap();
    let plain = server.url(&remote);
    let host = plain.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let authority = Authority::new().unwrap();
    let url =
        plain.replace(&format!("http://{host}"), &format!("https://{}", tls_before(host.clone(), &authority).await));
    let folder = Scratch::new("git-cache").unwrap();

    let mut trusting = config(&url, folder.path());
    trusting.allow_http = false;
    let mut stranger = trusting.clone();
    stranger.directory = folder.join("stranger");
    trusting.ca_file = Some(folder.write("ca.pem", authority.pem()).unwrap());
    assert_eq!(open(trusting).await.fetch().await.unwrap().commit.revision.0, id);

    let fault = open(stranger.clone()).await.fetch().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable, "{fault}");
    assert!(fault.text.to_lowercase().contains("certificate"), "{fault}");

    let other = Authority::new().unwrap();
    stranger.ca_file = Some(folder.write("other.pem", other.pem()).unwrap());
    assert!(open(stranger).await.fetch().await.unwrap_err().text.to_lowercase().contains("certificate"));
}
