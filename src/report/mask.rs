//! Law 8 for reports: from plans to what may leave the house. The only place where a value becomes something that a comment
//! can show.
//!
//! A value of what runs is shown only where base holds that leaf as plain. A value that the operator supplies through a
//! template is shown as nothing but that. Secrets are what they are everywhere.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::declared::Declared;
use crate::drift::{Base, BaseLeaf, Cause};
use crate::ids::{CommitSha, ServiceName};
use crate::live::Observed;
use crate::live::capability::ChangeKind;
use crate::live::value::Value;
use crate::plan::{Blocked, Change, Plan, Unknown};
use crate::report::detail::ReportDetail;
use crate::report::parts::{Part, Parts, Sorted};
use crate::report::pull::{
    PlannedPull, PublicBlocked, PublicChange, PublicOrphan, PublicReplica, PublicService, PublicUnknown,
};
use crate::report::words;

/// The longest reason that a report repeats, in characters.
const REASON_MAX: usize = 400;

/// A value as it may leave the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "shown", content = "text", rename_all = "snake_case")]
pub enum PublicValue {
    /// As it is, on one line, cut to what a line holds.
    Plain(PlainText),
    /// A secret.
    Secret,
    /// A value of what runs that is not for others to see.
    HiddenLive,
    /// A value that the operator supplies through a template.
    HiddenOperator,
    /// A value, in a report without values.
    HiddenValue,
    /// There is none.
    Absent,
    /// It could not be seen.
    Unknown,
}

/// Text that the rules allow to leave; made nowhere but here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct PlainText(String);

impl PlainText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PublicValue {
    /// The value in words.
    pub fn words(&self) -> &str {
        match self {
            PublicValue::Plain(text) => text.as_str(),
            PublicValue::Secret => "(secret)",
            PublicValue::HiddenLive => "(not shown: live value)",
            PublicValue::HiddenOperator => "(not shown: the operator's value)",
            PublicValue::HiddenValue => "(not shown)",
            PublicValue::Absent => "(absent)",
            PublicValue::Unknown => "(unknown)",
        }
    }
}

/// What masking goes by.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// The plan whose changes are shown.
    pub plan: &'a Plan,
    /// The plan without what is reported on: what `instead_of` speaks of.
    pub without: &'a Plan,
    /// What was last applied.
    pub base: &'a Base,
    /// What is declared, for places and for what changes with every commit.
    pub declared: &'a Declared,
    /// How much the operator lets out.
    pub detail: ReportDetail,
    /// Whether what runs was looked at.
    pub observed: bool,
}

impl Leaving<'_> {
    /// A pull request's plan, masked; `tip` is where the tracked branch stood.
    pub fn planned(&self, parts: &Parts<'_>, tip: CommitSha) -> PlannedPull {
        // What is undone are changes of that plan, so it says what was written.
        let before = Leaving { plan: self.without, ..*self };
        let [pull_request, waiting, live] = self.in_parts([&parts.own, &parts.waiting, &parts.live]);
        PlannedPull {
            detail: self.detail,
            observed: self.observed,
            tip,
            pull_request,
            undone: parts.undone.iter().map(|part| before.service(part)).collect(),
            waiting,
            live,
            blocked: self.blocked(),
            unknowns: self.plan.unknowns.iter().map(|unknown| self.unknown(unknown)).collect(),
            orphans: parts
                .orphans
                .iter()
                .map(|(service, own)| PublicOrphan { service: (*service).clone(), by_pull_request: *own })
                .collect(),
            in_sync: self.plan.in_sync.clone(),
            pipelines: Vec::new(),
            notes: self.plan.notes.iter().map(|note| reason(note)).collect(),
            merged: None,
        }
    }

    /// The parts, masked; what is said of a service as a whole is said in the first that it is in.
    fn in_parts(&self, parts: [&[Part<'_>]; 3]) -> [Vec<PublicService>; 3] {
        let mut told = BTreeSet::new();
        parts.map(|part| {
            let masked = |part: &Part<'_>| {
                let mut service = self.service(part);
                if !told.insert(part.action.service.clone()) {
                    service.notes.clear();
                }
                service
            };
            part.iter().map(masked).collect()
        })
    }

    /// One service's part, masked.
    pub fn service(&self, part: &Part<'_>) -> PublicService {
        let action = part.action;
        let place = self.declared.services.as_ref().and_then(|all| all.get(&action.service)).map(|all| all.at.clone());
        let notes = match self.detail {
            ReportDetail::Full => action.notes.iter().map(|note| reason(note)).collect(),
            ReportDetail::NamesOnly | ReportDetail::Off => Vec::new(),
        };
        PublicService {
            service: action.service.clone(),
            kind: action.kind,
            at: place,
            changes: part.changes.iter().map(|sorted| self.change(&action.service, sorted)).collect(),
            notes,
        }
    }

    fn change(&self, service: &ServiceName, sorted: &Sorted<'_>) -> PublicChange {
        // Everything a change holds is decided on here.
        let Change { field, kind, declared, base, live, replicas, cause, effect, at, note } = sorted.change;
        let base_leaf = self.base.services.get(service).and_then(|base| base.leaves.get(field));
        let written = |plan: &'_ Plan| plan.desired.get(service).and_then(|leaves| leaves.get(field)).cloned();
        let shows_live = self.shows_live(base_leaf);
        let seen = |value: Option<&Value>| value.map_or(PublicValue::Absent, |value| self.live(value, base_leaf));
        let mut before = match live {
            Observed::Known(value) => seen(value.as_ref()),
            Observed::Unknown(_) => PublicValue::Unknown,
        };
        let mut after = declared.as_ref().map(|value| self.declared(value, written(self.plan).as_ref()));
        if let (PublicValue::Plain(old), Some(PublicValue::Plain(new)), Observed::Known(Some(from)), Some(to)) =
            (&mut before, &mut after, live, declared)
        {
            // Long values are cut so that the place where they part is seen.
            let (from, to) = words::pair(from, to);
            (old.0, new.0) = (from, to);
        }
        let last_applied = (*cause == Cause::Both).then_some(base.as_ref()).flatten();
        let every_commit = self
            .declared
            .services
            .as_ref()
            .and_then(|all| all.get(service)?.leaves.get(field))
            .is_some_and(|leaf| leaf.uses_commit);
        // A word on an image names what runs; the others name nothing that runs.
        let tells_live = matches!((kind, declared), (ChangeKind::Set, Some(Value::Image(_))));
        let note = note.as_deref().filter(|_| self.detail == ReportDetail::Full && (shows_live || !tells_live));
        PublicChange {
            field: field.clone(),
            kind: *kind,
            live: before,
            declared: after,
            last_applied: last_applied.map(|value| self.declared(value, base_leaf)),
            instead_of: sorted.instead_of.map(|other| match &other.declared {
                Some(value) => self.declared(value, written(self.without).as_ref()),
                None => PublicValue::Absent,
            }),
            replicas: replicas
                .iter()
                .map(|replica| PublicReplica { name: reason(&replica.name), live: seen(replica.live.as_ref()) })
                .collect(),
            cause: *cause,
            effect: *effect,
            every_commit,
            at: at.clone(),
            note: note.map(reason),
        }
    }

    /// Whether a value of what runs may be shown: base holds the leaf, as plain, and not from the operator's hand.
    fn shows_live(&self, base: Option<&BaseLeaf>) -> bool {
        let plain = base.is_some_and(|leaf| !matches!(leaf.value, Value::Secret(_)) && !is_operators(leaf));
        plain && self.detail == ReportDetail::Full
    }

    fn live(&self, value: &Value, base: Option<&BaseLeaf>) -> PublicValue {
        match value {
            _ if self.detail != ReportDetail::Full => self.hidden(value, PublicValue::HiddenValue),
            Value::Secret(_) => PublicValue::Secret,
            value if self.shows_live(base) => plain(value),
            _ => PublicValue::HiddenLive,
        }
    }

    /// What the repository says, by what was written there.
    fn declared(&self, value: &Value, written: Option<&BaseLeaf>) -> PublicValue {
        match (value, written) {
            (value, Some(leaf)) if is_operators(leaf) => self.hidden(value, PublicValue::HiddenOperator),
            (value, _) if self.detail != ReportDetail::Full => self.hidden(value, PublicValue::HiddenValue),
            (Value::Secret(_), _) => PublicValue::Secret,
            (value, _) => plain(value),
        }
    }

    /// That a value is a secret may always be said.
    fn hidden(&self, value: &Value, otherwise: PublicValue) -> PublicValue {
        match (value, self.detail) {
            (Value::Secret(_), ReportDetail::Full) => PublicValue::Secret,
            (_, ReportDetail::Full) => otherwise,
            (_, ReportDetail::NamesOnly | ReportDetail::Off) => PublicValue::HiddenValue,
        }
    }

    fn blocked(&self) -> Vec<PublicBlocked> {
        let mut found = Vec::new();
        for action in &self.plan.actions {
            for blocked in &action.blocked {
                let field = match blocked {
                    Blocked::Unknown { field, why: _ } => field.clone(),
                    Blocked::Unsupported { field, why: _ } => Some(field.clone()),
                    Blocked::MissingSecret { .. }
                    | Blocked::Incomplete { .. }
                    | Blocked::CannotProbe { .. }
                    | Blocked::Dependency { .. }
                    | Blocked::NotAllowed { .. } => None,
                };
                let why = match self.detail {
                    ReportDetail::Full => reason(&words::blocked_words(blocked)),
                    ReportDetail::NamesOnly | ReportDetail::Off => kind_of(blocked).to_owned(),
                };
                found.push(PublicBlocked { service: action.service.clone(), field, why });
            }
        }
        found
    }

    fn unknown(&self, unknown: &Unknown) -> PublicUnknown {
        let Unknown { service, field, why } = unknown;
        let shown = self.detail == ReportDetail::Full && self.observed;
        PublicUnknown { service: service.clone(), field: field.clone(), why: shown.then(|| reason(why)) }
    }
}

fn plain(value: &Value) -> PublicValue {
    PublicValue::Plain(PlainText(words::value(value)))
}

/// Whether the operator had a hand in a value: a template that the repository does not decide stays as written.
fn is_operators(leaf: &BaseLeaf) -> bool {
    leaf.written.contains("{{")
}

/// A reason on one line, cut.
fn reason(text: &str) -> String {
    match text.char_indices().nth(REASON_MAX) {
        Some((at, _)) => format!("{}…", words::printable(&text[..at])),
        None => words::printable(text),
    }
}

/// Why something is blocked, in a word that tells nothing of what runs.
fn kind_of(blocked: &Blocked) -> &'static str {
    match blocked {
        Blocked::Unknown { .. } => "something that must be known is not",
        Blocked::Unsupported { .. } => "the provider cannot do it",
        Blocked::MissingSecret { .. } => "a secret has no value",
        Blocked::Incomplete { .. } => "the service is incomplete",
        Blocked::CannotProbe { .. } => "its health check could not be carried out",
        Blocked::Dependency { .. } => "a service that it depends on does not run",
        Blocked::NotAllowed { .. } => "the operator's rules forbid it",
    }
}
