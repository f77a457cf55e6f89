//! One environment's status in words and a table: what is so, since when, and why.

use crate::cli::table::{Cell, Table};
use crate::cli::terminal::{Tone, paint, printable};
use crate::cli::when::Viewpoint;
use crate::http::dto::{ReadState, ReadStatus, ServiceStatus, ServiceSync, StatusView, SyncState};
use crate::live::Health;

/// How many mistakes of a file are shown.
const REASONS: usize = 5;

/// One environment: its headline, what is noteworthy, its services.
pub(super) fn render(status: &StatusView, view: &Viewpoint, colour: bool) -> String {
    let headline = match status.sync {
        SyncState::InSync => paint(colour, Tone::Good, "in sync"),
        SyncState::Drift => paint(colour, Tone::Warn, &drift_words(status.changes, status.blocked)),
        SyncState::Unknown => paint(colour, Tone::Bad, "unknown"),
        SyncState::Undeclared => paint(colour, Tone::Dim, "nothing is declared"),
    };
    let name = paint(colour, Tone::Strong, &status.environment.to_string());
    let mut text = format!("{name} ({})  {headline}\n", status.provider);
    for (tone, line) in remarks(status, view) {
        text.push_str(&format!("  {}\n", paint(colour, tone, &printable(&line))));
    }
    if !status.services.is_empty() {
        let mut table = Table::new(&["SERVICE", "SYNC", "HEALTH", "SINCE", "WHY"]).indented(2);
        for service in &status.services {
            table.row(row(service, view));
        }
        text.push_str(&table.render(colour));
        for line in status.services.iter().filter_map(|service| why_not_in_sync(service, view)) {
            text.push_str(&format!("  {}\n", printable(&line)));
        }
    }
    text
}

fn drift_words(changes: usize, blocked: usize) -> String {
    let changes = if changes == 1 { "drift: 1 change".to_owned() } else { format!("drift: {changes} changes") };
    if blocked == 0 { changes } else { format!("{changes}, {blocked} blocked") }
}

/// What the reader should know besides the services.
fn remarks(status: &StatusView, view: &Viewpoint) -> Vec<(Tone, String)> {
    let mut remarks = Vec::new();
    if let Some(run) = &status.run {
        let line = format!("run {} is being carried out since {}", run.id, view.both(run.started_at));
        remarks.push((Tone::Warn, line));
    }
    match &status.read {
        Some(read) => remarks.extend(read_remark(read, view)),
        None => remarks.push((Tone::Warn, "the repository was not read yet".into())),
    }
    if let Some(digest) = &status.plan_digest {
        remarks.push((Tone::Dim, format!("plan {}", digest.short())));
    }
    match status.observed_at {
        Some(at) => remarks.push((Tone::Dim, format!("observed {}", view.both(at)))),
        None => remarks.push((Tone::Warn, "what runs was not looked at yet".into())),
    }
    remarks
}

/// How the last read of the file went. Where there is more than one reason, each has a line of its own.
fn read_remark(read: &ReadStatus, view: &Viewpoint) -> Vec<(Tone, String)> {
    let commit = read.commit.as_ref().map_or("no commit", |commit| commit.short());
    let stale = read.stale_since.map(|since| format!("stale since {}", view.both(since)));
    let reasons: Vec<&str> = read.reason.iter().flat_map(|reason| reason.lines()).collect();
    let (tone, what) = match read.state {
        ReadState::Ok => {
            return vec![(Tone::Dim, format!("declared at {commit}, read {}", view.ago(read.checked_at)))];
        }
        ReadState::Disabled => {
            return vec![(Tone::Warn, "reading is disabled: trueup project set PROJECT --enable".into())];
        }
        // The reason says all of it: which file is not where, and what follows.
        ReadState::NoFile => {
            let missing = || format!("{commit} has no such file: nothing is declared, and nothing is withdrawn");
            return vec![(Tone::Warn, read.reason.clone().unwrap_or_else(missing))];
        }
        ReadState::FetchFailed => (Tone::Bad, stale.unwrap_or_else(|| "the repository cannot be read".into())),
        ReadState::Invalid => {
            let stale = stale.map(|stale| format!("{stale}: ")).unwrap_or_default();
            (Tone::Bad, format!("{stale}the file at {commit} is not valid"))
        }
    };
    let mut lines = match reasons.as_slice() {
        [] => vec![(tone, what)],
        [reason] => vec![(tone, format!("{what}, because {reason}"))],
        reasons => {
            let mut lines = vec![(tone, format!("{what}, because"))];
            lines.extend(reasons.iter().take(REASONS).map(|reason| (tone, format!("  {reason}"))));
            let more = reasons.len().saturating_sub(REASONS);
            if more > 0 {
                lines.push((tone, format!("  and {more} more: `trueup plan` shows them all")));
            }
            lines
        }
    };
    if read.state == ReadState::FetchFailed {
        lines.push((Tone::Dim, format!("last read: {commit}")));
    }
    lines
}

/// Since when a service differs and why, and what stands in the way; `None` where it is in sync.
fn why_not_in_sync(service: &ServiceStatus, view: &Viewpoint) -> Option<String> {
    let causes: Vec<String> =
        service.causes.iter().map(|cause| format!("{} ({})", cause.word(), cause.meaning())).collect();
    let reasons = service.reasons.join("; ");
    let word = match service.sync {
        ServiceSync::InSync => return None,
        ServiceSync::Orphan => {
            return Some(format!("{}: runs and is no longer declared; only `sync --prune` deletes it", service.name));
        }
        ServiceSync::Unknown if reasons.is_empty() => return None,
        ServiceSync::Unknown => return Some(format!("{}: not known to be in sync, because {reasons}", service.name)),
        ServiceSync::Drift => "drift",
        ServiceSync::Blocked => "blocked",
    };
    let since = service.drift_since.map(|since| format!(" since {}", view.both(since))).unwrap_or_default();
    let because = match (causes.is_empty(), reasons.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!(", because {}", causes.join(", ")),
        (true, false) => format!(", because {reasons}"),
        (false, false) => format!(", because {}; in the way: {reasons}", causes.join(", ")),
    };
    Some(format!("{}: {word}{since}{because}", service.name))
}

fn row(service: &ServiceStatus, view: &Viewpoint) -> Vec<Cell> {
    let sync = match service.sync {
        ServiceSync::InSync => Cell::new(Tone::Good, "in sync"),
        ServiceSync::Drift => Cell::new(Tone::Warn, format!("drift ({})", service.changes)),
        ServiceSync::Blocked => Cell::new(Tone::Bad, format!("blocked ({})", service.changes)),
        ServiceSync::Unknown => Cell::new(Tone::Bad, "unknown"),
        ServiceSync::Orphan => Cell::new(Tone::Warn, "orphan"),
    };
    let healthy = service.replicas.iter().filter(|replica| replica.health == Health::Healthy).count();
    let count = match service.replicas.len() {
        0 => String::new(),
        all => format!(" {healthy}/{all}"),
    };
    let tone = match &service.health {
        Health::Healthy => Tone::Good,
        Health::Starting => Tone::Warn,
        Health::Unhealthy { .. } | Health::CrashLooping { .. } | Health::Stopped { .. } => Tone::Bad,
        Health::Unknown { .. } => Tone::Warn,
    };
    vec![
        Cell::plain(service.name.as_str()),
        sync,
        Cell::new(tone, format!("{}{count}", service.health.word())),
        Cell::plain(service.since.map_or_else(|| "-".to_owned(), |since| view.both(since))),
        Cell::plain(service.health.why().unwrap_or_default()),
    ]
}
