//! `POST /api/v1/projects/{project}/environments/{environment}/plan`

use axum::Json;
use axum::extract::State;

use crate::authority::Operation;
use crate::http::dto::PlanRequest;
use crate::http::extract::{At, Body};
use crate::http::gate::{Caller, allow};
use crate::http::problem::Problem;
use crate::http::{ApiState, validate};
use crate::ids::EnvironmentRef;
use crate::pass;
use crate::plan::{Plan, PlanOptions};

/// What would be done. A fresh look takes the role `operator`; the latest plan of the tracked ref (`cached`) any.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/plan", tag = "environments", operation_id = "plan", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment.")), request_body = PlanRequest, responses((status = 200, description = "The plan.", body = Plan), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn plan(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(id): At<EnvironmentRef>,
    Body(request): Body<PlanRequest>,
) -> Result<Json<Plan>, Problem> {
    super::find(&state.store, &id).await?;
    let PlanRequest { reference, services, prune, rollback, rollback_to, cached } = request;
    let options = PlanOptions { services, prune, rollback_to };
    let rollback = rollback || rollback_to.is_some();
    if cached {
        if rollback || reference.is_some() || options != PlanOptions::default() {
            return Err(Problem::unprocessable("cached: the latest plan is of the tracked ref and without options"));
        }
        let latest = state.store.latest_plan(&id).await?;
        return latest.map(Json).ok_or_else(|| Problem::not_found(format!("{id} has no plan yet")));
    }
    allow(&state, &actor, Operation::Refresh, &format!("plan {id}")).await?;
    if let Some(reference) = &reference {
        validate::reference("reference", reference)?;
    }
    if rollback && (reference.is_some() || options.prune) {
        return Err(Problem::unprocessable("rollback: it takes no ref and does not prune"));
    }
    let plan = match rollback {
        true => state.passes.rollback_plan(&id, rollback_to, options.services, &actor.name).await?,
        false => state.passes.plan(&id, &pass::PlanRequest { reference, options }, &actor.name).await?,
    };
    Ok(Json(plan))
}
