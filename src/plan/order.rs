//! The order in which services are acted on: dependencies first, then by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ServiceName;

/// Sorts services so that each comes after those it depends on; ties by name. Names in a cycle (which validation
/// refuses) come last, by name.
pub fn by_dependency(depends_on: &BTreeMap<ServiceName, BTreeSet<ServiceName>>) -> Vec<ServiceName> {
    let mut waiting: BTreeMap<&ServiceName, usize> = BTreeMap::new();
    let mut dependents: BTreeMap<&ServiceName, Vec<&ServiceName>> = BTreeMap::new();
    for (name, needs) in depends_on {
        let known = needs.iter().filter(|need| depends_on.contains_key(*need));
        waiting.insert(name, known.clone().count());
        for need in known {
            dependents.entry(need).or_default().push(name);
        }
    }
    let mut ready: BTreeSet<&ServiceName> =
        waiting.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    let mut order = Vec::with_capacity(depends_on.len());
    while let Some(next) = ready.pop_first() {
        order.push(next.clone());
        waiting.remove(next);
        for dependent in dependents.remove(next).unwrap_or_default() {
            if let Some(count) = waiting.get_mut(dependent) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(dependent);
                }
            }
        }
    }
    order.extend(waiting.into_keys().cloned());
    order
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::by_dependency;
    use crate::ids::ServiceName;

    fn name(text: &str) -> ServiceName {
        text.parse().expect("valid")
    }

    #[test]
    fn dependencies_come_first_and_cycles_last() {
        let needs = |text: &str| text.split_whitespace().map(name).collect::<BTreeSet<_>>();
        let graph: BTreeMap<ServiceName, BTreeSet<ServiceName>> =
            [("web", "api cache"), ("api", "db"), ("cache", ""), ("db", "elsewhere"), ("x", "y"), ("y", "x")]
                .into_iter()
                .map(|(service, on)| (name(service), needs(on)))
                .collect();
        let order: Vec<String> = by_dependency(&graph).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["cache", "db", "api", "web", "x", "y"]);
    }
}
