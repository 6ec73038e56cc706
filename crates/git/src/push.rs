//! Commit, push, and find out what became of it.

use crate::clone::Clone as Local;
use crate::repository::Repository;
use crate::verdict::{Verdict, verdict};
use crate::{Error, commit};
use std::sync::Arc;
use std::time::Duration;
use tagboat_engine::ports::{CommitMeta, CommitPlan, PushOutcome, Revision};

/// How often the branch is asked what became of a push, and how long after the first time.
const SETTLE_ATTEMPTS: u32 = 3;
const SETTLE_WAIT: Duration = Duration::from_secs(1);

/// How far back the branch is searched for a commit whose push had no clear end.
const SETTLE_COMMITS: usize = 10_000;

impl Repository {
    /// Commits and pushes; the caller has its turn.
    pub(crate) async fn push_in_turn(&self, plan: &CommitPlan) -> Result<PushOutcome, Error> {
        let commit = self.create(plan).await?;
        let answer = match self.remote.push(&commit.revision.0, &plan.parent.0, self.timeout).await {
            Ok(answer) => answer,
            Err(error @ Error::Timeout { .. }) => return self.settle(plan, &commit, &error.to_string(), false).await,
            // Nothing was sent.
            Err(error) => return Err(error),
        };
        match verdict(&answer.output, &self.clone.branch().remote_ref()) {
            Verdict::Landed => {
                self.record(&commit).await;
                Ok(PushOutcome::Landed(commit))
            }
            Verdict::Rejected(reason) => {
                let said = self.remote.remote_said(&answer);
                let text = answer
                    .redactor
                    .clean([if said.is_empty() { reason } else { format!("{reason}: {said}") }.as_str()]);
                Ok(PushOutcome::Refused(text))
            }
            Verdict::Denied => self.settle(plan, &commit, &self.remote.said(&answer), true).await,
            Verdict::Unknown => self.settle(plan, &commit, &self.remote.said(&answer), false).await,
        }
    }

    async fn create(&self, plan: &CommitPlan) -> Result<CommitMeta, Error> {
        let (plan, author, limits, now) =
            (plan.clone(), self.author.clone(), Arc::clone(&self.limits), self.clock.now());
        let work = move |clone: &Local, repo: &git2::Repository| {
            let id = commit::create(clone, repo, &plan, &author, now, &limits)?;
            repo.find_commit(id)
                .map(|commit| commit::meta(&commit))
                .map_err(|error| clone.damage("read a commit", &error))
        };
        self.read_in_turn(&Arc::new(work)).await
    }

    /// Notes in the clone what the remote has said, as a fetch would.
    async fn record(&self, commit: &CommitMeta) {
        let id = commit.revision.0.clone();
        let recorded = self.blocking(move |clone| {
            let set = |repo: git2::Repository| {
                repo.reference(&clone.branch().tracking_ref(), git2::Oid::from_str(&id)?, true, "push").map(drop)
            };
            set(clone.open()?).map_err(|error| clone.damage("write the branch", &error))
        });
        if let Err(error) = recorded.await {
            // The next fetch finds the same commit at the remote.
            tracing::debug!(source.id = %self.source, error = %error, "the pushed commit was not noted in the clone");
        }
        self.set_head(commit.clone());
    }

    /// Finds out from the branch itself what became of a push.
    async fn settle(
        &self,
        plan: &CommitPlan,
        commit: &CommitMeta,
        ended: &str,
        denied: bool,
    ) -> Result<PushOutcome, Error> {
        tracing::info!(source.id = %self.source, git.revision = %commit.revision, reason = ended, "Asking the branch what became of a push");
        let mut wait = SETTLE_WAIT;
        let mut attempt = 1;
        let head = loop {
            match self.fetch_in_turn().await {
                Ok(head) => break head,
                // No branch, no commit on it.
                Err(error @ Error::BranchMissing { .. }) => return Err(error),
                Err(error @ (Error::Unreachable { .. } | Error::Throttled { .. } | Error::Timeout { .. }))
                    if attempt < SETTLE_ATTEMPTS =>
                {
                    tracing::debug!(source.id = %self.source, error = %error, "the branch does not tell yet");
                    self.clock.sleep(wait).await;
                    wait *= 2;
                    attempt += 1;
                }
                Err(cause) => {
                    let (url, text) = (self.clone.url().to_string(), ended.to_owned());
                    return Err(Error::Unsettled {
                        commit: commit.revision.clone(),
                        url,
                        text,
                        cause: Box::new(cause),
                    });
                }
            }
        };
        let (tip, parent, id, own) =
            (head.commit.revision.clone(), plan.parent.clone(), plan.change_id.0.clone(), commit.revision.clone());
        let search = move |clone: &Local, repo: &git2::Repository| find(clone, repo, &tip, &parent, &own, &id);
        if let Some(landed) = self.read_in_turn(&Arc::new(search)).await? {
            return Ok(PushOutcome::Landed(landed));
        }
        if head.commit.revision != plan.parent {
            return Ok(PushOutcome::Moved(head));
        }
        if denied {
            return Ok(PushOutcome::Refused(format!(
                "these credentials may not write to {}: {ended}",
                self.clone.url()
            )));
        }
        let (url, text) = (self.clone.url().to_string(), ended.to_owned());
        Err(Error::NotLanded { commit: commit.revision.clone(), url, text })
    }
}

/// Looks for our commit between the branch's tip and the planned parent, by object id or by change id.
fn find(
    clone: &Local,
    repo: &git2::Repository,
    tip: &Revision,
    parent: &Revision,
    own: &Revision,
    change_id: &str,
) -> Result<Option<CommitMeta>, Error> {
    let mut commit = clone.commit(repo, tip)?;
    for _ in 0..SETTLE_COMMITS {
        let id = commit.id().to_string();
        if id == parent.0 {
            return Ok(None);
        }
        if id == own.0 || commit::has_change_id(&String::from_utf8_lossy(commit.message_bytes()), change_id) {
            return Ok(Some(commit::meta(&commit)));
        }
        if commit.parent_count() == 0 {
            return Ok(None);
        }
        commit = commit.parent(0).map_err(|error| clone.damage("read a commit", &error))?;
    }
    Ok(None)
}
