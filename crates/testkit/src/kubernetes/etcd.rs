use crate::kubernetes::READY;
use crate::process::{Probe, Process, server_command};
use crate::{Result, Scratch, components, tls};

/// A real etcd with its data in a temporary folder. It does not sync to disk: nobody needs the data after a crash.
#[derive(Debug)]
pub struct Etcd {
    process: Process,
    url: String,
    _scratch: Scratch,
}

impl Etcd {
    /// Starts it and waits until it is healthy.
    pub async fn start() -> Result<Self> {
        let program = components::path("etcd")?;
        let scratch = Scratch::new("etcd")?;
        let http = tls::http_client(None)?;
        let (process, [client, _]) = Process::start("etcd", &scratch.join("log"), READY, |[client, peer]: [u16; 2]| {
            let url = format!("http://127.0.0.1:{client}");
            let peer = format!("http://127.0.0.1:{peer}");
            let mut command = server_command(&program)?;
            command.arg("--name=default").arg("--data-dir").arg(scratch.join("data"));
            command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &format!("default={peer}"), "--unsafe-no-fsync", "--log-level=warn"]);
            Ok((command, Probe::answers(http.get(format!("{url}/health")), 200)))
        })
        .await?;
        Ok(Self { process, url: format!("http://127.0.0.1:{client}"), _scratch: scratch })
    }

    /// The URL for clients.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's process id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}
