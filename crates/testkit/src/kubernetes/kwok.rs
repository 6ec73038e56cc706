use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{ApiServer, READY};
use crate::process::{Probe, Process, server_command};
use crate::{Error, Result, Scratch, components, tls};

/// The annotation on a Pod that makes it fail; its value is an [`Outcome`]'s name.
const ANNOTATION: &str = "testkit.tagboat.dev/outcome";

/// The name of the one node.
pub const NODE: &str = "testkit-node";

/// How a Pod fails. It does where its annotation `testkit.tagboat.dev/outcome` names the outcome, or where the tag of
/// one of its images ends in a dash and the name: `main-0a1b2c-crash-loop`. Every other Pod becomes ready, and a Job's
/// Pod then succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The image cannot be pulled: containers wait with `ImagePullBackOff`.
    ImagePullBackOff,
    /// The containers end again and again: they wait with `CrashLoopBackOff`.
    CrashLoop,
    /// The Pod runs and ends with status 1, for good; its Job fails after its `backoffLimit`.
    Failed,
}

impl Outcome {
    /// The name, for the annotation or the end of a tag.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImagePullBackOff => "image-pull-back-off",
            Self::CrashLoop => "crash-loop",
            Self::Failed => "failed",
        }
    }
}

/// A real KWOK: a node that runs no containers, and Pods on it that become ready, or fail as they are told to.
#[derive(Debug)]
pub struct Kwok {
    process: Process,
    port: u16,
    scratch: Scratch,
}

impl Kwok {
    /// Starts it with the stages for success and failure, and `more` (YAML documents of kind Stage).
    pub async fn start(api: &ApiServer, more: &[String]) -> Result<Self> {
        let program = components::path("kwok")?;
        let stages = components::path("kwok-stages.yaml")?;
        let stages = std::fs::read_to_string(&stages).map_err(Error::io(format!("reading {}", stages.display())))?;
        let scratch = Scratch::new("kwok")?;
        let config = api.own_kubeconfig("system:kwok")?;
        let mut documents = except_outcomes(&stages)?;
        documents.push_str(&failures());
        for document in more {
            documents.push_str("\n---\n");
            documents.push_str(document);
        }
        let stages = scratch.write("stages.yaml", documents)?;
        let http = tls::http_client(None)?;
        let (process, [port]) = Process::start("kwok", &scratch.join("log"), READY, |[port]: [u16; 1]| {
            let mut command = server_command(&program)?;
            command.arg("--kubeconfig").arg(&config).arg("--config").arg(&stages);
            command.args(["--manage-all-nodes=true", "--cidr=10.1.0.0/16", "--node-ip=127.0.0.1"]);
            command.args([&format!("--node-port={port}"), &format!("--server-address=127.0.0.1:{port}")]);
            command.arg("--enable-crds=Logs,ClusterLogs,PortForward").env("HOME", scratch.path());
            Ok((command, Probe::answers(http.get(format!("http://127.0.0.1:{port}/healthz")), 200)))
        })
        .await?;
        Ok(Self { process, port, scratch })
    }

    /// The port that the node says is its kubelet's.
    pub fn kubelet_port(&self) -> u16 {
        self.port
    }

    /// The server's process id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Writes `text` as a container's log, in the format in which container runtimes write logs.
    pub(crate) fn write_log(&self, namespace: &str, pod: &str, text: &str) -> Result<PathBuf> {
        let now = jiff::Timestamp::now();
        let lines: String = text.lines().map(|line| format!("{now:.9} stdout F {line}\n")).collect();
        self.scratch.write(format!("logs/{namespace}/{pod}.log"), lines)
    }

    /// Waits until it serves a Pod's log.
    pub(crate) async fn wait_log(&self, namespace: &str, pod: &str, expected: &str) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/containerLogs/{namespace}/{pod}/any", self.port);
        let http = tls::http_client(None)?;
        let (started, limit) = (Instant::now(), Duration::from_secs(20));
        let mut seen = String::new();
        while started.elapsed() < limit {
            if let Ok(answer) = http.get(&url).send().await
                && let Ok(text) = answer.text().await
            {
                if text.trim_end() == expected.trim_end() {
                    return Ok(());
                }
                seen = text;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Err(Error::Timeout { what: format!("the log of {namespace}/{pod} at the node"), after: limit, seen })
    }
}

/// What yields the outcomes that a Pod asks for (a jq expression; KWOK's selectors are made of those).
fn asked() -> String {
    format!(
        r#"(.metadata.annotations["{ANNOTATION}"]? // empty), (.spec.containers[].image | capture("-(?<o>{}|{}|{})$") | .o)"#,
        Outcome::ImagePullBackOff.name(),
        Outcome::CrashLoop.name(),
        Outcome::Failed.name()
    )
}

fn expression(operator: &str, outcomes: &[Outcome]) -> String {
    let values: String = outcomes.iter().map(|outcome| format!("      - '{}'\n", outcome.name())).collect();
    format!("    - key: '{}'\n      operator: '{operator}'\n      values:\n{values}", asked())
}

/// KWOK's own stages, but those that make Pods ready or complete leave out the Pods that are to fail.
fn except_outcomes(stages: &str) -> Result<String> {
    let all = [Outcome::ImagePullBackOff, Outcome::CrashLoop, Outcome::Failed];
    let mut changed = 0;
    let documents: Vec<_> = stages
        .split("---\n")
        .map(|document| {
            if !(document.contains("name: pod-ready\n") || document.contains("name: pod-complete\n")) {
                return document.to_owned();
            }
            changed += 1;
            document.replacen(
                "    matchExpressions:\n",
                &format!("    matchExpressions:\n{}", expression("NotIn", &all)),
                1,
            )
        })
        .collect();
    if changed != 2 {
        return Err(Error::Answer {
            what: "reading kwok-stages.yaml, which must have the stages pod-ready and pod-complete".into(),
            answer: format!("{changed} of them"),
        });
    }
    Ok(documents.join("---\n"))
}

/// The stages of the outcomes. Each applies once: its selector stops matching when its state is there.
fn failures() -> String {
    let waiting = |reason: &str, message: &str| {
        format!("          waiting:\n            reason: {reason}\n            message: {message}\n")
    };
    let ended = "          terminated:\n            exitCode: 1\n            reason: Error\n            \
                 startedAt: {{ $now | Quote }}\n            finishedAt: {{ $now | Quote }}\n";
    let last = ended.replace("          terminated", "        lastState:\n          terminated");
    let pull = waiting("ImagePullBackOff", "Back-off pulling image {{ .image }}");
    let crash = waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container={{ .name }}");
    [
        stage(Outcome::ImagePullBackOff, "Pending", 0, &pull, ""),
        stage(Outcome::CrashLoop, "Running", 4, &crash, &last),
        stage(Outcome::Failed, "Failed", 0, ended, ""),
    ]
    .concat()
}

fn stage(outcome: Outcome, phase: &str, restarts: u32, state: &str, last: &str) -> String {
    format!(
        "---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: pod-{name}
spec:
  resourceRef:
    apiGroup: v1
    kind: Pod
  selector:
    matchExpressions:
{asked}    - key: '.metadata.deletionTimestamp'
      operator: 'DoesNotExist'
    - key: '.status.containerStatuses[]? | .name'
      operator: 'DoesNotExist'
  next:
    statusTemplate: |
      {{{{ $now := Now }}}}
      conditions:
      - lastTransitionTime: {{{{ $now | Quote }}}}
        status: \"True\"
        type: Initialized
      - lastTransitionTime: {{{{ $now | Quote }}}}
        status: \"False\"
        reason: ContainersNotReady
        type: Ready
      - lastTransitionTime: {{{{ $now | Quote }}}}
        status: \"False\"
        reason: ContainersNotReady
        type: ContainersReady
      containerStatuses:
      {{{{ range .spec.containers }}}}
      - image: {{{{ .image | Quote }}}}
        name: {{{{ .name | Quote }}}}
        ready: false
        started: false
        restartCount: {restarts}
        state:
{state}{last}      {{{{ end }}}}
      phase: {phase}
      startTime: {{{{ $now | Quote }}}}
",
        name = outcome.name(),
        asked = expression("In", &[outcome]),
    )
}
