//! `trueup why`: one leaf's three sides, and since when they differ.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::declared::Position;
use crate::drift::compare::compare;
use crate::drift::seal::seal;
use crate::drift::{BaseService, Cause, ServiceDrift};
use crate::ids::{CommitSha, EnvironmentRef, RunId, ServiceName};
use crate::live::capability::Support;
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::live::{Live, LiveService, Observed};
use crate::pass::{PassError, Passes, Reading};

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
    /// Why it could not be compared, where it could not.
    pub unknown: Option<String>,
}

/// The declared side of a leaf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WhyDeclared {
    /// The value, a secret masked.
    pub value: String,
    /// Where it is written.
    pub at: Position,
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
    /// One leaf's declared, base and live value, the cause of its drift and since when.
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
        let site = self.site(id).await?;
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
            return Err(PassError::NoLeaf(format!(
                "{id}/{service}.{field} is neither declared nor applied: it is unmanaged, so Trueup never compares or touches it"
            )));
        }
        let differing = drift.services.get(service);
        let found = differing.and_then(|entry| entry.leaves.iter().find(|leaf| leaf.field == *field));
        let marks = self.parts.store.drift_marks(id).await?;
        let mark = marks.iter().find(|mark| mark.service == *service && mark.field == *field);
        Ok(Why {
            address: format!("{id}/{service}.{field}"),
            declared: leaf.map(|leaf| WhyDeclared { value: leaf.value.to_string(), at: leaf.at.clone(), commit }),
            base: base_leaf.map(|(base, leaf)| applied_side(base, &leaf.value)),
            live: match (site.can.support)(field) {
                Support::Observed => seen(&live, service, field),
                Support::Policy | Support::Unsupported(_) => vec!["(not visible in what runs)".to_owned()],
            },
            cause: found.map(|leaf| leaf.cause),
            since: found.and_then(|leaf| mark.filter(|mark| mark.cause == leaf.cause)).map(|mark| mark.since),
            unknown: differing.and_then(|entry| unknown_of(entry, field)).or(drift.unseen),
        })
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
