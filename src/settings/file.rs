//! The settings file as it is written: keys, notations, and the rules of each value.

mod supervise;
mod values;

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{
    GitLimits, IntegrationLooks, InvalidSettings, Log, LogFormat, LogLevel, NotifyTarget, Settings, WebhookLimits,
};
use crate::events::event;
use crate::live::quantity::{DURATION_EXPECTED, Millis};
use crate::secret::AuthRef;
use crate::settings::file::supervise::SuperviseTable;
use crate::settings::file::values::{
    Amount, Wrong, account, hostname, interval, listen, path, polls, public_url, size, wrong,
};

const TOP: &[&str] = &[
    "state_dir",
    "socket",
    "socket_group",
    "listen",
    "listen_unencrypted",
    "supervisor_socket",
    "public_url",
    "poll_interval",
    "observe_interval",
    "max_polls_per_host",
    "offline",
    "git",
    "webhooks",
    "integrations",
    "notify",
    "log",
    "supervise",
];
const GIT: &[&str] =
    &["allowed_hosts", "timeout", "fetch_timeout", "max_file", "max_mirror", "known_hosts", "accept_new_hosts"];
const WEBHOOKS: &[&str] = &["max_body"];
const INTEGRATIONS: &[&str] = &["interval", "jitter", "timeout"];
const NOTIFY: &[&str] = &["url", "secret", "events"];
const LOG: &[&str] = &["format", "level"];
/// The tables, each with its keys.
const TABLES: &[(&str, &[&str])] = &[
    ("git", GIT),
    ("webhooks", WEBHOOKS),
    ("integrations", INTEGRATIONS),
    ("notify", NOTIFY),
    ("log", LOG),
    ("supervise", supervise::KEYS),
];

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    state_dir: Option<Spanned<PathBuf>>,
    socket: Option<Spanned<PathBuf>>,
    socket_group: Option<Spanned<String>>,
    listen: Option<Spanned<String>>,
    listen_unencrypted: Option<bool>,
    supervisor_socket: Option<Spanned<PathBuf>>,
    public_url: Option<Spanned<String>>,
    poll_interval: Option<Spanned<Amount>>,
    observe_interval: Option<Spanned<Amount>>,
    max_polls_per_host: Option<Spanned<i64>>,
    offline: Option<bool>,
    #[serde(default)]
    git: GitTable,
    #[serde(default)]
    webhooks: WebhooksTable,
    #[serde(default)]
    integrations: IntegrationsTable,
    #[serde(default)]
    notify: Vec<NotifyTable>,
    #[serde(default)]
    log: LogTable,
    #[serde(default)]
    supervise: SuperviseTable,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GitTable {
    allowed_hosts: Option<Vec<Spanned<String>>>,
    timeout: Option<Spanned<Amount>>,
    fetch_timeout: Option<Spanned<Amount>>,
    max_file: Option<Spanned<Amount>>,
    max_mirror: Option<Spanned<Amount>>,
    known_hosts: Option<Spanned<PathBuf>>,
    accept_new_hosts: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhooksTable {
    max_body: Option<Spanned<Amount>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntegrationsTable {
    interval: Option<Spanned<Amount>>,
    jitter: Option<Spanned<Amount>>,
    timeout: Option<Spanned<Amount>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotifyTable {
    url: Spanned<String>,
    secret: Option<Spanned<String>>,
    events: Option<Vec<Spanned<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogTable {
    format: Option<LogFormat>,
    level: Option<LogLevel>,
}

pub(super) fn keys() -> Vec<String> {
    let is_table = |key: &str| TABLES.iter().any(|(table, _)| *table == key);
    let top = TOP.iter().filter(|key| !is_table(key)).map(|key| (*key).to_owned());
    let within = TABLES.iter().flat_map(|(table, keys)| keys.iter().map(move |key| format!("{table}.{key}")));
    top.chain(within).collect()
}

pub(super) fn parse(text: &str) -> Result<Settings, InvalidSettings> {
    let parsed = toml::from_str::<File>(text).map_err(|error| Wrong {
        span: error.span().unwrap_or(0..0),
        help: suggestion(error.message()),
        message: error.message().to_owned(),
    });
    parsed.and_then(settings).map_err(|wrong| placed(text, wrong))
}

fn placed(text: &str, wrong: Wrong) -> InvalidSettings {
    let before = text.get(..wrong.span.start.min(text.len())).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    InvalidSettings {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: wrong.message,
        help: wrong.help,
    }
}

/// The known key nearest to an unknown one, if it is near.
fn suggestion(message: &str) -> Option<String> {
    let unknown = message.strip_prefix("unknown field `")?.split('`').next()?;
    let known = TOP.iter().chain(TABLES.iter().flat_map(|(_, keys)| keys.iter()));
    let (distance, key) = known.map(|key| (edits(unknown, key), key)).min()?;
    if distance == 0 {
        let tables: Vec<String> = TABLES
            .iter()
            .filter(|(_, keys)| keys.contains(key))
            .map(|(table, _)| if *table == "notify" { "[[notify]]".to_owned() } else { format!("[{table}]") })
            .collect();
        return Some(format!("`{key}` belongs into the table {}", tables.join(" or ")));
    }
    (distance <= 3 && distance < unknown.len()).then(|| format!("did you mean `{key}`?"))
}

/// How many characters have to be put in, taken out or replaced to get from one word to the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

fn settings(file: File) -> Result<Settings, Wrong> {
    let defaults = Settings::default();
    let listen_unencrypted = file.listen_unencrypted.unwrap_or(defaults.listen_unencrypted);
    Ok(Settings {
        state_dir: path(file.state_dir)?.unwrap_or(defaults.state_dir),
        socket: path(file.socket)?,
        socket_group: match file.socket_group {
            Some(name) => account(name, "group")?,
            None => defaults.socket_group,
        },
        listen: listen(file.listen, listen_unencrypted)?,
        listen_unencrypted,
        supervisor_socket: path(file.supervisor_socket)?,
        public_url: public_url(file.public_url)?,
        poll_interval: interval(file.poll_interval)?.unwrap_or(defaults.poll_interval),
        observe_interval: interval(file.observe_interval)?.unwrap_or(defaults.observe_interval),
        max_polls_per_host: polls(file.max_polls_per_host)?.unwrap_or(defaults.max_polls_per_host),
        offline: file.offline.unwrap_or(defaults.offline),
        git: git(file.git, defaults.git)?,
        webhooks: webhooks(file.webhooks, defaults.webhooks)?,
        integrations: integrations(file.integrations, defaults.integrations)?,
        notify: file.notify.into_iter().map(notify).collect::<Result<_, _>>()?,
        log: Log {
            format: file.log.format.unwrap_or(defaults.log.format),
            level: file.log.level.unwrap_or(defaults.log.level),
        },
        supervise: file.supervise.read(defaults.supervise)?,
    })
}

fn git(table: GitTable, defaults: GitLimits) -> Result<GitLimits, Wrong> {
    let mut allowed_hosts = Vec::new();
    for host in table.allowed_hosts.unwrap_or_default() {
        allowed_hosts.push(hostname(&host)?);
    }
    Ok(GitLimits {
        allowed_hosts,
        timeout: interval(table.timeout)?.unwrap_or(defaults.timeout),
        fetch_timeout: interval(table.fetch_timeout)?.unwrap_or(defaults.fetch_timeout),
        max_file_bytes: size(table.max_file, crate::declared::file::MAX_BYTES as u64)?
            .unwrap_or(defaults.max_file_bytes),
        max_mirror_bytes: size(table.max_mirror, 1 << 40)?.unwrap_or(defaults.max_mirror_bytes),
        known_hosts: path(table.known_hosts)?,
        accept_new_hosts: table.accept_new_hosts.unwrap_or(defaults.accept_new_hosts),
    })
}

fn webhooks(table: WebhooksTable, defaults: WebhookLimits) -> Result<WebhookLimits, Wrong> {
    Ok(WebhookLimits { max_body_bytes: size(table.max_body, 25 << 20)?.unwrap_or(defaults.max_body_bytes) })
}

fn integrations(table: IntegrationsTable, defaults: IntegrationLooks) -> Result<IntegrationLooks, Wrong> {
    let looks = IntegrationLooks {
        interval: interval(table.interval)?.unwrap_or(defaults.interval),
        jitter: defaults.jitter,
        timeout: interval(table.timeout)?.unwrap_or(defaults.timeout),
    };
    let Some(value) = table.jitter else {
        return Ok(IntegrationLooks { jitter: looks.jitter.min(looks.interval / 10), ..looks });
    };
    let text = value.get_ref().text();
    let jitter = Millis::parse(&text).map_err(|_| wrong(&value, format!("`{text}` is not {DURATION_EXPECTED}")))?;
    if jitter.duration() > looks.interval {
        return Err(wrong(&value, format!("`{text}` is longer than the interval between two looks")));
    }
    Ok(IntegrationLooks { jitter: jitter.duration(), ..looks })
}

fn notify(table: NotifyTable) -> Result<NotifyTarget, Wrong> {
    let url = table.url.get_ref().trim().to_owned();
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let odd = |c: char| c.is_control() || c.is_whitespace();
    // The URL is not repeated: some services name the recipient, and with it who may write there, in the path.
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && url.len() <= 2048 && !url.contains(odd) => {
            if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
                return Err(wrong(&table.url, "the URL holds a user name or password; sign with `secret` instead"));
            }
        }
        _ => return Err(wrong(&table.url, "expected a URL such as https://chat.acme.dev/hooks/trueup")),
    }
    let secret = match table.secret {
        Some(text) => Some(text.get_ref().parse::<AuthRef>().map_err(|error| wrong(&text, error.to_string()))?),
        None => None,
    };
    let mut events = Vec::new();
    for pattern in table.events.unwrap_or_default() {
        let text = pattern.get_ref();
        if !event::is_pattern(text) {
            return Err(Wrong {
                help: Some(format!("there are {}, each also as `NOUN.*`", event::words().join(", "))),
                ..wrong(&pattern, format!("`{text}` is no event"))
            });
        }
        events.push(text.clone());
    }
    if events.is_empty() {
        events.push("*".to_owned());
    }
    Ok(NotifyTarget { url, secret, events })
}
