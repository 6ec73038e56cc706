//! What a controller costs that has nothing to do: memory, and requests in cycles that change nothing.
//!
//! It looks after the first user's repository where that is there, else after the example. Every chart repository and
//! registry that the repository names has a stand-in on loopback: nothing outside of this machine is asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use tagboat_testkit::{AuditEntry, Cluster, Controller, ImageSpec, voice_infra};

use super::report::Figure;
use crate::installation::{Pace, Servers};
use crate::progress::say;
use crate::{example, status, workspace};

const LIMIT: Duration = Duration::from_secs(180);
const REST: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_secs(60);
/// The defaults, written out: what a user has.
const PACE: Pace = Pace { git: "30s", images: "15s" };

/// Chart repositories that the first user's releases name.
const CHART_REPOSITORIES: [&str; 4] = [
    "https://mozilla-it.github.io/helm-charts/",
    "https://kubernetes-charts.storage.googleapis.com",
    "https://vmware-tanzu.github.io/helm-charts",
    "https://godaddy.github.io/kubernetes-external-secrets/",
];
/// Stand-ins for the first user's own charts, with the versions that the releases name.
const CHARTS: [(&str, &str); 2] = [("mozilla-common-voice", "0.4.1"), ("sentence-collector", "0.1.0")];

/// Measures both.
pub(super) async fn measure(binary: &Path) -> anyhow::Result<Vec<Figure>> {
    let cluster = Cluster::start().await.context("starting the cluster")?;
    cluster.kubectl(&["create", "namespace", "tagboat"]).await?;
    let mut servers = Servers::start(cluster).await?;
    let (configuration, what) = match voice_infra::bundle() {
        Ok(bundle) => (first_user(&mut servers, &bundle).await?, "a real user's repository"),
        Err(_) => (servers.configuration("tagboat", PACE)?, "the example's repository"),
    };
    let controller = Controller::start(binary, &configuration, servers.cluster.kubeconfig_path())
        .await
        .context("starting tagboat")?;
    let result = figures(&servers, &controller, what).await;
    result.inspect_err(|_| say(&format!("\nthe end of tagboat's log:\n{}", controller.log_tail().trim_end())))
}

/// Seeds the servers with the first user's repository, and gives the configuration for it.
async fn first_user(servers: &mut Servers, bundle: &Path) -> anyhow::Result<String> {
    let repository = servers.git.create_repository("voice-infra")?;
    repository.fetch_bundle(bundle)?;
    for (chart, version) in CHARTS {
        let folder = workspace::root().join("crates/tagboat/tests/charts").join(chart);
        servers.charts.publish_folder(&folder, version).await?;
    }
    let branch = "master";
    let head = repository.head(branch)?.context("the bundle has no branch master")?;
    for (index, (image, tag)) in
        images(&repository.git(&["grep", "-h", "image: ", &head, "--", "kubernetes"])?).into_iter().enumerate()
    {
        let age = SignedDuration::from_hours(24 + i64::try_from(index)?);
        servers.registry.push_image(&image, &tag, &ImageSpec::created_at(Timestamp::now() - age)).await?;
    }
    servers.repository = repository;
    let configuration = servers.configuration("tagboat", PACE)?;
    let mirrors: String = CHART_REPOSITORIES
        .iter()
        .map(|repository| format!("  - repository: {repository}\n    mirror: {}/\n", servers.charts.url()))
        .collect();
    Ok(configuration
        .replace("branch: main", &format!("branch: {branch}"))
        .replace(&format!("host: {}", example::REGISTRY), "host: docker.io")
        .replace("  mirrors:\n", &format!("  mirrors:\n{mirrors}")))
}

/// Docker Hub's images in lines `image: owner/name:tag`; those of other registries have a dot before the first slash.
fn images(text: &str) -> Vec<(String, String)> {
    let image = |line: &str| {
        let value = line.split_once("image: ")?.1.trim().trim_matches('"');
        let (name, tag) = value.rsplit_once(':')?;
        let (owner, _) = name.split_once('/')?;
        (!owner.contains(['.', ':'])).then(|| (name.to_owned(), tag.to_owned()))
    };
    let mut images: Vec<_> = text.lines().filter_map(image).collect();
    images.sort();
    images.dedup();
    images
}

async fn figures(servers: &Servers, controller: &Controller, what: &str) -> anyhow::Result<Vec<Figure>> {
    status::until(controller, "the repository is mirrored and every release was looked at", LIMIT, |found| {
        let mirrored = found["sources"][0]["mirrored"].is_string();
        let items = found["items"].as_array()?;
        let releases: Vec<_> =
            items.iter().filter(|item| status::text(item, "/workload").contains(":helmrelease/")).collect();
        let looked_at = |item: &&serde_json::Value| !status::text(item, "/release/phase").is_empty();
        (mirrored && !releases.is_empty() && releases.iter().all(looked_at)).then_some(())
    })
    .await?;
    tokio::time::sleep(REST).await;
    let memory = kibibytes(controller.process_id(), "VmRSS")?;
    let own = kibibytes(controller.process_id(), "RssAnon")?;
    let peak = kibibytes(controller.process_id(), "VmHWM")?;
    let requests = Counted::during(servers, WINDOW).await?;
    let mut figures = vec![Figure {
        name: format!("resident memory of `tagboat run` with {what}, {} s after its last work", REST.as_secs()),
        value: format!(
            "{}, of it {} its own and the rest pages of its file (most until then: {})",
            mebibytes(memory),
            mebibytes(own),
            mebibytes(peak)
        ),
        aim: "under 30 MiB",
    }];
    figures.extend(requests.figures());
    Ok(figures)
}

/// A value of `/proc/PID/status`.
fn kibibytes(process: u32, name: &str) -> anyhow::Result<u64> {
    let file = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("{file} has no {name}"))
}

fn mebibytes(kibibytes: u64) -> String {
    format!("{}.{} MiB", kibibytes / 1024, kibibytes % 1024 * 10 / 1024)
}

/// Requests of a while in which nobody changed anything.
#[derive(Debug, Default)]
struct Counted {
    scans: usize,
    registry: BTreeMap<String, usize>,
    api_server: BTreeMap<String, usize>,
    lease: usize,
    writes: BTreeMap<String, usize>,
}

impl Counted {
    async fn during(servers: &Servers, window: Duration) -> anyhow::Result<Self> {
        let (first_request, first_entry) = (servers.registry.requests()?.len(), servers.cluster.audit_entries()?.len());
        tokio::time::sleep(window).await;
        let mut counted = Self::default();
        for request in servers.registry.requests()?.into_iter().skip(first_request) {
            let path = request.uri.split('?').next().unwrap_or_default();
            counted.scans += usize::from(path.ends_with("/tags/list") && !request.uri.contains("last="));
            *counted.registry.entry(format!("{} {path}", request.method)).or_default() += 1;
        }
        for entry in servers.cluster.audit_entries()?.into_iter().skip(first_entry) {
            counted.api_request(&entry);
        }
        ensure!(counted.scans > 0, "no tags were listed within {} s", window.as_secs());
        Ok(counted)
    }

    fn api_request(&mut self, entry: &AuditEntry) {
        let object = entry.object_ref.clone().unwrap_or_default();
        if object.resource == "leases" {
            self.lease += 1;
            return;
        }
        // A watch ends after minutes and is begun again; it costs one request and changes nothing.
        let name = format!("{} {}", entry.verb, if object.resource.is_empty() { &entry.uri } else { &object.resource });
        if entry.is_write() {
            *self.writes.entry(name).or_default() += 1;
        } else {
            *self.api_server.entry(name).or_default() += 1;
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let seconds = WINDOW.as_secs();
        let name = |what: &str| format!("requests to {what} in {seconds} s in which nothing changes");
        vec![
            Figure {
                name: format!(
                    "{} (a scan every {}, all repositories together: {} lists)",
                    name("the registry"),
                    PACE.images,
                    self.scans
                ),
                value: list(&self.registry),
                aim: "one a page of tags for each repository and scan",
            },
            Figure { name: name("the API server that read"), value: list(&self.api_server), aim: "" },
            Figure { name: name("the API server that write"), value: list(&self.writes), aim: "none" },
            Figure { name: name("the API server for the lease"), value: self.lease.to_string(), aim: "" },
        ]
    }
}

fn list(counts: &BTreeMap<String, usize>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    let all: usize = counts.values().sum();
    let parts: Vec<_> = counts.iter().map(|(name, count)| format!("{count} × `{name}`")).collect();
    format!("{all}: {}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_hubs_images_are_found_and_those_of_other_registries_are_not() {
        let text =
            "    image: mozilla/commonvoice:main-1\n  - image: \"a/b:2\"\nimage: quay.io/x/y:3\nimage: redis:4\n";
        assert_eq!(images(text), [("a/b".into(), "2".into()), ("mozilla/commonvoice".into(), "main-1".into())]);
    }

    #[test]
    fn counts_are_listed_with_their_sum() {
        assert_eq!(list(&BTreeMap::new()), "none");
        let counts = BTreeMap::from([("GET /a".to_owned(), 2), ("HEAD /b".to_owned(), 1)]);
        assert_eq!(list(&counts), "3: 2 × `GET /a`, 1 × `HEAD /b`");
        assert_eq!(mebibytes(30 * 1024 + 512), "30.5 MiB");
    }

    #[test]
    fn the_memory_of_a_process_is_read() {
        assert!(kibibytes(std::process::id(), "VmRSS").unwrap() > 100);
        assert!(kibibytes(std::process::id(), "NoSuchThing").is_err());
    }
}
