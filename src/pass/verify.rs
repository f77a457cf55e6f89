//! Verification: what a run changed, looked at again.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::declared::source::hash_again;
use crate::drift::compare::compare;
use crate::drift::seal::seal;
use crate::drift::{BaseLeaf, Gaps};
use crate::git::ResolvedRef;
use crate::ids::ServiceName;
use crate::live::capability::Support;
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::pass::read::tree_entries;
use crate::pass::{PassError, Passes};
use crate::plan::build::{PlanContext, make};
use crate::plan::{Plan, PlanOptions};

impl Passes {
    /// Whether the commit that is to be laid down for a service holds the code that the plan declares. Where the
    /// provider does not run the repository's own code, there is nothing to check.
    ///
    /// # Errors
    /// [`PassError::OtherCode`] where it does not, or where that cannot be told.
    pub async fn check_code(&self, plan: &Plan, service: &ServiceName, actor: &str) -> Result<(), PassError> {
        let site = self.site(&plan.environment).await?;
        let leaf = plan.desired.get(service).and_then(|leaves| leaves.get(&FieldPath::Source));
        let (Some(BaseLeaf { value: Value::Source(declared), written }), Support::Observed) =
            (leaf, (site.can.support)(&FieldPath::Source))
        else {
            return Ok(());
        };
        let Some(commit) = plan.commit_of(service) else { return Ok(()) };
        let remote = self.remote(&site.project, actor).await?;
        let wanted = ResolvedRef { full_name: commit.to_string(), commit: commit.clone(), object: commit.clone() };
        self.parts.git.fetch(&remote, &wanted).await?;
        let tree = tree_entries(self.parts.git.tree(&remote, commit).await?);
        let other = |what: &str| {
            PassError::OtherCode(format!(
                "the code of {service} at {} {what}, so nothing was begun; sync from the repository",
                commit.short()
            ))
        };
        match hash_again(written, &tree) {
            Some(found) if found == *declared => Ok(()),
            Some(found) => Err(other(&format!("is {}, and {} is to run", found.short(), declared.short()))),
            None => Err(other("cannot be told to be the one that is to run: its globs were not recorded")),
        }
    }

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
            commits: plan.commits.clone(),
            options: PlanOptions { services: Some([service.clone()].into()), ..plan.options.clone() },
            unprobeable: BTreeMap::new(),
            notes: Vec::new(),
            made_at: Timestamp::now(),
        };
        Ok(make(&declared, &base, &drift, &site.can, context))
    }
}
