//! The settings file as it is written: keys, notations, and the rules of each value.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{
    GitLimits, IntegrationLooks, InvalidSettings, Log, LogFormat, LogLevel, NotifyTarget, Settings, WebhookLimits,
};
use crate::events::event;
use crate::live::quantity::{Bytes, DURATION_EXPECTED, Millis, SIZE_EXPECTED};
use crate::secret::AuthRef;

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
];
const GIT: &[&str] =
    &["allowed_hosts", "timeout", "fetch_timeout", "max_file", "max_mirror", "known_hosts", "accept_new_hosts"];
const WEBHOOKS: &[&str] = &["max_body"];
const INTEGRATIONS: &[&str] = &["interval", "jitter", "timeout"];
const NOTIFY: &[&str] = &["url", "secret", "events"];
const LOG: &[&str] = &["format", "level"];
/// The tables, each with its keys.
const TABLES: &[(&str, &[&str])] =
    &[("git", GIT), ("webhooks", WEBHOOKS), ("integrations", INTEGRATIONS), ("notify", NOTIFY), ("log", LOG)];

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

/// A duration or a size: text with a unit, or a bare number.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text with a unit, such as \"60s\" or \"256Ki\", or a bare number")]
enum Amount {
    Number(u64),
    Text(String),
}

impl Amount {
    fn text(&self) -> String {
        match self {
            Amount::Number(number) => number.to_string(),
            Amount::Text(text) => text.clone(),
        }
    }
}

pub(super) fn keys() -> Vec<String> {
    let is_table = |key: &str| TABLES.iter().any(|(table, _)| *table == key);
    let top = TOP.iter().filter(|key| !is_table(key)).map(|key| (*key).to_owned());
    let within = TABLES.iter().flat_map(|(table, keys)| keys.iter().map(move |key| format!("{table}.{key}")));
    top.chain(within).collect()
}

/// What is wrong at a place of the text.
struct Wrong {
    span: Range<usize>,
    message: String,
    help: Option<String>,
}

fn wrong<T>(spanned: &Spanned<T>, message: impl Into<String>) -> Wrong {
    Wrong { span: spanned.span(), message: message.into(), help: None }
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
        socket_group: group(file.socket_group)?.unwrap_or(defaults.socket_group),
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

fn path(value: Option<Spanned<PathBuf>>) -> Result<Option<PathBuf>, Wrong> {
    match value {
        Some(path) if !path.get_ref().is_absolute() => {
            Err(wrong(&path, format!("`{}` is not an absolute path", path.get_ref().display())))
        }
        other => Ok(other.map(Spanned::into_inner)),
    }
}

fn group(value: Option<Spanned<String>>) -> Result<Option<String>, Wrong> {
    match value {
        Some(name) => {
            let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
            let text = name.get_ref();
            if text.is_empty() || text.len() > 32 || !text.bytes().all(letters) {
                return Err(wrong(&name, format!("`{text}` is not the name of a group")));
            }
            Ok(Some(name.into_inner()))
        }
        None => Ok(None),
    }
}

fn listen(value: Option<Spanned<String>>, unencrypted: bool) -> Result<Option<SocketAddr>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    let text = value.get_ref();
    let address: SocketAddr = text.parse().map_err(|_| {
        wrong(&value, format!("`{text}` is not an address and port such as 127.0.0.1:7070 or [::1]:7070"))
    })?;
    if !address.ip().is_loopback() && !unencrypted {
        return Err(Wrong {
            help: Some(
                "listen on 127.0.0.1 behind a proxy that speaks TLS, or set listen_unencrypted = true where the network itself is trusted"
                    .into(),
            ),
            ..wrong(&value, format!("other machines reach {address}, and bearer tokens would travel unencrypted"))
        });
    }
    Ok(Some(address))
}

fn public_url(value: Option<Spanned<String>>) -> Result<Option<String>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    let url = value.get_ref().trim().trim_end_matches('/').to_owned();
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let odd =
        |c: char| c.is_control() || c.is_whitespace() || matches!(c, '@' | '?' | '#' | '(' | ')' | '<' | '>' | '"');
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && url.len() <= 512 && !url.contains(odd) => {
            Ok(Some(url))
        }
        _ => Err(wrong(
            &value,
            format!("`{url}` is not a URL such as https://trueup.acme.dev: no user, query or fragment"),
        )),
    }
}

fn interval(value: Option<Spanned<Amount>>) -> Result<Option<Duration>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    let text = value.get_ref().text();
    let millis = Millis::parse(&text).map_err(|_| wrong(&value, format!("`{text}` is not {DURATION_EXPECTED}")))?;
    if !(1_000..=86_400_000).contains(&millis.0) {
        return Err(wrong(&value, format!("`{text}` is not between 1s and 24h")));
    }
    Ok(Some(millis.duration()))
}

fn size(value: Option<Spanned<Amount>>, most: u64) -> Result<Option<u64>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    let text = value.get_ref().text();
    let bytes = Bytes::parse(&text).map_err(|_| wrong(&value, format!("`{text}` is not {SIZE_EXPECTED}")))?;
    if !(1024..=most).contains(&bytes.0) {
        return Err(wrong(&value, format!("`{text}` is not between 1Ki and {}", Bytes(most))));
    }
    Ok(Some(bytes.0))
}

fn polls(value: Option<Spanned<i64>>) -> Result<Option<usize>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    match usize::try_from(*value.get_ref()) {
        Ok(count) if (1..=64).contains(&count) => Ok(Some(count)),
        _ => Err(wrong(&value, format!("{} is not between 1 and 64", value.get_ref()))),
    }
}

fn hostname(value: &Spanned<String>) -> Result<String, Wrong> {
    let text = value.get_ref();
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    if text.is_empty() || text.len() > 253 || !text.bytes().all(letters) {
        return Err(wrong(value, format!("`{text}` is not a host such as git.acme.dev: no scheme, no path")));
    }
    Ok(text.to_ascii_lowercase())
}
