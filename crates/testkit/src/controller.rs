//! The product itself, as a process: `tagboat run` with a configuration, ports and a cache of its own.
//!
//! What it says is plain JSON here, so that a test reads it as an operator's script would.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Probe, Process, server_command};
use crate::tls::http_client;
use crate::{Error, Result, Scratch};

const READY: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(25);

/// What [`Controller::start_with`] can be told beyond the configuration.
#[derive(Debug, Clone, Default)]
pub struct ControllerOptions {
    /// Further arguments of `tagboat run`.
    pub arguments: Vec<String>,
    /// Its environment, which is empty otherwise.
    pub environment: Vec<(String, String)>,
    /// Return as soon as it is alive: a replica that waits for the lease is not ready.
    pub only_alive: bool,
}

/// A running `tagboat run`; killed on drop.
#[derive(Debug)]
pub struct Controller {
    process: Process,
    probes: u16,
    api: u16,
    log: PathBuf,
    http: reqwest::Client,
    _scratch: Scratch,
}

impl Controller {
    /// Starts `binary` and waits until it is ready.
    ///
    /// `config` is the configuration in YAML's block style. `listen` is added to it, and `cache`, where it has none.
    pub async fn start(binary: &Path, config: &str, kubeconfig: &Path) -> Result<Self> {
        Self::start_with(binary, config, kubeconfig, &ControllerOptions::default()).await
    }

    /// [`Controller::start`] with options.
    pub async fn start_with(
        binary: &Path,
        config: &str,
        kubeconfig: &Path,
        options: &ControllerOptions,
    ) -> Result<Self> {
        let scratch = Scratch::new("controller")?;
        let log = scratch.join("log");
        let http = http_client(None)?;
        let (process, [probes, api]) = Process::start("tagboat", &log, READY, |[probes, api]: [u16; 2]| {
            let file = scratch.write("config.yaml", complete(config, probes, api, &scratch.join("cache")))?;
            let mut command = server_command(binary)?;
            command.arg("run").arg("--config").arg(file).arg("--kubeconfig").arg(kubeconfig);
            command.args(["--log-format", "json"]).args(&options.arguments);
            command.env("HOME", scratch.path()).envs(options.environment.iter().map(|(name, value)| (name, value)));
            let probe = if options.only_alive { "livez" } else { "readyz" };
            Ok((command, Probe::answers(http.get(format!("http://127.0.0.1:{probes}/{probe}")), 200)))
        })
        .await?;
        Ok(Self { process, probes, api, log, http, _scratch: scratch })
    }

    /// The process id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The base URL of the status API, for `tagboat status --address`.
    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// The base URL of probes and metrics.
    pub fn probes_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.probes)
    }

    /// How everything stands: what `tagboat status --output json` prints.
    pub async fn status(&self) -> Result<Value> {
        let url = format!("{}/api/v1/status", self.api_url());
        let text = self.get(&url).await?;
        serde_json::from_str(&text).map_err(|error| Error::Answer {
            what: format!("reading the JSON of {url}"),
            answer: format!("{error} in {text}"),
        })
    }

    /// The metrics, in the text that Prometheus reads.
    pub async fn metrics(&self) -> Result<String> {
        self.get(&format!("{}/metrics", self.probes_url())).await
    }

    /// Every line of its log so far that is JSON, oldest first. (A panic's text is not: see [`Controller::log_tail`].)
    pub fn logs(&self) -> Result<Vec<Value>> {
        let bytes = std::fs::read(&self.log).map_err(Error::io(format!("reading {}", self.log.display())))?;
        Ok(String::from_utf8_lossy(&bytes).lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// The end of its log as it was written.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// Asks for the status until `wanted` accepts it, and gives that one back.
    pub async fn wait_for(&self, what: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let started = Instant::now();
        loop {
            let seen = match self.status().await {
                Ok(status) if wanted(&status) => return Ok(status),
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            if started.elapsed() > limit {
                return Err(Error::Timeout { what: what.to_owned(), after: limit, seen });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends SIGTERM and waits for the end, as a kubelet does.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.process.terminate(STOP).await
    }

    async fn get(&self, url: &str) -> Result<String> {
        let what = || format!("asking for {url}");
        let answer = self.http.get(url).timeout(Duration::from_secs(10)).send().await.map_err(Error::http(what()))?;
        let status = answer.status();
        let text = answer.text().await.map_err(Error::http(what()))?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(Error::Answer { what: what(), answer: format!("{status}: {text}") })
        }
    }
}

/// The configuration with the ports and, where it has none, a folder for what may be lost.
fn complete(config: &str, probes: u16, api: u16, cache: &Path) -> String {
    let mut text =
        format!("{}\nlisten:\n  probes: 127.0.0.1:{probes}\n  localApi: 127.0.0.1:{api}\n", config.trim_end());
    if !config.lines().any(|line| line.starts_with("cache:")) {
        // JSON's quotes are YAML's.
        text.push_str(&format!("cache: {}\n", Value::from(cache.to_string_lossy())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_gets_ports_and_a_cache_of_its_own() {
        let text = complete("sources: []\n", 1, 2, Path::new("/c"));
        assert_eq!(text, "sources: []\nlisten:\n  probes: 127.0.0.1:1\n  localApi: 127.0.0.1:2\ncache: \"/c\"\n");
        assert!(!complete("cache: /mine\n", 1, 2, Path::new("/c")).contains("\"/c\""));
    }

    #[tokio::test]
    async fn a_controller_that_ends_at_once_is_reported_with_what_it_said() {
        let binary = crate::components::system("false", "coreutils").unwrap();
        let error = Controller::start(&binary, "sources: []", Path::new("/nowhere")).await.unwrap_err().to_string();
        assert!(error.contains("tagboat ended with exit status: 1"), "{error}");
    }
}
