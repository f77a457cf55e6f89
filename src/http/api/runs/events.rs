//! `GET /api/v1/runs/{run}/events`

use std::collections::VecDeque;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};

use super::InRun;
use crate::http::ApiState;
use crate::http::dto::{RunLine, RunView};
use crate::http::extract::At;
use crate::http::problem::Problem;
use crate::ids::RunId;

/// A run's output from its start, and then as it comes: events `line`, and one event `end` with the run.
#[utoipa::path(get, path = "/api/v1/runs/{run}/events", tag = "runs", operation_id = "follow_run", params(("run" = u64, Path, description = "Its number.")), responses((status = 200, description = "Events `line` (RunLine) and `end` (RunView).", content((RunLine = "text/event-stream"))), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn events(
    State(state): State<ApiState>,
    At(InRun { run }): At<InRun>,
) -> Result<impl IntoResponse, Problem> {
    super::find(&state.store, run).await?;
    let until = state.shutdown.clone().cancelled_owned();
    Ok(Sse::new(follow(state, run).take_until(until)).keep_alive(KeepAlive::default()))
}

/// Where a follower is.
struct Follower {
    state: ApiState,
    run: RunId,
    waiting: VecDeque<RunLine>,
    seen: u64,
    ended: bool,
}

fn follow(state: ApiState, run: RunId) -> impl Stream<Item = Result<Event, Problem>> {
    let begin = Follower { state, run, waiting: VecDeque::new(), seen: 0, ended: false };
    stream::try_unfold(begin, |mut follower| async move {
        let event = follower.next().await?;
        Ok(event.map(|event| (event, follower)))
    })
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Event>, Problem> {
        if self.ended {
            return Ok(None);
        }
        if self.waiting.is_empty() {
            match self.state.syncs.lines_after(self.run, self.seen).await? {
                Some(lines) => self.waiting = lines.into(),
                None => return self.end().await.map(Some),
            }
        }
        match self.waiting.pop_front() {
            Some(line) => {
                self.seen = line.seq;
                event("line", &line).map(Some)
            }
            None => Ok(None),
        }
    }

    async fn end(&mut self) -> Result<Event, Problem> {
        self.ended = true;
        let run: RunView = super::find(&self.state.store, self.run).await?;
        event("end", &run)
    }
}

fn event(name: &str, data: &impl serde::Serialize) -> Result<Event, Problem> {
    Event::default().event(name).json_data(data).map_err(|error| Problem::internal(&error))
}
