//! Health checks: a path, or a map of how to probe and how often.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::declared::problem::Wrong;
use crate::declared::reader::Reader;
use crate::declared::scalar::{PortNumber, Positive, Threshold};
use crate::declared::shape::{Leaf, Scalar, Shape, keys, templated};
use crate::declared::text::HealthPath;
use crate::declared::tree::{Content, Node};
use crate::declared::words::Words;
use crate::live::quantity::Millis;

keys! {
    /// How to tell whether a replica is healthy: by `path`, by `port` alone or by `command`. A deploy waits until it is.
    Healthcheck is "a health check" {
        /// The path of an HTTP GET that must answer 200 to 399. It dials `port`, or else the service's `port`.
        path: Leaf<HealthPath> = "/healthz",
        /// The port to dial, where it is not the service's `port`. Without `path`, a TCP connection must be accepted.
        port: Leaf<PortNumber> = 8081,
        /// A command that runs in the replica and must exit 0: a list of words, or one text that is split at its spaces.
        command: Words = ["pg_isready", "-U", "postgres"],
        /// Time between probes. Default: 10s.
        interval: Leaf<Positive> = "10s",
        /// Time that one probe may take. Default: 5s.
        timeout: Leaf<Positive> = "5s",
        /// Time after a start in which failures do not count. Default: 0s.
        start_period: Leaf<Millis> = "1m",
        /// Successes in a row that make a replica healthy. Default: 1.
        healthy_threshold: Leaf<Threshold> = 3,
        /// Failures in a row that make a replica unhealthy. Default: 3.
        unhealthy_threshold: Leaf<Threshold> = 5,
    }
    required {}
    later []
    foreign {
        "test" => "write `command`, without `CMD` or `CMD-SHELL` before it",
        "retries" => "write `unhealthy_threshold`",
        "httpGet" => "write `path` and `port`",
        "exec" => "write `command`",
        "tcpSocket" => "write `port` alone",
        "initialDelaySeconds" => "write `start_period`",
        "initial_delay" => "write `start_period`",
        "periodSeconds" => "write `interval`",
        "disable" => "remove `healthcheck` to leave it to the image",
    }
}

/// A health check in either form.
#[derive(Debug)]
pub(crate) struct Health(pub(crate) Healthcheck);

impl Shape for Health {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(node.content, Content::Scalar(_)) {
            let path = Leaf::read(node, reader)?;
            return Some(Health(Healthcheck { path: Some(path), ..Healthcheck::empty() }));
        }
        let check = Healthcheck::read(node, reader)?;
        let has = |key: &str| node.get(key).is_some();
        if let Content::Map(entries) = &node.content
            && entries.is_empty()
        {
            let wrong = Wrong::new("an empty health check checks nothing");
            reader.problem(&node.place, wrong.help("write a path, such as `healthcheck: /healthz`, or remove the key"));
            return None;
        }
        if has("command") && (has("path") || has("port")) {
            let wrong = Wrong::new("a health check runs a `command` or dials a `path` or `port`, not both");
            reader.problem(&node.place, wrong.help("remove one of the two"));
            return None;
        }
        Some(Health(check))
    }
}

impl Healthcheck {
    /// A check of which nothing is written.
    pub(crate) fn empty() -> Self {
        Healthcheck {
            path: None,
            port: None,
            command: None,
            interval: None,
            timeout: None,
            start_period: None,
            healthy_threshold: None,
            unhealthy_threshold: None,
        }
    }
}

impl JsonSchema for Health {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Health".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [templated(HealthPath::schema()), generator.subschema_for::<Healthcheck>()] })
    }
}
