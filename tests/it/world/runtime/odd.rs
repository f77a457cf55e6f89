//! What a runtime can be made to do that an honest one does not, and what it is told by hand.

use std::collections::BTreeMap;

use tokio::sync::broadcast;
use trueup::ids::RunId;
use trueup::live::ReplicaId;
use trueup::provider::ProbeOutcome;

use super::{Replica, Runtime};

impl Runtime {
    /// Someone runs a replica, behind Trueup's back.
    pub fn run_by_hand(&self, service: &str) -> ReplicaId {
        let mut state = self.state();
        state.next += 1;
        let id = ReplicaId(format!("replica-{}", state.next));
        let replica = Replica {
            service: service.parse().unwrap(),
            index: 1,
            release: RunId(1),
            running: true,
            restarts: 0,
            leaves: BTreeMap::new(),
            unmanaged: BTreeMap::new(),
        };
        state.replicas.insert(id.clone(), replica);
        id
    }

    /// From now on whoever wants to know is told of every change by hand.
    pub fn tell_of_changes(&self) {
        self.state().told = Some(broadcast::Sender::new(16));
    }

    /// How many listen for changes.
    pub fn listeners(&self) -> usize {
        self.state().told.as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    /// The next probes answer this, in order.
    pub fn answer(&self, outcomes: impl IntoIterator<Item = ProbeOutcome>) {
        self.state().answers.extend(outcomes);
    }

    /// No probe by path, port or command can be carried out.
    pub fn cannot_probe(&self, why: &str) {
        self.state().unprobeable = Some(why.to_owned());
    }

    /// A leaf is set as far as it says, and is not.
    pub fn deaf(&self, field: &str) {
        self.state().deaf.insert(field.parse().unwrap());
    }

    /// What is removed as far as it says, stays.
    pub fn cling(&self) {
        self.state().clinging = true;
    }
}
