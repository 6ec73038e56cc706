//! Reads what the API server says when it refuses: status, reason, causes, warnings.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use crate::error::{Cause, Refusal, SchemaFault, plain};

/// How many warnings and causes of one answer are kept.
const MAX_LINES: usize = 50;

/// Reads a refusal. Of a Secret's, nothing is kept that could hold a value.
pub(crate) fn read(status: u16, headers: &HeaderMap, body: &[u8], secret: bool) -> Refusal {
    let parsed: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = |pointer: &str| parsed.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    // Not every answer is a Status: an unknown path gets plain text.
    let raw = if parsed.is_null() { String::from_utf8_lossy(body).into_owned() } else { text("/message").to_owned() };
    let schema = schema_faults(&raw);
    let mut causes = Vec::new();
    for cause in parsed.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten().take(MAX_LINES) {
        let text = |key: &str| plain(cause.get(key).and_then(Value::as_str).unwrap_or_default());
        let message = if secret && text("reason") != "FieldManagerConflict" { String::new() } else { text("message") };
        causes.push(Cause { reason: text("reason"), message, field: text("field") });
    }
    let reason = plain(text("/reason"));
    let message = if secret { masked(status, &reason, &causes, &raw) } else { plain(raw.trim()) };
    Refusal { status, reason, message, causes, retry_after: retry_after(headers, &parsed), schema }
}

/// What may be said of a refused Secret: status, reason and the names of fields.
fn masked(status: u16, reason: &str, causes: &[Cause], raw: &str) -> String {
    let mut fields: Vec<&str> =
        causes.iter().map(|cause| cause.field.as_str()).filter(|field| !field.is_empty()).collect();
    if fields.is_empty() {
        fields.extend(schema_lines(raw).map(|(path, _)| path));
    }
    let reason = if reason.is_empty() { "no reason given" } else { reason };
    let fields = if fields.is_empty() { String::new() } else { format!(" at {}", plain(&fields.join(", "))) };
    format!(
        "refused with status {status} ({reason}){fields}; the API server's text is not shown because the object is a Secret"
    )
}

/// Path and text of each fault that structured merge found. One stands behind
/// `failed to create typed patch object (ns/name; v1, Kind=K): `, several on the lines after `…: errors:`.
fn schema_lines(message: &str) -> impl Iterator<Item = (&str, &str)> {
    let found = message.strip_prefix("failed to create typed patch object (").and_then(|rest| rest.split_once("): "));
    let found = found.map_or("", |(_, found)| found);
    found.strip_prefix("errors:\n").unwrap_or(found).lines().filter_map(|line| {
        let line = line.trim_start();
        // The path may hold anything, also `: `; it ends where one of structured merge's own texts begins.
        let texts = [": field not declared in schema", ": duplicate entries for key ", ": expected ", ": "];
        let end = texts.iter().find_map(|text| line.find(text))?;
        Some((&line[..end], &line[end + 2..]))
    })
}

fn schema_faults(message: &str) -> Vec<SchemaFault> {
    let faults: Vec<SchemaFault> = schema_lines(message)
        .map(|(path, text)| match text.strip_prefix("duplicate entries for key ") {
            Some(key) => SchemaFault::Duplicate { path: path.to_owned(), key: key.to_owned() },
            None if text == "field not declared in schema" => SchemaFault::Undeclared { path: path.to_owned() },
            None => SchemaFault::Other,
        })
        .collect();
    let unreadable = [
        "failed to create typed patch object",
        "failed to convert new object",
        "unable to convert unstructured object",
    ];
    if faults.is_empty() && unreadable.iter().any(|text| message.contains(text)) {
        return vec![SchemaFault::Other];
    }
    faults
}

fn retry_after(headers: &HeaderMap, status: &Value) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let seconds = seconds.or_else(|| status.pointer("/details/retryAfterSeconds").and_then(Value::as_u64));
    seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// The texts of `Warning: 299 - "text"` headers (RFC 7234, section 5.5).
pub(crate) fn warnings(headers: &HeaderMap) -> Vec<String> {
    let mut texts = Vec::new();
    for value in headers.get_all(http::header::WARNING).iter().take(MAX_LINES) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let Some((_, quoted)) = value.split_once('"') else { continue };
        let mut text = String::new();
        let mut chars = quoted.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => text.extend(chars.next()),
                c => text.push(c),
            }
        }
        texts.push(plain(&text));
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, secret: bool) -> Refusal {
        let body = serde_json::json!({"kind": "Status", "message": text, "reason": "Invalid"}).to_string();
        read(500, &HeaderMap::new(), body.as_bytes(), secret)
    }

    #[test]
    fn schema_faults_are_told_apart() {
        let undeclared = message(
            "failed to create typed patch object (t/a; apps/v1, Kind=Deployment): .spec.bogus: field not declared in schema",
            false,
        );
        assert_eq!(undeclared.schema, [SchemaFault::Undeclared { path: ".spec.bogus".into() }]);
        let duplicate = message(
            "failed to create typed patch object (t/a; apps/v1, Kind=Deployment): .spec.template.spec.containers[name=\"c\"].env: duplicate entries for key [name=\"A\"]",
            false,
        );
        let [SchemaFault::Duplicate { path, key }] = duplicate.schema.as_slice() else { panic!("{duplicate:?}") };
        assert_eq!((path.as_str(), key.as_str()), (".spec.template.spec.containers[name=\"c\"].env", "[name=\"A\"]"));
        let other = message(
            "failed to create typed patch object (t/c; /v1, Kind=ConfigMap): .data.a: expected string, got &value.valueUnstructured{Value:1}",
            false,
        );
        assert_eq!(other.schema, [SchemaFault::Other]);
        assert_eq!(message("etcdserver: request timed out", false).schema, []);
        let several = message(
            "failed to create typed patch object (t/a; apps/v1, Kind=Deployment): errors:\n  .spec.a: b: field not declared in schema\n  .spec.l: duplicate entries for key [name=\"A\"]",
            false,
        );
        assert_eq!(
            several.schema,
            [
                SchemaFault::Undeclared { path: ".spec.a: b".into() },
                SchemaFault::Duplicate { path: ".spec.l".into(), key: "[name=\"A\"]".into() }
            ]
        );
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let typed = message(
            "failed to create typed patch object (t/s; /v1, Kind=Secret): .stringData.p: expected string, got &value.valueUnstructured{Value:hunter2}",
            true,
        );
        assert!(typed.to_string().contains(".stringData.p"), "{typed}");
        assert!(!format!("{typed:?}").contains("hunter2"), "{typed:?}");
        let body = serde_json::json!({"message": "Secret is invalid: data[p]: Invalid value: hunter2", "reason": "Invalid",
            "details": {"causes": [{"reason": "FieldValueInvalid", "message": "Invalid value: hunter2", "field": "data[p]"}]}});
        let invalid = read(422, &HeaderMap::new(), body.to_string().as_bytes(), true);
        assert!(invalid.to_string().contains("data[p]"), "{invalid}");
        assert!(!format!("{invalid:?}").contains("hunter2"), "{invalid:?}");
    }

    #[test]
    fn warnings_and_waits_are_read_from_headers() {
        let mut headers = HeaderMap::new();
        headers.append("warning", "299 - \"unknown field \\\"spec.x\\\"\"".parse().unwrap());
        headers.append("warning", "299 - \"second\"".parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        assert_eq!(warnings(&headers), ["unknown field \"spec.x\"", "second"]);
        assert_eq!(read(429, &headers, b"slow down", false).retry_after, Some(Duration::from_secs(7)));
        assert_eq!(read(429, &headers, b"slow down", false).message, "slow down");
    }
}
