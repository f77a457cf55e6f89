//! The Engine's event stream, read once per Engine and told apart by environment.
//!
//! An event says only that something changed; what, is for the next observation to find out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;

use super::engine::Engine;
use super::labels;
use crate::ids::EnvironmentRef;

/// How many events a slow reader may fall behind; one that falls further is told that something changed.
const BACKLOG: usize = 256;

/// What happens to containers that is worth looking at. Execs, health checks' every run and attaches are not.
const ACTIONS: [&str; 11] =
    ["create", "start", "die", "oom", "stop", "pause", "unpause", "restart", "update", "destroy", "health_status"];

#[derive(Clone, Debug)]
enum Event {
    Changed { project: String, environment: String },
    Lost(String),
}

/// The one stream of an Engine, alive while someone listens.
#[derive(Debug, Default)]
pub(super) struct EventHub {
    sender: Mutex<Option<broadcast::Sender<Event>>>,
}

/// Yields `Ok(())` whenever a container of the environment changed, and ends after an `Err` that says why; whoever
/// listens subscribes again then, and looks at once: what happened in between was not seen.
pub(super) fn subscribe(engine: &Arc<Engine>, environment: &EnvironmentRef) -> BoxStream<'static, Result<(), String>> {
    let receiver = {
        let mut sender = engine.events.sender.lock().unwrap_or_else(PoisonError::into_inner);
        match sender.as_ref().filter(|sender| sender.receiver_count() > 0) {
            Some(sender) => sender.subscribe(),
            None => {
                let (fresh, receiver) = broadcast::channel(BACKLOG);
                tokio::spawn(pump(Arc::downgrade(engine), fresh.clone()));
                *sender = Some(fresh);
                receiver
            }
        }
    };
    let wanted = (environment.project.to_string(), environment.environment.to_string());
    // The engine is held, so that the connection outlives the provider for as long as someone listens.
    let state = Some((receiver, wanted, Arc::clone(engine)));
    stream::unfold(state, |state| async move {
        let (mut receiver, wanted, engine) = state?;
        loop {
            match receiver.recv().await {
                Ok(Event::Changed { project, environment }) => {
                    if (&project, &environment) == (&wanted.0, &wanted.1) {
                        return Some((Ok(()), Some((receiver, wanted, engine))));
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    return Some((Ok(()), Some((receiver, wanted, engine))));
                }
                Ok(Event::Lost(why)) => return Some((Err(why), None)),
                Err(broadcast::error::RecvError::Closed) => {
                    return Some((Err("the Engine's event stream ended".to_owned()), None));
                }
            }
        }
    })
    .boxed()
}

async fn pump(engine: Weak<Engine>, sender: broadcast::Sender<Event>) {
    let why = read(&engine, &sender).await;
    // No receiver is left: there is nobody to tell.
    if sender.receiver_count() > 0 && sender.send(Event::Lost(why)).is_err() {
        tracing::debug!("the last listener to Engine events left");
    }
    if let Some(engine) = engine.upgrade() {
        let mut current = engine.events.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| current.same_channel(&sender)) {
            *current = None;
        }
    }
}

/// Reads until the stream ends, which it says why, or nobody listens.
async fn read(engine: &Weak<Engine>, sender: &broadcast::Sender<Event>) -> String {
    let gone = || "the Engine is no longer in use".to_owned();
    let Some(held) = engine.upgrade() else { return gone() };
    let docker = match held.client().await {
        Ok(docker) => docker,
        Err(error) => return error.to_string(),
    };
    drop(held);
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("label".to_owned(), vec![labels::SERVICE.to_owned()]),
    ]);
    let options = EventsOptionsBuilder::default().filters(&filters).build();
    let mut events = std::pin::pin!(docker.events(Some(options)));
    loop {
        let next = tokio::select! {
            next = events.next() => next,
            () = sender.closed() => return "nobody listens".to_owned(),
        };
        let Some(event) = next else { return "the Engine closed its event stream".to_owned() };
        let event = match event {
            Ok(event) => event,
            Err(error) => return engine.upgrade().map_or_else(gone, |engine| engine.explain(error).to_string()),
        };
        let action = event.action.unwrap_or_default();
        let verb = action.split(':').next().unwrap_or_default();
        let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
        let named = (attributes.get(labels::PROJECT), attributes.get(labels::ENVIRONMENT));
        if let (Some(project), Some(environment)) = named
            && ACTIONS.contains(&verb)
        {
            let changed = Event::Changed { project: project.clone(), environment: environment.clone() };
            if sender.send(changed).is_err() {
                return "nobody listens".to_owned();
            }
        }
    }
}
