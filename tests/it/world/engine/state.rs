//! What the fake engine holds, and the engine's own rules about it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Fault;

/// Containers, images, networks, volumes.
pub struct State {
    /// Inspections by id.
    pub containers: BTreeMap<String, Value>,
    /// Inspections by id (`sha256:…`).
    pub images: BTreeMap<String, Value>,
    /// Image ids by name (`registry/repository:tag` or `@digest`).
    pub names: BTreeMap<String, String>,
    /// What registries have: image id by name.
    pub remote: BTreeMap<String, String>,
    pub networks: BTreeMap<String, Value>,
    pub volumes: BTreeMap<String, Value>,
    /// Output by container.
    pub logs: BTreeMap<String, Vec<String>>,
    /// Exit codes and output of commands by their first word; others are not found.
    pub commands: BTreeMap<String, (i64, String)>,
    /// What `/version` says.
    pub version: Value,
    pub info: Value,
    pub calls: Vec<String>,
    pub unexpected: Vec<String>,
    pub(super) faults: Vec<(String, usize, Fault)>,
    pub(super) execs: BTreeMap<String, (i64, String)>,
    next: u64,
}

/// Why the engine says no: status and message.
pub type No = (u16, String);

const CREATE_KEYS: &[&str] = &[
    "Hostname",
    "Domainname",
    "User",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "ExposedPorts",
    "Env",
    "Cmd",
    "Healthcheck",
    "Image",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "NetworkDisabled",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "Shell",
    "HostConfig",
    "NetworkingConfig",
];

impl State {
    pub(super) fn new() -> State {
        let mut state = State {
            containers: BTreeMap::new(),
            images: BTreeMap::new(),
            names: BTreeMap::new(),
            remote: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            logs: BTreeMap::new(),
            commands: BTreeMap::new(),
            version: json!({"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12",
                "Components": [{"Name": "Engine", "Version": "20.10.24"}]}),
            info: json!({"Name": "fake-engine-host", "Driver": "overlay2", "MemoryLimit": true, "CpuCfsQuota": true,
                "ServerVersion": "20.10.24"}),
            calls: Vec::new(),
            unexpected: Vec::new(),
            faults: Vec::new(),
            execs: BTreeMap::new(),
            next: 1,
        };
        state.add_network("bridge", "172.17.0.0/16", json!({}));
        state
    }

    pub(super) fn id(&mut self) -> String {
        self.next += 1;
        format!("{:064x}", self.next)
    }

    pub fn add_network(&mut self, name: &str, subnet: &str, labels: Value) -> String {
        let id = self.id();
        let gateway = subnet.replace("0.0/16", "0.1");
        let network = json!({"Id": id, "Name": name, "Driver": "bridge", "Scope": "local", "Labels": labels,
            "IPAM": {"Driver": "default", "Config": [{"Subnet": subnet, "Gateway": gateway}]}});
        self.networks.insert(name.to_owned(), network);
        id
    }

    /// An image under a name, with its `Config` and the digests that registries know it by.
    pub fn add_image(&mut self, name: &str, config: Value, digests: &[&str]) -> String {
        // Podman writes ids without their algorithm.
        let id = if self.is_podman() { self.id() } else { format!("sha256:{}", self.id()) };
        let tag = self.next;
        let inspect = json!({"Id": id, "RepoTags": [name], "RepoDigests": digests, "Config": config,
            "Architecture": "amd64", "Os": "linux", "Size": tag});
        self.images.insert(id.clone(), inspect);
        self.names.insert(name.to_owned(), id.clone());
        for digest in digests {
            self.names.insert((*digest).to_owned(), id.clone());
        }
        id
    }

    /// The image that a name or id means.
    pub fn image(&self, name: &str) -> Option<&Value> {
        let without_tag = match name.split_once('@') {
            // With a digest the tag does not count.
            Some((tagged, digest)) => {
                let slash = tagged.rfind('/').map_or(0, |slash| slash + 1);
                let colon = tagged[slash..].find(':').map_or(tagged.len(), |colon| slash + colon);
                format!("{}@{digest}", &tagged[..colon])
            }
            None => name.to_owned(),
        };
        let by_name = || self.images.get(self.names.get(&without_tag)?);
        // By id both ways of writing it are taken.
        let by_other_id = || self.images.get(name.strip_prefix("sha256:")?);
        self.images.get(name).or_else(by_other_id).or_else(by_name)
    }

    fn is_podman(&self) -> bool {
        self.version["Components"][0]["Name"] == "Podman Engine"
    }

    /// Answers as Podman's socket does: another name, its own version, ids without their algorithm.
    pub fn dress_as_podman(&mut self) {
        self.version = json!({"Version": "4.3.1", "ApiVersion": "1.41", "MinAPIVersion": "1.24",
            "Components": [{"Name": "Podman Engine", "Version": "4.3.1"}]});
    }

    /// Creates a container as the engine does, merging the image's configuration into the body's.
    pub fn create(&mut self, name: &str, body: &Value) -> Result<String, No> {
        let body = body.as_object().ok_or((400, "the body is no object".to_owned()))?;
        if let Some(key) = body.keys().find(|key| !CREATE_KEYS.contains(&key.as_str())) {
            self.unexpected.push(format!("create with the key {key}"));
            return Err((400, format!("unknown key {key}")));
        }
        let wanted = body.get("Image").and_then(Value::as_str).unwrap_or_default().to_owned();
        let image = self.image(&wanted).cloned().ok_or((404, format!("No such image: {wanted}")))?;
        let named = format!("/{name}");
        if let Some((id, _)) = self.containers.iter().find(|(_, container)| container["Name"] == named.as_str()) {
            return Err((
                409,
                format!("Conflict. The container name \"{named}\" is already in use by container \"{id}\"."),
            ));
        }
        let host = body.get("HostConfig").cloned().unwrap_or(json!({}));
        let network = host["NetworkMode"].as_str().unwrap_or("default").to_owned();
        let known = ["default", "host", "none"].contains(&network.as_str()) || network.starts_with("container:");
        if !known && !self.networks.contains_key(&network) {
            return Err((404, format!("network {network} not found")));
        }
        let id = self.id();
        let mut config: Map<String, Value> =
            body.iter().filter(|(key, _)| *key != "HostConfig" && *key != "NetworkingConfig").map(clone).collect();
        merge_image(&mut config, &image["Config"]);
        let endpoints = body.get("NetworkingConfig").map(|all| all["EndpointsConfig"].clone());
        let mounts = self.mounts(&host, &image["Config"]);
        let container = json!({
            "Id": id, "Name": named, "Image": image["Id"], "Created": "2026-01-01T00:00:00Z", "RestartCount": 0,
            "State": {"Status": "created", "Running": false, "Paused": false, "Restarting": false, "OOMKilled": false,
                "Dead": false, "Pid": 0, "ExitCode": 0, "Error": "", "StartedAt": "0001-01-01T00:00:00Z",
                "FinishedAt": "0001-01-01T00:00:00Z"},
            "Config": config, "HostConfig": host, "Mounts": mounts,
            "NetworkSettings": {"Networks": endpoints.unwrap_or(json!({}))},
        });
        self.containers.insert(id.clone(), container);
        Ok(id)
    }

    fn mounts(&mut self, host: &Value, image: &Value) -> Vec<Value> {
        let mut mounts = Vec::new();
        let mut taken = BTreeSet::new();
        for bind in host["Binds"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let mut parts = bind.split(':');
            let (source, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let kind = if source.starts_with('/') { "bind" } else { "volume" };
            taken.insert(target.to_owned());
            mounts.push(json!({"Type": kind, "Name": source, "Source": source, "Destination": target,
                "RW": parts.next() != Some("ro")}));
        }
        for mount in host["Mounts"].as_array().into_iter().flatten() {
            taken.insert(mount["Target"].as_str().unwrap_or_default().to_owned());
            mounts.push(json!({"Type": mount["Type"], "Name": mount["Source"], "Source": mount["Source"],
                "Destination": mount["Target"], "RW": mount["ReadOnly"] != true}));
        }
        for path in image["Volumes"].as_object().into_iter().flatten().map(|(path, _)| path.clone()) {
            if taken.insert(path.clone()) {
                let name = self.id();
                mounts.push(json!({"Type": "volume", "Name": name, "Source": "", "Destination": path, "RW": true}));
            }
        }
        mounts
    }

    /// The container that an id or a name means.
    pub fn container(&mut self, id: &str) -> Result<&mut Value, No> {
        let named = format!("/{id}");
        let found = self.containers.iter().find(|(key, container)| *key == id || container["Name"] == named.as_str());
        let key = found.map(|(key, _)| key.clone()).ok_or((404, format!("No such container: {id}")))?;
        self.containers.get_mut(&key).ok_or((404, format!("No such container: {id}")))
    }

    /// Sets a container's state by its word.
    pub fn set_status(&mut self, id: &str, status: &str, code: i64) -> Result<(), No> {
        let state = &mut self.container(id)?["State"];
        state["Status"] = json!(status);
        state["Running"] = json!(matches!(status, "running" | "paused"));
        state["Paused"] = json!(status == "paused");
        state["ExitCode"] = json!(code);
        if status == "running" {
            state["StartedAt"] = json!("2026-01-01T00:00:00Z");
        }
        Ok(())
    }

    /// A container that was made and started, in one step.
    pub fn run(&mut self, name: &str, body: &Value) -> String {
        let id = self.create(name, body).unwrap();
        self.set_status(&id, "running", 0).unwrap();
        id
    }
}

fn clone((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

/// daemon/commit.go, `merge`: what the body leaves open is the image's.
fn merge_image(config: &mut Map<String, Value>, image: &Value) {
    let empty = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    if empty(config.get("Entrypoint")) {
        if empty(config.get("Cmd")) {
            config.insert("Cmd".into(), image["Cmd"].clone());
        }
        config.insert("Entrypoint".into(), image["Entrypoint"].clone());
    } else if config.get("Entrypoint") == Some(&json!([""])) {
        config.insert("Entrypoint".into(), Value::Null);
    }
    for key in ["User", "WorkingDir", "StopSignal", "Healthcheck"] {
        if empty(config.get(key)) && !image[key].is_null() {
            config.insert(key.into(), image[key].clone());
        }
    }
    let own = config.get("Env").and_then(Value::as_array).cloned().unwrap_or_default();
    let name = |entry: &Value| entry.as_str().unwrap_or_default().split('=').next().unwrap_or_default().to_owned();
    let names: BTreeSet<String> = own.iter().map(name).collect();
    let inherited = image["Env"].as_array().into_iter().flatten().filter(|entry| !names.contains(&name(entry)));
    let env: Vec<Value> = own.iter().chain(inherited).cloned().collect();
    config.insert("Env".into(), env.into());
    let mut labels = image["Labels"].as_object().cloned().unwrap_or_default();
    labels.extend(config.get("Labels").and_then(Value::as_object).cloned().unwrap_or_default());
    config.insert("Labels".into(), labels.into());
}
