//! `PUT /api/v1/projects/{project}/environments/{environment}/services/{service}`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use crate::declared::file::check_service;
use crate::http::ApiState;
use crate::http::api::environments;
use crate::http::dto::{RegisteredService, ServiceSpec};
use crate::http::extract::{At, Body, InService};
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::ids::EnvironmentRef;

/// Registers a service, or replaces what is registered of it. The repo's short form is laid over it.
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/services/{service}", tag = "services", operation_id = "put_service", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment."), ("service" = String, Path, description = "The service.")), request_body = ServiceSpec, responses((status = 200, description = "Registered.", body = RegisteredService), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn put(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(id): At<EnvironmentRef>,
    At(InService { service }): At<InService>,
    Body(ServiceSpec { spec }): Body<ServiceSpec>,
) -> Result<Json<RegisteredService>, Problem> {
    environments::find(&state.store, &id).await?;
    check_service(&spec).map_err(|invalid| Problem::invalid_file(&invalid))?;
    state.audit.allowed(&actor, "service set", &format!("{id}/{service}"), Timestamp::now()).await?;
    let registered = RegisteredService { environment: id.clone(), name: service, spec };
    state.store.put_service(registered.clone()).await?;
    state.nudge.nudge(&id);
    Ok(Json(registered))
}
