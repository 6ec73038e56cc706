use std::path::{Path, PathBuf};

use rcgen::KeyPair;

use super::audit::{self, AuditEntry};
use super::kubeconfig::{Credential, kubeconfig};
use super::{Etcd, READY};
use crate::process::{Probe, Process, server_command};
use crate::tls::Authority;
use crate::{Error, Result, Scratch, components, tls};

/// Users of the servers of the cluster itself: user name, and group where the name alone has no rights.
const OWN: [(&str, &str); 3] =
    [("system:kube-controller-manager", ""), ("system:kube-scheduler", ""), ("system:kwok", "system:masters")];

/// A real API server: RBAC on, TLS by an authority of its own, audit log on.
pub struct ApiServer {
    process: Process,
    url: String,
    authority: Authority,
    admin_token: String,
    kubeconfig: PathBuf,
    service_account_key: PathBuf,
    authority_file: PathBuf,
    scratch: Scratch,
}

impl ApiServer {
    /// Starts it on an etcd and waits until `/readyz` says yes.
    pub async fn start(etcd: &Etcd) -> Result<Self> {
        let program = components::path("kube-apiserver")?;
        let scratch = Scratch::new("apiserver")?;
        let authority = Authority::new()?;
        let authority_file = scratch.write("authority.pem", authority.pem())?;
        let server = authority.server()?;
        let certificate = scratch.write("server.pem", &server.certificate)?;
        let key = scratch.write_private("server.key", &server.key)?;
        let signing = KeyPair::generate()?;
        let service_account_key = scratch.write_private("service-account.key", signing.serialize_pem())?;
        let service_account_public = scratch.write("service-account.pem", signing.public_key_pem())?;
        let admin_token = random_token();
        let mut tokens = format!("{admin_token},admin,admin,system:masters\n");
        for (user, group) in OWN {
            let token = random_token();
            tokens.push_str(&format!("{token},{user},{user},{group}\n"));
            scratch.write_private(&format!("{user}.token"), token)?;
        }
        let tokens = scratch.write_private("tokens.csv", tokens)?;
        let own: Vec<_> = OWN.iter().map(|(user, _)| *user).chain(["system:apiserver"]).collect();
        let policy = scratch.write("audit-policy.json", audit::policy(&own).to_string())?;
        let http = tls::http_client(Some(authority.pem()))?;

        let (process, [port]) = Process::start("kube-apiserver", &scratch.join("log"), READY, |[port]: [u16; 1]| {
            let mut command = server_command(&program)?;
            command.args(["--etcd-servers", etcd.url(), "--bind-address=127.0.0.1"]);
            command.arg(format!("--secure-port={port}")).arg("--cert-dir").arg(scratch.join("certificates"));
            command.arg("--tls-cert-file").arg(&certificate).arg("--tls-private-key-file").arg(&key);
            command.arg("--client-ca-file").arg(&authority_file).arg("--token-auth-file").arg(&tokens);
            command.args(["--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc"]);
            command.arg("--service-account-key-file").arg(&service_account_public);
            command.arg("--service-account-signing-key-file").arg(&service_account_key);
            // Wide enough for thousands of Services.
            command.args(["--service-cluster-ip-range=10.0.0.0/16", "--allow-privileged=true", "--profiling=false"]);
            command.arg("--audit-policy-file").arg(&policy).arg("--audit-log-path").arg(scratch.join("audit.log"));
            // The node's kubelet port is KWOK's server on loopback.
            command.arg("--kubelet-preferred-address-types=InternalIP");
            command.arg("--endpoint-reconciler-type=none");
            let ready = http.get(format!("https://127.0.0.1:{port}/readyz")).bearer_auth(&admin_token);
            Ok((command, Probe::answers(ready, 200)))
        })
        .await?;
        let url = format!("https://127.0.0.1:{port}");
        let config = kubeconfig(&url, authority.pem(), &Credential::Token(&admin_token)).to_string();
        let kubeconfig = scratch.write_private("admin.kubeconfig", config)?;
        Ok(Self { process, url, authority, admin_token, kubeconfig, service_account_key, authority_file, scratch })
    }

    /// The server's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of its authority, in PEM.
    pub fn authority(&self) -> &str {
        self.authority.pem()
    }

    /// The token of `admin`, who is in `system:masters`.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// A kubeconfig file of `admin`.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The server's process id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Writes a kubeconfig file for a user who authenticates with a client certificate. The user has the rights that
    /// RBAC gives to the name or the group, so none at first.
    pub fn user_kubeconfig(&self, user: &str, group: Option<&str>) -> Result<PathBuf> {
        let identity = self.authority.client(user, group)?;
        let config = kubeconfig(&self.url, self.authority.pem(), &Credential::Certificate(&identity)).to_string();
        let name: String = user.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        // Tests that share the server may ask for the same user at the same time.
        let file = format!("user-{name}-{:x}.kubeconfig", rand::random::<u32>());
        self.scratch.write_private(&file, config)
    }

    /// Every answered request so far but those of the cluster's own servers, oldest first.
    pub fn audit_entries(&self) -> Result<Vec<AuditEntry>> {
        audit::read(&self.scratch.join("audit.log"))
    }

    /// A kubeconfig file of one of the cluster's own servers.
    pub(crate) fn own_kubeconfig(&self, user: &str) -> Result<PathBuf> {
        let file = self.scratch.join(format!("{user}.token"));
        let token = std::fs::read_to_string(&file).map_err(Error::io(format!("reading {}", file.display())))?;
        let config = kubeconfig(&self.url, self.authority.pem(), &Credential::Token(&token)).to_string();
        self.scratch.write_private(&format!("{}.kubeconfig", user.replace(':', "-")), config)
    }

    /// The private key that signs service account tokens.
    pub(crate) fn service_account_key(&self) -> &Path {
        &self.service_account_key
    }

    /// The file of its authority's certificate.
    pub(crate) fn authority_file(&self) -> &Path {
        &self.authority_file
    }
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").field("url", &self.url).finish_non_exhaustive()
    }
}

fn random_token() -> String {
    format!("{:032x}", rand::random::<u128>())
}
