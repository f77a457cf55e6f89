//! The file's top: its two forms.

use crate::declared::health::{Health, Healthcheck};
use crate::declared::scalar::{FileVersion, PortNumber, ReplicaCount, ShortStrategy};
use crate::declared::service::{Deploy, Resources, Service};
use crate::declared::shape::{Leaf, Named, keys};
use crate::ids::{EnvironmentName, ServiceName};

keys! {
    /// What a repository declares: services by environment, or, for a repository of one service that the operator
    /// registered, one `deploy` block.
    Document is "the file" {
        /// The format of this file: 1.
        version: Leaf<FileVersion> = 1,
        /// The environments. Each must exist in the daemon: the file can neither create one nor point it elsewhere.
        environments: Named<EnvironmentName, Environment> = { "production": { "services": { "web": { "image": "nginx:1.27" } } } },
        /// The short form: laid over the one service that the operator registered with `trueup service set`.
        deploy: ShortForm = { "port": 8080, "healthcheck": "/healthz" },
    }
    required {
        "version" => "write `version: 1` on the first line",
    }
    later ["pipelines"]
    foreign {
        "services" => "put it under its environment: `environments: { production: { services: … } }`",
        "name" => "remove it: the operator names the project",
        "kind" => "this file has `version`, and `environments` or `deploy`",
        "apiVersion" => "this file has `version`, and `environments` or `deploy`",
    }
}

keys! {
    /// One environment's part of the file.
    Environment is "an environment" {
        /// The services. Without this key nothing is declared, and nothing that runs is called an orphan; `services: {}`
        /// declares that none should run.
        services: Named<ServiceName, Service> = { "web": { "image": "nginx:1.27" } },
    }
    required {}
    later []
    foreign {
        "provider" => "remove it: where an environment runs is the operator's to say",
        "secrets" => "remove it: an operator gives the environment its secrets; services name them under `env`",
    }
}

keys! {
    /// The short form: one service, whose image the operator registered.
    ShortForm is "the `deploy` block" {
        /// Where the process listens; what health checks dial.
        port: Leaf<PortNumber> = 8080,
        /// How to tell whether a replica is healthy: a path such as `/healthz`, or a map. Takes the place of the
        /// registered probe; registered timings that are not written here stay.
        healthcheck: Health = "/healthz",
        /// How a new release takes the place of the old one: `recreate`, which `""` means too.
        deploy_strategy: Leaf<ShortStrategy> = "recreate",
        /// Limits of each replica.
        resources: Resources = { "cpu_limit": 0.5, "memory_limit": 256 },
        /// How many replicas run, 1 to 1000.
        max_instances: Leaf<ReplicaCount> = 3,
    }
    required {}
    later ["rolling", "canary", "blue_green"]
    foreign {
        "replicas" => "write `max_instances`",
        "strategy" => "write `deploy_strategy`",
        "image" => "an operator registers it with `trueup service set`; or write the file with `environments`",
        "env" => "an operator registers it with `trueup service set`; or write the file with `environments`",
    }
}

impl ShortForm {
    /// Lays the block over the service that the operator registered.
    pub(crate) fn over(self, mut service: Service) -> Service {
        let ShortForm { port, healthcheck, deploy_strategy, resources, max_instances } = self;
        service.port = port.or(service.port);
        service.replicas = max_instances.or(service.replicas);
        if let Some(Resources { cpu_limit, memory_limit }) = resources {
            let registered = service.resources.unwrap_or(Resources { cpu_limit: None, memory_limit: None });
            service.resources = Some(Resources {
                cpu_limit: cpu_limit.or(registered.cpu_limit),
                memory_limit: memory_limit.or(registered.memory_limit),
            });
        }
        if let Some(strategy) = deploy_strategy {
            let registered = service.deploy.unwrap_or(Deploy { strategy: None, rollback_on_failure: None });
            let Leaf { value: ShortStrategy(value), origin } = strategy;
            service.deploy = Some(Deploy { strategy: Some(Leaf { value, origin }), ..registered });
        }
        if let Some(Health(check)) = healthcheck {
            service.healthcheck = Some(Health(match service.healthcheck {
                None => check,
                Some(Health(registered)) => over(check, registered),
            }));
        }
        service
    }
}

/// A probe takes the place of the registered one as a whole; timings do so one by one.
fn over(check: Healthcheck, registered: Healthcheck) -> Healthcheck {
    let probes = check.path.is_some() || check.port.is_some() || check.command.is_some();
    let (path, port, command) = if probes {
        (check.path, check.port, check.command)
    } else {
        (registered.path, registered.port, registered.command)
    };
    Healthcheck {
        path,
        port,
        command,
        interval: check.interval.or(registered.interval),
        timeout: check.timeout.or(registered.timeout),
        start_period: check.start_period.or(registered.start_period),
        healthy_threshold: check.healthy_threshold.or(registered.healthy_threshold),
        unhealthy_threshold: check.unhealthy_threshold.or(registered.unhealthy_threshold),
    }
}
