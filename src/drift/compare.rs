//! The comparison itself. Costs time linear in the leaves of all three sides, and copies only what differs.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;

use crate::declared::{Declared, DeclaredLeaf, DeclaredService};
use crate::drift::cause::{Sides, cause};
use crate::drift::{
    Base, BaseLeaf, BaseService, Cause, Drift, Gaps, LeafDrift, Orphan, Presence, ReplicaLive, ServiceDrift, Suppressed,
};
use crate::ids::ServiceName;
use crate::live::capability::{Capabilities, ChangeKind, Support};
use crate::live::field::FieldPath;
use crate::live::rule::Rule;
use crate::live::value::Value;
use crate::live::{Live, LiveLeaf, LiveReplica, LiveService, Observed};

/// The number of replicas that a service has where nothing says otherwise.
const DEFAULT_REPLICAS: usize = 1;

/// Compares everything that is declared (or was, and is withdrawn) with base and live.
///
/// `gaps` names the declared leaves whose value could not be completed (an image that does not resolve, a secret
/// without a value).
pub fn compare(declared: &Declared, gaps: &Gaps, base: &Base, live: &Live, can: &Capabilities) -> Drift {
    let Some(declared) = &declared.services else { return Drift::default() };
    let running = match &live.services {
        Observed::Known(running) => running,
        Observed::Unknown(why) => {
            return Drift { services: BTreeMap::new(), unseen: Some(why.clone()), orphans: Vec::new() };
        }
    };
    let absent = LiveService::default();
    let services = declared
        .iter()
        .map(|(name, service)| {
            let live = running.get(name).unwrap_or(&absent);
            if let Some(why) = live.unseen_why() {
                return (name.clone(), unseen(live, why));
            }
            let gone = live.left_over();
            let (left_over, replicas) =
                in_order(&live.replicas).into_iter().partition(|replica| gone.contains(&replica.id));
            let comparison = Comparison {
                declared: service,
                gaps: gaps.services.get(name),
                base: base.services.get(name),
                replicas,
                left_over,
                can,
            };
            (name.clone(), comparison.run())
        })
        .collect();
    let runs = |service: &LiveService| !service.replicas.is_empty() || !service.unseen.is_empty();
    let orphan = |(name, service): (&ServiceName, &LiveService)| {
        (runs(service) && !declared.contains_key(name))
            .then(|| Orphan { name: name.clone(), unseen: service.unseen_why() })
    };
    Drift { services, unseen: None, orphans: running.iter().filter_map(orphan).collect() }
}

/// A service of which a replica could not be looked at: it is there, and that is all that is known.
fn unseen(live: &LiveService, why: String) -> ServiceDrift {
    let replicas = live.replicas.len() + live.unseen.len();
    ServiceDrift {
        presence: Presence::Present,
        replicas,
        recorded: false,
        left_over: Vec::new(),
        unseen: Some(why),
        leaves: Vec::new(),
        unknown: Vec::new(),
        suppressed: Vec::new(),
    }
}

/// The order in which replicas are read and shown, whatever order they were reported in.
fn in_order(replicas: &[LiveReplica]) -> Vec<&LiveReplica> {
    let mut replicas: Vec<&LiveReplica> = replicas.iter().collect();
    replicas.sort_by(|a, b| (a.index, &a.name, &a.id).cmp(&(b.index, &b.name, &b.id)));
    replicas
}

fn of_run(replica: &LiveReplica) -> String {
    match replica.release {
        Some(run) => format!("{} of run {run}", replica.name),
        None => replica.name.clone(),
    }
}

/// One service's three sides.
struct Comparison<'a> {
    declared: &'a DeclaredService,
    gaps: Option<&'a BTreeMap<FieldPath, String>>,
    base: Option<&'a BaseService>,
    replicas: Vec<&'a LiveReplica>,
    /// Those whose place others have taken: only that they are there counts.
    left_over: Vec<&'a LiveReplica>,
    can: &'a Capabilities,
}

/// One leaf on two of its sides; at least one is there.
#[derive(Clone, Copy)]
struct Leaf<'a> {
    field: &'a FieldPath,
    declared: Option<&'a DeclaredLeaf>,
    base: Option<&'a BaseLeaf>,
    gap: Option<&'a str>,
}

/// A replica whose leaves are read in field order, each once.
struct Cursor<'a> {
    replica: &'a LiveReplica,
    leaves: Peekable<btree_map::Iter<'a, FieldPath, Observed<LiveLeaf>>>,
}

impl<'a> Cursor<'a> {
    fn new(replica: &'a LiveReplica) -> Self {
        Cursor { replica, leaves: replica.leaves.iter().peekable() }
    }

    /// The leaf at `field`; asked for in ascending order only.
    fn at(&mut self, field: &FieldPath) -> Option<&'a Observed<LiveLeaf>> {
        loop {
            let (next, _) = self.leaves.peek()?;
            match (*next).cmp(field) {
                Ordering::Less => drop(self.leaves.next()),
                Ordering::Equal => return self.leaves.next().map(|(_, leaf)| leaf),
                Ordering::Greater => return None,
            }
        }
    }
}

/// One replica that is not as declared.
struct Differing<'a> {
    replica: &'a str,
    live: Option<Cow<'a, Value>>,
}

/// What was read of one leaf in all replicas.
#[derive(Default)]
struct Reading<'a> {
    differing: Vec<Differing<'a>>,
    /// The replicas in which it could not be seen, and why.
    unseen: Vec<(&'a str, &'a str)>,
    /// The first difference that counts for nothing.
    suppressed: Option<Suppressed>,
}

impl<'a> Comparison<'a> {
    fn run(&self) -> ServiceDrift {
        let presence = if self.runs() { Presence::Present } else { Presence::Absent };
        let replicas = self.replicas.len();
        let mut drift = ServiceDrift {
            presence,
            replicas,
            recorded: self.base.is_some(),
            left_over: self.left_over.iter().map(|replica| of_run(replica)).collect(),
            unseen: None,
            leaves: Vec::new(),
            unknown: Vec::new(),
            suppressed: Vec::new(),
        };
        let mut cursors: Vec<Cursor<'a>> = self.replicas.iter().map(|replica| Cursor::new(replica)).collect();
        for leaf in self.leaves() {
            drift.recorded &= leaf.recorded();
            if let Some(why) = leaf.gap {
                drift.unknown.push((leaf.field.clone(), why.to_owned()));
            }
            let found = match (self.can.support)(leaf.field) {
                Support::Observed => self.observed(leaf, &mut cursors, &mut drift),
                Support::Policy | Support::Unsupported(_) => self.policy(leaf),
            };
            drift.leaves.extend(found);
        }
        if let Err(at) = drift.leaves.binary_search_by(|leaf| leaf.field.cmp(&FieldPath::Replicas))
            && !self.left_over.is_empty()
        {
            drift.leaves.insert(at, self.too_many());
        }
        drift
    }

    /// The count of replicas as a difference that nobody declared: some are left over.
    fn too_many(&self) -> LeafDrift {
        let count = |replicas: usize| Value::Integer(replicas as u64);
        LeafDrift {
            field: FieldPath::Replicas,
            kind: ChangeKind::Set,
            declared: Some(count(self.replicas.len())),
            base: self.base.and_then(|base| base.leaves.get(&FieldPath::Replicas)).map(|leaf| leaf.value.clone()),
            live: Observed::Known(Some(count(self.replicas.len() + self.left_over.len()))),
            replicas: Vec::new(),
            cause: Cause::Live,
            at: None,
        }
    }

    fn runs(&self) -> bool {
        !self.replicas.is_empty()
    }

    /// Every leaf that is declared or in base, in field order.
    fn leaves(&self) -> impl Iterator<Item = Leaf<'a>> + use<'a> {
        let gaps = self.gaps;
        let mut declared = self.declared.leaves.iter().peekable();
        let mut base = self.base.map(|base| base.leaves.iter()).into_iter().flatten().peekable();
        std::iter::from_fn(move || {
            let order = match (declared.peek(), base.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            let declared = if order.is_le() { declared.next() } else { None };
            let base = if order.is_ge() { base.next() } else { None };
            let first = declared.map(|(field, _)| field).or(base.map(|(field, _)| field))?;
            let (declared, base) = (declared.map(|(_, leaf)| leaf), base.map(|(_, leaf)| leaf));
            let gap = gaps.and_then(|gaps| gaps.get(first)).map(String::as_str);
            Some(Leaf { field: first, declared, base, gap })
        })
    }

    /// A leaf that cannot be seen: declared × base.
    fn policy(&self, leaf: Leaf<'_>) -> Option<LeafDrift> {
        let same = match (leaf.declared, leaf.base) {
            (Some(declared), Some(base)) => declared.value.same(&base.value),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        // A policy that is withdrawn from a service that does not run leaves nothing to do.
        if if self.runs() { same } else { leaf.declared.is_none() } {
            return None;
        }
        let live = leaf.base.filter(|_| self.runs()).map(|base| base.value.clone());
        Some(leaf.drift(live, Vec::new(), self.cause(leaf, true)))
    }

    /// A leaf that can be seen: declared × base × every replica. What could not be seen and what counts for nothing is
    /// noted in `drift`.
    fn observed(&self, leaf: Leaf<'_>, cursors: &mut [Cursor<'a>], drift: &mut ServiceDrift) -> Option<LeafDrift> {
        if !self.runs() {
            // Nothing runs, so everything declared is missing; that it is not stopped needs no saying.
            let missing = leaf.declared.is_some() && *leaf.field != FieldPath::Stopped;
            return missing.then(|| leaf.drift(None, Vec::new(), self.cause(leaf, false)));
        }
        let Reading { differing, unseen, suppressed } = self.read(leaf, cursors);
        note_unseen(leaf.field, unseen, self.replicas.len(), &mut drift.unknown);
        drift.suppressed.extend(suppressed);
        let first = differing.first()?;
        let live_is_base = leaf.base.is_some_and(|base| {
            differing
                .iter()
                .all(|found| found.live.as_deref().is_some_and(|live| self.can.same(leaf.field, &base.value, live)))
        });
        let counted = *leaf.field == FieldPath::Replicas;
        let alike = differing.len() == self.replicas.len() && differing.iter().all(|other| other.live == first.live);
        let live = first.live.as_deref().cloned();
        let replicas = if counted || alike {
            Vec::new()
        } else {
            let of = |found: &Differing<'_>| ReplicaLive {
                name: found.replica.to_owned(),
                live: found.live.as_deref().cloned(),
            };
            differing.iter().map(of).collect()
        };
        Some(leaf.drift(live, replicas, self.cause(leaf, live_is_base)))
    }

    /// Which replicas are not as declared, and which could not be seen. The count of replicas is one reading for all.
    fn read(&self, leaf: Leaf<'_>, cursors: &mut [Cursor<'a>]) -> Reading<'a> {
        if *leaf.field == FieldPath::Replicas {
            let count = Value::Integer(self.replicas.len() as u64);
            let as_it_should_be = match leaf.declared {
                Some(declared) => declared.value.same(&count),
                None => self.replicas.len() == DEFAULT_REPLICAS,
            };
            let differing = Differing { replica: "", live: Some(Cow::Owned(count)) };
            let differing = if as_it_should_be { Vec::new() } else { vec![differing] };
            return Reading { differing, ..Reading::default() };
        }
        let mut reading = Reading::default();
        for cursor in cursors {
            let replica = cursor.replica;
            let seen = match cursor.at(leaf.field) {
                None => None,
                Some(Observed::Known(seen)) => Some((&seen.value, seen.supplied)),
                Some(Observed::Unknown(why)) => {
                    reading.unseen.push((replica.name.as_str(), why.as_str()));
                    continue;
                }
            };
            if leaf.differs(seen, self.can) {
                let live = seen.map(|(value, _)| Cow::Borrowed(value));
                reading.differing.push(Differing { replica: &replica.name, live });
            } else if reading.suppressed.is_none() {
                reading.suppressed = seen.and_then(|(live, _)| leaf.suppressed(live, self.can));
            }
        }
        reading
    }

    fn cause(&self, leaf: Leaf<'_>, live_is_base: bool) -> Cause {
        cause(&Sides {
            applied: self.base.is_some(),
            declared: leaf.declared,
            base: leaf.base,
            gap: leaf.gap.is_some(),
            live_is_base,
        })
    }
}

impl Leaf<'_> {
    /// Whether base holds the leaf just as it is declared.
    fn recorded(&self) -> bool {
        match (self.declared, self.base) {
            (Some(declared), Some(base)) => declared.value == base.value && declared.written == base.written,
            (Some(_), None) | (None, Some(_) | None) => false,
        }
    }

    /// Whether a replica is known not to be as declared; for a withdrawn leaf, to have something beyond what the image
    /// or the provider supplies.
    fn differs(&self, seen: Option<(&Value, bool)>, can: &Capabilities) -> bool {
        match (self.declared, seen) {
            (Some(declared), Some((live, _))) if self.gap.is_some() => another_name(&declared.value, live),
            (Some(declared), Some((live, _))) => !can.same(self.field, &declared.value, live),
            (Some(_), None) => true,
            (None, Some((_, supplied))) => !supplied,
            (None, None) => false,
        }
    }

    /// The rule by which a replica that does not differ is nevertheless not exactly as declared.
    fn suppressed(&self, live: &Value, can: &Capabilities) -> Option<Suppressed> {
        let rule = match self.declared {
            Some(_) if self.gap.is_some() => None,
            Some(declared) => can.rule(&declared.value, live),
            None => Some(Rule::Supplied),
        }?;
        let declared = self.declared.map(|leaf| leaf.value.clone());
        Some(Suppressed { field: self.field.clone(), rule, declared, live: live.clone() })
    }

    fn drift(&self, live: Option<Value>, replicas: Vec<ReplicaLive>, cause: Cause) -> LeafDrift {
        LeafDrift {
            field: self.field.clone(),
            kind: if self.declared.is_some() { ChangeKind::Set } else { ChangeKind::Withdraw },
            declared: self.declared.map(|leaf| leaf.value.clone()),
            base: self.base.map(|leaf| leaf.value.clone()),
            live: Observed::Known(live),
            replicas,
            cause,
            at: self.declared.map(|leaf| leaf.at.clone()),
        }
    }
}

/// Whether a declared value that is not complete is nevertheless known to be another one: an image by its name.
fn another_name(declared: &Value, live: &Value) -> bool {
    match (declared, live) {
        (Value::Image(declared), Value::Image(live)) => !declared.same_reference(live),
        _ => false,
    }
}

/// Notes what could not be seen: once where every replica says the same, else replica by replica.
fn note_unseen(field: &FieldPath, unseen: Vec<(&str, &str)>, all: usize, unknown: &mut Vec<(FieldPath, String)>) {
    let Some((_, first)) = unseen.first().copied() else { return };
    if unseen.len() == all && unseen.iter().all(|(_, why)| *why == first) {
        unknown.push((field.clone(), first.to_owned()));
        return;
    }
    unknown.extend(unseen.into_iter().map(|(replica, why)| (field.clone(), format!("{replica}: {why}"))));
}
