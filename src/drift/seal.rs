//! Sealing: before live state is compared, stored or shown, its environment values lose what must not leave.
//!
//! A provider reports environment values as they are, in memory. Sealing drops the value of every variable that is
//! neither declared nor in base, and puts a keyed fingerprint in place of every value that either side holds as a
//! secret. What is left may be stored in a plan.

use std::collections::BTreeMap;

use crate::declared::{Declared, DeclaredService};
use crate::drift::{Base, BaseService};
use crate::ids::Fingerprint;
use crate::live::field::FieldPath;
use crate::live::value::{SecretValue, Value};
use crate::live::{Live, LiveLeaf, Observed};

/// Seals `live` in place. `fingerprint` is the installation's keyed function.
pub fn seal(live: &mut Live, declared: &Declared, base: &Base, fingerprint: &dyn Fn(&str) -> Fingerprint) {
    let Observed::Known(services) = &mut live.services else { return };
    for (name, service) in services {
        let declared = declared.services.as_ref().and_then(|services| services.get(name));
        let base = base.services.get(name);
        for replica in &mut service.replicas {
            seal_leaves(&mut replica.leaves, declared, base, fingerprint);
        }
    }
}

fn seal_leaves(
    leaves: &mut BTreeMap<FieldPath, Observed<LiveLeaf>>,
    declared: Option<&DeclaredService>,
    base: Option<&BaseService>,
    fingerprint: &dyn Fn(&str) -> Fingerprint,
) {
    leaves.retain(|field, _| {
        declared.is_some_and(|service| service.leaves.contains_key(field))
            || base.is_some_and(|service| service.leaves.contains_key(field))
    });
    for (field, observed) in leaves {
        let FieldPath::Env(_) = field else { continue };
        let Observed::Known(leaf) = observed else { continue };
        let Value::Text(text) = &leaf.value else { continue };
        let declared = declared.and_then(|service| service.leaves.get(field)).map(|leaf| &leaf.value);
        let base = base.and_then(|service| service.leaves.get(field)).map(|leaf| &leaf.value);
        if let Some(secret) = sealed(text, declared, base, fingerprint) {
            leaf.value = Value::Secret(secret);
        }
    }
}

/// What takes the place of a variable's value; `None` where it may stay, because neither side holds it as a secret or
/// the very same text is written in the file.
fn sealed(
    text: &str,
    declared: Option<&Value>,
    base: Option<&Value>,
    fingerprint: &dyn Fn(&str) -> Fingerprint,
) -> Option<SecretValue> {
    let secret = |value: Option<&Value>| matches!(value, Some(Value::Secret(_)));
    let written = |value: Option<&Value>| matches!(value, Some(Value::Text(plain)) if plain == text);
    if !secret(declared) && !secret(base) || written(declared) {
        return None;
    }
    let print = fingerprint(text);
    let as_declared = matches!(declared, Some(Value::Secret(secret)) if secret.fingerprint.as_ref() == Some(&print));
    // A plain value that became a secret compares with base as plain, unless it already is what the secret holds.
    if written(base) && !as_declared {
        return None;
    }
    Some(SecretValue { name: None, fingerprint: Some(print) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::seal_leaves;
    use crate::declared::{DeclaredLeaf, DeclaredService, Position};
    use crate::ids::Fingerprint;
    use crate::live::field::FieldPath;
    use crate::live::value::{SecretValue, Value};
    use crate::live::{LiveLeaf, Observed};

    fn fake(text: &str) -> Fingerprint {
        format!("{:064x}", text.len()).parse().expect("64 digits")
    }

    #[test]
    fn secret_values_become_fingerprints_and_undeclared_ones_go() {
        let leaf = |value| DeclaredLeaf { value, written: "".into(), uses_commit: false, at: Position::default() };
        let declared = DeclaredService {
            leaves: BTreeMap::from([
                (FieldPath::Env("PLAIN".into()), leaf(Value::Text("a".into()))),
                (FieldPath::Env("TOKEN".into()), leaf(Value::Secret(SecretValue { name: None, fingerprint: None }))),
            ]),
            at: Position::default(),
        };
        let known = |text: &str| Observed::Known(LiveLeaf::set(Value::Text(text.into())));
        let mut live = BTreeMap::from([
            (FieldPath::Env("PLAIN".into()), known("b")),
            (FieldPath::Env("TOKEN".into()), known("hunter2")),
            (FieldPath::Env("BY_HAND".into()), known("s3cr3t")),
        ]);
        seal_leaves(&mut live, Some(&declared), None, &fake);
        let shown = format!("{live:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("s3cr3t"), "{shown}");
        assert_eq!(live.len(), 2);
        assert_eq!(live[&FieldPath::Env("PLAIN".into())], known("b"));
        let Observed::Known(LiveLeaf { value: Value::Secret(secret), .. }) = &live[&FieldPath::Env("TOKEN".into())]
        else {
            panic!("not sealed: {shown}");
        };
        assert_eq!(secret.fingerprint, Some(fake("hunter2")));
    }
}
