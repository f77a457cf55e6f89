//! A service's health check, read from its leaves. Pure.

use crate::live::field::FieldPath;
use crate::live::quantity::Millis;
use crate::live::value::Value;
use crate::provider::{Check, Probe};

/// Time between probes, where the file says nothing.
pub const INTERVAL: Millis = Millis(10_000);
/// Time one probe may take, where the file says nothing.
pub const TIMEOUT: Millis = Millis(5_000);
/// Successes in a row, where the file says nothing.
pub const HEALTHY_THRESHOLD: u32 = 1;
/// Failures in a row, where the file says nothing.
pub const UNHEALTHY_THRESHOLD: u32 = 3;

/// The check that a service's leaves declare, looked up by `leaf`; without a path, port or command there is only
/// [`Probe::Running`].
pub fn check_of<'a>(leaf: impl Fn(&FieldPath) -> Option<&'a Value>) -> Check {
    let number = |field: &FieldPath| match leaf(field) {
        Some(Value::Integer(number)) => Some(*number),
        _ => None,
    };
    let port = |field: &FieldPath| number(field).and_then(|port| u16::try_from(port).ok());
    let declares_port = leaf(&FieldPath::HealthPort).is_some();
    let port = port(&FieldPath::HealthPort).or_else(|| port(&FieldPath::Port));
    let probe = match (leaf(&FieldPath::HealthCommand), leaf(&FieldPath::HealthPath)) {
        (Some(Value::Words(argv)), _) => Probe::Command { argv: argv.to_vec() },
        (_, Some(Value::Text(path))) => Probe::Http { path: path.clone().into(), port },
        _ if declares_port => Probe::Tcp { port },
        _ => Probe::Running,
    };
    let duration = |field: &FieldPath, default: Millis| match leaf(field) {
        Some(Value::Duration(millis)) => *millis,
        _ => default,
    };
    let count = |field: &FieldPath, default: u32| {
        number(field).map_or(default, |count| u32::try_from(count).unwrap_or(u32::MAX))
    };
    Check {
        probe,
        interval: duration(&FieldPath::HealthInterval, INTERVAL),
        timeout: duration(&FieldPath::HealthTimeout, TIMEOUT),
        start_period: duration(&FieldPath::HealthStartPeriod, Millis(0)),
        healthy_threshold: count(&FieldPath::HealthyThreshold, HEALTHY_THRESHOLD).max(1),
        unhealthy_threshold: count(&FieldPath::UnhealthyThreshold, UNHEALTHY_THRESHOLD).max(1),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::check_of;
    use crate::live::field::FieldPath;
    use crate::live::value::Value;
    use crate::provider::Probe;

    #[test]
    fn the_most_specific_probe_wins() {
        let mut leaves = BTreeMap::new();
        assert_eq!(check_of(|field| leaves.get(field)).probe, Probe::Running);
        leaves.insert(FieldPath::Port, Value::Integer(8080));
        assert_eq!(check_of(|field| leaves.get(field)).probe, Probe::Running);
        leaves.insert(FieldPath::HealthPort, Value::Integer(9090));
        assert_eq!(check_of(|field| leaves.get(field)).probe, Probe::Tcp { port: Some(9090) });
        leaves.insert(FieldPath::HealthPath, Value::Text("/healthz".into()));
        assert_eq!(
            check_of(|field| leaves.get(field)).probe,
            Probe::Http { path: "/healthz".into(), port: Some(9090) }
        );
        leaves.insert(FieldPath::HealthCommand, Value::Words(["true".into()].into()));
        assert_eq!(check_of(|field| leaves.get(field)).probe, Probe::Command { argv: ["true".into()].into() });
    }
}
