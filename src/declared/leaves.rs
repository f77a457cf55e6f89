//! A service as it was read → its leaves in normal form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::declared::env::EnvValue;
use crate::declared::health::{Health, Healthcheck};
use crate::declared::ports::PublishedPort;
use crate::declared::problem::{Place, Stretch};
use crate::declared::reader::{OPERATOR, Origin};
use crate::declared::service::{Deploy, Resources, Service};
use crate::declared::shape::Leaf;
use crate::declared::source::Code;
use crate::declared::volumes::{Source, Volume};
use crate::declared::words::Words;
use crate::declared::{DeclaredLeaf, DeclaredService, Position};
use crate::ids::{EnvironmentName, ProjectName};
use crate::live::field::FieldPath;
use crate::live::value::{SecretValue, Value, VolumeMount, VolumeSource};

/// What [`FieldPath::Stopped`] says was written for it.
const IMPLIED: &str = "(implied)";

/// What turning a service into leaves takes beside the service.
pub(crate) struct Naming<'a> {
    pub(crate) project: &'a ProjectName,
    pub(crate) environment: &'a EnvironmentName,
    pub(crate) file: &'a str,
    /// Where the `deploy` block stands that calls for a registered service: what was registered is shown there.
    pub(crate) deploy: Option<Stretch>,
}

struct Leaves<'a> {
    naming: &'a Naming<'a>,
    leaves: BTreeMap<FieldPath, DeclaredLeaf>,
}

/// The leaves of a service that begins at `at`. `source` is its code, where that is a leaf.
pub(crate) fn of(service: Service, at: &Place, source: Option<Code>, naming: &Naming<'_>) -> DeclaredService {
    let mut leaves = Leaves { naming, leaves: BTreeMap::new() };
    let Service {
        image,
        source: globs,
        entrypoint,
        command,
        user,
        working_dir,
        stop_grace_period,
        depends_on,
        pull,
        port,
        ports,
        env,
        healthcheck,
        resources,
        replicas,
        volumes,
        labels,
        restart,
        deploy,
    } = service;

    let implied = Origin { written: IMPLIED.to_owned(), uses_commit: false, place: at.clone() };
    leaves.add(FieldPath::Stopped, Value::Flag(false), implied);
    leaves.scalar(FieldPath::Image, image, |image| Value::Image(image.into()));
    if let Some(code) = source {
        let place = globs.as_ref().map_or(at, |globs| &globs.place).clone();
        let origin = Origin { written: code.written(), uses_commit: false, place };
        leaves.add(FieldPath::Source, Value::Source(code.hash), origin);
    }
    leaves.words(FieldPath::Entrypoint, entrypoint);
    leaves.words(FieldPath::Command, command);
    leaves.scalar(FieldPath::User, user, |user| Value::Text(user.0.into()));
    leaves.scalar(FieldPath::WorkingDir, working_dir, |path| Value::Text(path.0.into()));
    leaves.scalar(FieldPath::StopGracePeriod, stop_grace_period, Value::Duration);
    if let Some(list) = depends_on {
        let origin = Origin::join(&list.place, list.items.iter().map(|item| &item.origin), |parts| parts.join(", "));
        let names: BTreeSet<_> = list.items.into_iter().map(|item| item.value).collect();
        leaves.add(FieldPath::DependsOn, Value::Services(names.into()), origin);
    }
    leaves.scalar(FieldPath::Pull, pull, Value::Pull);
    leaves.scalar(FieldPath::Port, port, |port| Value::Integer(port.0.into()));
    for port in ports.into_iter().flat_map(|ports| ports.items) {
        leaves.port(port);
    }
    for entry in env.into_iter().flat_map(|env| env.entries) {
        let field = FieldPath::Env(entry.key.0.into());
        match entry.value {
            Some(EnvValue::Plain { text, plain: _, place: _ }) => {
                leaves.scalar(field, text, |text| Value::Text(text.0.into()))
            }
            Some(EnvValue::Secret(name)) => {
                leaves.scalar(field, Some(name), |name| {
                    Value::Secret(SecretValue { name: Some(name), fingerprint: None })
                });
            }
            None => {}
        }
    }
    if let Some(Health(check)) = healthcheck {
        leaves.health(check);
    }
    if let Some(Resources { cpu_limit, memory_limit }) = resources {
        leaves.scalar(FieldPath::CpuLimit, cpu_limit, Value::Cpu);
        leaves.scalar(FieldPath::MemoryLimit, memory_limit, Value::Memory);
    }
    leaves.scalar(FieldPath::Replicas, replicas, |count| Value::Integer(count.0));
    for volume in volumes.into_iter().flat_map(|volumes| volumes.items) {
        leaves.volume(volume);
    }
    for entry in labels.into_iter().flat_map(|labels| labels.entries) {
        leaves.scalar(FieldPath::Labels(entry.key.0.into()), entry.value, |text| Value::Text(text.0.into()));
    }
    leaves.scalar(FieldPath::Restart, restart, Value::Restart);
    if let Some(Deploy { strategy, rollback_on_failure }) = deploy {
        leaves.scalar(FieldPath::DeployStrategy, strategy, Value::Strategy);
        leaves.scalar(FieldPath::RollbackOnFailure, rollback_on_failure, Value::Flag);
    }
    let at = leaves.position(at);
    DeclaredService { leaves: leaves.leaves, at }
}

impl Leaves<'_> {
    fn position(&self, place: &Place) -> Position {
        match (place, self.naming.deploy) {
            (Place::File(stretch), _) => stretch.position(self.naming.file),
            (Place::Registered(_), Some(stretch)) => stretch.position(self.naming.file),
            (Place::Registered(_), None) => Position { file: self.naming.file.into(), line: 1, column: 1 },
        }
    }

    fn add(&mut self, field: FieldPath, value: Value, origin: Origin) {
        let Origin { written, uses_commit, place } = origin;
        let at = self.position(&place);
        self.leaves.insert(field, DeclaredLeaf { value, written: written.into(), uses_commit, at });
    }

    fn scalar<T>(&mut self, field: FieldPath, leaf: Option<Leaf<T>>, value: impl FnOnce(T) -> Value) {
        if let Some(leaf) = leaf {
            self.add(field, value(leaf.value), leaf.origin);
        }
    }

    fn words(&mut self, field: FieldPath, words: Option<Words>) {
        if let Some(Words { words, origin }) = words {
            self.add(field, Value::Words(words.into()), origin);
        }
    }

    /// All bindings of one container port are one leaf, at the place of the first.
    fn port(&mut self, port: Leaf<PublishedPort>) {
        let field = FieldPath::Ports(port.value.key().into());
        let Leaf { value: PublishedPort { binding, .. }, origin } = port;
        match self.leaves.get_mut(&field) {
            Some(DeclaredLeaf { value: Value::Ports(bindings), written, uses_commit, at: _ }) => {
                Arc::make_mut(bindings).insert(binding);
                *uses_commit |= origin.uses_commit;
                // What the operator registered stays one word.
                if !(written == OPERATOR && origin.written == OPERATOR) {
                    *written = format!("{written}, {}", origin.written).into();
                }
            }
            _ => self.add(field, Value::Ports(Arc::new([binding].into())), origin),
        }
    }

    fn volume(&mut self, volume: Volume) {
        let Volume { source, target, read_only, origin } = volume;
        let source = match source {
            Source::Named(name) => {
                VolumeSource::Named(format!("{}-{}-{name}", self.naming.project, self.naming.environment).into())
            }
            Source::External(name) => VolumeSource::External(name.into()),
            Source::Host(path) => VolumeSource::Host(path.into()),
        };
        self.add(FieldPath::Volumes(target.into()), Value::Volume(VolumeMount { source, read_only }), origin);
    }

    fn health(&mut self, check: Healthcheck) {
        let Healthcheck {
            path,
            port,
            command,
            interval,
            timeout,
            start_period,
            healthy_threshold,
            unhealthy_threshold,
        } = check;
        self.scalar(FieldPath::HealthPath, path, |path| Value::Text(path.0.into()));
        self.scalar(FieldPath::HealthPort, port, |port| Value::Integer(port.0.into()));
        self.words(FieldPath::HealthCommand, command);
        self.scalar(FieldPath::HealthInterval, interval, |interval| Value::Duration(interval.0));
        self.scalar(FieldPath::HealthTimeout, timeout, |timeout| Value::Duration(timeout.0));
        self.scalar(FieldPath::HealthStartPeriod, start_period, Value::Duration);
        self.scalar(FieldPath::HealthyThreshold, healthy_threshold, |threshold| Value::Integer(threshold.0));
        self.scalar(FieldPath::UnhealthyThreshold, unhealthy_threshold, |threshold| Value::Integer(threshold.0));
    }
}
