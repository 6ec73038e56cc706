use super::{ApiServer, READY};
use crate::process::{Probe, Process, server_command};
use crate::{Result, Scratch, components, tls};

/// A real controller manager: Deployments get Pods, namespaces get default service accounts, owners take dependents
/// with them.
#[derive(Debug)]
pub struct ControllerManager {
    process: Process,
    _scratch: Scratch,
}

impl ControllerManager {
    /// Starts it and waits until it is healthy.
    pub async fn start(api: &ApiServer) -> Result<Self> {
        let program = components::path("kube-controller-manager")?;
        let scratch = Scratch::new("controllers")?;
        let config = api.own_kubeconfig("system:kube-controller-manager")?;
        let http = insecure()?;
        let (process, _) =
            Process::start("kube-controller-manager", &scratch.join("log"), READY, |[port]: [u16; 1]| {
                let mut command = server_command(&program)?;
                command
                    .arg("--kubeconfig")
                    .arg(&config)
                    .args(["--leader-elect=false", "--controllers=*,-node-ipam-controller"]);
                command.args(["--bind-address=127.0.0.1", &format!("--secure-port={port}")]);
                command.arg("--service-account-private-key-file").arg(api.service_account_key());
                command.arg("--use-service-account-credentials").arg("--root-ca-file").arg(api.authority_file());
                // Each controller first makes itself a service account and a token: 5 s at the usual pace.
                command.args(["--kube-api-qps=1000", "--kube-api-burst=1000"]);
                command.arg("--cert-dir").arg(scratch.join("certificates"));
                Ok((command, Probe::answers(http.get(format!("https://127.0.0.1:{port}/healthz")), 200)))
            })
            .await?;
        Ok(Self { process, _scratch: scratch })
    }

    /// The server's process id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}

/// A real scheduler.
#[derive(Debug)]
pub struct Scheduler {
    process: Process,
    _scratch: Scratch,
}

impl Scheduler {
    /// Starts it and waits until it is healthy.
    pub async fn start(api: &ApiServer) -> Result<Self> {
        let program = components::path("kube-scheduler")?;
        let scratch = Scratch::new("scheduler")?;
        let config = api.own_kubeconfig("system:kube-scheduler")?;
        let http = insecure()?;
        let (process, _) = Process::start("kube-scheduler", &scratch.join("log"), READY, |[port]: [u16; 1]| {
            let mut command = server_command(&program)?;
            command.arg("--kubeconfig").arg(&config).arg("--leader-elect=false");
            command.args(["--bind-address=127.0.0.1", &format!("--secure-port={port}")]);
            command.arg("--cert-dir").arg(scratch.join("certificates"));
            Ok((command, Probe::answers(http.get(format!("https://127.0.0.1:{port}/healthz")), 200)))
        })
        .await?;
        Ok(Self { process, _scratch: scratch })
    }

    /// The server's process id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}

/// Both servers make their certificate themselves when they start, so there is nothing to trust yet; all that is asked
/// is whether they answer on loopback.
fn insecure() -> Result<reqwest::Client> {
    tls::install_provider();
    reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(crate::Error::http("making an HTTP client"))
}
