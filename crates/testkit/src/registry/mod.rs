//! The CNCF distribution registry, with images that have no layers.

mod access_log;
mod image;
mod token;

pub use image::ImageSpec;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::http::{Credentials, Request};
use crate::process::{Probe, Process, server_command};
use crate::tls::{Authority, http_client};
use crate::{Result, Scratch, components};
use token::TokenServer;

const READY: Duration = Duration::from_secs(60);

/// Who may use a [`Registry`].
#[derive(Debug, Clone, Default)]
pub enum RegistryAuth {
    /// Everybody.
    #[default]
    Open,
    /// One user, by basic authentication.
    Basic(Credentials),
    /// One user, who gets bearer tokens from a token server; everybody else gets tokens to pull from repositories
    /// whose names start with `public/`.
    Token(Credentials),
}

/// What a [`Registry`] is to be like.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    /// Serve over TLS with a certificate of an authority of its own ([`Registry::authority`]).
    pub tls: bool,
    /// Who may use it.
    pub auth: RegistryAuth,
    /// Where it sends its notifications to: a real source of incoming webhooks.
    pub notifications: Vec<Notification>,
}

/// An endpoint that a [`Registry`] tells about each push.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The endpoint's URL.
    pub url: String,
    /// Headers to send along, such as `Authorization`.
    pub headers: Vec<(String, String)>,
}

/// A real registry with its data in a temporary folder.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    port: u16,
    tls: Option<String>,
    credentials: Option<Credentials>,
    token: Option<TokenServer>,
    http: reqwest::Client,
    log: PathBuf,
    _scratch: Scratch,
}

impl Registry {
    /// Starts one without TLS that is open to everybody.
    pub async fn start() -> Result<Self> {
        Self::start_with(RegistryOptions::default()).await
    }

    /// Starts one with options.
    pub async fn start_with(options: RegistryOptions) -> Result<Self> {
        let program = components::path("registry")?;
        let scratch = Scratch::new("registry")?;
        let authority = options.tls.then(Authority::new).transpose()?;
        let mut http_settings = json!({ "secret": format!("{:x}", rand::random::<u64>()) });
        if let Some(authority) = &authority {
            let identity = authority.server()?;
            http_settings["tls"] = json!({
                "certificate": scratch.write("server.pem", &identity.certificate)?,
                "key": scratch.write_private("server.key", &identity.key)?,
            });
        }
        let mut config = json!({
            "version": 0.1,
            "log": { "level": "warn", "accesslog": { "disabled": false } },
            "storage": {
                "filesystem": { "rootdirectory": scratch.join("data") },
                "delete": { "enabled": true },
                "maintenance": { "uploadpurging": { "enabled": false } },
            },
            "notifications": { "endpoints": notifications(&options.notifications) },
        });
        let (mut credentials, mut token) = (None, None);
        match options.auth {
            RegistryAuth::Open => {}
            RegistryAuth::Basic(user) => {
                config["auth"] = json!({ "htpasswd": {
                    "realm": "testkit",
                    "path": scratch.write_private("htpasswd", htpasswd(&user)?)?,
                }});
                credentials = Some(user);
            }
            RegistryAuth::Token(user) => {
                let server = TokenServer::start(user.clone())?;
                config["auth"] = json!({ "token": {
                    "realm": server.realm(),
                    "service": token::SERVICE,
                    "issuer": token::ISSUER,
                    "jwks": scratch.write("jwks.json", server.key_set().to_string())?,
                }});
                (credentials, token) = (Some(user), Some(server));
            }
        }
        let pem = authority.as_ref().map(|authority| authority.pem().to_owned());
        let http = http_client(pem.as_deref())?;
        let scheme = if pem.is_some() { "https" } else { "http" };
        let log = scratch.join("log");
        let (process, [port]) = Process::start("registry", &log, READY, |[port]: [u16; 1]| {
            let mut config = config.clone();
            config["http"] = http_settings.clone();
            config["http"]["addr"] = json!(format!("127.0.0.1:{port}"));
            let file = scratch.write_private("config.json", config.to_string())?;
            let mut command = server_command(&program)?;
            command.arg("serve").arg(file);
            // It would otherwise write each span into its log, where the requests are counted.
            command.env("OTEL_TRACES_EXPORTER", "none").env("OTEL_TRACES_SAMPLER", "always_off");
            Ok((command, Probe::answers(http.get(format!("{scheme}://127.0.0.1:{port}/")), 401)))
        })
        .await?;
        Ok(Self { process, port, tls: pem, credentials, token, http, log, _scratch: scratch })
    }

    /// Host and port, as they stand in an image reference.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The base URL, without a slash at its end.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The certificate of the authority to trust, in PEM; `None` without TLS.
    pub fn authority(&self) -> Option<&str> {
        self.tls.as_deref()
    }

    /// The server's process id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Every request to the registry's API so far, oldest first, from its access log. The registry logs a request when
    /// it has answered it, so the last one may be missing for a moment.
    pub fn requests(&self) -> Result<Vec<Request>> {
        access_log::read(&self.log)
    }

    /// Every request to the token server so far; empty where there is none.
    pub fn token_requests(&self) -> Vec<Request> {
        self.token.as_ref().map_or_else(Vec::new, TokenServer::requests)
    }

    /// The `Authorization` value for an action on a repository, with all rights.
    fn authorization(&self, repository: &str) -> Result<Option<String>> {
        let Some(user) = &self.credentials else { return Ok(None) };
        Ok(Some(match &self.token {
            Some(server) => format!("Bearer {}", server.sign(repository, &["pull", "push", "delete"])?),
            None => user.basic(),
        }))
    }
}

fn htpasswd(user: &Credentials) -> Result<String> {
    // The lowest cost: each request is checked against it, and nobody needs it to be strong.
    let hash = bcrypt::hash_with_result(&user.password, 4).map_err(|error| crate::Error::Answer {
        what: "hashing a password for htpasswd".into(),
        answer: error.to_string(),
    })?;
    Ok(format!("{}:{}\n", user.user, hash.format_for_version(bcrypt::Version::TwoB)))
}

fn notifications(targets: &[Notification]) -> serde_json::Value {
    let endpoint = |(index, target): (usize, &Notification)| {
        let headers: serde_json::Map<_, _> =
            target.headers.iter().map(|(name, value)| (name.clone(), json!([value]))).collect();
        json!({
            "name": format!("endpoint-{index}"),
            "url": target.url,
            "headers": headers,
            "timeout": "2s",
            "threshold": 3,
            "backoff": "200ms",
        })
    };
    targets.iter().enumerate().map(endpoint).collect()
}
