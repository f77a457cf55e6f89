//! A real Docker Engine: an image made from busybox, a project of its own for every test, and everything of it removed
//! at the end, also on panic.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use secrecy::SecretString;
use trueup::ids::{EnvironmentRef, SecretName, ServiceName};
use trueup::live::field::FieldPath;
use trueup::live::value::{Value, VolumeMount, VolumeSource};
use trueup::live::{Live, LiveReplica, LiveService, Observed, ReplicaId};
use trueup::provider::docker::{Credentials, DockerProvider};
use trueup::provider::{Progress, Provider, ReplicaSpec, StepError};
use trueup::secret::AuthRef;
use trueup::sync::gate::SyncPermit;

use super::permit::Gate;

/// The image's own command: it obeys SIGTERM.
pub const COMMAND: &str = "CMD [\"/bin/sh\",\"-c\",\"trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done\"]";

/// What the image runs where nothing else is said: lives until it is told to end, and then ends at once.
pub const OBEDIENT: &str = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";

const APPLETS: &[&str] = &[
    "sh", "sleep", "httpd", "nc", "head", "cat", "env", "printf", "echo", "true", "false", "wget", "id", "ls", "mkdir",
    "touch", "test", "hostname", "printenv", "kill",
];

/// Whether Docker and a static busybox are here.
pub fn available() -> bool {
    super::backend::docker() && super::backend::available("busybox", Path::new("/bin/busybox").exists())
}

/// Runs `docker` and returns what it printed; panics where it fails.
pub fn docker<S: AsRef<str>>(arguments: &[S]) -> String {
    let (ok, out, err) = try_docker(arguments);
    let words: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    assert!(ok, "docker {}: {err}", words.join(" "));
    out
}

/// Runs `docker` and returns whether it succeeded and what it printed.
pub fn try_docker<S: AsRef<str>>(arguments: &[S]) -> (bool, String, String) {
    let output =
        Command::new("docker").args(arguments.iter().map(AsRef::as_ref)).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// A name that nothing else on this machine has.
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("tut{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// One environment of its own on the real Engine.
pub struct World {
    pub environment: EnvironmentRef,
    pub provider: DockerProvider,
    pub gate: Gate,
    /// The busybox image's reference.
    pub image: String,
    images: Mutex<BTreeSet<String>>,
    volumes: Mutex<BTreeSet<String>>,
    networks: Mutex<BTreeSet<String>>,
}

impl World {
    pub async fn new() -> World {
        World::with(&[]).await
    }

    /// With settings of the docker provider.
    pub async fn with(settings: &[(&str, &str)]) -> World {
        let name = unique();
        let environment: EnvironmentRef = format!("{name}/test").parse().unwrap();
        let provider = connect(&environment, settings);
        let gate = Gate::open(&environment, "docker").await;
        let world = World {
            environment,
            provider,
            gate,
            image: format!("{name}.localhost/busybox:1"),
            images: Mutex::default(),
            volumes: Mutex::default(),
            networks: Mutex::default(),
        };
        world.import(&world.image, &[COMMAND]);
        world
    }

    pub fn project(&self) -> &str {
        self.environment.project.as_str()
    }

    /// Imports the busybox file system as `tag`; its id is new each time.
    pub fn import(&self, tag: &str, changes: &[&str]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let bin = directory.path().join("bin");
        for folder in ["bin", "tmp", "srv", "www"] {
            std::fs::create_dir(directory.path().join(folder)).unwrap();
        }
        std::fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        std::fs::write(directory.path().join("www/index.html"), "hello\n").unwrap();
        std::fs::write(directory.path().join("unique"), unique()).unwrap();
        let archive = directory.path().join("root.tar");
        let tar = Command::new("tar")
            .args(["-C", directory.path().to_str().unwrap(), "-cf", archive.to_str().unwrap()])
            .args(["bin", "tmp", "srv", "www", "unique"])
            .status()
            .unwrap();
        assert!(tar.success());
        let mut arguments = vec!["import".to_owned()];
        for change in changes {
            arguments.extend(["--change".to_owned(), (*change).to_owned()]);
        }
        arguments.extend([archive.to_str().unwrap().to_owned(), tag.to_owned()]);
        let id = docker(&arguments);
        self.images.lock().unwrap().insert(id.clone());
        id
    }

    /// An image that the test made otherwise, to be removed too.
    pub fn adopt_image(&self, id: &str) {
        self.images.lock().unwrap().insert(id.to_owned());
    }

    /// A volume without the environment's labels, to be removed too.
    pub fn adopt_volume(&self, name: &str) {
        self.volumes.lock().unwrap().insert(name.to_owned());
    }

    /// A network without the environment's labels, to be removed too.
    pub fn adopt_network(&self, name: &str) {
        self.networks.lock().unwrap().insert(name.to_owned());
    }

    /// The leaf `image`, resolved.
    pub async fn image_leaf(&self, image: &str) -> (FieldPath, Value) {
        match self.provider.resolve_image(&image.parse().unwrap(), None).await {
            Observed::Known(value) => (FieldPath::Image, Value::Image(value.into())),
            Observed::Unknown(why) => panic!("{image}: {why}"),
        }
    }

    /// The environment's image and these leaves.
    pub async fn leaves(&self, more: Vec<(FieldPath, Value)>) -> BTreeMap<FieldPath, Value> {
        let mut leaves: BTreeMap<FieldPath, Value> = more.into_iter().collect();
        if !leaves.contains_key(&FieldPath::Image) {
            leaves.extend([self.image_leaf(&self.image).await]);
        }
        leaves
    }

    /// Prepares and starts a replica in a run of its own.
    pub async fn deploy(&self, service: &str, leaves: &BTreeMap<FieldPath, Value>) -> ReplicaId {
        let permit = self.gate.permit().await;
        let id = self.prepare(&permit, service, leaves, &BTreeSet::new(), None).await.unwrap();
        self.provider.start(&permit, &id).await.unwrap();
        self.gate.finish(permit).await;
        id
    }

    pub async fn prepare(
        &self,
        permit: &SyncPermit,
        service: &str,
        leaves: &BTreeMap<FieldPath, Value>,
        withdrawn: &BTreeSet<FieldPath>,
        from: Option<&ReplicaId>,
    ) -> Result<ReplicaId, StepError> {
        self.prepare_with(permit, service, leaves, withdrawn, from, &BTreeMap::new()).await
    }

    pub async fn prepare_with(
        &self,
        permit: &SyncPermit,
        service: &str,
        leaves: &BTreeMap<FieldPath, Value>,
        withdrawn: &BTreeSet<FieldPath>,
        from: Option<&ReplicaId>,
        secrets: &BTreeMap<SecretName, SecretString>,
    ) -> Result<ReplicaId, StepError> {
        let service: ServiceName = service.parse().unwrap();
        let spec = ReplicaSpec {
            service: &service,
            index: 1,
            release: permit.run(),
            commit: None,
            leaves,
            withdrawn,
            secrets,
            from,
        };
        self.provider.prepare(permit, &spec, &Lines::default()).await
    }

    /// Replaces a replica: prepare, stop, start, remove.
    pub async fn replace(
        &self,
        service: &str,
        leaves: &BTreeMap<FieldPath, Value>,
        withdrawn: &BTreeSet<FieldPath>,
        old: &ReplicaId,
    ) -> ReplicaId {
        let permit = self.gate.permit().await;
        let id = self.prepare(&permit, service, leaves, withdrawn, Some(old)).await.unwrap();
        self.provider.stop(&permit, old).await.unwrap();
        self.provider.start(&permit, &id).await.unwrap();
        self.provider.remove(&permit, old).await.unwrap();
        self.gate.finish(permit).await;
        id
    }

    pub async fn services(&self) -> BTreeMap<ServiceName, LiveService> {
        known(self.provider.observe().await)
    }

    /// The only replica of a service.
    pub async fn replica(&self, service: &str) -> LiveReplica {
        let services = self.services().await;
        let found = services.get(&service.parse::<ServiceName>().unwrap());
        let replicas = found.map(|service| service.replicas.clone()).unwrap_or_default();
        assert_eq!(replicas.len(), 1, "{service}: {replicas:?}");
        replicas.into_iter().next().unwrap()
    }

    /// The arguments of `docker run` for the labels of a replica.
    pub fn label_arguments(&self, service: &str) -> Vec<String> {
        [
            ("dev.trueup.project", self.project()),
            ("dev.trueup.environment", self.environment.environment.as_str()),
            ("dev.trueup.service", service),
            ("dev.trueup.release", "1"),
            ("dev.trueup.replica", "1"),
        ]
        .iter()
        .flat_map(|(key, value)| ["--label".to_owned(), format!("{key}={value}")])
        .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let filter = format!("label=dev.trueup.project={}", self.project());
        let ids = |arguments: &[&str]| -> Vec<String> {
            try_docker(arguments).1.split_whitespace().map(str::to_owned).collect()
        };
        let containers = ids(&["ps", "-aq", "--no-trunc", "--filter", &filter]);
        let mut volumes = self.volumes.lock().unwrap().clone();
        for id in &containers {
            let names = "{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}} {{end}}{{end}}";
            volumes.extend(ids(&["inspect", "--format", names, id]));
        }
        for (list, remove) in [
            (vec!["ps", "-aq", "--no-trunc", "--filter", &filter], vec!["rm", "-f"]),
            (vec!["network", "ls", "-q", "--filter", &filter], vec!["network", "rm"]),
            (vec!["volume", "ls", "-q", "--filter", &filter], vec!["volume", "rm"]),
        ] {
            for id in ids(&list) {
                try_docker(&[remove.clone(), vec![&id]].concat());
            }
        }
        for volume in &volumes {
            try_docker(&["volume", "rm", volume]);
        }
        for network in self.networks.lock().unwrap().iter() {
            try_docker(&["network", "rm", network]);
        }
        for image in self.images.lock().unwrap().iter() {
            try_docker(&["rmi", "-f", image]);
        }
    }
}

/// The provider of an environment, with passwords from `env://` names that map to themselves.
pub fn connect(environment: &EnvironmentRef, settings: &[(&str, &str)]) -> DockerProvider {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    DockerProvider::connect(environment.clone(), &settings, Arc::new(Passwords)).unwrap()
}

/// `env://NAME` is `NAME`'s own text.
pub struct Passwords;

#[async_trait]
impl Credentials for Passwords {
    async fn password(&self, reference: &AuthRef, _: &str) -> Result<SecretString, String> {
        match reference {
            AuthRef::Env(name) => Ok(name.clone().into()),
            AuthRef::File(path) => Err(format!("no file {path} in tests")),
        }
    }
}

/// Progress, kept.
#[derive(Default)]
pub struct Lines(pub Mutex<Vec<String>>);

impl Progress for Lines {
    fn line(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

pub fn known(live: Live) -> BTreeMap<ServiceName, LiveService> {
    match live.services {
        Observed::Known(services) => services,
        Observed::Unknown(why) => panic!("{why}"),
    }
}

/// The fields in which two replicas differ, in value or in who supplies it.
pub fn difference(a: &LiveReplica, b: &LiveReplica) -> BTreeSet<FieldPath> {
    let fields: BTreeSet<&FieldPath> = a.leaves.keys().chain(b.leaves.keys()).collect();
    let same = |field: &FieldPath| match (a.leaves.get(field), b.leaves.get(field)) {
        (Some(Observed::Known(a)), Some(Observed::Known(b))) => a.supplied == b.supplied && a.value.same(&b.value),
        (a, b) => a == b,
    };
    fields.into_iter().filter(|field| !same(field)).cloned().collect()
}

/// Tries until it holds, at most ten seconds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn text(value: &str) -> Value {
    Value::Text(value.into())
}

pub fn words(list: &[&str]) -> Value {
    Value::Words(list.iter().map(|word| (*word).to_owned()).collect())
}

pub fn named(name: &str) -> Value {
    Value::Volume(VolumeMount { source: VolumeSource::Named(name.into()), read_only: false })
}
