//! Writes what happened into the status of a HelmRelease.

use super::status::{self, Step};
use super::{Desired, ReleasePorts};
use crate::ports::{Fault, ReleaseObject, ReleaseStatus};
use jiff::Timestamp;
use tagboat_api::{HelmReleasePhase as Phase, HelmReleaseStatus};

/// Some phases that a release went through, and what is to be said of them.
#[derive(Clone)]
pub(super) struct Report<'a> {
    object: &'a ReleaseObject,
    release: String,
    namespace: String,
    phases: &'a [Phase],
    chart: Option<&'a str>,
    error: Option<&'a str>,
}

impl<'a> Report<'a> {
    /// On a release that was understood.
    pub(super) fn new(object: &'a ReleaseObject, desired: &Desired) -> Self {
        let (release, namespace) = (desired.release.clone(), desired.namespace.clone());
        Self { object, release, namespace, phases: &[], chart: None, error: None }
    }

    /// On a release that may not have been understood.
    pub(super) fn of(object: &'a ReleaseObject) -> Self {
        let (release, namespace) = names(object);
        Self { object, release, namespace, phases: &[], chart: None, error: None }
    }

    /// Which chart version was tried.
    pub(super) fn chart(self, version: &'a str) -> Self {
        Self { chart: Some(version), ..self }
    }

    /// What it went through.
    pub(super) fn phases(self, phases: &'a [Phase]) -> Self {
        Self { phases, ..self }
    }

    /// It is deployed.
    pub(super) fn succeeded(self) -> Self {
        self.phases(&[Phase::ChartFetched, Phase::Deployed, Phase::Succeeded])
    }

    /// Why the last phase failed.
    pub(super) fn error(self, error: &'a str) -> Self {
        Self { error: Some(error), ..self }
    }

    /// Writes it, unless the watch shows that it is there: so a look that finds nothing to do makes no request.
    pub(super) async fn write_unless_seen(&self, ports: &ReleasePorts) -> Result<(), Fault> {
        let seen = self.object.object.as_ref().ok().and_then(|release| release.status.clone()).unwrap_or_default();
        if self.after(&seen, ports.clock.now()) == seen {
            return Ok(());
        }
        self.write(ports).await
    }

    /// Writes it, if the status differs. The watch may be behind what was written a moment ago, so the API server is asked.
    pub(super) async fn write(&self, ports: &ReleasePorts) -> Result<(), Fault> {
        let id = &self.object.id;
        let before = match ports.objects.read(id.namespace.as_deref().unwrap_or_default(), &id.name).await? {
            Some(ReleaseObject { object: Ok(live), .. }) => live.status.unwrap_or_default(),
            Some(_) => HelmReleaseStatus::default(),
            None => return Ok(()),
        };
        let status = self.after(&before, ports.clock.now());
        if status == before {
            return Ok(());
        }
        ports.fence.check().await?;
        ports.objects.write_status(id, &ReleaseStatus { status }).await?;
        Ok(())
    }

    fn after(&self, before: &HelmReleaseStatus, now: Timestamp) -> HelmReleaseStatus {
        let mut after = self.phases.iter().fold(before.clone(), |status, phase| {
            let failed = matches!(phase, Phase::Failed | Phase::ChartFetchFailed | Phase::DeployFailed);
            let error = self.error.filter(|_| failed);
            let step = Step { phase: *phase, release: &self.release, namespace: &self.namespace, error };
            status::advance(&status, &step, now)
        });
        after.observed_generation = self.object.object.as_ref().ok().and_then(|release| release.metadata.generation);
        if let Some(version) = self.chart {
            after.last_attempted_revision = Some(version.to_owned());
        }
        let was_pending = before.release_status.as_deref().is_some_and(|was| was.starts_with("pending"));
        let word = match self.phases.last() {
            Some(Phase::Succeeded) => {
                after.revision = self.chart.map(str::to_owned);
                "deployed"
            }
            Some(Phase::Installing) => "pending-install",
            Some(Phase::Upgrading) => "pending-upgrade",
            Some(Phase::DeployFailed) if was_pending => "failed",
            _ => return after,
        };
        after.release_status = Some(word.to_owned());
        after
    }
}

/// The release's name and namespace, as far as the object tells them.
fn names(object: &ReleaseObject) -> (String, String) {
    let namespace = object.id.namespace.clone().unwrap_or_default();
    match &object.object {
        Ok(release) => {
            let spec = &release.spec;
            (spec.release_name(&namespace, &object.id.name), spec.target_namespace(&namespace).to_owned())
        }
        Err(_) => (object.id.name.clone(), namespace),
    }
}
