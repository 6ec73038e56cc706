//! A stand-in for Slack's incoming webhooks. It refuses what Slack refuses, with Slack's words, so that a message that
//! passes here would have arrived.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use crate::http::{Fault, Gate, HttpServer, Request, locked};
use crate::{Error, Result};

const BLOCKS: usize = 50;
const ATTACHMENTS: usize = 100;
/// Characters of a section's text, of a header's text and of one field of a section.
const SECTION: usize = 3_000;
const HEADER: usize = 150;
const FIELD: usize = 2_000;
const FIELDS: usize = 10;
const CONTEXT: usize = 10;

/// Slack's end of an incoming webhook.
#[derive(Debug)]
pub struct SlackStandIn {
    server: HttpServer,
    token: String,
    messages: Messages,
}

type Messages = Arc<Mutex<Vec<Value>>>;

impl SlackStandIn {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let (token, messages) = (format!("{:x}", rand::random::<u128>()), Messages::default());
        let state = (token.clone(), messages.clone());
        let router = Router::new().route("/services/{team}/{service}/{token}", post(receive)).with_state(state);
        Ok(Self { server: HttpServer::start("slack", router, Gate::default())?, token, messages })
    }

    /// The webhook's URL; whoever knows it may post, so it is a secret.
    pub fn webhook_url(&self) -> String {
        format!("{}/services/T0000001/B0000001/{}", self.server.url(), self.token)
    }

    /// The URL of a webhook that was revoked: 404 `no_service`.
    pub fn revoked_webhook_url(&self) -> String {
        format!("{}/services/T0000001/B0000001/revoked", self.server.url())
    }

    /// Every message that was accepted, oldest first.
    pub fn messages(&self) -> Vec<Value> {
        locked(&self.messages).clone()
    }

    /// Waits until so many messages have been accepted, and gives them back.
    pub async fn wait_messages(&self, count: usize, limit: Duration) -> Result<Vec<Value>> {
        let started = Instant::now();
        loop {
            let messages = self.messages();
            if messages.len() >= count {
                return Ok(messages);
            }
            if started.elapsed() > limit {
                let seen = format!("{} messages: {}", messages.len(), Value::Array(messages));
                return Err(Error::Timeout { what: format!("{count} Slack messages"), after: limit, seen });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Every request so far, also those that were refused.
    pub fn requests(&self) -> Vec<Request> {
        self.server.gate().requests()
    }

    /// Answers the next requests with a fault; for a rate limit, [`Fault::too_many_requests`].
    pub fn fail_next(&self, times: usize, fault: &Fault) {
        self.server.gate().fail_next(times, fault);
    }
}

async fn receive(
    State((token, messages)): State<(String, Messages)>,
    Path((_, _, given)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if given != token {
        return (StatusCode::NOT_FOUND, "no_service").into_response();
    }
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    let message = if json { serde_json::from_slice::<Value>(&body).ok() } else { None };
    match message.ok_or("invalid_payload").and_then(|message| check(&message).map(|()| message)) {
        Ok(message) => {
            locked(&messages).push(message);
            (StatusCode::OK, "ok").into_response()
        }
        Err(word) => (StatusCode::BAD_REQUEST, word).into_response(),
    }
}

/// Slack's checks, as far as they are known; the error is the word in the body.
fn check(message: &Value) -> std::result::Result<(), &'static str> {
    let message = message.as_object().ok_or("invalid_payload")?;
    let array = |name: &str| -> std::result::Result<&[Value], &'static str> {
        match message.get(name) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err("invalid_payload"),
        }
    };
    let text = match message.get("text") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(_) => return Err("invalid_payload"),
    };
    let (blocks, attachments) = (array("blocks")?, array("attachments")?);
    if text.is_empty() && blocks.is_empty() && attachments.is_empty() {
        return Err("no_text");
    }
    if attachments.len() > ATTACHMENTS {
        return Err("too_many_attachments");
    }
    let nested = attachments.iter().filter_map(|attachment| attachment.get("blocks")?.as_array());
    let all_good =
        |blocks: &[Value]| blocks.len() <= BLOCKS && blocks.iter().all(|block| block_is_valid(block).is_some());
    if all_good(blocks) && nested.into_iter().all(|blocks| all_good(blocks)) { Ok(()) } else { Err("invalid_blocks") }
}

/// `None` for a block that Slack refuses.
fn block_is_valid(block: &Value) -> Option<()> {
    let good = match block.get("type")?.as_str()? {
        "section" => {
            let fields = block.get("fields").map_or(Some(&[][..]), |fields| fields.as_array().map(Vec::as_slice))?;
            let text = block.get("text").map_or(!fields.is_empty(), |text| text_fits(text, SECTION));
            text && fields.len() <= FIELDS && fields.iter().all(|field| text_fits(field, FIELD))
        }
        "header" => block["text"]["type"] == "plain_text" && text_fits(&block["text"], HEADER),
        "context" => {
            let elements = block.get("elements")?.as_array()?;
            !elements.is_empty()
                && elements.len() <= CONTEXT
                && elements.iter().all(|e| e["type"] == "image" || text_fits(e, SECTION))
        }
        "actions" => (1..=25).contains(&block.get("elements")?.as_array()?.len()),
        "divider" | "image" | "markdown" | "rich_text" => true,
        _ => false,
    };
    good.then_some(())
}

fn text_fits(text: &Value, most: usize) -> bool {
    let kind = matches!(text["type"].as_str(), Some("mrkdwn" | "plain_text"));
    kind && text["text"].as_str().is_some_and(|text| (1..=most).contains(&text.chars().count()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn section(length: usize) -> Value {
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x".repeat(length) } })
    }

    #[test]
    fn what_slack_refuses_is_refused_with_its_word() {
        let cases = [
            (json!({ "text": "deployed" }), Ok(())),
            (json!({ "blocks": [section(3_000)] }), Ok(())),
            (json!({ "blocks": [section(3_001)] }), Err("invalid_blocks")),
            (json!({ "blocks": vec![section(1); 51] }), Err("invalid_blocks")),
            (json!({ "blocks": [{ "type": "section" }] }), Err("invalid_blocks")),
            (json!({ "blocks": [{ "type": "section", "fields": [{ "type": "mrkdwn", "text": "a" }] }] }), Ok(())),
            (
                json!({ "blocks": [{ "type": "header", "text": { "type": "mrkdwn", "text": "a" } }] }),
                Err("invalid_blocks"),
            ),
            (json!({ "blocks": [{ "type": "invented" }] }), Err("invalid_blocks")),
            (json!({ "attachments": [{ "color": "good", "blocks": [section(3_001)] }] }), Err("invalid_blocks")),
            (json!({ "text": "" }), Err("no_text")),
            (json!({ "text": 1 }), Err("invalid_payload")),
            (json!(["text"]), Err("invalid_payload")),
        ];
        for (message, expected) in cases {
            assert_eq!(check(&message), expected, "{message}");
        }
    }
}
