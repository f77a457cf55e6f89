//! How far a run had come with each of its services, by its journal. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ServiceName;
use crate::live::ReplicaId;
use crate::store::records::JournalEntry;
use crate::sync::journal::Step;

/// What the journal says of one service.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The replicas that were there before the first was made; `None` where none was.
    pub(super) before: Option<BTreeSet<ReplicaId>>,
    /// The old replicas that were, or may have been, stopped.
    pub(super) stopped: Vec<ReplicaId>,
    /// The replicas that were, or may have been, started or changed.
    pub(super) touched: BTreeSet<ReplicaId>,
    /// Those of them that passed their health gate since.
    pub(super) passed: BTreeSet<ReplicaId>,
    /// Whether the new release had passed and become the service.
    pub(super) switched: bool,
    /// Whether base was recorded: nothing is left to settle.
    pub(super) recorded: bool,
}

/// What the journal says, service by service.
pub(super) fn standings(journal: &[JournalEntry]) -> BTreeMap<ServiceName, Standing> {
    let mut standings: BTreeMap<ServiceName, Standing> = BTreeMap::new();
    for entry in journal {
        let Some(service) = &entry.service else { continue };
        let standing = standings.entry(service.clone()).or_default();
        let done = entry.outcome.as_ref().is_some_and(|outcome| outcome["outcome"] == "done");
        match serde_json::from_value::<Step>(entry.intent.clone()) {
            Ok(Step::Stop { replica }) => standing.stopped.push(replica),
            // The switch has no effect of its own: once its intent is written, everything before it had passed.
            Ok(Step::Switch) => standing.switched = true,
            Ok(Step::Record) => standing.recorded |= done,
            Ok(Step::Start { replica } | Step::Update { replica, fields: _ }) => {
                standing.passed.remove(&replica);
                standing.touched.insert(replica);
            }
            Ok(Step::Gate { replica }) if done => {
                standing.passed.insert(replica);
            }
            Ok(Step::Prepare { index: _, from: _, beside }) => standing.before.get_or_insert_default().extend(beside),
            Ok(Step::Gate { .. } | Step::Remove { .. } | Step::Verify) => {}
            Err(error) => tracing::error!(%service, %error, "a journal entry is not understood"),
        }
    }
    standings
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::standings;
    use crate::live::ReplicaId;
    use crate::store::records::JournalEntry;
    use crate::sync::journal::Step;

    fn entry(step: Step, outcome: Option<serde_json::Value>) -> JournalEntry {
        JournalEntry {
            seq: 1,
            service: Some("web".parse().expect("valid")),
            intent: serde_json::to_value(step).expect("plain"),
            outcome,
            begun_at: Timestamp::UNIX_EPOCH,
            ended_at: None,
        }
    }

    #[test]
    fn a_record_counts_only_once_its_outcome_is_known() {
        let stop = Step::Stop { replica: ReplicaId("old".into()) };
        let standing = &standings(&[entry(stop, None), entry(Step::Record, None)])[&"web".parse().expect("valid")];
        assert_eq!((standing.stopped.len(), standing.switched, standing.recorded), (1, false, false));
        let done = Some(serde_json::json!({"outcome": "done"}));
        let standing =
            &standings(&[entry(Step::Switch, None), entry(Step::Record, done)])[&"web".parse().expect("valid")];
        assert_eq!((standing.switched, standing.recorded), (true, true));
    }

    #[test]
    fn a_gate_that_was_passed_counts_until_the_replica_is_touched_again() {
        let id = || ReplicaId("new".into());
        let done = || Some(serde_json::json!({"outcome": "done"}));
        let journal = |steps: Vec<(Step, Option<serde_json::Value>)>| {
            let entries = steps.into_iter().map(|(step, outcome)| entry(step, outcome)).collect::<Vec<_>>();
            standings(&entries).remove(&"web".parse().expect("valid")).expect("it is there")
        };
        let start = || (Step::Start { replica: id() }, done());
        let gate = |outcome| (Step::Gate { replica: id() }, outcome);
        assert!(!journal(vec![start(), gate(None)]).passed.contains(&id()));
        assert!(journal(vec![start(), gate(done())]).passed.contains(&id()));
        let again = journal(vec![start(), gate(done()), start()]);
        assert!(again.touched.contains(&id()) && again.passed.is_empty());
    }
}
