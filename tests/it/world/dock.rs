//! A house over the real Docker Engine: an environment of its own, the docker command beside it, and the questions that
//! tests of the flow ask of both.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;
use trueup::drift::Cause;
use trueup::ids::SecretName;
use trueup::pass::Passes;
use trueup::plan::Plan;
use trueup::provider::registry::Registry;
use trueup::secret::AuthRef;
use trueup::store::records::{Run, RunState};
use trueup::sync::Syncs;
use trueup::sync::journal::Boundary;

use super::docker::{World, docker};
use super::house::{self, House};

/// A house whose environment runs on the real Engine. `busybox:TAG` in what it declares is an image of its own.
pub struct Dock {
    pub house: House,
    pub world: World,
}

/// How an environment is registered beyond the default.
#[derive(Default)]
pub struct Site<'a> {
    pub settings: &'a [(&'a str, &'a str)],
    pub secrets: &'a [(&'a str, &'a str)],
    pub allow_host_paths: &'a [&'a str],
}

/// Everything about the environment's containers that a sync of something else must leave alone.
pub type Picture = BTreeMap<String, String>;

impl Dock {
    pub async fn new(services: &str) -> Dock {
        Dock::with(Site::default(), services).await
    }

    pub async fn with(site: Site<'_>, services: &str) -> Dock {
        let world = World::new().await;
        let mut environment = house::environment(&world.environment, "docker", site.settings);
        let secret = |(name, reference): &(&str, &str)| -> (SecretName, AuthRef) {
            (name.parse().unwrap(), reference.parse().unwrap())
        };
        environment.secrets = site.secrets.iter().map(secret).collect();
        environment.allow_host_paths = site.allow_host_paths.iter().map(|path| (*path).to_owned()).collect();
        let services = services.replace("busybox:", &images(world.project()));
        let house = House::build(environment, &services, |git, secrets| {
            Arc::new(Registry::new(git, secrets, "/nonexistent/supervise.sock".into()))
        })
        .await;
        Dock { house, world }
    }

    /// Commits another declaration.
    pub fn declare(&self, services: &str) {
        self.house.declare(&services.replace("busybox:", &images(self.world.project())));
    }

    /// Imports other content under `busybox:TAG`.
    pub fn import(&self, tag: &str, changes: &[&str]) -> String {
        self.world.import(&format!("{}{tag}", images(self.world.project())), changes)
    }

    /// The same with its syncs told of journal boundaries.
    pub fn watched(mut self, boundary: Arc<dyn Boundary>) -> Self {
        self.house = self.house.watched(boundary);
        self
    }

    /// What a daemon that starts anew over the same state would hold: nothing is remembered.
    pub fn restarted(&mut self, parts: impl FnOnce(&House) -> Passes) {
        self.house.passes = parts(&self.house);
        self.house.syncs = Syncs::new(self.house.store.clone(), self.house.passes.clone());
    }

    pub async fn plan(&self) -> Plan {
        self.house.plan().await
    }

    /// Syncs, and expects it to succeed and to leave nothing to do.
    pub async fn sync(&self) -> Run {
        let run = self.house.sync().await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}\n{}", run.summary, self.house.output(run.id).await);
        let plan = self.plan().await;
        assert!(plan.is_empty() && plan.unknowns.is_empty(), "after a sync the plan is not empty: {plan:#?}");
        run
    }

    /// Syncs, and expects it to fail; returns the run with its output.
    pub async fn fail(&self) -> (Run, String) {
        let plan = self.plan().await;
        assert!(plan.feasible().next().is_some(), "nothing can be carried out: {plan:#?}");
        let run = self.house.carry_out(&plan).await;
        let output = self.house.output(run.id).await;
        assert_eq!(run.state, RunState::Failed, "{:?}\n{output}", run.summary);
        (run, output)
    }

    /// The ids of a service's containers, by replica number.
    pub fn ids(&self, service: &str) -> Vec<String> {
        let mut found: Vec<(String, String)> = docker(&[
            "ps",
            "--all",
            "--no-trunc",
            "--filter",
            &format!("label=dev.trueup.project={}", self.world.project()),
            "--filter",
            &format!("label=dev.trueup.service={service}"),
            "--format",
            "{{.Label \"dev.trueup.replica\"}} {{.ID}}",
        ])
        .lines()
        .map(|line| line.split_once(' ').map(|(index, id)| (index.to_owned(), id.to_owned())).unwrap())
        .collect();
        found.sort();
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// The id of a service's only container.
    pub fn id(&self, service: &str) -> String {
        let ids = self.ids(service);
        assert_eq!(ids.len(), 1, "{service}: {ids:?}");
        ids.into_iter().next().unwrap()
    }

    /// What `docker inspect` says of a service's only container.
    pub fn inspect(&self, service: &str) -> Json {
        inspect(&self.id(service))
    }

    /// Every container of the environment as it is: its id, start, configuration and whether it runs.
    pub fn picture(&self) -> Picture {
        let filter = format!("label=dev.trueup.project={}", self.world.project());
        docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])
            .lines()
            .map(|id| {
                let found = inspect(id);
                let parts = ["Config", "HostConfig", "Mounts", "Image", "Name"].map(|part| found[part].to_string());
                let running = format!("{} {}", found["State"]["Status"], found["State"]["StartedAt"]);
                (id.to_owned(), format!("{running} {}", parts.join(" ")))
            })
            .collect()
    }

    /// As [`Dock::picture`], without when each was started: what was stopped and runs again is as it was.
    pub fn picture_at_rest(&self) -> Picture {
        let filter = format!("label=dev.trueup.project={}", self.world.project());
        docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])
            .lines()
            .map(|id| {
                let found = inspect(id);
                let parts = ["Config", "HostConfig", "Mounts", "Image", "Name"].map(|part| found[part].to_string());
                (id.to_owned(), format!("{} {}", found["State"]["Status"], parts.join(" ")))
            })
            .collect()
    }

    /// The value of an environment variable in a service's container.
    pub fn env_of(&self, service: &str, key: &str) -> Option<String> {
        let found = self.inspect(service);
        let env = found["Config"]["Env"].as_array().cloned().unwrap_or_default();
        env.iter().find_map(|entry| entry.as_str()?.strip_prefix(&format!("{key}=")).map(str::to_owned))
    }
}

fn images(project: &str) -> String {
    format!("{project}.localhost/busybox:")
}

/// What `docker inspect` says of a container.
pub fn inspect(id: &str) -> Json {
    let found: Json = serde_json::from_str(&docker(&["inspect", "--type", "container", id])).unwrap();
    found[0].clone()
}

/// What a plan changes, as `web.resources.memory_limit live`.
pub fn changes(plan: &Plan) -> Vec<String> {
    let word = |cause: Cause| cause.word();
    plan.actions
        .iter()
        .flat_map(|action| {
            action.changes.iter().map(move |c| format!("{}.{} {}", action.service, c.field, word(c.cause)))
        })
        .collect()
}

/// The Engine's clock and ours are the same machine's: now, as `docker events` reads it.
pub fn moment() -> String {
    let now = Timestamp::now();
    format!("{}.{:09}", now.as_second(), now.subsec_nanosecond())
}

/// What happened to the environment's containers, networks and volumes between two moments, reading aside.
pub fn events(project: &str, since: &str, until: &str) -> Vec<String> {
    let format = "{{.Type}} {{.Action}} {{json .Actor.Attributes}}";
    docker(&["events", "--since", since, "--until", until, "--format", format])
        .lines()
        .filter(|line| line.contains(project) && !line.starts_with("container exec_"))
        .map(str::to_owned)
        .collect()
}

/// A service of the image `busybox:1` that is quickly found healthy, with further lines.
pub fn service(name: &str, lines: &[&str]) -> String {
    let mut text =
        format!("{name}:\n  image: busybox:1\n  healthcheck: {{command: [\"true\"], interval: 100ms, timeout: 10s}}\n");
    for line in lines {
        text.push_str(&format!("  {line}\n"));
    }
    text
}
