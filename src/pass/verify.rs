//! Verification: what a run changed, looked at again.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::drift::Gaps;
use crate::drift::compare::compare;
use crate::drift::seal::seal;
use crate::ids::ServiceName;
use crate::pass::{PassError, Passes};
use crate::plan::build::{PlanContext, make};
use crate::plan::{Plan, PlanOptions};

impl Passes {
    /// What a run has changed, observed again: the part of `plan` that is about `service`, made anew over the leaves that
    /// were to be applied. Empty means verified.
    ///
    /// # Errors
    /// [`PassError`]; nothing is known then.
    pub async fn verify(&self, plan: &Plan, service: &ServiceName) -> Result<Plan, PassError> {
        let site = self.site(&plan.environment).await?;
        let mut declared = self.declared_of(plan);
        if let Some(services) = &mut declared.services {
            services.retain(|name, _| name == service);
        }
        let base = plan.to_verify(Timestamp::now());
        let mut live = site.provider.observe().await;
        seal(&mut live, &declared, &base, &|value| self.parts.secrets.fingerprint(value));
        let drift = compare(&declared, &Gaps::default(), &base, &live, &site.can);
        let context = PlanContext {
            environment: plan.environment.clone(),
            reference: plan.reference.clone(),
            commit: plan.commit.clone(),
            options: PlanOptions { services: Some([service.clone()].into()), ..plan.options.clone() },
            unprobeable: BTreeMap::new(),
            notes: Vec::new(),
            made_at: Timestamp::now(),
        };
        Ok(make(&declared, &base, &drift, &site.can, context))
    }
}
