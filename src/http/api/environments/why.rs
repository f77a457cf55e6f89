//! `GET /api/v1/projects/{project}/environments/{environment}/why/{service}/{field}`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::authority::{Operation, authorise};
use crate::http::ApiState;
use crate::http::dto::{WhyBase, WhyDeclared, WhyView};
use crate::http::extract::{At, InService};
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::ids::EnvironmentRef;
use crate::live::field::FieldPath;

#[derive(Deserialize)]
pub(in crate::http) struct InField {
    field: FieldPath,
}

/// One field: what is declared, last applied and running, and since when they differ. Whoever may refresh is answered from
/// a fresh look, others from the latest plan (`seen_at`).
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/why/{service}/{field}", tag = "environments", operation_id = "why", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment."), ("service" = String, Path, description = "The service."), ("field" = String, Path, description = "The field, as reports write it.")), responses((status = 200, description = "Its three sides.", body = WhyView), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn why(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(id): At<EnvironmentRef>,
    At(InService { service }): At<InService>,
    At(InField { field }): At<InField>,
) -> Result<Json<WhyView>, Problem> {
    super::find(&state.store, &id).await?;
    let why = match authorise(&actor, Operation::Refresh) {
        Ok(()) => state.passes.why(&id, &service, &field, &actor.name).await?,
        Err(_) => state.passes.why_planned(&id, &service, &field).await?,
    };
    Ok(Json(WhyView {
        address: why.address,
        declared: why.declared.map(|side| WhyDeclared { value: side.value, at: side.at, commit: side.commit }),
        base: why.base.map(|side| WhyBase {
            value: side.value,
            commit: side.commit,
            run: side.run,
            verified_at: side.verified_at,
        }),
        live: why.live.join("\n"),
        cause: why.cause,
        since: why.since,
        unknown: why.unknown,
        seen_at: why.seen_at,
        rule: why.rule,
    }))
}
