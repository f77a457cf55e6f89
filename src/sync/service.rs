//! One service's part of a run: deployed, observed again, and recorded if nothing of its part of the plan is left.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use secrecy::SecretString;

use crate::deploy::check::check_of;
use crate::deploy::health_gate::{self, Made};
use crate::deploy::recreate::Deployment;
use crate::deploy::undo::Aftermath;
use crate::ids::{SecretName, ServiceName};
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::live::{Health, LiveService, Observed};
use crate::pass::PassError;
use crate::plan::{Action, ActionKind, Plan};
use crate::provider::{Progress, Provider};
use crate::secret::mask::running_secrets;
use crate::store::StoreError;
use crate::sync::apply::Apply;
use crate::sync::gate::SyncPermit;
use crate::sync::journal::{Journal, Step};

/// Why one service's part failed.
pub(super) enum Failure {
    /// It failed for good.
    Failed(String),
    /// It is to be settled later.
    Parked(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Parked(error.to_string())
    }
}

impl From<PassError> for Failure {
    fn from(error: PassError) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Failed(why) | Failure::Parked(why) => f.write_str(why),
        }
    }
}

/// One service's part of a run.
pub(super) struct Service<'a> {
    pub(super) apply: &'a Apply,
    pub(super) permit: &'a SyncPermit,
    pub(super) plan: &'a Plan,
    pub(super) action: &'a Action,
    pub(super) provider: &'a dyn Provider,
    pub(super) journal: &'a Journal,
}

impl Service<'_> {
    /// Deploys, verifies, records.
    ///
    /// # Errors
    /// [`Failure`]: for good, or to be settled later.
    pub(super) async fn carry_out(&self, actor: &str) -> Result<(), Failure> {
        let leaves = self.leaves();
        let live = self.live().await?;
        let secrets = match self.action.kind {
            ActionKind::Create | ActionKind::Replace | ActionKind::InPlace => self.secrets(&leaves, actor).await?,
            ActionKind::Delete | ActionKind::Record => BTreeMap::new(),
        };
        self.apply.output.mask(secrets.values().cloned());
        if matches!(self.action.kind, ActionKind::Create | ActionKind::Replace) {
            self.wait_for_dependencies(&leaves).await?;
        }
        if self.makes_replicas() {
            self.apply.passes.check_code(self.plan, &self.action.service, actor).await?;
        }
        let withdrawn = self.withdrawn().await?;
        let deployment = Deployment {
            provider: self.provider,
            permit: self.permit,
            journal: self.journal,
            progress: &self.apply.output,
            action: self.action,
            leaves: &leaves,
            withdrawn: &withdrawn,
            secrets: &secrets,
            commit: self.plan.commit_of(&self.action.service),
            live: &live,
        };
        if let Err(error) = deployment.run().await {
            for line in &error.tail {
                self.apply.output.line(&format!("{} | {line}", self.action.service));
            }
            return Err(match error.aftermath {
                Aftermath::Parked => Failure::Parked(error.to_string()),
                Aftermath::Untouched | Aftermath::Restored | Aftermath::Switched(_) | Aftermath::Broken(_) => {
                    Failure::Failed(error.to_string())
                }
            });
        }
        self.verify().await?;
        self.record().await
    }

    /// Whether new replicas may be made, and so code laid down.
    fn makes_replicas(&self) -> bool {
        match self.action.kind {
            ActionKind::Create | ActionKind::Replace => true,
            ActionKind::InPlace => self.action.changes.iter().any(|change| change.field == FieldPath::Replicas),
            ActionKind::Delete | ActionKind::Record => false,
        }
    }

    fn leaves(&self) -> BTreeMap<FieldPath, Value> {
        let desired = self.plan.desired.get(&self.action.service);
        desired
            .into_iter()
            .flat_map(|leaves| leaves.iter())
            .map(|(field, leaf)| (field.clone(), leaf.value.clone()))
            .collect()
    }

    async fn live(&self) -> Result<LiveService, Failure> {
        match self.provider.observe().await.services {
            Observed::Known(mut services) => {
                self.mask_running(&services).await?;
                let service = services.remove(&self.action.service).unwrap_or_default();
                match service.unseen_why() {
                    None => Ok(service),
                    Some(why) => Err(Failure::Failed(format!("not all of it could be seen: {why}"))),
                }
            }
            Observed::Unknown(why) => {
                Err(Failure::Failed(format!("what runs could not be seen, so nothing was begun: {why}")))
            }
        }
    }

    /// What runs may print the secrets that it holds, in a failed probe's answer or in its last words.
    async fn mask_running(&self, services: &BTreeMap<ServiceName, LiveService>) -> Result<(), Failure> {
        let base = self.apply.store.base(&self.plan.environment).await?;
        let held = |name: &ServiceName, field: &FieldPath| {
            let declared = self.plan.desired.get(name).and_then(|leaves| leaves.get(field));
            let applied = base.services.get(name).and_then(|service| service.leaves.get(field));
            [declared, applied].into_iter().flatten().any(|leaf| matches!(leaf.value, Value::Secret(_)))
        };
        self.apply.output.mask(running_secrets(services, held).into_iter());
        Ok(())
    }

    async fn secrets(
        &self,
        leaves: &BTreeMap<FieldPath, Value>,
        actor: &str,
    ) -> Result<BTreeMap<SecretName, SecretString>, Failure> {
        let names: BTreeSet<SecretName> = leaves
            .values()
            .filter_map(|value| match value {
                Value::Secret(secret) => secret.name.clone(),
                _ => None,
            })
            .collect();
        Ok(self.apply.passes.secret_values(&self.plan.environment, names, actor).await?)
    }

    /// The leaves that base has and the plan no longer declares.
    async fn withdrawn(&self) -> Result<BTreeSet<FieldPath>, Failure> {
        let base = self.apply.store.base(&self.plan.environment).await?;
        let desired = self.plan.desired.get(&self.action.service);
        let applied = base.services.get(&self.action.service).into_iter().flat_map(|service| service.leaves.keys());
        Ok(applied.filter(|field| desired.is_none_or(|leaves| !leaves.contains_key(*field))).cloned().collect())
    }

    async fn wait_for_dependencies(&self, leaves: &BTreeMap<FieldPath, Value>) -> Result<(), Failure> {
        let Some(Value::Services(needs)) = leaves.get(&FieldPath::DependsOn) else { return Ok(()) };
        let services = match self.provider.observe().await.services {
            Observed::Known(services) => services,
            Observed::Unknown(why) => {
                return Err(Failure::Failed(format!("its dependencies could not be seen: {why}")));
            }
        };
        let base = self.apply.store.base(&self.plan.environment).await?;
        for need in needs.iter() {
            self.apply.output.line(&format!("{}: waiting for {need} to be healthy", self.action.service));
            if let Some(why) = services.get(need).and_then(LiveService::unseen_why) {
                return Err(Failure::Failed(format!("it depends on {need}, and not all of that could be seen: {why}")));
            }
            let Some(service) = services.get(need).filter(|service| !service.replicas.is_empty()) else {
                return Err(Failure::Failed(format!("it depends on {need}, which does not run; nothing was begun")));
            };
            // A service that this plan leaves out is held to the check that it was applied with.
            let applied = base.services.get(need).map(|service| &service.leaves);
            let declared = self.plan.desired.get(need).or(applied);
            let check = check_of(|field| declared.and_then(|leaves| leaves.get(field)).map(|leaf| &leaf.value));
            let left_over = service.left_over();
            for replica in service.replicas.iter().filter(|replica| !left_over.contains(&replica.id)) {
                if let Err(failure) = health_gate::pass(self.provider, &replica.id, &check, Made::Before).await {
                    return Err(Failure::Failed(format!(
                        "it depends on {need}, and {}: {failure}; nothing was begun",
                        replica.name
                    )));
                }
            }
        }
        Ok(())
    }

    /// Observes again: this service's part of the plan must be empty now.
    async fn verify(&self) -> Result<(), Failure> {
        let work = async {
            if self.action.kind == ActionKind::Delete {
                return self.verify_gone().await;
            }
            let plan = self.apply.passes.verify(self.plan, &self.action.service).await?;
            let left: Vec<String> =
                plan.actions.iter().flat_map(|action| &action.changes).map(|change| change.field.to_string()).collect();
            let unknown: Vec<&str> = plan.unknowns.iter().map(|unknown| unknown.why.as_str()).collect();
            match (left.is_empty(), unknown.is_empty()) {
                (true, true) => Ok(()),
                (false, _) => Err(Failure::Failed(format!(
                    "it was applied, but {} still differ(s) from what is declared",
                    left.join(", ")
                ))),
                (true, false) => {
                    Err(Failure::Failed(format!("it was applied, but could not be verified: {}", unknown.join("; "))))
                }
            }
        };
        self.journal.step(&self.action.service, Step::Verify, work).await
    }

    async fn verify_gone(&self) -> Result<(), Failure> {
        match self.live().await?.replicas.is_empty() {
            true => Ok(()),
            false => Err(Failure::Failed("it was removed, but still runs".to_owned())),
        }
    }

    async fn record(&self) -> Result<(), Failure> {
        let (store, environment, service) = (&self.apply.store, &self.plan.environment, &self.action.service);
        let work = async {
            let applied = self.plan.applied(Some(self.permit.run()), Timestamp::now());
            match applied.services.get(service) {
                Some(base) => store.record_base(environment, service, base.clone()).await?,
                None => store.forget_base(environment, service).await?,
            }
            if matches!(self.action.kind, ActionKind::Create | ActionKind::Replace) {
                // It has just passed its health gate: probes go on from there.
                store.put_health(environment, service, Health::Healthy, Timestamp::now()).await?;
            }
            Ok::<(), Failure>(())
        };
        self.journal.step(service, Step::Record, work).await
    }
}
