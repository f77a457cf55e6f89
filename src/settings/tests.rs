//! What a settings file may say, and what it is told where it may not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::live::quantity::{Bytes, Millis};

use super::{LogFormat, LogLevel, PortRange, Settings, SuperviseSettings};

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(Settings::parse(""), Ok(Settings::default()));
    assert_eq!(Settings::parse("# nothing\n[git]\n[log]\n"), Ok(Settings::default()));
}

#[test]
fn every_key_is_read() {
    let settings = Settings::parse(
        r#"
state_dir = "/srv/trueup"
socket = "/run/t.sock"
socket_group = "deploy"
listen = "127.0.0.1:7070"
listen_unencrypted = true
supervisor_socket = "/run/s.sock"
public_url = "https://trueup.acme.dev/"
poll_interval = "2m"
observe_interval = 30
max_polls_per_host = 4
offline = true
[git]
allowed_hosts = ["Git.Acme.Dev"]
timeout = "10s"
fetch_timeout = "5m"
max_file = "128Ki"
max_mirror = "1Gi"
known_hosts = "/etc/ssh/ssh_known_hosts"
accept_new_hosts = true
[webhooks]
max_body = "1Mi"
[integrations]
interval = "30s"
jitter = "1s"
timeout = "5s"
[[notify]]
url = "https://chat.acme.dev/hooks/abc"
secret = "env://NOTIFY"
events = ["integration.*"]
[[notify]]
url = "http://127.0.0.1:9000"
[log]
format = "json"
level = "debug"
[supervise]
state_dir = "/srv/local"
port_range = "21000-21999"
peers = ["trueup", "deploy"]
cgroup = "off"
log_limit = "1Mi"
"#,
    )
    .expect("valid");
    assert_eq!(settings.state_dir, Path::new("/srv/trueup"));
    assert_eq!(settings.public_url.as_deref(), Some("https://trueup.acme.dev"));
    assert_eq!(
        (settings.socket(), settings.supervisor_socket()),
        (PathBuf::from("/run/t.sock"), PathBuf::from("/run/s.sock"))
    );
    assert_eq!(settings.socket_group, "deploy");
    assert_eq!(settings.listen.map(|address| address.port()), Some(7070));
    assert_eq!(
        (settings.poll_interval, settings.observe_interval),
        (Duration::from_secs(120), Duration::from_secs(30))
    );
    assert_eq!((settings.max_polls_per_host, settings.offline), (4, true));
    assert_eq!(settings.git.allowed_hosts, ["git.acme.dev"]);
    assert_eq!((settings.git.timeout, settings.git.fetch_timeout), (Duration::from_secs(10), Duration::from_secs(300)));
    assert_eq!((settings.git.max_file_bytes, settings.git.max_mirror_bytes), (128 << 10, 1 << 30));
    assert!(settings.git.accept_new_hosts && settings.git.known_hosts.is_some());
    assert_eq!(settings.webhooks.max_body_bytes, 1 << 20);
    let looks = settings.integrations;
    let seconds = Duration::from_secs;
    assert_eq!((looks.interval, looks.jitter, looks.timeout), (seconds(30), seconds(1), seconds(5)));
    assert_eq!(settings.notify.len(), 2);
    assert_eq!(
        (settings.notify[0].host(), &settings.notify[0].events[..]),
        ("chat.acme.dev", &["integration.*".into()][..])
    );
    assert_eq!((&settings.notify[1].secret, &settings.notify[1].events[..]), (&None, &["*".to_owned()][..]));
    assert!(!format!("{settings:?}").contains("hooks/abc"), "a URL may say who may write there");
    assert_eq!((settings.log.format, settings.log.level), (LogFormat::Json, LogLevel::Debug));
    let supervise = SuperviseSettings {
        state_dir: Some("/srv/local".into()),
        port_range: PortRange { first: 21_000, last: 21_999 },
        peers: vec!["trueup".into(), "deploy".into()],
        cgroup: Some("off".into()),
        log_limit: 1 << 20,
    };
    assert_eq!(settings.supervise, supervise);
    assert_eq!(settings.supervise_state_dir(), Path::new("/srv/local"));
}

#[test]
fn the_sockets_follow_a_state_directory_of_ones_own() {
    assert_eq!(Settings::default().socket(), Path::new("/run/trueup/trueup.sock"));
    let own = Settings { state_dir: "/tmp/state".into(), ..Settings::default() };
    assert_eq!(own.socket(), Path::new("/tmp/state/run/trueup.sock"));
    assert_eq!(own.supervisor_socket(), Path::new("/tmp/state/run/supervise.sock"));
    assert_eq!(Settings::default().supervise_state_dir(), Path::new("/var/lib/trueup-local"));
    assert_eq!(own.supervise_state_dir(), Path::new("/tmp/state/local"));
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, line, column, says) in [
        ("poll_intervall = \"60s\"", 1, 1, "did you mean `poll_interval`?"),
        ("offline = false\n\n[git]\nmax_files = 1", 4, 1, "did you mean `max_file`?"),
        ("[git]\nmax_file = \"512Ki\"", 2, 12, "between 1Ki and 256Ki"),
        ("timeout = \"5s\"", 1, 1, "belongs into the table [git]"),
        ("[github]\na = 1", 1, 2, "unknown field `github`"),
        ("public_url = \"trueup.acme.dev\"", 1, 14, "is not a URL"),
        ("poll_interval = \"soon\"", 1, 17, "is not a duration"),
        ("poll_interval = \"10ms\"", 1, 17, "between 1s and 24h"),
        ("offline = \"yes\"", 1, 11, "expected a boolean"),
        ("state_dir = \"state\"", 1, 13, "not an absolute path"),
        ("listen = \"7070\"", 1, 10, "not an address"),
        ("listen = \"0.0.0.0:7070\"", 1, 10, "unencrypted"),
        ("max_polls_per_host = 0", 1, 22, "between 1 and 64"),
        ("offline = true\noffline = true", 2, 1, "duplicate key"),
        ("[git]\nallowed_hosts = [\"https://a\"]", 2, 18, "no scheme"),
        ("[integrations]\ninterval = \"10s\"\njitter = \"11s\"", 3, 10, "longer than the interval"),
        ("interval = \"10s\"", 1, 1, "belongs into the table [integrations]"),
        ("secret = \"env://X\"", 1, 1, "belongs into the table [[notify]]"),
        ("[[notify]]\nsecret = \"env://X\"", 1, 1, "missing field `url`"),
        ("[[notify]]\nurl = \"ftp://x\"", 2, 7, "expected a URL such as"),
        ("[[notify]]\nurl = \"https://a:s3cret@x\"", 2, 7, "user name or password"),
        ("[[notify]]\nurl = \"https://x\"\nsecret = \"hunter2\"", 3, 10, "not an auth reference"),
        ("[[notify]]\nurl = \"https://x\"\nevents = [\"integration\"]", 3, 11, "integration.removed"),
        ("[log]\nlevel = \"loud\"", 2, 9, "unknown variant `loud`"),
        ("socket_group = \"a b\"", 1, 16, "name of a group"),
        ("[supervise]\nport_range = \"9-8\"", 2, 14, "not a port range"),
        ("[supervise]\npeers = [\"a b\"]", 2, 10, "name of a user"),
        ("[supervise]\ncgroup = \"of\"", 2, 10, "not an absolute path"),
        ("[supervise]\nlog_limits = 1", 2, 1, "did you mean `log_limit`?"),
        ("state_dir", 1, 10, ""),
    ] {
        let refused = Settings::parse(text).expect_err(text);
        assert_eq!((refused.line, refused.column), (line, column), "{text}: {refused}");
        assert!(refused.to_string().contains(says), "{text}: {refused}");
    }
    assert!(Settings::parse("listen = \"0.0.0.0:7070\"\nlisten_unencrypted = true").is_ok());
}

/// Every key is described in docs/operations.md, with its default.
#[test]
fn every_key_is_documented() {
    let docs = include_str!("../../docs/operations.md");
    let defaults = Settings::default();
    let duration = |value: Duration| Millis(u64::try_from(value.as_millis()).expect("short")).to_string();
    let shown = |key: &str| match key {
        "state_dir" => defaults.state_dir.display().to_string(),
        "socket" => defaults.socket().display().to_string(),
        "socket_group" => defaults.socket_group.clone(),
        "listen" => defaults.listen.map_or("none".into(), |address| address.to_string()),
        "listen_unencrypted" => defaults.listen_unencrypted.to_string(),
        "supervisor_socket" => defaults.supervisor_socket().display().to_string(),
        "public_url" => "none".into(),
        "poll_interval" => duration(defaults.poll_interval),
        "observe_interval" => duration(defaults.observe_interval),
        "max_polls_per_host" => defaults.max_polls_per_host.to_string(),
        "offline" => defaults.offline.to_string(),
        "git.allowed_hosts" => format!("{:?}", defaults.git.allowed_hosts),
        "git.timeout" => duration(defaults.git.timeout),
        "git.fetch_timeout" => duration(defaults.git.fetch_timeout),
        "git.max_file" => Bytes(defaults.git.max_file_bytes).to_string(),
        "git.max_mirror" => Bytes(defaults.git.max_mirror_bytes).to_string(),
        "git.known_hosts" => {
            defaults.git.known_hosts.as_ref().map_or("ssh's own".into(), |path| path.display().to_string())
        }
        "git.accept_new_hosts" => defaults.git.accept_new_hosts.to_string(),
        "webhooks.max_body" => Bytes(defaults.webhooks.max_body_bytes).to_string(),
        "integrations.interval" => duration(defaults.integrations.interval),
        "integrations.jitter" => duration(defaults.integrations.jitter),
        "integrations.timeout" => duration(defaults.integrations.timeout),
        "notify.url" => "none".into(),
        "notify.secret" => "none".into(),
        "notify.events" => "all".into(),
        "log.format" => format!("{:?}", defaults.log.format).to_lowercase(),
        "log.level" => defaults.log.level.word().to_owned(),
        "supervise.state_dir" => defaults.supervise_state_dir().display().to_string(),
        "supervise.port_range" => defaults.supervise.port_range.to_string(),
        "supervise.peers" => format!("{:?}", defaults.supervise.peers),
        "supervise.cgroup" => "found under systemd".into(),
        "supervise.log_limit" => Bytes(defaults.supervise.log_limit).to_string(),
        other => panic!("`{other}` has no default here"),
    };
    for key in Settings::keys() {
        let row = docs.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/operations.md has no row for `{key}`"));
        let default = row.split('|').nth(2).unwrap_or_default().trim().trim_matches('`');
        assert_eq!(default, shown(&key), "the default of `{key}`");
    }
}

/// The lists by which unknown keys are explained and documented are those that the parser takes.
#[test]
fn the_lists_of_keys_are_the_parsers() {
    for key in Settings::keys() {
        let (table, name) = key.split_once('.').unwrap_or(("", &key));
        let header = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        let refused = Settings::parse(&format!("{header}{name} = {{}}")).expect_err("no key holds a table");
        assert!(!refused.message.contains("unknown field"), "{key}: {refused}");
    }
    let refused = Settings::parse("nonsense = 1").expect_err("unknown");
    let keys = Settings::keys();
    let tables: std::collections::BTreeSet<&str> =
        keys.iter().filter_map(|key| key.split_once('.')).map(|(table, _)| table).collect();
    let top = keys.iter().filter(|key| !key.contains('.')).count() + tables.len();
    assert_eq!(refused.message.matches('`').count() / 2, top + 1, "{refused}");
}
