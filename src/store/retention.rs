//! What is let go of, and when. The bounds are in docs/operations.md, "What is kept".

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::columns::nanos;
use super::{Store, StoreError};

/// How long a plan is kept that no run cites and that is no environment's latest.
pub const PLANS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long the newest report on a pull request is kept.
pub const PULL_REPORTS_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
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

/// How long a delivery is kept that was taken in or set aside.
pub const DELIVERIES_KEPT: SignedDuration = SignedDuration::from_hours(14 * 24);
/// The most deliveries that are kept; the oldest go first.
pub const DELIVERIES_ROWS_MAX: usize = 100_000;
/// The most bytes of deliveries that are kept; the oldest go first.
pub const DELIVERIES_BYTES_MAX: u64 = 512 << 20;
/// Deliveries that one transaction lets go of, so that no other write waits long.
const DELIVERIES_AT_ONCE: i64 = 1000;

/// How long a report is kept that was posted, refused, skipped or superseded.
pub const REPORTS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

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
    /// Deliveries.
    pub deliveries: usize,
    /// Reports in the outbox.
    pub reports: usize,
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
        let deliveries = self.sweep_deliveries(now).await?;
        let reports = before(PULL_REPORTS_KEPT)?;
        let outbox = before(REPORTS_KEPT)?;
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
            c.execute("DELETE FROM pull_reports WHERE made_at < ?1", [reports])?;
            let audit = c.execute(
                "DELETE FROM audit WHERE last_at < ?1
                   OR id <= (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                params![audit, AUDIT_ROWS_MAX as i64],
            )?;
            let swept = c.execute("DELETE FROM outbox WHERE ended_at < ?1", [outbox])?;
            // A comment of that age is no command any more, so it need not be remembered that it was one.
            c.execute("DELETE FROM comment_commands WHERE state = 'done' AND ended_at < ?1", [reports])?;
            c.execute("DELETE FROM pulls WHERE stage = 'done' AND due_at IS NULL AND planned_at < ?1", [reports])?;
            // What stands on the forge is found again there by its marker; that there is an issue to close is known from here.
            c.execute("DELETE FROM posted WHERE posted_at < ?1 AND topic NOT LIKE 'issue %'", [reports])?;
            Ok(Swept { plans, lines, runs, audit, deliveries, reports: swept })
        })
        .await
    }

    /// Lets go of deliveries that are past their time as of `now`, or past the bounds. Never of one that waits.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn sweep_deliveries(&self, now: Timestamp) -> Result<usize, StoreError> {
        let before = nanos(now.saturating_sub(DELIVERIES_KEPT).unwrap_or(Timestamp::MIN))?;
        let past_bounds = self
            .query(|c| {
                let rows = "SELECT id FROM deliveries ORDER BY id DESC LIMIT 1 OFFSET ?1";
                let by_rows = c.query_row(rows, [DELIVERIES_ROWS_MAX as i64], |row| row.get(0)).optional()?;
                let bytes = "SELECT id FROM (SELECT id, sum(bytes) OVER (ORDER BY id DESC) AS total FROM deliveries)
                             WHERE total > ?1 LIMIT 1";
                let most = i64::try_from(DELIVERIES_BYTES_MAX).unwrap_or(i64::MAX);
                let by_bytes = c.query_row(bytes, [most], |row| row.get(0)).optional()?;
                Ok(by_rows.max(by_bytes).unwrap_or(0_i64))
            })
            .await?;
        let waiting = Arc::clone(&self.inner.waiting);
        self.transact(move |c| waiting.count_again(c)).await?;
        let mut swept = 0;
        loop {
            let some = self
                .transact(move |c| {
                    let sql = "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries
                                 WHERE state <> 'received' AND (id <= ?1 OR received_at < ?2) ORDER BY id LIMIT ?3)";
                    Ok(c.prepare_cached(sql)?.execute(params![past_bounds, before, DELIVERIES_AT_ONCE])?)
                })
                .await?;
            if some == 0 {
                return Ok(swept);
            }
            swept += some;
        }
    }
}
