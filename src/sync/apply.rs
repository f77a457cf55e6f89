//! Carrying out a plan under its permit: service by service, each verified before it is recorded.

use std::sync::Arc;

use crate::ids::ServiceName;
use crate::pass::Passes;
use crate::plan::Plan;
use crate::provider::Progress;
use crate::report::text::printable;
use crate::store::Store;
use crate::store::records::RunState;
use crate::sync::gate::SyncPermit;
use crate::sync::journal::{Boundary, Journal};
use crate::sync::output::Output;
use crate::sync::service::{Failure, Service};

/// How carrying out a plan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Everything that could be carried out was, and was verified.
    Done(String),
    /// A service failed; those verified before it stay recorded.
    Failed(String),
    /// The provider or the database went out of reach; the run is settled when it answers again.
    Parked(String),
}

impl Applied {
    /// The run's state and closing line, once it is over.
    pub fn finish(&self) -> Option<(RunState, &str)> {
        match self {
            Applied::Done(summary) => Some((RunState::Succeeded, summary)),
            Applied::Failed(summary) => Some((RunState::Failed, summary)),
            Applied::Parked(_) => None,
        }
    }
}

/// One run at work.
pub struct Apply {
    /// The database.
    pub store: Store,
    /// For observing again.
    pub passes: Passes,
    /// The run's output.
    pub output: Output,
    /// Told of journal boundaries.
    pub boundary: Option<Arc<dyn Boundary>>,
}

impl Apply {
    /// Carries out what is feasible of the plan, in its order.
    pub async fn run(&self, permit: &SyncPermit, plan: &Plan, actor: &str) -> Applied {
        let provider = match self.passes.provider(&plan.environment).await {
            Ok(provider) => provider,
            Err(error) => return Applied::Failed(error.to_string()),
        };
        let journal = Journal::new(self.store.clone(), permit.run(), self.boundary.clone(), self.output.clone());
        let mut done: Vec<&ServiceName> = Vec::new();
        for action in plan.feasible() {
            let service = Service { apply: self, permit, plan, action, provider: &*provider, journal: &journal };
            match service.carry_out(actor).await {
                Ok(()) => {
                    self.output.line(&format!("{}: verified and recorded", action.service));
                    done.push(&action.service);
                }
                Err(Failure::Failed(why)) => {
                    self.output.line(&format!("{}: failed: {why}", action.service));
                    return Applied::Failed(closing(plan, &done, Some((&action.service, &self.output.masked(&why)))));
                }
                Err(Failure::Parked(why)) => {
                    self.output.line(&format!("{}: parked: {why}", action.service));
                    return Applied::Parked(closing(plan, &done, Some((&action.service, &self.output.masked(&why)))));
                }
            }
        }
        Applied::Done(closing(plan, &done, None))
    }
}

/// The run's closing line.
pub(super) fn closing(plan: &Plan, done: &[&ServiceName], failed: Option<(&ServiceName, &str)>) -> String {
    let names = |services: &[&ServiceName]| services.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let mut parts = Vec::new();
    if !done.is_empty() {
        parts.push(format!("{} applied and verified", names(done)));
    }
    if let Some((service, why)) = failed {
        let first = why.lines().next().unwrap_or_default();
        parts.push(format!("{service} failed: {}", printable(first)));
        let left: Vec<&ServiceName> = plan
            .feasible()
            .map(|action| &action.service)
            .filter(|name| !done.contains(name) && *name != service)
            .collect();
        if !left.is_empty() {
            parts.push(format!("{} not begun", names(&left)));
        }
    }
    let blocked: Vec<&ServiceName> =
        plan.actions.iter().filter(|action| !action.blocked.is_empty()).map(|action| &action.service).collect();
    if !blocked.is_empty() {
        parts.push(format!("{} blocked", names(&blocked)));
    }
    parts.join("; ")
}
