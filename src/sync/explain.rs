//! How far a change in place had come, in words: replica by replica, from what differs now. Pure.

use crate::live::capability::{ChangeKind, Effect};
use crate::live::field::FieldPath;
use crate::live::{Health, LiveReplica};
use crate::plan::{Action, Change, Plan};

/// What of an action that was interrupted is in place by now, and what is not; `left` is the service's plan of now.
pub(super) fn in_place_words(action: &Action, left: &Plan, replicas: &[LiveReplica]) -> String {
    let unseen: Vec<&str> = left.unknowns.iter().map(|unknown| unknown.why.as_str()).collect();
    if !unseen.is_empty() {
        return format!("how far it was changed in place cannot be seen: {}", unseen.join("; "));
    }
    let still = left.action(&action.service).map(|action| action.changes.as_slice()).unwrap_or_default();
    let mut done = 0;
    let mut words = Vec::new();
    for change in action.changes.iter().filter(|change| change.effect == Effect::InPlace) {
        let differs = |name: &str| still.iter().any(|now| now.field == change.field && concerns(now, name));
        let concerned = replicas.iter().filter(|replica| concerns(change, &replica.name));
        let (not, set): (Vec<&LiveReplica>, Vec<&LiveReplica>) = concerned.partition(|replica| differs(&replica.name));
        done += set.len();
        words.extend(match (&change.field, change.kind) {
            (FieldPath::Replicas, _) => Some(counted(change, replicas)),
            (FieldPath::Stopped, _) => of_both(("run(s) again", &set), ("still stopped", &not), ""),
            (field, ChangeKind::Set | ChangeKind::Withdraw) => {
                of_both(("is set in", &set), ("not set in", &not), &field.to_string())
            }
        });
    }
    let scales = action.changes.iter().any(|change| change.field == FieldPath::Replicas);
    match done == 0 && !scales {
        true => "nothing of it was changed".to_owned(),
        false => format!("it was being changed in place, and stands so: {}", words.join(", ")),
    }
}

fn concerns(change: &Change, name: &str) -> bool {
    change.replicas.is_empty() || change.replicas.iter().any(|replica| replica.name == name)
}

fn counted(change: &Change, replicas: &[LiveReplica]) -> String {
    let running = replicas.iter().filter(|replica| !matches!(replica.health, Health::Stopped { .. })).count();
    let wanted = change.declared.as_ref().map_or_else(|| "1".to_owned(), ToString::to_string);
    format!("{running} replica(s) run where {wanted} are declared")
}

/// `FIELD is set in A, B and not set in C`.
fn of_both(yes: (&str, &[&LiveReplica]), no: (&str, &[&LiveReplica]), field: &str) -> Option<String> {
    let part = |(verb, replicas): (&str, &[&LiveReplica])| {
        let names: Vec<&str> = replicas.iter().map(|replica| replica.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{verb} {}", names.join(", ")))
    };
    let parts: Vec<String> = [part(yes), part(no)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("{field} {}", parts.join(" and ")).trim_start().to_owned())
}
