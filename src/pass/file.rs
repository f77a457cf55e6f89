//! A file planned against what runs, without a daemon.

use crate::declared::Declared;
use crate::drift::Base;
use crate::drift::compare::compare;
use crate::drift::seal::seal;
use crate::pass::{complete, unprobeable};
use crate::plan::Plan;
use crate::plan::build::{PlanContext, make};
use crate::provider::Provider;

/// The plan of a file against what runs, without a daemon: nothing was applied as far as anyone knows, so every
/// difference is `new`.
pub async fn plan_file(declared: Declared, provider: &dyn Provider, mut context: PlanContext) -> Plan {
    let mut declared = declared;
    let gaps = complete::images(&mut declared, provider, complete::Ask::Registries).await;
    let mut live = provider.observe().await;
    let base = Base::default();
    // Without the installation's key no secret can be compared: each counts as unknown.
    seal(&mut live, &declared, &base, &|_| "0".repeat(64).parse().expect("64 digits"));
    let gaps = complete::secrets_unresolved(&declared, gaps);
    let can = provider.capabilities();
    let drift = compare(&declared, &gaps, &base, &live, &can);
    context.unprobeable = unprobeable(provider, &declared).await;
    make(&declared, &base, &drift, &can, context)
}
