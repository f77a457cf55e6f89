//! From a confirmed plan to a run: what `sync` and `rollback` share.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use crate::authority::Actor;
use crate::http::dto::{NothingToDo, RunStarted};
use crate::http::problem::Problem;
use crate::http::{ApiState, moved};
use crate::ids::EnvironmentRef;
use crate::plan::Plan;
use crate::sync::Started;
use crate::sync::gate::Refusal;

/// Starts carrying out a plan that was read from the database, on the record.
pub(super) async fn start(state: &ApiState, actor: Actor, id: EnvironmentRef, plan: Plan) -> Result<Response, Problem> {
    let verb = if plan.options.rollback_to.is_some() { "rollback" } else { "sync" };
    let target = format!("{id} plan {}", plan.digest.short());
    state.audit.allowed(&actor, verb, &target, Timestamp::now()).await?;
    // In a task of its own: a caller who hangs up must not leave half of an admission behind.
    let syncs = state.syncs.clone();
    let digest = plan.digest.to_string();
    let started = tokio::spawn(async move { syncs.start(actor, &id, &digest).await }).await;
    match started.map_err(|error| Problem::internal(&error))? {
        Ok(Started::Run(run)) => Ok((StatusCode::ACCEPTED, Json(RunStarted { run })).into_response()),
        Ok(Started::NothingToDo(recorded)) => Ok(Json(NothingToDo { recorded }).into_response()),
        Err(refusal) => {
            let detail = refusal.to_string();
            match refusal {
                Refusal::Moved { current, .. } => {
                    let lines = moved::lines(&plan, &current);
                    Err(Problem::moved(detail, *current, lines))
                }
                other => Err(other.into()),
            }
        }
    }
}
