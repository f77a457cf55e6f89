//! Plans: immutable values under their digest, and the pointer to each environment's latest.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{json, nanos, to_json};
use super::environments::require;
use super::{Store, StoreError};
use crate::ids::{DIGEST_PREFIX_MIN, EnvironmentRef, PlanDigest};
use crate::plan::Plan;

impl Store {
    /// Keeps a plan. One that is kept already counts as made again: it is kept for another 30 days.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where its environment does not exist.
    pub async fn save_plan(&self, plan: &Plan) -> Result<(), StoreError> {
        let (id, digest, body, at) =
            (plan.environment.clone(), plan.digest.clone(), to_json(plan)?, nanos(plan.made_at)?);
        self.transact(move |c| {
            require(c, &id)?;
            c.prepare_cached(
                "INSERT INTO plans (digest, project, environment, body, made_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (digest) DO UPDATE SET body = excluded.body, made_at = excluded.made_at",
            )?
            .execute(params![digest.as_str(), id.project.as_str(), id.environment.as_str(), body, at])?;
            Ok(())
        })
        .await
    }

    /// The plan whose digest begins with `prefix`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the prefix is shorter than 8 digits, no prefix of a digest, or fits several;
    /// [`StoreError::NotFound`] where it fits none.
    pub async fn plan_by_prefix(&self, prefix: &str) -> Result<Plan, StoreError> {
        let hex = prefix.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !hex || !(DIGEST_PREFIX_MIN..=64).contains(&prefix.len()) {
            let shown: String = prefix.chars().take(64).collect();
            return Err(StoreError::Conflict(format!(
                "`{shown}` names no plan: give at least {DIGEST_PREFIX_MIN} of its digest's lower-case hexadecimal digits"
            )));
        }
        let prefix = prefix.to_owned();
        self.query(move |c| {
            // A range over the primary key: `g` sorts behind every hexadecimal digit.
            let mut statement = c.prepare_cached(
                "SELECT digest FROM plans WHERE digest >= ?1 AND digest < ?2 ORDER BY digest LIMIT 2",
            )?;
            let found: Vec<String> = statement
                .query_map([prefix.as_str(), &format!("{prefix}g")], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            match found.as_slice() {
                [] => Err(StoreError::NotFound(format!("a plan {prefix}"))),
                [digest] => by_digest(c, digest)?.ok_or_else(|| StoreError::NotFound(format!("a plan {prefix}"))),
                _ => Err(StoreError::Conflict(format!("several plans begin with {prefix}; give more of the digest"))),
            }
        })
        .await
    }

    /// Points an environment at its latest plan: the one of the tracked tip with default options. The plan must be kept.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the environment does not exist or the plan is none of its own.
    pub async fn set_latest_plan(&self, environment: &EnvironmentRef, plan: &PlanDigest) -> Result<(), StoreError> {
        let (id, digest) = (environment.clone(), plan.clone());
        self.transact(move |c| {
            require(c, &id)?;
            let changed = c
                .prepare_cached(
                    "UPDATE environments SET latest_plan = ?3 WHERE project = ?1 AND name = ?2
                     AND EXISTS (SELECT 1 FROM plans WHERE digest = ?3 AND project = ?1 AND environment = ?2)",
                )?
                .execute([id.project.as_str(), id.environment.as_str(), digest.as_str()])?;
            if changed == 0 {
                return Err(StoreError::NotFound(format!("plan {} of {id}", digest.short())));
            }
            Ok(())
        })
        .await
    }

    /// An environment's latest plan; `None` where none was made yet.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn latest_plan(&self, environment: &EnvironmentRef) -> Result<Option<Plan>, StoreError> {
        let id = environment.clone();
        self.query(move |c| {
            let digest: Option<Option<String>> = c
                .prepare_cached("SELECT latest_plan FROM environments WHERE project = ?1 AND name = ?2")?
                .query_row([id.project.as_str(), id.environment.as_str()], |row| row.get(0))
                .optional()?;
            match digest.flatten() {
                Some(digest) => by_digest(c, &digest),
                None => Ok(None),
            }
        })
        .await
    }
}

fn by_digest(c: &Connection, digest: &str) -> Result<Option<Plan>, StoreError> {
    Ok(c.prepare_cached("SELECT body FROM plans WHERE digest = ?1")?
        .query_row([digest], |row| json(row, 0))
        .optional()?)
}
