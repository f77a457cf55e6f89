//! What is let go of, and when. The bounds are in docs/operations.md, "What is kept".

use jiff::{SignedDuration, Timestamp};
use rusqlite::params;

use super::columns::nanos;
use super::{Store, StoreError};

/// How long a plan is kept that no run cites and that is no environment's latest.
pub const PLANS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long a run's output is kept.
pub const RUN_LINES_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long a run and its journal are kept that left no kept release.
pub const RUNS_KEPT: SignedDuration = SignedDuration::from_hours(365 * 24);
/// The newest runs of each environment, kept however old they are.
pub const RUNS_KEPT_MIN: usize = 50;
/// How long the audit log is kept.
pub const AUDIT_KEPT: SignedDuration = SignedDuration::from_hours(365 * 24);
/// The most lines of the audit log; the oldest go first.
pub const AUDIT_ROWS_MAX: usize = 200_000;

/// What a sweep let go of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Plans.
    pub plans: usize,
    /// Lines of runs' output.
    pub lines: usize,
    /// Runs with their journals.
    pub runs: usize,
    /// Lines of the audit log.
    pub audit: usize,
}

impl Store {
    /// Lets go of what is past its time as of `now`. Never of an unfinished run, of a run whose release is kept, of a
    /// plan that a kept run cites, or of an environment's latest plan.
    ///
    /// # Errors
    /// A database that refuses; nothing is swept then.
    pub async fn sweep(&self, now: Timestamp) -> Result<Swept, StoreError> {
        let before = |kept: SignedDuration| nanos(now.saturating_sub(kept).unwrap_or(Timestamp::MIN));
        let (plans, lines, runs, audit) =
            (before(PLANS_KEPT)?, before(RUN_LINES_KEPT)?, before(RUNS_KEPT)?, before(AUDIT_KEPT)?);
        self.transact(move |c| {
            let runs = c.execute(
                "DELETE FROM runs WHERE state <> 'running' AND started_at < ?1
                   AND id NOT IN (SELECT run FROM releases)
                   AND (SELECT count(*) FROM runs newer WHERE newer.project = runs.project
                          AND newer.environment = runs.environment AND newer.id > runs.id) >= ?2",
                params![runs, RUNS_KEPT_MIN as i64],
            )?;
            let lines = c.execute(
                "DELETE FROM run_lines WHERE run IN (SELECT id FROM runs WHERE state <> 'running' AND started_at < ?1)",
                [lines],
            )?;
            let plans = c.execute(
                "DELETE FROM plans WHERE made_at < ?1 AND digest NOT IN (SELECT plan FROM runs)
                   AND digest NOT IN (SELECT latest_plan FROM environments WHERE latest_plan IS NOT NULL)",
                [plans],
            )?;
            let audit = c.execute(
                "DELETE FROM audit WHERE last_at < ?1
                   OR id <= (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                params![audit, AUDIT_ROWS_MAX as i64],
            )?;
            Ok(Swept { plans, lines, runs, audit })
        })
        .await
    }
}
