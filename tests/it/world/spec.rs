//! A service written twice: as the repo's file has it, and as `docker run` makes it by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::dock::Dock;
use super::docker::docker;

/// A service. What is `None` or empty is not written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    pub entrypoint: Option<Vec<String>>,
    pub command: Option<Vec<String>>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub env: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// Container port/protocol → address on loopback, `127.0.0.1` or `127.0.0.2`; the host's port is any.
    pub ports: BTreeMap<String, String>,
    /// Path → name in the environment and whether it is read-only.
    pub volumes: BTreeMap<String, (String, bool)>,
    pub milli_cpus: Option<u64>,
    pub memory_mib: Option<u64>,
    pub restart: Option<String>,
    /// The Engine counts in seconds, the file does not.
    pub stop_millis: Option<u64>,
    /// Of the file only: by hand it is always one container.
    pub replicas: Option<u64>,
    /// By hand only: the tag that it is run from, where that is another than the file's.
    pub tag: Option<String>,
}

/// What keeps a container of the test image going, as a shell script.
pub const OBEY: &str = super::docker::OBEDIENT;

fn list(words: &[String]) -> String {
    serde_json::to_string(words).unwrap()
}

impl Spec {
    /// As it stands in the repo's file.
    pub fn yaml(&self, name: &str) -> String {
        let mut text = super::dock::service(name, &[]);
        let mut line = |line: String| writeln!(text, "  {line}").unwrap();
        let single = [
            ("entrypoint", self.entrypoint.as_deref().map(list)),
            ("command", self.command.as_deref().map(list)),
            ("user", self.user.as_ref().map(|user| format!("{user:?}"))),
            ("working_dir", self.working_dir.clone()),
            ("restart", self.restart.as_ref().map(|restart| format!("{restart:?}"))),
            ("stop_grace_period", self.stop_millis.map(|millis| format!("{millis}ms"))),
            ("replicas", self.replicas.map(|count| count.to_string())),
        ];
        for (key, value) in single {
            if let Some(value) = value {
                line(format!("{key}: {value}"));
            }
        }
        for (key, map) in [("env", &self.env), ("labels", &self.labels)] {
            if !map.is_empty() {
                line(format!("{key}: {}", serde_json::to_string(map).unwrap()));
            }
        }
        if !self.ports.is_empty() {
            let ports: Vec<String> = self.ports.iter().map(|(port, ip)| format!("{ip}::{port}")).collect();
            line(format!("ports: {}", list(&ports)));
        }
        if !self.volumes.is_empty() {
            let mount = |(path, (name, ro)): (&String, &(String, bool))| {
                format!("{name}:{path}{}", if *ro { ":ro" } else { "" })
            };
            line(format!("volumes: {}", list(&self.volumes.iter().map(mount).collect::<Vec<_>>())));
        }
        let limits: Vec<String> = [
            self.milli_cpus.map(|cpus| format!("cpu_limit: {cpus}m")),
            self.memory_mib.map(|memory| format!("memory_limit: {memory}Mi")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !limits.is_empty() {
            line(format!("resources: {{{}}}", limits.join(", ")));
        }
        text
    }

    /// Takes the place of a service's only container, by hand.
    pub fn run_instead(&self, dock: &Dock, name: &str) {
        docker(&["rm", "-f", &dock.id(name)]);
        let mut words: Vec<String> = vec!["run".into(), "-d".into()];
        words.extend(dock.world.label_arguments(name));
        let project = dock.world.project();
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        let entrypoint = self.entrypoint.clone().unwrap_or_default();
        if let Some(first) = entrypoint.first() {
            option("--entrypoint", first.clone());
        }
        for (name, value) in [
            ("--user", self.user.clone()),
            ("--workdir", self.working_dir.clone()),
            ("--cpus", self.milli_cpus.map(|cpus| format!("{}.{:03}", cpus / 1000, cpus % 1000))),
            ("--memory", self.memory_mib.map(|memory| format!("{memory}m"))),
            ("--restart", Some(self.restart.clone().unwrap_or("unless-stopped".into()))),
            ("--stop-timeout", self.stop_millis.map(|millis| millis.div_ceil(1_000).to_string())),
        ] {
            if let Some(value) = value {
                option(name, value);
            }
        }
        self.env.iter().for_each(|(key, value)| option("--env", format!("{key}={value}")));
        self.labels.iter().for_each(|(key, value)| option("--label", format!("{key}={value}")));
        self.ports.iter().for_each(|(port, ip)| option("--publish", format!("{ip}::{port}")));
        for (path, (name, ro)) in &self.volumes {
            let source = if name.starts_with('/') { name.clone() } else { format!("{project}-test-{name}") };
            option("--volume", format!("{source}:{path}{}", if *ro { ":ro" } else { "" }));
        }
        let (repository, _) = dock.world.image.rsplit_once(':').unwrap();
        words.push(self.tag.as_ref().map_or(dock.world.image.clone(), |tag| format!("{repository}:{tag}")));
        words.extend(entrypoint.into_iter().skip(1));
        words.extend(self.command.clone().unwrap_or_default());
        docker(&words);
    }
}
