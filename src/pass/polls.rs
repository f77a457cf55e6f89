//! What becomes of a background poll that found nothing new, or could not ask.

use jiff::Timestamp;

use crate::ids::EnvironmentRef;
use crate::pass::{BACKGROUND, PassError, Passes};
use crate::plan::{Plan, PlanOptions};
use crate::store::Stored;
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
    /// repository cannot be asked still knows. `None` where nothing was ever read, or is not there any more.
    ///
    /// # Errors
    /// [`PassError`].
    pub async fn recall(&self, id: &EnvironmentRef) -> Result<Option<Plan>, PassError> {
        let Stored { project, environment, services: registered, base, healths } = self.parts.store.stored(id).await?;
        let site = self.site_of(id, project, environment)?.enabled()?;
        let Some(reading) = self.read_remembered(&site).await? else { return Ok(None) };
        self.seen.keep(&site.project, &site.environment, registered, &reading);
        let (plan, live) = self.plan_of(&site, reading, PlanOptions::default(), &base, BACKGROUND).await?;
        self.keep_latest(&plan, &live, &base, &healths).await?;
        Ok(Some(plan))
    }
}
