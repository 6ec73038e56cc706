use serde_json::{Value, json};

/// How a kubeconfig's user authenticates.
pub(crate) enum Credential<'a> {
    /// A bearer token.
    Token(&'a str),
    /// A client certificate and its key, in PEM.
    Certificate(&'a crate::tls::Identity),
}

/// A kubeconfig. It is written as JSON, which is YAML too and needs no care with quotes.
pub(crate) fn kubeconfig(server: &str, authority: &str, credential: &Credential<'_>) -> Value {
    let user = match credential {
        Credential::Token(token) => json!({ "token": token }),
        Credential::Certificate(identity) => json!({
            "client-certificate-data": base64(&identity.certificate),
            "client-key-data": base64(&identity.key),
        }),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": server, "certificate-authority-data": base64(authority) } }],
        "users": [{ "name": "test", "user": user }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "current-context": "test",
    })
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
