//! What a plan says beside its values: the words on a leaf or a service without which the values alone would mislead.
//!
//! No note decides anything, and none is part of the digest.

use crate::declared::DeclaredService;
use crate::drift::{Cause, LeafDrift, Presence, ServiceDrift};
use crate::live::capability::{Capabilities, ChangeKind, Effect, Support};
use crate::live::field::FieldPath;
use crate::live::image::ImageValue;
use crate::live::value::Value;
use crate::plan::{ActionKind, Change};

/// A word on one leaf.
pub(super) fn on_leaf(leaf: &LeafDrift, presence: Presence, can: &Capabilities) -> Option<String> {
    match leaf.kind {
        ChangeKind::Withdraw => {
            let (to, from) = (returns_to(&leaf.field, can), leaf.base.as_ref().map(Value::to_string));
            let stays = from.is_some_and(|from| to == format!("returns to {from}"));
            Some(if stays { "as it is by default".to_owned() } else { to })
        }
        ChangeKind::Set if presence == Presence::Absent => None,
        ChangeKind::Set => match (&leaf.field, &leaf.declared, leaf.live.known()) {
            (FieldPath::Stopped, _, _) => Some("it is started again".to_owned()),
            (_, Some(Value::Image(declared)), Some(Some(Value::Image(live)))) => other_content(declared, live),
            _ => None,
        },
    }
}

/// Why an image is another one although it goes by the same name.
fn other_content(declared: &ImageValue, live: &ImageValue) -> Option<String> {
    if !declared.same_reference(live) || declared.content.is_empty() {
        return None;
    }
    let tagged = |image: &ImageValue| image.reference.as_ref().is_some_and(|reference| reference.tag.is_some());
    let what = if tagged(declared) && tagged(live) { "same tag, other digest" } else { "other digest" };
    match (live.content.first(), declared.content.first()) {
        (Some(runs), Some(means)) => Some(format!("{what}: {} runs, {} is declared", runs.short(), means.short())),
        (None, _) | (_, None) => Some(what.to_owned()),
    }
}

/// What becomes of a leaf that the file no longer writes.
fn returns_to(field: &FieldPath, can: &Capabilities) -> String {
    if let Some(default) = (can.default_of)(field) {
        return format!("returns to {default}");
    }
    let from_image = (can.support)(&FieldPath::Image) == Support::Observed;
    match field {
        FieldPath::Env(_) | FieldPath::Labels(_) if from_image => "removed, or as the image has it",
        FieldPath::Env(_) | FieldPath::Labels(_) => "removed",
        FieldPath::Ports(_) => "no longer published",
        FieldPath::Volumes(_) => "unmounted; what it holds stays",
        FieldPath::Image => "nothing says what is to run",
        FieldPath::Source => "no longer compared",
        FieldPath::Entrypoint | FieldPath::Command | FieldPath::User | FieldPath::WorkingDir if from_image => {
            "returns to what the image has"
        }
        FieldPath::Entrypoint | FieldPath::Command | FieldPath::User | FieldPath::WorkingDir => {
            "returns to its default"
        }
        FieldPath::Stopped => "returns to false",
        FieldPath::Replicas => "returns to 1",
        FieldPath::CpuLimit | FieldPath::MemoryLimit => "returns to no limit",
        FieldPath::Restart | FieldPath::StopGracePeriod => "returns to the provider's default",
        FieldPath::Port => "no port is known any more",
        FieldPath::Pull => "returns to always",
        FieldPath::DependsOn => "waits for no other service any more",
        FieldPath::HealthPath | FieldPath::HealthPort | FieldPath::HealthCommand => "no longer probed",
        // The defaults of `deploy::check`, which pure code cannot name; a test holds them together.
        FieldPath::HealthInterval => "returns to 10s",
        FieldPath::HealthTimeout => "returns to 5s",
        FieldPath::HealthStartPeriod => "returns to 0s",
        FieldPath::HealthyThreshold => "returns to 1",
        FieldPath::UnhealthyThreshold => "returns to 3",
        FieldPath::DeployStrategy => "returns to recreate",
        FieldPath::RollbackOnFailure => "returns to true",
    }
    .to_owned()
}

/// What the reader should know of a service before confirming.
pub(super) fn on_service(
    service: &DeclaredService,
    drift: &ServiceDrift,
    kind: ActionKind,
    changes: &[Change],
) -> Vec<String> {
    let mut notes = Vec::new();
    if kind == ActionKind::Create && changes.iter().any(|change| change.cause == Cause::Live) {
        notes.push("it was applied before, and nothing of it runs any more".to_owned());
    }
    if !drift.left_over.is_empty() {
        notes.push(format!(
            "left of an earlier release, and removed: {}; a deploy broke off before it was, and another has its place",
            drift.left_over.join(", ")
        ));
    }
    if kind == ActionKind::Replace {
        notes.push(gap_in_service(drift, changes));
    }
    let uses_commit = |change: &&Change| service.leaves.get(&change.field).is_some_and(|leaf| leaf.uses_commit);
    if let Some(change) = changes.iter().find(uses_commit) {
        notes.push(format!("{} uses the commit's id, so every commit changes this service", change.field));
    }
    notes
}

/// What a replacement means for those who use the service.
fn gap_in_service(drift: &ServiceDrift, changes: &[Change]) -> String {
    let replacing = || changes.iter().filter(|change| change.effect == Effect::Replace);
    let mut some: Vec<&str> =
        replacing().flat_map(|change| &change.replicas).map(|replica| replica.name.as_str()).collect();
    some.sort_unstable();
    some.dedup();
    let everywhere = replacing().any(|change| change.replicas.is_empty());
    if everywhere || some.len() >= drift.replicas {
        return "short outage: the new is prepared first, then the old stops, then the new starts".to_owned();
    }
    let verb = if some.len() == 1 { "is" } else { "are" };
    format!("only {} {verb} replaced; the other replicas go on running", some.join(" and "))
}
