//! What becomes of a background poll that found nothing new, or could not ask.

use jiff::Timestamp;

use crate::ids::EnvironmentRef;
use crate::pass::{BACKGROUND, PassError, Passes, Reading};
use crate::plan::{Plan, PlanOptions};
use crate::store::records::{ReadState, ReadStatus};

impl Passes {
    /// Notes that the tracked ref was asked for and had not moved.
    pub fn note_unmoved(&self, id: &EnvironmentRef) {
        self.seen.asked(id, Timestamp::now());
    }

    /// Notes that the repository could not be asked: what was read before stays, and is stale from now on. `why` holds no
    /// secret.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_unasked(&self, id: &EnvironmentRef, why: &str) -> Result<(), PassError> {
        let store = &self.parts.store;
        let now = Timestamp::now();
        let earlier = store.read(id).await?;
        let stale_since = earlier.as_ref().and_then(|earlier| earlier.stale_since).unwrap_or(now);
        let status = ReadStatus {
            state: ReadState::FetchFailed,
            reason: Some(why.to_owned()),
            commit: earlier.and_then(|earlier| earlier.commit),
            checked_at: now,
            stale_since: Some(stale_since),
        };
        if self.seen.checked(id, &status) {
            store.put_read(id, &status).await?;
        }
        Ok(())
    }

    /// The plan over the commit that was read last, out of its mirror: what a daemon that was started while the
    /// repository cannot be asked still knows. `None` where nothing was ever read.
    ///
    /// # Errors
    /// [`PassError`], also where the mirror does not hold the commit any more.
    pub async fn recall(&self, id: &EnvironmentRef) -> Result<Option<Plan>, PassError> {
        let Some(commit) = self.parts.store.read(id).await?.and_then(|read| read.commit) else { return Ok(None) };
        let site = self.enabled(id).await?;
        let registered = self.parts.store.services(id).await?;
        let reading = self.read(&site, Some(commit.as_str()), BACKGROUND).await?;
        let reference = super::tracked_ref(&site.project, &site.environment);
        let reading = Reading { reference, ..reading };
        self.seen.keep(&site.project, &site.environment, registered, &reading);
        let (plan, live) = self.plan_of(&site, reading, PlanOptions::default(), BACKGROUND).await?;
        self.keep_latest(&plan, &live).await?;
        Ok(Some(plan))
    }
}
