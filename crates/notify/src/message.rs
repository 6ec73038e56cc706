//! What a message says, as Slack's incoming webhooks take it: `text` for notifications and screen readers, `blocks` for
//! the channel.
//!
//! An incoming webhook tells no message id, so a message can be neither edited nor answered: there is one for each
//! outcome. Nothing in it notifies a whole channel, whatever a tag or an error says.

use crate::text::{code, one_line, plain, short_tag, span};
use serde_json::{Value, json};
use tagboat_engine::ports::{Deployment, DeploymentOutcome};
use tagboat_image::Reference;

/// What a message may say beyond the deployment itself.
#[derive(Debug, Clone, Default)]
pub struct MessageOptions {
    /// The address of a commit of the infrastructure repository, with `{revision}` in it:
    /// `https://github.com/example/infrastructure/commit/{revision}`.
    pub commit_url: Option<String>,
}

/// Slack takes at most so many characters in one text object.
const TEXT_LIMIT: usize = 3000;

/// The message for one deployment.
#[must_use]
pub fn message(deployment: &Deployment, options: &MessageOptions) -> Value {
    let app = app(deployment);
    let (icon, verb) = match &deployment.outcome {
        DeploymentOutcome::Done => ("✅", "deployed"),
        DeploymentOutcome::Failed { .. } => ("❌", "failed"),
        DeploymentOutcome::Recovered => ("✅", "recovered"),
    };
    let mut blocks = vec![section(&format!("{icon} *{}* {verb}: {}", plain(&app), versions(deployment)))];
    if let DeploymentOutcome::Failed { reason } = &deployment.outcome {
        blocks.push(section(&format!("*Cause* {}", plain(or_unknown(reason)))));
    }
    let fields = fields(deployment, options);
    if !fields.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    blocks.push(json!({"type": "context", "elements": [mrkdwn(&way(deployment))]}));
    json!({
        "text": fallback(deployment, &app, icon, verb),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// `namespace/name`: never the bare name, which is often the same in every environment.
fn app(deployment: &Deployment) -> String {
    let workload = &deployment.workload;
    match workload.namespace() {
        Some(namespace) => format!("{namespace}/{}", workload.name()),
        None => workload.name().to_owned(),
    }
}

fn fallback(deployment: &Deployment, app: &str, icon: &str, verb: &str) -> String {
    let version = deployment.to.as_ref().map(|to| short_version(&to.version())).unwrap_or_default();
    let cause = match &deployment.outcome {
        DeploymentOutcome::Failed { reason } => format!(": {}", plain(or_unknown(reason))),
        _ => String::new(),
    };
    let text = format!("{icon} {} {}: {verb}{cause}", plain(app), plain(&version));
    one_line(&text).chars().take(TEXT_LIMIT).collect()
}

/// `old → new`, by their tags.
fn versions(deployment: &Deployment) -> String {
    let version = |reference: &Reference| code(&short_version(&reference.version()));
    match (&deployment.from, &deployment.to) {
        (Some(from), Some(to)) if from != to => format!("{} → {}", version(from), version(to)),
        (_, Some(to)) => version(to),
        (_, None) => "no image".to_owned(),
    }
}

/// A tag cut for people, a digest to twelve digits.
fn short_version(version: &str) -> String {
    match version.split_once("@sha256:") {
        Some((tag, digest)) => format!("{}@{}", short_tag(tag), &digest[..digest.len().min(12)]),
        None => short_tag(version).to_owned(),
    }
}

fn fields(deployment: &Deployment, options: &MessageOptions) -> Vec<Value> {
    let mut fields = Vec::new();
    if let Some(to) = &deployment.to {
        fields.push(mrkdwn(&format!("*Image*\n{}", code(&to.repository().to_string()))));
    }
    if let Some(revision) = &deployment.revision {
        let short = plain(revision.short());
        let text = match &options.commit_url {
            Some(url) => format!("<{}|{short}>", link(&url.replace("{revision}", &revision.0))),
            None => code(&short),
        };
        fields.push(mrkdwn(&format!("*Commit*\n{text}")));
    }
    fields
}

/// How long each stretch took, as far as it is known.
fn way(deployment: &Deployment) -> String {
    let stretch = |from: jiff::Timestamp, to: jiff::Timestamp| span(to.duration_since(from).as_secs());
    let end = if matches!(deployment.outcome, DeploymentOutcome::Failed { .. }) { "failed" } else { "healthy" };
    let mut steps = Vec::new();
    let mut last = None;
    for (step, at) in
        [("pushed", deployment.pushed), ("committed", deployment.committed), (end, Some(deployment.finished))]
    {
        let Some(at) = at else { continue };
        steps.push(match last {
            None => format!("{step} {}", at.strftime("%Y-%m-%d %H:%M:%S UTC")),
            Some(last) => format!("{step} after {}", stretch(last, at)),
        });
        last = Some(at);
    }
    format!("{} · {}", steps.join(" → "), code(&deployment.id.0))
}

fn or_unknown(reason: &str) -> &str {
    if reason.trim().is_empty() { "not known" } else { reason }
}

/// A configured address within `<…|…>`, where `<`, `>`, `|` and spaces would end it.
fn link(url: &str) -> String {
    url.replace('&', "&amp;").replace('<', "%3C").replace('>', "%3E").replace('|', "%7C").replace(' ', "%20")
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": mrkdwn(text)})
}

fn mrkdwn(text: &str) -> Value {
    let text: String = text.chars().take(TEXT_LIMIT).collect();
    json!({"type": "mrkdwn", "text": text})
}
