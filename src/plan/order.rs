//! The order in which services are acted on: dependencies first, then by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ServiceName;

/// Sorts services so that each comes after those it depends on; ties by name. Names in a cycle (which validation
/// refuses) come last, by name.
pub fn by_dependency<'a>(
    depends_on: &BTreeMap<&'a ServiceName, Option<&'a BTreeSet<ServiceName>>>,
) -> Vec<&'a ServiceName> {
    let mut waiting: BTreeMap<&'a ServiceName, usize> = BTreeMap::new();
    let mut dependents: BTreeMap<&ServiceName, Vec<&'a ServiceName>> = BTreeMap::new();
    let mut ready: BTreeSet<&'a ServiceName> = BTreeSet::new();
    for (name, needs) in depends_on {
        let mut count = 0;
        for need in needs.iter().copied().flatten().filter(|need| depends_on.contains_key(need)) {
            dependents.entry(need).or_default().push(name);
            count += 1;
        }
        if count == 0 {
            ready.insert(name);
        } else {
            waiting.insert(name, count);
        }
    }
    let mut order = Vec::with_capacity(depends_on.len());
    while let Some(next) = ready.pop_first() {
        order.push(next);
        for dependent in dependents.remove(next).unwrap_or_default() {
            let Some(count) = waiting.get_mut(dependent) else { continue };
            *count -= 1;
            if *count == 0 {
                waiting.remove(dependent);
                ready.insert(dependent);
            }
        }
    }
    order.extend(waiting.into_keys());
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
        let graph = graph.iter().map(|(service, on)| (service, Some(on))).collect();
        let order: Vec<String> = by_dependency(&graph).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["cache", "db", "api", "web", "x", "y"]);
    }
}
