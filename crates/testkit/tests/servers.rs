//! The servers that are not Kubernetes, each used by the real client of its kind.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "functions that tests share panic as tests do")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use tagboat_testkit::{
    Change, ChartServer, Credentials, Fault, GitHttp, GitSsh, ImageSpec, NewCommit, Notification, Registry,
    RegistryAuth, RegistryOptions, Repository, Scratch, SlackStandIn, http_client, package_chart, voice_infra,
};

async fn get(registry: &Registry, path: &str, authorization: Option<&str>) -> (u16, Value, Option<String>) {
    let client = http_client(registry.authority()).unwrap();
    let mut request = client.get(format!("{}{path}", registry.url()));
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let answer = request.send().await.unwrap();
    let (status, link) =
        (answer.status().as_u16(), answer.headers().get("link").map(|v| v.to_str().unwrap().to_owned()));
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default(), link)
}

async fn wait<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_pushed_image_has_the_tag_the_created_time_and_the_labels() {
    let registry = Registry::start().await.unwrap();
    let created: Timestamp = "2020-12-25T16:00:00Z".parse().unwrap();
    let image = ImageSpec::created_at(created).label("org.opencontainers.image.revision", "1a2b");
    let digest = registry.push_image("mozilla/commonvoice", "main-1a2b", &image).await.unwrap();
    let (status, manifest, _) = get(&registry, &format!("/v2/mozilla/commonvoice/manifests/{digest}"), None).await;
    assert_eq!(status, 404, "an OCI manifest is given only to those who accept it: {manifest}");
    let client = http_client(None).unwrap();
    let url = format!("{}/v2/mozilla/commonvoice/manifests/main-1a2b", registry.url());
    let answer = client.get(url).header("accept", "application/vnd.oci.image.manifest.v1+json").send().await.unwrap();
    assert_eq!(answer.headers()["docker-content-digest"], digest.as_str());
    let manifest: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let config = manifest["config"]["digest"].as_str().unwrap();
    let (_, config, _) = get(&registry, &format!("/v2/mozilla/commonvoice/blobs/{config}"), None).await;
    assert_eq!(config["created"], "2020-12-25T16:00:00Z");
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.revision"], "1a2b");
}

#[tokio::test]
async fn an_image_is_pushed_in_milliseconds_and_tags_come_in_pages() {
    let registry = Registry::start().await.unwrap();
    registry.push_image("a/b", "warm", &ImageSpec::default()).await.unwrap();
    let started = Instant::now();
    for number in 0..20 {
        registry.push_image("a/b", &format!("t{number:02}"), &ImageSpec::default()).await.unwrap();
    }
    let each = started.elapsed() / 20;
    println!("push_image: {each:?}");
    assert!(each < Duration::from_millis(250), "{each:?} for each image");
    let (_, page, link) = get(&registry, "/v2/a/b/tags/list?n=5", None).await;
    assert_eq!(page["tags"].as_array().unwrap().len(), 5);
    assert!(link.unwrap().contains("rel=\"next\""));
    let seen = wait("the request is in the access log", async || {
        registry.requests().unwrap().into_iter().find(|request| request.uri == "/v2/a/b/tags/list?n=5")
    })
    .await;
    assert_eq!((seen.method.as_str(), seen.status), ("GET", 200));
}

#[tokio::test]
async fn a_deleted_tag_is_gone_and_its_image_is_not() {
    let registry = Registry::start().await.unwrap();
    let image = ImageSpec { docker: true, ..ImageSpec::default() };
    let digest = registry.push_image("a/b", "one", &image).await.unwrap();
    registry.push_image("a/b", "two", &image).await.unwrap();
    registry.delete_tag("a/b", "one").await.unwrap();
    assert_eq!(get(&registry, "/v2/a/b/tags/list", None).await.1["tags"], json!(["two"]));
    let client = http_client(None).unwrap();
    let url = format!("{}/v2/a/b/manifests/{digest}", registry.url());
    let accept = "application/vnd.docker.distribution.manifest.v2+json";
    assert_eq!(client.head(url).header("accept", accept).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_index_names_its_images_by_platform() {
    let registry = Registry::start().await.unwrap();
    let (amd, arm) = (ImageSpec::default(), ImageSpec::default().platform("linux", "arm64"));
    let first = registry.push_image("a/b", "amd", &amd).await.unwrap();
    let second = registry.push_image("a/b", "arm", &arm).await.unwrap();
    let index = registry.push_index("a/b", "all", &[(&amd, &first), (&arm, &second)]).await.unwrap();
    let client = http_client(None).unwrap();
    let url = format!("{}/v2/a/b/manifests/all", registry.url());
    let answer = client.get(url).header("accept", "application/vnd.oci.image.index.v1+json").send().await.unwrap();
    assert_eq!(answer.headers()["docker-content-digest"], index.as_str());
    let found: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(found["manifests"][1]["platform"]["architecture"], "arm64");
    assert_eq!(found["manifests"][1]["digest"], second.as_str());
}

#[tokio::test]
async fn basic_authentication_over_tls_lets_one_user_in() {
    let user = Credentials::random("robot");
    let options = RegistryOptions { tls: true, auth: RegistryAuth::Basic(user.clone()), ..Default::default() };
    let registry = Registry::start_with(options).await.unwrap();
    registry.push_image("a/b", "one", &ImageSpec::default()).await.unwrap();
    assert!(registry.url().starts_with("https://"));
    assert_eq!(get(&registry, "/v2/a/b/tags/list", None).await.0, 401);
    assert_eq!(get(&registry, "/v2/a/b/tags/list", Some(&Credentials::random("robot").basic())).await.0, 401);
    assert_eq!(get(&registry, "/v2/a/b/tags/list", Some(&user.basic())).await.1["tags"], json!(["one"]));
    let distrusting = http_client(None).unwrap();
    assert!(distrusting.get(registry.url()).send().await.is_err(), "a certificate of nobody's authority");
}

#[tokio::test]
async fn bearer_tokens_come_from_the_realm_and_are_checked_by_the_registry() {
    let user = Credentials::random("robot");
    let options = RegistryOptions { auth: RegistryAuth::Token(user.clone()), ..Default::default() };
    let registry = Registry::start_with(options).await.unwrap();
    for repository in ["private/app", "public/app"] {
        registry.push_image(repository, "one", &ImageSpec::default()).await.unwrap();
    }
    let client = http_client(None).unwrap();
    let refused = client.get(format!("{}/v2/private/app/tags/list", registry.url())).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
    let field = |name: &str| {
        let rest = &challenge[challenge.find(&format!("{name}=\"")).unwrap() + name.len() + 2..];
        rest[..rest.find('"').unwrap()].to_owned()
    };
    assert_eq!(field("scope"), "repository:private/app:pull");
    let token = async |repository: &str, authorization: Option<String>| -> Option<String> {
        let mut url = reqwest::Url::parse(&field("realm")).unwrap();
        let scope = format!("repository:{repository}:pull");
        url.query_pairs_mut().append_pair("service", &field("service")).append_pair("scope", &scope);
        let mut request = client.get(url);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let answer = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str::<Value>(&answer).ok()?["token"].as_str().map(|token| format!("Bearer {token}"))
    };
    let tags = async |repository: &str, token: &str| {
        get(&registry, &format!("/v2/{repository}/tags/list"), Some(token)).await.0
    };
    let mine = token("private/app", Some(user.basic())).await.unwrap();
    assert_eq!(tags("private/app", &mine).await, 200);
    assert_eq!(tags("public/app", &mine).await, 401, "a token is for one repository");
    let anonymous = token("private/app", None).await.unwrap();
    assert_eq!(tags("private/app", &anonymous).await, 401);
    let anonymous = token("public/app", None).await.unwrap();
    assert_eq!(tags("public/app", &anonymous).await, 200);
    assert_eq!(token("public/app", Some(Credentials::random("robot").basic())).await, None);
    assert_eq!(registry.token_requests().len(), 4);
}

#[tokio::test]
async fn a_push_is_notified_to_a_webhook() {
    let slack = SlackStandIn::start().unwrap(); // any HTTP server that counts requests
    let options = RegistryOptions {
        notifications: vec![Notification { url: slack.webhook_url(), headers: vec![] }],
        ..Default::default()
    };
    let registry = Registry::start_with(options).await.unwrap();
    registry.push_image("a/b", "one", &ImageSpec::default()).await.unwrap();
    wait("a notification", async || slack.requests().into_iter().find(|request| request.method == "POST")).await;
}

fn chart(folder: &Path) {
    std::fs::create_dir_all(folder.join("templates")).unwrap();
    std::fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: web\nversion: 0.1.0\n").unwrap();
    std::fs::write(folder.join("templates/a.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n").unwrap();
}

#[tokio::test]
async fn a_chart_is_found_in_the_index_and_by_its_etag_only_once() {
    let source = Scratch::new("chart").unwrap();
    chart(source.path());
    let user = Credentials::random("reader");
    let server = ChartServer::start_with(Some(&user)).await.unwrap();
    let package = server.publish_folder(source.path(), "1.2.3").await.unwrap();
    assert_eq!(package_chart(source.path(), Some("1.2.3")).await.unwrap().file_name, "web-1.2.3.tgz");
    let client = http_client(None).unwrap();
    let get = |path: &str| client.get(format!("{}/{path}", server.url())).header("authorization", user.basic());
    assert_eq!(client.get(format!("{}/index.yaml", server.url())).send().await.unwrap().status(), 401);
    let index = get("index.yaml").send().await.unwrap();
    let etag = index.headers()["etag"].clone();
    let index = index.text().await.unwrap();
    assert!(index.contains("version: 1.2.3") && index.contains("digest: "), "{index}");
    assert!(index.contains(&format!("{}/web-1.2.3.tgz", server.url())), "{index}");
    assert_eq!(get("index.yaml").header("if-none-match", etag).send().await.unwrap().status(), 304);
    assert_eq!(get("web-1.2.3.tgz").send().await.unwrap().bytes().await.unwrap(), package);
    assert_eq!(get("..%2Fhelm").send().await.unwrap().status(), 404);
    server.fail_next(1, &Fault::status(503));
    assert_eq!(get("index.yaml").send().await.unwrap().status(), 503);
    server.withdraw("web-1.2.3.tgz").await.unwrap();
    assert!(!get("index.yaml").send().await.unwrap().text().await.unwrap().contains("1.2.3"));
    assert_eq!(server.requests().iter().filter(|request| request.uri == "/web-1.2.3.tgz").count(), 1);
}

fn git(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("git");
    command.current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").envs(environment.iter().copied());
    command.args(["-c", "user.name=Robin", "-c", "user.email=robin@example.org"]).args(arguments).output().unwrap()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Clones, changes a file, commits and pushes; the answer is what the push said.
fn clone_and_push(work: &Path, url: &str, environment: &[(&str, &str)]) -> Output {
    done(&git(work, &["clone", "--quiet", url, "copy"], environment));
    std::fs::write(work.join("copy/file"), "two\n").unwrap();
    done(&git(&work.join("copy"), &["commit", "--quiet", "--all", "--message=Second"], environment));
    git(&work.join("copy"), &["push", "--quiet", "origin", "HEAD:main"], environment)
}

fn seeded(repository: &Repository) -> String {
    repository.commit("main", &NewCommit::file("First", "file", b"one\n")).unwrap()
}

#[test]
fn git_over_http_clones_and_pushes_with_credentials_and_protocol_v2() {
    let user = Credentials::random("robot");
    let server = GitHttp::start_with(Some(&user)).unwrap();
    let repository = server.create_repository("team/infra").unwrap();
    let first = seeded(&repository);
    let work = Scratch::new("work").unwrap();
    let url = server.url(&repository);
    let refused = git(work.path(), &["ls-remote", &url], &[]);
    assert!(!refused.status.success());
    let url = url.replace("http://", &format!("http://{}:{}@", user.user, user.password));
    done(&clone_and_push(work.path(), &url, &[]));
    let commits = repository.commits("main").unwrap();
    assert_eq!(commits.iter().map(|c| c.message.as_str()).collect::<Vec<_>>(), ["Second", "First"]);
    assert_eq!(commits[0].author, "Robin <robin@example.org>");
    assert_eq!(repository.read("main", "file").unwrap(), b"two\n");
    assert!(repository.diff(&first, "main").unwrap().contains("-one\n+two\n"));
    let trace = git(work.path(), &["ls-remote", &url], &[("GIT_TRACE_PACKET", "1")]);
    assert!(String::from_utf8_lossy(&trace.stderr).contains("git< version 2"), "Git-Protocol is passed on");
    let fetched = server.requests().into_iter().any(|r| r.uri.ends_with("/git-upload-pack") && r.status == 200);
    assert!(fetched, "{:?}", server.requests());
}

#[tokio::test]
async fn git_over_http_takes_compressed_requests() {
    let server = GitHttp::start().unwrap();
    let repository = server.create_repository("compressed").unwrap();
    let head = seeded(&repository);
    // gitprotocol-v2: a packet's length counts its own four digits.
    let mut body = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut body, b"0014command=ls-refs\n0000").unwrap();
    let request = http_client(None).unwrap().post(format!("{}/git-upload-pack", server.url(&repository)));
    let request = request.header("git-protocol", "version=2").header("content-encoding", "gzip");
    let request = request.header("content-type", "application/x-git-upload-pack-request").body(body.finish().unwrap());
    let answer = request.send().await.unwrap().text().await.unwrap();
    assert!(answer.contains(&format!("{head} refs/heads/main")), "{answer}");
}

#[test]
fn large_pushes_arrive_in_chunks() {
    let server = GitHttp::start().unwrap();
    let repository = server.create_repository("large").unwrap();
    let work = Scratch::new("work").unwrap();
    done(&git(work.path(), &["init", "--quiet", "--initial-branch=main", "."], &[]));
    // Beyond http.postBuffer (1 MiB) git sends no length.
    let noise: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(work.join("noise"), rand_like(noise)).unwrap();
    done(&git(work.path(), &["add", "."], &[]));
    done(&git(work.path(), &["commit", "--quiet", "--message=Noise"], &[]));
    done(&git(work.path(), &["push", "--quiet", &server.url(&repository), "main"], &[]));
    assert_eq!(repository.commits("main").unwrap().len(), 1);
}

/// Bytes that do not compress.
fn rand_like(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    for byte in &mut bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte ^= state as u8;
    }
    bytes
}

#[test]
fn a_hook_can_refuse_a_push_and_its_words_reach_the_client() {
    let server = GitHttp::start().unwrap();
    let repository = server.create_repository("guarded").unwrap();
    let first = seeded(&repository);
    repository.install_hook("pre-receive", "#!/bin/sh\necho 'protected branch' >&2\nexit 1\n").unwrap();
    let work = Scratch::new("work").unwrap();
    let push = clone_and_push(work.path(), &server.url(&repository), &[]);
    assert!(!push.status.success());
    assert!(String::from_utf8_lossy(&push.stderr).contains("protected branch"));
    assert_eq!(repository.head("main").unwrap(), Some(first));
    repository.remove_hook("pre-receive").unwrap();
    done(&git(&work.join("copy"), &["push", "--quiet", "origin", "HEAD:main"], &[]));
}

#[test]
fn a_push_whose_answer_is_lost_has_happened() {
    let server = GitHttp::start().unwrap();
    let repository = server.create_repository("lost").unwrap();
    let first = seeded(&repository);
    server.lose_next_push_answer(1);
    let work = Scratch::new("work").unwrap();
    let push = clone_and_push(work.path(), &server.url(&repository), &[]);
    assert!(!push.status.success(), "the client does not know");
    assert_ne!(repository.head("main").unwrap(), Some(first), "but the server has done it");
}

#[test]
fn a_repository_is_seeded_from_a_folder_and_from_a_bundle() {
    let folder = Scratch::new("seed").unwrap();
    folder.write("a/b.yaml", "kind: A\n").unwrap();
    folder.write(".gitignore", "ignored\n").unwrap();
    folder.write("ignored", "all the same\n").unwrap();
    let repository = Repository::create("seed").unwrap();
    repository.commit_folder("main", folder.path(), "Everything").unwrap();
    assert_eq!(repository.git(&["ls-tree", "-r", "--name-only", "main"]).unwrap(), ".gitignore\na/b.yaml\nignored\n");
    let removal = vec![Change { path: "ignored", content: None }];
    let time: Timestamp = "2020-12-25T16:00:00Z".parse().unwrap();
    let commit = NewCommit::new("Clean up", removal).by("Weave Flux", "flux@example.org").at(time);
    repository.commit("main", &commit).unwrap();
    let newest = repository.commits("main").unwrap().remove(0);
    assert_eq!((newest.committer.as_str(), newest.time), ("Weave Flux <flux@example.org>", time));
    let bundle = folder.join("bundle");
    repository.git(&["bundle", "create", "--quiet", bundle.to_str().unwrap(), "--all"]).unwrap();
    let copy = Repository::create("copy").unwrap();
    assert_eq!(copy.fetch_bundle(&bundle).unwrap(), ["main"]);
    assert_eq!(copy.head("main").unwrap(), Some(newest.id));
}

/// The real history, where it is: a bundle with more than a thousand commits.
#[test]
fn a_real_history_is_served_over_http() {
    let bundle = match voice_infra::bundle() {
        Ok(bundle) => bundle,
        Err(missing) => {
            println!("NOT RUN: {missing}");
            return;
        }
    };
    let server = GitHttp::start().unwrap();
    let repository = server.create_repository("voice-infra").unwrap();
    let branches = repository.fetch_bundle(&bundle.canonicalize().unwrap()).unwrap();
    let branch = branches.first().unwrap();
    let commits = repository.commits(branch).unwrap();
    assert!(commits.len() > 500, "{}", commits.len());
    let work = Scratch::new("work").unwrap();
    let clone = git(work.path(), &["clone", "--quiet", "--bare", &server.url(&repository), "."], &[]);
    done(&clone);
    let head = git(work.path(), &["rev-parse", branch], &[]);
    assert_eq!(String::from_utf8_lossy(&head.stdout).trim(), commits[0].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn git_over_ssh_knows_its_host_and_refuses_another() {
    let mut server = GitSsh::start().await.unwrap();
    let repository = server.create_repository("infra").unwrap();
    seeded(&repository);
    let work = Scratch::new("work").unwrap();
    let known = work.write("known_hosts", server.known_hosts().unwrap()).unwrap();
    let ssh = format!(
        "ssh -F none -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={} -i {}",
        known.display(),
        server.client_key().display()
    );
    let push = clone_and_push(work.path(), &server.url(&repository), &[("GIT_SSH_COMMAND", &ssh)]);
    assert!(push.status.success(), "{}\n{}", String::from_utf8_lossy(&push.stderr), server.log_tail());
    assert_eq!(repository.commits("main").unwrap().len(), 2);
    server.rotate_host_key().await.unwrap();
    let refused = git(work.path(), &["ls-remote", &server.url(&repository)], &[("GIT_SSH_COMMAND", &ssh)]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("REMOTE HOST IDENTIFICATION HAS CHANGED"));
}

#[tokio::test]
async fn slack_takes_good_messages_and_refuses_others() {
    let slack = SlackStandIn::start().unwrap();
    let client = http_client(None).unwrap();
    let post = async |url: String, body: Value| {
        let answer = client.post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let message = json!({ "text": "voice-dev runs main-1a2b" });
    assert_eq!(post(slack.webhook_url(), message.clone()).await, (200, "ok".into()));
    assert_eq!(post(slack.webhook_url(), json!({})).await, (400, "no_text".into()));
    assert_eq!(post(slack.revoked_webhook_url(), message.clone()).await, (404, "no_service".into()));
    let plain = client.post(slack.webhook_url()).body(message.to_string()).send().await.unwrap();
    assert_eq!((plain.status().as_u16(), plain.text().await.unwrap()), (400, "invalid_payload".into()));
    slack.fail_next(1, &Fault::too_many_requests(2));
    let limited = client.post(slack.webhook_url()).json(&message).send().await.unwrap();
    assert_eq!((limited.status().as_u16(), &limited.headers()["retry-after"]), (429, &"2".parse().unwrap()));
    assert_eq!(slack.wait_messages(1, Duration::from_secs(1)).await.unwrap(), [message]);
    let late = slack.wait_messages(2, Duration::from_millis(50)).await.unwrap_err().to_string();
    assert!(late.contains("1 messages"), "{late}");
}
