//! `POST /api/v1/integrations/{integration}/test`

use axum::Json;
use axum::extract::State;

use super::InIntegration;
use crate::http::ApiState;
use crate::http::extract::At;
use crate::http::gate::Caller;
use crate::http::problem::Problem;
use crate::integration::TestReport;

/// Tries the connection to an outside service, and notes how it is doing. Changes nothing there.
#[utoipa::path(post, path = "/api/v1/integrations/{integration}/test", tag = "integrations", operation_id = "test_integration", params(("integration" = String, Path, description = "Its name.")), responses((status = 200, description = "What was found.", body = TestReport), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn test(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    At(InIntegration { integration }): At<InIntegration>,
) -> Result<Json<TestReport>, Problem> {
    let integration = super::find(&state.store, &integration).await?;
    Ok(Json(state.catalog.look(&integration, &actor.name).await?))
}
