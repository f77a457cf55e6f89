//! Which replicas of a service are made, which make way for them, and which go.

use std::collections::BTreeSet;

use crate::deploy::recreate::Deployment;
use crate::live::capability::Effect;
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::live::{LiveReplica, ReplicaId};
use crate::plan::ActionKind;

/// Which replicas are made, and which go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moves {
    /// New replicas: their number and the replica they take over from.
    pub(super) make: Vec<(u32, Option<ReplicaId>)>,
    /// Old replicas that are stopped before the new start.
    pub(super) retire: Vec<ReplicaId>,
    /// Old replicas beyond the declared count, and what an earlier deploy left.
    pub(super) surplus: Vec<ReplicaId>,
}

impl Deployment<'_> {
    /// Which replicas are exchanged: those that differ in a leaf that forces it, or all of them.
    pub(super) fn moves(&self) -> Moves {
        let left_over = self.live.left_over();
        let mut old: Vec<&LiveReplica> =
            self.live.replicas.iter().filter(|replica| !left_over.contains(&replica.id)).collect();
        old.sort_by_key(|replica| replica.index);
        let wanted = match self.leaves.get(&FieldPath::Replicas) {
            Some(Value::Integer(count)) => usize::try_from(*count).unwrap_or(usize::MAX),
            // A count that is withdrawn returns to the default; one that was never declared is nobody's business.
            _ if self.withdrawn.contains(&FieldPath::Replicas) => 1,
            _ => old.len().max(1),
        };
        let beyond = old.iter().skip(wanted).map(|replica| &replica.id);
        let surplus: Vec<ReplicaId> = beyond.chain(left_over).cloned().collect();
        old.truncate(wanted);
        let exchanged: Vec<&LiveReplica> = match self.action.kind {
            ActionKind::Replace => old.iter().copied().filter(|replica| self.must_go(replica)).collect(),
            ActionKind::Create | ActionKind::InPlace | ActionKind::Delete | ActionKind::Record => Vec::new(),
        };
        let mut make: Vec<(u32, Option<ReplicaId>)> =
            exchanged.iter().map(|replica| (replica.index, Some(replica.id.clone()))).collect();
        let taken: BTreeSet<u32> = old.iter().map(|replica| replica.index).collect();
        let model = old.first().map(|replica| replica.id.clone());
        let free = (1..).filter(|index| !taken.contains(index));
        make.extend(free.take(wanted.saturating_sub(old.len())).map(|index| (index, model.clone())));
        Moves { make, retire: exchanged.iter().map(|replica| replica.id.clone()).collect(), surplus }
    }

    fn must_go(&self, replica: &LiveReplica) -> bool {
        self.action.changes.iter().filter(|change| change.effect == Effect::Replace).any(|change| {
            change.replicas.is_empty() || change.replicas.iter().any(|differing| differing.name == replica.name)
        })
    }
}
