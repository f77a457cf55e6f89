//! The canonical form that a plan's digest is taken over: a byte string that no two different plans share.
//!
//! Every text, list and map is preceded by its length and every choice by a number, so nothing can be read in two ways.
//! Numbers are little-endian; a length is one byte, or eight after `ff`. The numbers of choices below are part of the
//! form: changing one, or the order of anything, takes a new [`crate::plan::PLAN_FORMAT`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ring::digest::{Context, SHA256};

use crate::drift::BaseLeaf;
use crate::ids::PlanDigest;
use crate::live::field::FieldPath;
use crate::live::image::{ContentDigest, ImageRef, ImageValue};
use crate::live::value::{PortBinding, RestartPolicy, SecretValue, Value, VolumeMount, VolumeSource};

/// How much is gathered before it is hashed.
const CHUNK: usize = 32 * 1024;

/// Takes the canonical form piece by piece and hashes it as it comes.
pub(super) struct Canonical {
    hash: Context,
    gathered: Vec<u8>,
}

impl Canonical {
    pub(super) fn new() -> Self {
        Canonical { hash: Context::new(&SHA256), gathered: Vec::with_capacity(CHUNK + 1024) }
    }

    pub(super) fn finish(mut self) -> PlanDigest {
        self.hash.update(&self.gathered);
        let hash = self.hash.finish();
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        hex.parse().expect("SHA-256 is 64 hexadecimal digits")
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= CHUNK {
            self.hash.update(&self.gathered);
            self.gathered.clear();
        }
    }

    /// Which of several things follows.
    pub(super) fn choice(&mut self, number: u8) {
        self.bytes(&[number]);
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.choice(u8::from(flag));
    }

    pub(super) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// How many things, or bytes, follow.
    pub(super) fn length(&mut self, length: usize) {
        match u8::try_from(length) {
            Ok(short) if short < u8::MAX => self.choice(short),
            Ok(_) | Err(_) => {
                self.choice(u8::MAX);
                self.number(length as u64);
            }
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.length(text.len());
        self.bytes(text.as_bytes());
    }

    pub(super) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn field(&mut self, field: &FieldPath) {
        self.choice(match field {
            FieldPath::Image => 1,
            FieldPath::Source => 2,
            FieldPath::Entrypoint => 3,
            FieldPath::Command => 4,
            FieldPath::User => 5,
            FieldPath::WorkingDir => 6,
            FieldPath::Stopped => 7,
            FieldPath::Replicas => 8,
            FieldPath::Env(_) => 9,
            FieldPath::Ports(_) => 10,
            FieldPath::Volumes(_) => 11,
            FieldPath::Labels(_) => 12,
            FieldPath::CpuLimit => 13,
            FieldPath::MemoryLimit => 14,
            FieldPath::Restart => 15,
            FieldPath::StopGracePeriod => 16,
            FieldPath::Port => 17,
            FieldPath::Pull => 18,
            FieldPath::DependsOn => 19,
            FieldPath::HealthPath => 20,
            FieldPath::HealthPort => 21,
            FieldPath::HealthCommand => 22,
            FieldPath::HealthInterval => 23,
            FieldPath::HealthTimeout => 24,
            FieldPath::HealthStartPeriod => 25,
            FieldPath::HealthyThreshold => 26,
            FieldPath::UnhealthyThreshold => 27,
            FieldPath::DeployStrategy => 28,
            FieldPath::RollbackOnFailure => 29,
        });
        if let Some(key) = field.key() {
            self.text(key);
        }
    }

    pub(super) fn leaves(&mut self, leaves: &BTreeMap<FieldPath, BaseLeaf>) {
        self.length(leaves.len());
        for (field, leaf) in leaves {
            let BaseLeaf { value, written } = leaf;
            self.field(field);
            self.value(value);
            self.text(written);
        }
    }

    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Text(text) => {
                self.choice(1);
                self.text(text);
            }
            Value::Words(words) => {
                self.choice(2);
                self.length(words.len());
                words.iter().for_each(|word| self.text(word));
            }
            Value::Services(names) => {
                self.choice(3);
                self.length(names.len());
                names.iter().for_each(|name| self.text(name.as_str()));
            }
            Value::Integer(number) => {
                self.choice(4);
                self.number(*number);
            }
            Value::Flag(flag) => {
                self.choice(5);
                self.flag(*flag);
            }
            Value::Duration(millis) => {
                self.choice(6);
                self.number(millis.0);
            }
            Value::Memory(bytes) => {
                self.choice(7);
                self.number(bytes.0);
            }
            Value::Cpu(nanos) => {
                self.choice(8);
                self.number(nanos.0);
            }
            Value::Image(image) => {
                self.choice(9);
                self.image(image);
            }
            Value::Ports(bindings) => {
                self.choice(10);
                self.ports(bindings);
            }
            Value::Volume(mount) => {
                self.choice(11);
                self.mount(mount);
            }
            Value::Restart(policy) => {
                self.choice(12);
                self.restart(*policy);
            }
            Value::Pull(policy) => {
                self.choice(13);
                self.text(policy.word());
            }
            Value::Strategy(strategy) => {
                self.choice(14);
                self.text(strategy.word());
            }
            Value::Secret(secret) => {
                self.choice(15);
                let SecretValue { name, fingerprint } = secret;
                self.optional(name.as_ref(), |form, name| form.text(name.as_str()));
                self.optional(fingerprint.as_ref(), |form, print| form.text(print.as_str()));
            }
            Value::Source(hash) => {
                self.choice(16);
                self.text(hash.as_str());
            }
        }
    }

    fn image(&mut self, image: &ImageValue) {
        let ImageValue { reference, content } = image;
        self.optional(reference.as_ref(), |form, reference| {
            let ImageRef { registry, repository, tag, digest } = reference;
            form.text(registry);
            form.text(repository);
            form.optional(tag.as_deref(), Self::text);
            form.optional(digest.as_ref().map(ContentDigest::as_str), Self::text);
        });
        self.length(content.len());
        content.iter().for_each(|digest| self.text(digest.as_str()));
    }

    fn ports(&mut self, bindings: &BTreeSet<PortBinding>) {
        self.length(bindings.len());
        for PortBinding { host_ip, host_port } in bindings {
            match host_ip {
                None => self.choice(0),
                Some(IpAddr::V4(ip)) => {
                    self.choice(4);
                    self.bytes(&ip.octets());
                }
                Some(IpAddr::V6(ip)) => {
                    self.choice(6);
                    self.bytes(&ip.octets());
                }
            }
            self.optional(*host_port, |form, port| form.number(u64::from(port)));
        }
    }

    fn mount(&mut self, mount: &VolumeMount) {
        let VolumeMount { source, read_only } = mount;
        self.choice(match source {
            VolumeSource::Named(_) => 1,
            VolumeSource::External(_) => 2,
            VolumeSource::Host(_) => 3,
        });
        self.text(source.name());
        self.flag(*read_only);
    }

    fn restart(&mut self, policy: RestartPolicy) {
        match policy {
            RestartPolicy::No => self.choice(1),
            RestartPolicy::Always => self.choice(2),
            RestartPolicy::UnlessStopped => self.choice(3),
            RestartPolicy::OnFailure { max } => {
                self.choice(4);
                self.optional(max, |form, max| form.number(u64::from(max)));
            }
        }
    }
}
