//! The daemon as a whole: every part opened, the API served, the background started, interrupted runs settled, and all of
//! it ended in order.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use secrecy::SecretString;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::commands::{self, Commands};
use crate::daemon::{Background, Intake, Moved, Pace, Tools};
use crate::events::Events;
use crate::git::{Credential, Git, GitSettings, Remote, RemoteUrl};
use crate::health::Monitor;
use crate::http::webhook::{InboxBell, WebhookSettings, Webhooks};
use crate::http::{ApiState, Listeners, Nudge, TokenStreams, listen};
use crate::ids::EnvironmentRef;
use crate::integration::{self, Catalog, Connectors};
use crate::metrics::Metrics;
use crate::notify::{Parts as NotifyParts, Sender, notify};
use crate::outbox::{Desk, Outbox};
use crate::pass::{Parts, Passes};
use crate::provider::Connect;
use crate::provider::registry::Registry;
use crate::reporter::{self, HookParts, Hooks, Reporter, Ways};
use crate::secret::Secrets;
use crate::settings::Settings;
use crate::store::{InboxBound, Store};
use crate::sync::Syncs;

/// How long a run may go on once the daemon was asked to end; after that it is parked and the next start settles it.
/// Below systemd's own patience (`TimeoutStopSec=` in the unit).
const DRAIN: Duration = Duration::from_secs(60);
/// How often an interrupted run that could not be settled is tried again.
const SETTLE_AGAIN: Duration = Duration::from_secs(10);
/// How often what was timed is sorted into its buckets.
const SETTLE_METRICS: Duration = Duration::from_secs(30);
/// How often what is kept no longer is swept.
const SWEEP: Duration = Duration::from_secs(6 * 3600);

/// Runs the daemon until `asked_to_end` resolves.
///
/// # Errors
/// A part that cannot be opened; nothing was begun then.
pub async fn run(settings: Settings, asked_to_end: impl Future<Output = ()>) -> anyhow::Result<()> {
    open_state(&settings.state_dir)?;
    let store = Store::open(&settings.state_dir).context("the store cannot be opened")?;
    let audit = Audit::new(store.clone());
    let secrets = Secrets::new(Arc::new(audit.clone()), &settings.state_dir)?;
    let git = Git::new(git_settings(&settings));
    let registry = Registry::new(git.clone(), secrets.clone(), settings.supervisor_socket());
    let events = Events::new(store.clone());
    let metrics = Metrics::default();
    let connectors = Connectors::new(secrets.clone(), registry.engines());
    let catalog = Catalog::new(integration::Parts {
        store: store.clone(),
        events: events.clone(),
        metrics: metrics.clone(),
        connect: Arc::new(connectors.clone()),
        limit: settings.integrations.timeout,
    });
    let providers: Arc<dyn Connect> = Arc::new(registry);
    let parts =
        Parts { store: store.clone(), git: git.clone(), secrets: secrets.clone(), providers: Arc::clone(&providers) };
    let passes = Passes::new(parts).offline(settings.offline);
    let syncs = Syncs::new(store.clone(), passes.clone());
    let listeners = open_listeners(&settings).await?;

    let stop = CancellationToken::new();
    let pace = Pace { poll: settings.poll_interval, observe: settings.observe_interval, offline: settings.offline };
    let monitor = Monitor::new(store.clone(), passes.clone());
    let tools = Tools { store: store.clone(), git: git.clone(), passes: passes.clone(), monitor, pace };
    let (background, background_ended) = Background::start(tools, stop.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { ("the background", background_ended.await.is_ok()) });
    tasks.spawn(always("settling", settle(syncs.clone(), stop.clone())));
    tasks.spawn(always("sweeping", sweep(store.clone(), git.clone(), stop.clone())));
    tasks.spawn(always("the watchdog", watchdog(background.clone(), stop.clone())));
    let bell = Arc::new(InboxBell::default());
    let pushed = background.clone();
    let moved: Moved = Arc::new(move |project| pushed.pushed(project));
    let (nudges, intake) = Intake::start(store.clone(), Arc::clone(&bell), moved, metrics.clone(), stop.clone());
    tasks.spawn(async move { ("the intake of deliveries", intake.await.is_ok()) });
    let outbox = Outbox::new(store.clone());
    let ways = Ways::new(store.clone(), connectors);
    let desk = Desk::new(store.clone(), outbox.clone(), ways.clone(), metrics.clone(), settings.offline);
    tasks.spawn(always("posting", desk.run(stop.clone())));
    let installation = store.installation().await.context("the store cannot be read")?;
    // A command is read at its forge, which a daemon that is offline does not ask.
    let commands = (!settings.offline).then(|| Arc::new(tokio::sync::Notify::new()));
    let wanted = Arc::new(tokio::sync::Notify::new());
    if let Some(bell) = &commands {
        let parts = commands::Parts {
            store: store.clone(),
            ways: Arc::clone(&ways),
            syncs: syncs.clone(),
            audit: audit.clone(),
            outbox: outbox.clone(),
            installation: installation.clone(),
            bell: Arc::clone(bell),
            wanted: Arc::clone(&wanted),
            patience: commands::PATIENCE,
        };
        tasks.spawn(always("carrying out commands", Commands::new(parts).run(stop.clone())));
    }
    let reporting = reporter::Parts {
        store: store.clone(),
        git,
        passes: passes.clone(),
        ways: Arc::clone(&ways),
        outbox: outbox.clone(),
        events: events.clone(),
        installation: installation.clone(),
        public_url: settings.public_url.clone(),
        poll: settings.poll_interval,
        offline: settings.offline,
        heads: Arc::default(),
        commands,
        wanted,
    };
    tasks.spawn(always("reporting", Reporter::new(reporting, nudges).run(stop.clone())));
    let hooks = Hooks::new(HookParts {
        store: store.clone(),
        ways,
        secrets: secrets.clone(),
        metrics: metrics.clone(),
        public_url: settings.public_url.clone(),
        state_dir: settings.state_dir.clone(),
    });
    let webhooks = Webhooks::new(store.clone(), secrets.clone(), webhook_settings(&settings), bell);
    if !settings.offline {
        let pace = integration::Pace { interval: settings.integrations.interval, jitter: settings.integrations.jitter };
        let watching = integration::watch(catalog.clone(), pace, stop.clone());
        tasks.spawn(always("looking at integrations", watching));
    }
    if !settings.offline {
        let sender = Sender::new(secrets, installation);
        let parts = NotifyParts::new(store.clone(), events.clone(), metrics.clone(), sender);
        tasks.spawn(always("notifying", notify(parts, settings.notify.clone(), stop.clone())));
    }
    tasks.spawn(always("counting", settle_metrics(metrics.clone(), stop.clone())));
    let state = ApiState {
        catalog,
        events,
        metrics,
        outbox,
        store,
        passes,
        syncs: syncs.clone(),
        audit,
        providers,
        webhooks,
        hooks,
        nudge: Arc::new(background),
        operators: settings.socket_group.as_str().into(),
        streams: TokenStreams::default(),
        shutdown: stop.clone(),
    };
    tasks.spawn(always("the API", crate::http::serve(listeners, state)));
    tell_systemd(&[NotifyState::Ready]);
    tracing::info!(socket = %settings.socket().display(), "ready");

    // Without one of its parts the daemon would look alive and not be: better to end, and be started again.
    let mut broken = tokio::select! {
        () = asked_to_end => None,
        Some(ended) = tasks.join_next() => Some(ended.map_or_else(|error| error.to_string(), |(what, _)| what.to_owned())),
    };
    tell_systemd(&[NotifyState::Stopping]);
    tracing::info!("ending: no new work is taken");
    stop.cancel();
    syncs.drain(DRAIN).await;
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok((_, true)) => {}
            Ok((what, false)) => broken = Some(what.to_owned()),
            Err(error) => broken = Some(error.to_string()),
        }
    }
    tracing::info!("ended");
    match broken {
        None => Ok(()),
        Some(what) => anyhow::bail!("{what} broke off"),
    }
}

/// A part of the daemon under its name; a panic in it shows in the set that it is spawned on.
async fn always(name: &'static str, part: impl Future<Output = ()>) -> (&'static str, bool) {
    part.await;
    (name, true)
}

impl Nudge for Background {
    fn nudge(&self, environment: &EnvironmentRef) {
        Background::nudge(self, environment);
    }
}

/// Makes the state directory, which nobody else may read: mirrors and logs are private.
fn open_state(directory: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let context = || format!("the state directory {} cannot be made", directory.display());
    if !directory.exists() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(context)?;
    }
    let mode = std::fs::metadata(directory).with_context(context)?.permissions().mode();
    if mode & 0o007 != 0 {
        tracing::warn!(directory = %directory.display(), "everyone on this machine may look into the state directory; chmod o-rwx it");
    }
    Ok(())
}

fn git_settings(settings: &Settings) -> GitSettings {
    let limits = &settings.git;
    GitSettings {
        allowed_hosts: limits.allowed_hosts.clone(),
        max_blob: limits.max_file_bytes,
        max_mirror_bytes: limits.max_mirror_bytes,
        max_per_host: settings.max_polls_per_host,
        timeout: limits.timeout,
        fetch_timeout: limits.fetch_timeout,
        known_hosts: limits.known_hosts.clone(),
        accept_new_hosts: limits.accept_new_hosts,
        ..GitSettings::new(settings.state_dir.join("mirrors"))
    }
}

fn webhook_settings(settings: &Settings) -> WebhookSettings {
    let limits = &settings.webhooks;
    WebhookSettings {
        max_body_bytes: usize::try_from(limits.max_body_bytes).unwrap_or(usize::MAX),
        inbox: InboxBound::default(),
    }
}

async fn open_listeners(settings: &Settings) -> anyhow::Result<Listeners> {
    let unix = listen::unix(&settings.socket(), &settings.socket_group).await?;
    let tcp = match settings.listen {
        Some(address) => Some(listen::tcp(address).await?),
        None => None,
    };
    Ok(Listeners { unix, tcp })
}

/// Settles what a crash or an unreachable engine interrupted: at once, and again while anything is left.
async fn settle(syncs: Syncs, stop: CancellationToken) {
    loop {
        if let Err(error) = syncs.settle().await {
            tracing::error!(%error, "interrupted runs could not be looked up");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SETTLE_AGAIN) => {}
        }
    }
}

/// Sweeps what is kept no longer (see docs/operations.md), and the mirrors of repositories that are registered no more.
async fn sweep(store: Store, git: Git, stop: CancellationToken) {
    loop {
        match store.sweep(jiff::Timestamp::now()).await {
            Ok(swept) => tracing::debug!(?swept, "swept"),
            Err(error) => tracing::error!(%error, "sweeping failed"),
        }
        if let Err(error) = sweep_mirrors(&store, &git).await {
            tracing::error!(error = format!("{error:#}"), "mirrors could not be swept");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
}

async fn sweep_mirrors(store: &Store, git: &Git) -> anyhow::Result<()> {
    let projects = store.projects().await?;
    let mut remotes = Vec::new();
    for project in projects {
        // Mirrors are told apart by the reference to a credential; its value is not needed.
        let credential = project.auth.map(|auth| Credential {
            id: auth.to_string(),
            username: None,
            secret: SecretString::default(),
        });
        let remote = Remote { url: RemoteUrl::parse(&project.url)?, credential };
        remotes.push(remote.as_user(project.user.as_deref()));
    }
    git.keep_only(&remotes).await?;
    Ok(())
}

/// Sorts what was timed into its buckets, so that it does not pile up where nobody reads the metrics.
async fn settle_metrics(metrics: Metrics, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SETTLE_METRICS) => metrics.settle(),
        }
    }
}

/// Tells systemd that the background still takes in what it is told, where `WatchdogSec=` asks for that.
async fn watchdog(background: Background, stop: CancellationToken) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return stop.cancelled().await };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(patience / 3) => {}
        }
        if background.is_alive(patience / 3).await {
            tell_systemd(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("the background does not answer");
        }
    }
}

/// Tells systemd, where it asked to be told.
fn tell_systemd(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
