//! The keys of a service. What stands here is the file's reference: the schema and docs/file.md say it word for word.

use crate::declared::env::EnvValue;
use crate::declared::health::Health;
use crate::declared::ports::PublishedPort;
use crate::declared::scalar::{PortNumber, ReplicaCount};
use crate::declared::shape::{Leaf, List, Named, keys};
use crate::declared::text::{EnvKey, FreeText, GlobText, LabelKey, UserName, WorkingDir};
use crate::declared::volumes::Volume;
use crate::declared::words::Words;
use crate::ids::ServiceName;
use crate::live::image::ImageValue;
use crate::live::quantity::{Bytes, Millis, NanoCpus};
use crate::live::value::{PullPolicy, RestartPolicy, Strategy};

keys! {
    /// One long-running workload. Only what is written is declared: a key that is left out is unmanaged, never compared
    /// and never touched.
    Service is "a service" {
        /// The container image, `[registry/]repository[:tag][@digest]`. Docker Hub and `latest` where nothing else is
        /// written.
        image: Leaf<ImageValue> = "registry.acme.dev/shop/web:1.2",
        /// Globs over the repository's files: the service's code. `{{ .Source }}` is the hash of what they match; with a
        /// provider that runs the code itself, a changed hash is drift. A directory means all beneath it; a pattern that
        /// begins with `!` takes out what it matches; the last one that matches decides. Default: everything beneath
        /// `working_dir` where that is relative, else the whole repository, this file left out.
        source: List<Leaf<GlobText>> = ["src/**", "Dockerfile", "!**/*.md"],
        /// What runs before `command`'s words, in place of the image's entry point: a list of words, or one text that is
        /// split at its spaces as a shell does it. No shell runs it.
        entrypoint: Words = ["/usr/bin/tini", "--"],
        /// The words after the entry point, in place of the image's: a list of words, or one text that is split at its
        /// spaces as a shell does it. No shell runs it.
        command: Words = ["serve", "--port", "8080"],
        /// The user that the process runs as, `user[:group]` by name or number, in place of the image's.
        user: Leaf<UserName> = "1000:1000",
        /// The process's directory: absolute in a container; relative to the repository where the provider runs its code
        /// itself.
        working_dir: Leaf<WorkingDir> = "/app",
        /// How long a stop may take before it becomes a kill. Default: 10s.
        stop_grace_period: Leaf<Millis> = "30s",
        /// Services of this environment that must be healthy before this one starts.
        depends_on: List<Leaf<ServiceName>> = ["database"],
        /// When the image's tag is resolved and pulled: `always` asks its registry for every plan, `if-not-present` takes
        /// what the engine has, `never` never pulls. Default: `always`, but for an image that was made on the engine itself.
        pull: Leaf<PullPolicy> = "always",
        /// Where the process listens; what health checks dial. Never published by itself: that is `ports`.
        port: Leaf<PortNumber> = 8080,
        /// Ports published on the host, each `[ip:][host:]container[/protocol]`. Without a host port, a free one is taken.
        /// With a fixed one, the service has one replica.
        ports: List<Leaf<PublishedPort>> = ["127.0.0.1:8080:80/tcp"],
        /// Environment variables: text, `{ secret: name }`, or `{ value: text, plain: true }` for what looks like a secret
        /// and is none.
        env: Named<EnvKey, EnvValue> = { "LOG_LEVEL": "info", "DATABASE_URL": { "secret": "database-url" } },
        /// How to tell whether a replica is healthy: a path such as `/healthz`, or a map.
        healthcheck: Health = "/healthz",
        /// Limits of each replica.
        resources: Resources = { "cpu_limit": 0.5, "memory_limit": "256Mi" },
        /// How many replicas run, 1 to 1000. Default: 1.
        replicas: Leaf<ReplicaCount> = 3,
        /// Mounts, each `name:/path`, `name:/path:ro`, `/host/path:/path`, or a map.
        volumes: List<Volume> = ["data:/var/lib/shop"],
        /// Labels. Those that begin with `dev.trueup` are Trueup's own.
        labels: Named<LabelKey, Leaf<FreeText>> = { "team": "shop" },
        /// What happens when the process ends by itself: `always`, `unless-stopped`, `on-failure`, `on-failure:5` or
        /// `"no"` (in quotes: without them it is a boolean to YAML). Default when it is created: `unless-stopped`.
        restart: Leaf<RestartPolicy> = "unless-stopped",
        /// How a new release takes the place of the old one.
        deploy: Deploy = { "strategy": "recreate" },
    }
    required {}
    later ["build"]
    foreign {
        "environment" => "write `env`",
        "envs" => "write `env`",
        "env_file" => "write the variables under `env`",
        "pull_policy" => "write `pull`",
        "imagePullPolicy" => "write `pull`",
        "cmd" => "write `command`",
        "args" => "write `command`",
        "cpus" => "write `resources: { cpu_limit: … }`",
        "cpu_limit" => "write `resources: { cpu_limit: … }`",
        "memory" => "write `resources: { memory_limit: … }`",
        "mem_limit" => "write `resources: { memory_limit: … }`",
        "memory_limit" => "write `resources: { memory_limit: … }`",
        "expose" => "write `port` for where the process listens; only `ports` publishes",
        "scale" => "write `replicas`",
        "instances" => "write `replicas`",
        "max_instances" => "write `replicas`",
        "secrets" => "name a secret where it is used: `env: { NAME: { secret: its-name } }`",
        "deploy_strategy" => "write `deploy: { strategy: … }`",
        "strategy" => "write `deploy: { strategy: … }`",
        "restart_policy" => "write `restart`",
        "stop_timeout" => "write `stop_grace_period`",
        "container_name" => "remove it: Trueup names replicas, and others reach them by the service's name",
        "hostname" => "remove it: others reach a service by its name",
        "networks" => "remove it: all services of an environment share one network",
        "network_mode" => "remove it: all services of an environment share one network",
        "privileged" => "remove it: a service has no rights beyond its container",
        "devices" => "remove it: devices need the operator's word, and that is not supported yet",
        "cap_add" => "remove it: a service has no rights beyond its container",
    }
}

keys! {
    /// Limits of each replica.
    Resources is "resources" {
        /// CPUs, as `0.5`, `2` or `500m`. Without it there is no limit.
        cpu_limit: Leaf<NanoCpus> = 0.5,
        /// Memory, as `256Mi`, `1.5Gi` or `512M`; a bare number is MiB. Without it there is no limit.
        memory_limit: Leaf<Bytes> = "256Mi",
    }
    required {}
    later []
    foreign {
        "cpu" => "write `cpu_limit`",
        "cpus" => "write `cpu_limit`",
        "memory" => "write `memory_limit`",
        "limits" => "write `cpu_limit` and `memory_limit` here",
        "requests" => "remove it: there are limits only",
    }
}

keys! {
    /// How a new release takes the place of the old one.
    Deploy is "a deploy policy" {
        /// `recreate`: the new replica is prepared, the old one stopped, the new one started and checked; where that
        /// fails, the old one runs again. Default: `recreate`.
        strategy: Leaf<Strategy> = "recreate",
        /// Whether a failed deploy brings the old release back. Always so: `false` is refused, as it would leave the
        /// service down, and what the failed replica said last is kept with the run. Default: true.
        rollback_on_failure: Leaf<bool> = true,
    }
    required {}
    later ["rolling", "canary", "blue_green"]
    foreign {
        "replicas" => "write `replicas` beside `deploy`",
        "resources" => "write `resources` beside `deploy`",
        "type" => "write `strategy`",
    }
}
