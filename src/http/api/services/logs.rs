//! `GET /api/v1/projects/{project}/environments/{environment}/services/{service}/logs`

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::http::ApiState;
use crate::http::api::services::follow::Followed;
use crate::http::dto::LogLine;
use crate::http::extract::{At, InService, Params};
use crate::http::problem::Problem;
use crate::ids::{EnvironmentRef, ServiceName};
use crate::live::{LiveReplica, Observed};
use crate::provider::SharedProvider;
use crate::secret::mask::Mask;

/// The most lines of each replica that one request begins with.
pub(super) const LINES_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Options {
    #[serde(default = "some")]
    lines: usize,
    #[serde(default)]
    follow: bool,
    #[serde(default)]
    format: Format,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Text,
    Json,
}

fn some() -> usize {
    100
}

/// What a service's replicas print, known secrets masked: their last lines as text, or with `follow` those and what comes, also of replicas that are made later, as events `line`.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/services/{service}/logs", tag = "services", operation_id = "logs", params(("project" = String, Path, description = "The project."), ("environment" = String, Path, description = "The environment."), ("service" = String, Path, description = "The service."), ("lines" = Option<usize>, Query, description = "How many lines of each replica to begin with; 100 by default, 10000 at most."), ("follow" = Option<bool>, Query, description = "Go on with what comes, also of replicas that are made later, until whoever asks hangs up."), ("format" = Option<String>, Query, description = "`text` (by default) or `json`; with `follow` it is events in any case.")), responses((status = 200, description = "Text, each line after its replica's name where there are several; or events.", content((String = "text/plain"), (Vec<LogLine> = "application/json"), (LogLine = "text/event-stream"))), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn logs(
    State(state): State<ApiState>,
    At(id): At<EnvironmentRef>,
    At(InService { service }): At<InService>,
    Params(Options { lines, follow, format }): Params<Options>,
) -> Result<Response, Problem> {
    let provider = state.passes.provider(&id).await?;
    let (replicas, mask) = running(&state, &provider, &id, &service).await?;
    let lines = lines.min(LINES_MAX);
    if follow {
        let followed = Followed { passes: state.passes, provider, id, service };
        Ok(followed.answer(replicas, mask, lines, state.shutdown))
    } else {
        read(&provider, &replicas, &mask, (lines, format)).await
    }
}

/// A service's replicas, and the secrets that they may print.
async fn running(
    state: &ApiState,
    provider: &SharedProvider,
    id: &EnvironmentRef,
    service: &ServiceName,
) -> Result<(Vec<LiveReplica>, Mask), Problem> {
    match provider.observe().await.services {
        Observed::Unknown(why) => Err(Problem::bad_gateway(format!("what runs in {id} cannot be seen: {why}"))),
        Observed::Known(mut services) => {
            let mask = state.passes.mask(id, &services).await?;
            match services.remove(service) {
                Some(live) if !live.replicas.is_empty() => Ok((live.replicas, mask)),
                _ => Err(Problem::not_found(format!("{id}/{service} does not run"))),
            }
        }
    }
}

async fn read(
    provider: &SharedProvider,
    replicas: &[LiveReplica],
    mask: &Mask,
    (lines, format): (usize, Format),
) -> Result<Response, Problem> {
    let mut all = Vec::new();
    for replica in replicas {
        let printed = provider.logs(&replica.id, lines).await;
        let printed = printed.map_err(|error| Problem::bad_gateway(format!("{}: {error}", replica.name)))?;
        let line = |text: String| LogLine { replica: replica.name.clone(), text: mask.apply(&text) };
        all.extend(printed.into_iter().map(line));
    }
    if let Format::Json = format {
        return Ok(Json(all).into_response());
    }
    let several = replicas.len() > 1;
    let line = |line: &LogLine| match several {
        true => format!("{}  {}\n", line.replica, line.text),
        false => format!("{}\n", line.text),
    };
    let text: String = all.iter().map(line).collect();
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
