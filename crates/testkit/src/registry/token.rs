//! A token server, as the distribution project's token authentication specification describes it. The registry checks
//! the tokens itself, against the key set that it is given.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode, header};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SigningKey};
use serde_json::{Value, json};

use crate::Result;
use crate::http::{Credentials, Gate, HttpServer, Request};

pub(super) const SERVICE: &str = "testkit-registry";
pub(super) const ISSUER: &str = "testkit-token-server";
const KEY: &str = "testkit-key";
/// Short, so that tests of token renewal need not wait long; the registry itself gives a leeway of a minute.
const LIFETIME_SECONDS: i64 = 60;

#[derive(Debug)]
pub(super) struct TokenServer {
    server: HttpServer,
    signer: Arc<Signer>,
}

#[derive(Debug)]
struct Signer {
    key: KeyPair,
    user: Credentials,
}

impl TokenServer {
    pub(super) fn start(user: Credentials) -> Result<Self> {
        let signer = Arc::new(Signer { key: KeyPair::generate_for(&PKCS_ED25519)?, user });
        let router = Router::new().route("/token", get(answer)).with_state(signer.clone());
        Ok(Self { server: HttpServer::start("token-server", router, Gate::default())?, signer })
    }

    pub(super) fn realm(&self) -> String {
        format!("{}/token", self.server.url())
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.server.gate().requests()
    }

    /// A token for actions on a repository.
    pub(super) fn sign(&self, repository: &str, actions: &[&str]) -> Result<String> {
        let access = json!([{ "type": "repository", "name": repository, "actions": actions }]);
        self.signer.token(&self.signer.user.user, &access)
    }

    /// The public key, as a JSON Web Key Set (RFC 8037 for Ed25519).
    pub(super) fn key_set(&self) -> Value {
        let public = URL_SAFE_NO_PAD.encode(self.signer.key.der_bytes());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": KEY, "x": public }] })
    }
}

impl Signer {
    fn token(&self, subject: &str, access: &Value) -> Result<String> {
        let now = jiff::Timestamp::now().as_second();
        let header = json!({ "typ": "JWT", "alg": "EdDSA", "kid": KEY });
        let claims = json!({
            "iss": ISSUER, "sub": subject, "aud": SERVICE,
            "iat": now, "nbf": now - 5, "exp": now + LIFETIME_SECONDS,
            "jti": format!("{:x}", rand::random::<u64>()), "access": access,
        });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.key.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

async fn answer(State(signer): State<Arc<Signer>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = query.unwrap_or_default();
    let parameter = |wanted: &'static str| {
        url::form_urlencoded::parse(query.as_bytes())
            .filter(move |(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    if parameter("service").next().as_deref() != Some(SERVICE) {
        return (StatusCode::BAD_REQUEST, "unknown service\n").into_response();
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let known = match given {
        None => false,
        Some(value) if value == signer.user.basic() => true,
        // Wrong credentials are refused; they do not make an anonymous caller.
        Some(_) => return (StatusCode::UNAUTHORIZED, "wrong user or password\n").into_response(),
    };
    let scopes = parameter("scope").collect::<Vec<_>>().join(" ");
    let access: Vec<_> = scopes.split(' ').filter_map(|scope| granted(scope, known)).collect();
    let subject = if known { signer.user.user.as_str() } else { "" };
    match signer.token(subject, &json!(access)) {
        Ok(token) => {
            let now = jiff::Timestamp::now().to_string();
            Json(json!({ "token": token, "expires_in": LIFETIME_SECONDS, "issued_at": now })).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What of a scope (`repository:NAME:pull,push`) the caller gets.
fn granted(scope: &str, known: bool) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let public = name.starts_with("public/");
    let actions: Vec<_> = actions.split(',').filter(|action| known || (public && *action == "pull")).collect();
    Some(json!({ "type": kind, "name": name, "actions": actions }))
}
