//! Accepting connections: who is there is found out once a connection; how many there are, how long their headers take
//! and how they end is bounded here.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::peer::{Credentials, Peer, actor};
use super::{ApiState, Listeners, router};

/// Connections that are served at once on each listener; more wait until one ends.
const CONNECTIONS_MAX: usize = 256;
/// How long the headers of a request may take.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests may go on once the daemon was told to end.
const DRAIN: Duration = Duration::from_secs(10);
/// Pause after a failure to accept (no file handles left), so that the daemon does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves the API until `state.shutdown` is cancelled, and then until the requests at work have ended, at most ten
/// seconds.
pub async fn serve(listeners: Listeners, state: ApiState) {
    let shutdown = state.shutdown.clone();
    let operators = Arc::clone(&state.operators);
    let router = router::build(state);
    let connections = TaskTracker::new();
    let Listeners { unix, tcp } = listeners;
    let own_uid = rustix::process::geteuid().as_raw();

    let local = async {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        while let Some((slot, accepted)) = next(&slots, &shutdown, unix.accept()).await {
            let Some((stream, _)) = accepted else { continue };
            let (router, shutdown, operators) = (router.clone(), shutdown.clone(), Arc::clone(&operators));
            connections.spawn(async move {
                let who = match stream.peer_cred() {
                    Ok(cred) => local_peer(cred.into(), own_uid, operators).await,
                    Err(error) => Err(format!("the kernel does not say who is there: {error}")),
                };
                connection(stream, Peer::Local(who), router, shutdown, slot).await;
            });
        }
    };
    let remote = async {
        let Some(tcp) = tcp else { return };
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        while let Some((slot, accepted)) = next(&slots, &shutdown, tcp.accept()).await {
            let Some((stream, address)) = accepted else { continue };
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection ended before it began");
                continue;
            }
            connections.spawn(connection(stream, Peer::Remote(address), router.clone(), shutdown.clone(), slot));
        }
    };
    tokio::join!(local, remote);

    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!("requests were still at work when the daemon ended");
    }
}

/// Waits for a free slot and then for a connection; `None` once the daemon is told to end.
async fn next<T>(
    slots: &Arc<Semaphore>,
    shutdown: &CancellationToken,
    accept: impl Future<Output = std::io::Result<T>>,
) -> Option<(OwnedSemaphorePermit, Option<T>)> {
    let both = async {
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        match accept.await {
            Ok(accepted) => Some((slot, Some(accepted))),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                Some((slot, None))
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => None,
        accepted = both => accepted,
    }
}

async fn local_peer(
    credentials: Credentials,
    own_uid: u32,
    operators: Arc<str>,
) -> Result<crate::authority::Actor, String> {
    tokio::task::spawn_blocking(move || actor(credentials, own_uid, &operators))
        .await
        .unwrap_or_else(|error| Err(format!("it could not be found out who is there: {error}")))
}

async fn connection<S>(stream: S, peer: Peer, router: Router, shutdown: CancellationToken, slot: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        let router = router.clone();
        async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS_TIMEOUT).max_buf_size(64 << 10);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke off");
    }
    drop(slot);
}
