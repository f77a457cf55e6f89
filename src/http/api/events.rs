//! `GET /api/v1/events`

use std::collections::VecDeque;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;

use crate::events::{Event, ListenError, Listener};
use crate::http::ApiState;
use crate::http::extract::Params;
use crate::http::problem::Problem;

/// The most events that a stream begins with.
const LAST_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Options {
    after: Option<u64>,
    last: Option<usize>,
    follow: Option<bool>,
}

/// What happened: the events that come, or with `after` (or the header `Last-Event-ID`) those that came since, or with
/// `last` some that came before. A listener that is too far behind is told so and let go of; it is never waited for.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "follow_events", params(("after" = Option<u64>, Query, description = "Begin after this event."), ("last" = Option<usize>, Query, description = "Begin with so many kept events."), ("follow" = Option<bool>, Query, description = "Whether to go on when all kept events were told; yes where nothing is said."), ("last-event-id" = Option<u64>, Header, description = "As `after`; what browsers send when a stream broke off.")), responses((status = 200, description = "Events named by their type (Event), and one event `missed` where some are no longer kept.", content((Event = "text/event-stream"))), (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn events(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Params(options): Params<Options>,
) -> Result<impl IntoResponse, Problem> {
    let resumed = match headers.get("last-event-id") {
        Some(value) => {
            let number = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
            Some(number.ok_or_else(|| Problem::bad_request("Last-Event-ID: expected the number of an event"))?)
        }
        None => None,
    };
    let after = match (resumed.or(options.after), options.last) {
        (Some(after), _) => after,
        (None, last) => state.events.before_last(last.unwrap_or(0).min(LAST_MAX)).await?,
    };
    let follower = Follower {
        listener: state.events.listen(after),
        waiting: VecDeque::new(),
        follow: options.follow.unwrap_or(true),
        ended: false,
    };
    let until = state.shutdown.clone().cancelled_owned();
    Ok(Sse::new(told(follower).take_until(until)).keep_alive(KeepAlive::default()))
}

struct Follower {
    listener: Listener,
    waiting: VecDeque<Event>,
    follow: bool,
    ended: bool,
}

fn told(follower: Follower) -> impl Stream<Item = Result<Sent, Problem>> {
    stream::try_unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Ok(event.map(|event| (event, follower)))
    })
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Sent>, Problem> {
        loop {
            if self.ended {
                return Ok(None);
            }
            if let Some(event) = self.waiting.pop_front() {
                return sent(&event).map(Some);
            }
            match self.listener.next().await {
                Ok(events) if events.is_empty() && !self.follow => self.ended = true,
                Ok(events) if events.is_empty() => self.listener.more().await,
                Ok(events) => self.waiting = events.into(),
                Err(missed @ ListenError::Missed { .. }) => {
                    self.ended = true;
                    let why = serde_json::json!({ "detail": missed.to_string() });
                    return Sent::default().event("missed").json_data(why).map(Some).map_err(|e| Problem::internal(&e));
                }
                Err(ListenError::Store(error)) => return Err(error.into()),
            }
        }
    }
}

fn sent(event: &Event) -> Result<Sent, Problem> {
    let sent = Sent::default().id(event.id.to_string()).event(event.kind.word());
    sent.json_data(event).map_err(|error| Problem::internal(&error))
}
