//! Helm charts: packaging with the real `helm`, and a chart repository over HTTP.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as UrlPath, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::http::{Credentials, Fault, Gate, HttpServer, Request};
use crate::{Error, Result, Scratch, components, process};

const HELM: Duration = Duration::from_secs(60);

/// A chart repository: a folder of packages with the `index.yaml` that the real `helm repo index` writes.
#[derive(Debug)]
pub struct ChartServer {
    server: HttpServer,
    scratch: Scratch,
}

impl ChartServer {
    /// Starts an empty one that is open to everybody.
    pub async fn start() -> Result<Self> {
        Self::start_with(None).await
    }

    /// Starts an empty one that asks for basic authentication, if credentials are given.
    pub async fn start_with(credentials: Option<&Credentials>) -> Result<Self> {
        let scratch = Scratch::new("charts")?;
        let files = scratch.join("files");
        std::fs::create_dir(&files).map_err(Error::io(format!("making {}", files.display())))?;
        let router = Router::new().route("/{name}", get(serve)).with_state(files);
        let server = Self { server: HttpServer::start("charts", router, Gate::new(credentials))?, scratch };
        server.index().await?;
        Ok(server)
    }

    /// The repository's URL, as it stands in a HelmRelease.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Packages a chart's folder with the given version, publishes it and gives back the package.
    pub async fn publish_folder(&self, chart: &Path, version: &str) -> Result<Vec<u8>> {
        let package = package_chart(chart, Some(version)).await?;
        self.publish(&package.file_name, &package.content).await?;
        Ok(package.content)
    }

    /// Publishes a package (`NAME-VERSION.tgz`) and writes the index again; a package of the same name is replaced.
    pub async fn publish(&self, file_name: &str, package: &[u8]) -> Result<()> {
        self.scratch.write(Path::new("files").join(file_name), package)?;
        self.index().await
    }

    /// Takes a package away and out of the index.
    pub async fn withdraw(&self, file_name: &str) -> Result<()> {
        let path = self.scratch.join("files").join(file_name);
        std::fs::remove_file(&path).map_err(Error::io(format!("removing {}", path.display())))?;
        self.index().await
    }

    /// Puts a file as it is, also a broken `index.yaml` or a package that the index knows nothing of.
    pub fn put(&self, file_name: &str, content: &[u8]) -> Result<()> {
        self.scratch.write(Path::new("files").join(file_name), content).map(drop)
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.server.gate().requests()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.server.gate().forget_requests();
    }

    /// Answers the next requests with a fault.
    pub fn fail_next(&self, times: usize, fault: &Fault) {
        self.server.gate().fail_next(times, fault);
    }

    async fn index(&self) -> Result<()> {
        let mut command = helm_command(self.scratch.path())?;
        command.args(["repo", "index"]).arg(self.scratch.join("files")).args(["--url", &self.url()]);
        process::run(command, None, HELM).await.map(drop)
    }
}

/// A packaged chart.
#[derive(Debug, Clone)]
pub struct ChartPackage {
    /// `NAME-VERSION.tgz`.
    pub file_name: String,
    /// The package.
    pub content: Vec<u8>,
}

/// Packages a chart's folder with the real `helm package`; `version` replaces the one in its Chart.yaml.
pub async fn package_chart(chart: &Path, version: Option<&str>) -> Result<ChartPackage> {
    let scratch = Scratch::new("package")?;
    let output = scratch.join("out");
    let mut command = helm_command(scratch.path())?;
    command.arg("package").arg(chart).arg("--destination").arg(&output);
    if let Some(version) = version {
        command.args(["--version", version]);
    }
    process::run(command, None, HELM).await?;
    let what = || format!("reading what `helm package` made of {}", chart.display());
    let mut files = std::fs::read_dir(&output).map_err(Error::io(what()))?;
    let file = files
        .next()
        .ok_or_else(|| Error::Answer { what: what(), answer: "no file".into() })?
        .map_err(Error::io(what()))?;
    let content = std::fs::read(file.path()).map_err(Error::io(what()))?;
    Ok(ChartPackage { file_name: file.file_name().to_string_lossy().into_owned(), content })
}

/// The real `helm`, with its folders below `home` and nothing from this process's environment.
pub(crate) fn helm_command(home: &Path) -> Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(components::path("helm")?);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", home);
    for (variable, folder) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        command.env(variable, home.join("helm").join(folder));
    }
    Ok(command)
}

/// A file of the folder, with an ETag that clients may ask about. The name is one path segment: nothing else is reached.
async fn serve(State(files): State<PathBuf>, UrlPath(name): UrlPath<String>, headers: HeaderMap) -> Response {
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Ok(content) = tokio::fs::read(files.join(&name)).await else { return StatusCode::NOT_FOUND.into_response() };
    let etag: String = Sha256::digest(&content).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{etag}\"");
    let kind = if name.ends_with(".tgz") { "application/gzip" } else { "text/yaml" };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known == Some(etag.as_str()) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    ([(header::ETAG, etag), (header::CONTENT_TYPE, kind.to_owned())], Body::from(content)).into_response()
}
