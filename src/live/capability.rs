//! What a provider can see and change, as a value that the comparison and the planner ask.

use serde::{Deserialize, Serialize};

use crate::live::field::FieldPath;
use crate::live::rule::Rule;
use crate::live::value::Value;

/// Whether a provider can see a field in what runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It is observed: compared three ways.
    Observed,
    /// It shapes what Trueup does and is not visible in what runs: compared declared × base, changed by a record.
    Policy,
    /// The provider cannot do it; declaring it blocks the service, for this reason.
    Unsupported(&'static str),
}

/// What a change is to a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The leaf gets the declared value.
    Set,
    /// The leaf is no longer declared: an entry goes, a single value returns to its default.
    Withdraw,
}

/// What carrying out a leaf's change means for the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing that runs is touched.
    Record,
    /// The replica goes on running.
    InPlace,
    /// A new replica takes its place.
    Replace,
}

/// What a provider can do with one field: a row of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ability {
    /// Whether it can see it.
    pub support: Support,
    /// What setting it takes.
    pub set: Effect,
    /// What withdrawing it takes.
    pub withdraw: Effect,
    /// What it returns to, in words, where the image does not decide and no entry goes.
    pub default: Option<&'static str>,
}

impl Ability {
    /// Seen; a new replica takes the place of the old.
    pub const REPLACED: Ability = Ability::seen(Effect::Replace, Effect::Replace);
    /// Seen; changed while the replica goes on running.
    pub const IN_PLACE: Ability = Ability::seen(Effect::InPlace, Effect::InPlace);
    /// Seen; a value is set while the replica goes on running, and taken away by a new one.
    pub const SET_IN_PLACE: Ability = Ability::seen(Effect::InPlace, Effect::Replace);
    /// Not visible in what runs: a matter of Trueup's own record.
    pub const POLICY: Ability = Ability { support: Support::Policy, ..Ability::seen(Effect::Record, Effect::Record) };

    const fn seen(set: Effect, withdraw: Effect) -> Self {
        Ability { support: Support::Observed, set, withdraw, default: None }
    }

    /// Something the provider cannot do, and why.
    pub const fn unsupported(why: &'static str) -> Self {
        Ability { support: Support::Unsupported(why), ..Ability::POLICY }
    }

    /// The same with what a withdrawn value returns to.
    pub const fn or(self, default: &'static str) -> Self {
        Ability { default: Some(default), ..self }
    }

    /// What a change takes.
    pub fn effect(self, kind: ChangeKind) -> Effect {
        match kind {
            ChangeKind::Set => self.set,
            ChangeKind::Withdraw => self.withdraw,
        }
    }
}

/// A provider's abilities. Plain functions, so that the pure stages can ask without knowing the provider.
#[derive(Clone, Copy)]
pub struct Capabilities {
    /// The provider's word, such as `docker`.
    pub provider: &'static str,
    /// Whether it can see a field.
    pub support: fn(&FieldPath) -> Support,
    /// Whether it can be set to a value, or why not and what can be: a field that it sees may still refuse some.
    pub accepts: fn(&FieldPath, &Value) -> Result<(), &'static str>,
    /// What changing an observed field takes.
    pub effect: fn(&FieldPath, ChangeKind) -> Effect,
    /// Fields without which a service cannot be created.
    pub required: &'static [FieldPath],
    /// What a withdrawn single value returns to, in words ("no limit"); `None` where the image decides or the entry goes.
    pub default_of: fn(&FieldPath) -> Option<&'static str>,
    /// What the provider makes of a value that is finer than what it keeps (a grace period in whole seconds); `None`
    /// where it keeps the value as it is. Both mean the same to it.
    pub kept: fn(&FieldPath, &Value) -> Option<Value>,
}

impl Capabilities {
    /// Whether what runs is what was declared (or applied), as far as the provider can tell the two apart.
    pub fn same(&self, field: &FieldPath, wanted: &Value, live: &Value) -> bool {
        wanted.same(live) || (self.kept)(field, wanted).is_some_and(|kept| kept.same(live))
    }

    /// The rule by which two values that are the [`same`](Self::same) are not equal; `None` where they are.
    pub fn rule(&self, wanted: &Value, live: &Value) -> Option<Rule> {
        if wanted.same(live) { Rule::between(wanted, live) } else { Some(Rule::Rounded) }
    }
}

impl std::fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capabilities").field("provider", &self.provider).finish_non_exhaustive()
    }
}
