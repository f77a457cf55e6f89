//! Runs.

pub(in crate::http) mod events;
pub(in crate::http) mod show;

use serde::Deserialize;

use crate::http::dto::RunView;
use crate::http::problem::Problem;
use crate::ids::RunId;
use crate::store::Store;

/// The run of a path.
#[derive(Deserialize)]
pub(in crate::http) struct InRun {
    run: RunId,
}

/// The run of a number, or a 404.
async fn find(store: &Store, run: RunId) -> Result<RunView, Problem> {
    store.run(run).await?.ok_or_else(|| Problem::not_found(format!("run {run} does not exist")))
}
