//! `trueup why`: one leaf's three sides, and since when they differ.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::declared::Position;
use crate::drift::compare::compare;
use crate::drift::seal::seal;
use crate::drift::{BaseService, Cause, ReplicaLive, ServiceDrift};
use crate::ids::{CommitSha, EnvironmentRef, RunId, ServiceName};
use crate::live::capability::Support;
use crate::live::field::FieldPath;
use crate::live::rule::Rule;
use crate::live::value::Value;
use crate::live::{Live, LiveService, Observed};
use crate::pass::{PassError, Passes, Reading};
use crate::plan::{Change, Unknown};
use crate::store::records::DriftMark;

/// What is known of one leaf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Why {
    /// `shop/production/web.resources.memory_limit`.
    pub address: String,
    /// What is declared.
    pub declared: Option<WhyDeclared>,
    /// What was last applied.
    pub base: Option<WhyBase>,
    /// What runs, per replica where they differ; `(absent)`, `(unknown: …)` or `(not visible in what runs)`.
    pub live: Vec<String>,
    /// Why it differs; `None` where it does not.
    pub cause: Option<Cause>,
    /// Since when Trueup has seen it differ for this cause.
    #[schema(value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// Why it could not be compared, where it could not. Without a cause it is then not known to be in sync.
    pub unknown: Option<String>,
    /// When what is told was seen, where it comes from the latest plan and nothing was looked at for it.
    #[schema(value_type = Option<String>)]
    pub seen_at: Option<Timestamp>,
    /// The rule by which its two sides count as the same although they are not written alike.
    pub rule: Option<Rule>,
}

/// The declared side of a leaf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WhyDeclared {
    /// The value, a secret masked.
    pub value: String,
    /// Where it is written; a leaf that is in sync does not say so in a plan.
    pub at: Option<Position>,
    /// At which commit.
    pub commit: Option<CommitSha>,
}

/// The base side of a leaf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WhyBase {
    /// The value, a secret masked.
    pub value: String,
    /// The commit it was declared at.
    pub commit: Option<CommitSha>,
    /// The run that applied it.
    pub run: Option<RunId>,
    /// When it was verified.
    #[schema(value_type = String)]
    pub verified_at: Timestamp,
}

impl Passes {
    /// One leaf's declared, base and live value, the cause of its drift and since when, from a fresh look.
    ///
    /// # Errors
    /// [`PassError::NoLeaf`] where none of the three sides has it.
    pub async fn why(
        &self,
        id: &EnvironmentRef,
        service: &ServiceName,
        field: &FieldPath,
        actor: &str,
    ) -> Result<Why, PassError> {
        let site = self.enabled(id).await?;
        let Reading { mut declared, commit, .. } = self.read(&site, None, actor).await?;
        let base = self.parts.store.base(id).await?;
        let (gaps, mut live) = tokio::join!(self.complete(&mut declared, &site, actor), site.provider.observe());
        seal(&mut live, &declared, &base, &|value| self.parts.secrets.fingerprint(value));
        let drift = compare(&declared, &gaps, &base, &live, &site.can);

        let leaf =
            declared.services.as_ref().and_then(|all| all.get(service)).and_then(|entry| entry.leaves.get(field));
        let applied = base.services.get(service);
        let base_leaf = applied.and_then(|base| base.leaves.get(field).map(|leaf| (base, leaf)));
        if leaf.is_none() && base_leaf.is_none() {
            return Err(unmanaged(id, service, field));
        }
        let differing = drift.services.get(service);
        let found = differing.and_then(|entry| entry.leaves.iter().find(|leaf| leaf.field == *field));
        let cause = found.map(|leaf| leaf.cause);
        // A service that the file does not name is not compared, and so not known to be in sync either.
        let undeclared = || differing.is_none().then(|| UNDECLARED.to_owned());
        Ok(Why {
            address: format!("{id}/{service}.{field}"),
            declared: leaf.map(|leaf| WhyDeclared { value: leaf.value.to_string(), at: Some(leaf.at.clone()), commit }),
            base: base_leaf.map(|(base, leaf)| applied_side(base, &leaf.value)),
            live: match (site.can.support)(field) {
                Support::Observed => seen(&live, service, field),
                Support::Policy | Support::Unsupported(_) => vec!["(not visible in what runs)".to_owned()],
            },
            cause,
            since: self.since(id, service, field, cause).await?,
            unknown: differing.and_then(|entry| unknown_of(entry, field)).or(drift.unseen).or_else(undeclared),
            seen_at: None,
            rule: differing
                .and_then(|entry| entry.suppressed.iter().find(|suppressed| suppressed.field == *field))
                .map(|suppressed| suppressed.rule),
        })
    }

    /// The same from the latest plan: for those who may see what is known, but may not have anything looked at.
    ///
    /// # Errors
    /// [`PassError::NoLeaf`] where the plan does not have it, or where there is no plan yet.
    pub async fn why_planned(
        &self,
        id: &EnvironmentRef,
        service: &ServiceName,
        field: &FieldPath,
    ) -> Result<Why, PassError> {
        let site = self.site(id).await?;
        let plan = self.parts.store.latest_plan(id).await?;
        let plan = plan.ok_or_else(|| PassError::NoLeaf(format!("{id} has no plan yet that could tell")))?;
        let base = self.parts.store.base(id).await?;
        let declared = plan.desired.get(service).and_then(|leaves| leaves.get(field));
        let base_leaf = base.services.get(service).and_then(|base| base.leaves.get(field).map(|leaf| (base, leaf)));
        let change =
            plan.action(service).and_then(|action| action.changes.iter().find(|change| change.field == *field));
        if declared.is_none() && base_leaf.is_none() && change.is_none() {
            return Err(unmanaged(id, service, field));
        }
        let about = |unknown: &&Unknown| {
            unknown.service.as_ref().is_none_or(|name| name == service)
                && unknown.field.as_ref().is_none_or(|name| name == field)
        };
        let undeclared = || (!plan.desired.contains_key(service)).then(|| UNDECLARED.to_owned());
        let unknown = plan.unknowns.iter().find(about).map(|unknown| unknown.why.clone()).or_else(undeclared);
        let cause = change.map(|change| change.cause);
        Ok(Why {
            address: format!("{id}/{service}.{field}"),
            declared: declared.map(|leaf| WhyDeclared {
                value: leaf.value.to_string(),
                at: change.and_then(|change| change.at.clone()),
                commit: plan.commit.clone(),
            }),
            base: base_leaf.map(|(base, leaf)| applied_side(base, &leaf.value)),
            live: match ((site.can.support)(field), change, &unknown) {
                (Support::Policy | Support::Unsupported(_), _, _) => vec!["(not visible in what runs)".to_owned()],
                (Support::Observed, Some(change), _) => planned_live(change),
                (Support::Observed, None, Some(why)) => vec![format!("(unknown: {why})")],
                (Support::Observed, None, None) => declared.map(|leaf| leaf.value.to_string()).into_iter().collect(),
            },
            cause,
            since: self.since(id, service, field, cause).await?,
            unknown,
            rule: plan
                .suppressed
                .iter()
                .find(|one| one.service == *service && one.difference.field == *field)
                .map(|one| one.difference.rule),
            seen_at: Some(self.looks(id).observed_at.map_or(plan.made_at, |seen| seen.max(plan.made_at))),
        })
    }

    /// Since when a leaf has been seen to differ for this cause.
    async fn since(
        &self,
        id: &EnvironmentRef,
        service: &ServiceName,
        field: &FieldPath,
        cause: Option<Cause>,
    ) -> Result<Option<Timestamp>, PassError> {
        let marks = self.parts.store.drift_marks(id).await?;
        let same = |mark: &&DriftMark| mark.service == *service && mark.field == *field && Some(mark.cause) == cause;
        Ok(marks.iter().find(same).map(|mark| mark.since))
    }
}

/// What there is to say of a leaf of a service that was applied and that the file does not name.
const UNDECLARED: &str = "the service is not declared, so it is not compared";

fn unmanaged(id: &EnvironmentRef, service: &ServiceName, field: &FieldPath) -> PassError {
    PassError::NoLeaf(format!(
        "{id}/{service}.{field} is neither declared nor applied: it is unmanaged, so Trueup never compares or touches it"
    ))
}

/// The live side of a leaf that a plan changes.
fn planned_live(change: &Change) -> Vec<String> {
    let words = |live: Option<&Value>| live.map_or_else(|| "(absent)".to_owned(), ToString::to_string);
    if !change.replicas.is_empty() {
        let line = |replica: &ReplicaLive| format!("{}: {}", replica.name, words(replica.live.as_ref()));
        return change.replicas.iter().map(line).collect();
    }
    match &change.live {
        Observed::Known(live) => vec![words(live.as_ref())],
        Observed::Unknown(why) => vec![format!("(unknown: {why})")],
    }
}

fn applied_side(base: &BaseService, value: &Value) -> WhyBase {
    WhyBase { value: value.to_string(), commit: base.commit.clone(), run: base.run, verified_at: base.verified_at }
}

fn unknown_of(drift: &ServiceDrift, field: &FieldPath) -> Option<String> {
    let leaf = drift.unknown.iter().find(|(unknown, _)| unknown == field).map(|(_, why)| why.clone());
    leaf.or_else(|| drift.unseen.clone())
}

/// The live side: one line where all replicas agree, else one a replica.
fn seen(live: &Live, service: &ServiceName, field: &FieldPath) -> Vec<String> {
    let services = match &live.services {
        Observed::Known(services) => services,
        Observed::Unknown(why) => return vec![format!("(unknown: {why})")],
    };
    if let Some(why) = services.get(service).and_then(LiveService::unseen_why) {
        return vec![format!("(unknown: {why})")];
    }
    let replicas = services.get(service).map(|service| service.replicas.as_slice()).unwrap_or_default();
    if *field == FieldPath::Replicas {
        return vec![replicas.len().to_string()];
    }
    let words = |observed: Option<&Observed<crate::live::LiveLeaf>>| match observed {
        None => "(absent)".to_owned(),
        Some(Observed::Known(leaf)) => leaf.value.to_string(),
        Some(Observed::Unknown(why)) => format!("(unknown: {why})"),
    };
    let lines: Vec<(String, String)> =
        replicas.iter().map(|replica| (replica.name.clone(), words(replica.leaves.get(field)))).collect();
    match lines.first() {
        None => vec!["(the service does not run)".to_owned()],
        Some((_, first)) if lines.iter().all(|(_, other)| other == first) => vec![first.clone()],
        Some(_) => lines.into_iter().map(|(name, words)| format!("{name}: {words}")).collect(),
    }
}
