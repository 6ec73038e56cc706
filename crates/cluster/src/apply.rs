//! One server-side apply, by the rules of D8.
//!
//! ```text
//!  read the live object ─▶ move predecessors' fields to us ─▶ leave out what is scaled
//!        ▲                                                          │
//!        │ somebody wrote in between                                ▼
//!        └──────────────────────────────────────────────── apply without force ──▶ done
//!                                     ▲                             │
//!                                     └── normalise, leave out, ◀───┘ refused: unreadable, or conflicts
//!                                         or force
//! ```
//!
//! Force is used only after the conflicts were read, because it would take other appliers' fields as well.

use http::Method;
use serde_json::{Value, json};
use tagboat_engine::ports::{Applied, Apply, FieldManager, ObjectRef};

use crate::api_server::ApiServer;
use crate::desired::{Desired, changed, name_of};
use crate::discovery::Kind;
use crate::error::Error;
use crate::ownership::taken_over;
use crate::transport::{Answer, Call, Format};

/// How often the object is made readable, or conflicts are settled, in one apply: so many undeclared fields and
/// duplicates can be in it.
const MAX_ROUNDS: usize = 100;
/// How often an apply begins anew because somebody wrote in between.
const MAX_RACES: usize = 4;

impl ApiServer {
    /// Applies an object.
    pub(crate) async fn apply_object(&self, apply: &Apply) -> Result<Applied, Error> {
        let name = name_of(&apply.object);
        let id = ObjectRef::of(&apply.object).ok_or_else(|| Error::Invalid {
            what: format!("applying {name}"),
            reason: "apiVersion, kind and metadata.name are needed".to_owned(),
        })?;
        let kind = self.kind(&id.api_version, &id.kind).await?;
        let path = kind.path(&id).map_err(|reason| Error::Invalid { what: format!("applying {name}"), reason })?;
        let mut races = 0;
        loop {
            let applied = self.apply_once(apply, &id, &kind, &path).await;
            match applied {
                // Not a conflict of fields (those are settled), but of versions.
                Err(error) if error.is_status(409) && races < MAX_RACES => races += 1,
                applied => {
                    if id.kind == "CustomResourceDefinition" {
                        self.discovery.expire();
                    }
                    return applied;
                }
            }
        }
    }

    async fn apply_once(&self, apply: &Apply, id: &ObjectRef, kind: &Kind, path: &str) -> Result<Applied, Error> {
        let live = self.read(id, path, apply.run_as.as_deref()).await?;
        let mut desired = Desired::new(apply);
        if let Some(live) = &live {
            if !apply.dry_run
                && let Some(fields) = taken_over(live, apply.manager)
            {
                self.take_over(apply, id, path, live, fields).await?;
            }
            desired.leave_scaled(live);
        }
        let mut force = false;
        for _ in 0..MAX_ROUNDS {
            let error = match self.patch(apply, id, path, &desired.object, force).await {
                Ok(answer) => return finish(desired, live.as_ref(), answer, id, apply.manager),
                Err(error) => error,
            };
            let Some(refusal) = error.refusal() else { return Err(error) };
            let next = match refusal.status {
                _ if !refusal.schema.is_empty() => {
                    refusal.schema.iter().all(|fault| desired.normalise(fault)).then_some(force)
                }
                409 => desired.settle(refusal),
                404 if refusal.reason.is_empty() => {
                    // The path itself is unknown: the kind went away since the catalog was read.
                    self.discovery.forget();
                    return Err(Error::UnknownKind { api_version: kind.api_version.clone(), kind: kind.kind.clone() });
                }
                _ => None,
            };
            match next {
                Some(next) => force = next,
                None => return Err(error),
            }
        }
        Err(Error::TooLong {
            what: format!("applying {id}"),
            limit: format!("{MAX_ROUNDS} rounds of leaving out fields that are undeclared, doubled or others'"),
        })
    }

    async fn patch(
        &self,
        apply: &Apply,
        id: &ObjectRef,
        path: &str,
        object: &Value,
        force: bool,
    ) -> Result<Answer, Error> {
        let mut call = Call::new(format!("applying {id}"), Method::PATCH, path)
            .query("fieldManager", apply.manager.name())
            .query("fieldValidation", "Warn")
            .query("force", force.to_string())
            .body(Format::Apply, object)
            .run_as(apply.run_as.as_deref())
            .secret(is_secret(id));
        if apply.dry_run {
            call = call.query("dryRun", "All");
        }
        self.transport.send(call).await
    }

    /// Makes predecessors' fields ours, if the object is still the one that was read.
    async fn take_over(
        &self,
        apply: &Apply,
        id: &ObjectRef,
        path: &str,
        live: &Value,
        fields: Value,
    ) -> Result<(), Error> {
        let patch = json!([
            {"op": "replace", "path": "/metadata/managedFields", "value": fields},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": live.pointer("/metadata/resourceVersion")},
        ]);
        let call = Call::new(format!("taking over the fields of {id}"), Method::PATCH, path)
            .query("fieldManager", apply.manager.name())
            .body(Format::JsonPatch, &patch)
            .run_as(apply.run_as.as_deref())
            .secret(is_secret(id));
        self.transport.send(call).await?;
        tracing::debug!(object = %id, manager = apply.manager.name(), "took over the fields of earlier appliers");
        Ok(())
    }
}

fn finish(
    mut desired: Desired,
    live: Option<&Value>,
    answer: Answer,
    id: &ObjectRef,
    manager: FieldManager,
) -> Result<Applied, Error> {
    for warning in answer.warnings {
        desired.warn(warning);
    }
    let text = |pointer: &str| answer.value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let missing = || Error::Unreadable { what: format!("applying {id}"), reason: "it has no metadata.uid".to_owned() };
    Ok(Applied {
        uid: text("/metadata/uid").ok_or_else(missing)?,
        // A dry run of a creation has none.
        resource_version: text("/metadata/resourceVersion").unwrap_or_default(),
        changed: live.is_none_or(|live| changed(live, &answer.value, manager)),
        content: tagboat_engine::mirror::content(&answer.value),
        generation: answer.value.pointer("/metadata/generation").and_then(Value::as_i64),
        warnings: desired.into_warnings(),
    })
}

/// Whether nothing of the API server's text about an object may be shown.
pub(crate) fn is_secret(id: &ObjectRef) -> bool {
    id.api_version == "v1" && id.kind == "Secret"
}
