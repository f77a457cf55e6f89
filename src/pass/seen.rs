//! What passes remember between looks, so that looking often costs little: the last reading of each environment's file,
//! and when everything was last looked at. All of it can be had again; nothing here is the truth.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::ids::{CommitSha, EnvironmentRef, PlanDigest};
use crate::pass::Reading;
use crate::plan::Plan;
use crate::store::records::{Environment, Project, ReadStatus, RegisteredService};

/// When an environment was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// When its repository was last asked.
    pub checked_at: Option<Timestamp>,
    /// When what runs was last observed.
    pub observed_at: Option<Timestamp>,
}

/// The memory of all environments.
#[derive(Default)]
pub(super) struct Seen {
    environments: Mutex<BTreeMap<EnvironmentRef, One>>,
}

#[derive(Default)]
struct One {
    looks: Looks,
    read: Option<ReadStatus>,
    plan: Option<(PlanDigest, Option<CommitSha>)>,
    reading: Option<Kept>,
    /// Whether the last look found that nothing deployed there is probed.
    unprobed: bool,
}

/// A reading, and what it was made from besides the commit.
struct Kept {
    project: Project,
    environment: Environment,
    registered: Vec<RegisteredService>,
    reading: Arc<Reading>,
}

impl Seen {
    fn all(&self) -> MutexGuard<'_, BTreeMap<EnvironmentRef, One>> {
        self.environments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn looks(&self, id: &EnvironmentRef) -> Looks {
        self.all().get(id).map(|one| one.looks).unwrap_or_default()
    }

    /// Notes a read of the repository; true where it says something new, which is worth a write.
    pub(super) fn checked(&self, id: &EnvironmentRef, status: &ReadStatus) -> bool {
        let mut all = self.all();
        let one = all.entry(id.clone()).or_default();
        one.looks.checked_at = Some(status.checked_at);
        let same = |known: &ReadStatus| {
            let ReadStatus { state, reason, commit, checked_at: _, stale_since } = status;
            (&known.state, &known.reason, &known.commit, &known.stale_since) == (state, reason, commit, stale_since)
        };
        if one.read.as_ref().is_some_and(same) {
            return false;
        }
        one.read = Some(status.clone());
        true
    }

    /// Notes that the repository was asked and had nothing new.
    pub(super) fn asked(&self, id: &EnvironmentRef, at: Timestamp) {
        self.all().entry(id.clone()).or_default().looks.checked_at = Some(at);
    }

    /// Notes a look that came to this plan of the tracked tip; true where the plan is another than the one that was kept
    /// last, which is worth a write.
    pub(super) fn planned(&self, plan: &Plan) -> bool {
        let mut all = self.all();
        let one = all.entry(plan.environment.clone()).or_default();
        one.looks.observed_at = Some(plan.made_at);
        !one.plan.as_ref().is_some_and(|(digest, commit)| *digest == plan.digest && *commit == plan.commit)
    }

    /// Notes that a plan is kept. Only now may another pass that comes to the same one pass over writing it.
    pub(super) fn kept(&self, plan: &Plan) {
        let mut all = self.all();
        all.entry(plan.environment.clone()).or_default().plan = Some((plan.digest.clone(), plan.commit.clone()));
    }

    /// Notes whether anything that was deployed is probed.
    pub(super) fn probed(&self, id: &EnvironmentRef, any: bool) {
        self.all().entry(id.clone()).or_default().unprobed = !any;
    }

    pub(super) fn may_be_probed(&self, id: &EnvironmentRef) -> bool {
        !self.all().get(id).is_some_and(|one| one.unprobed)
    }

    /// What was read last, if it was made from the same registrations.
    pub(super) fn reading(
        &self,
        project: &Project,
        environment: &Environment,
        registered: &[RegisteredService],
    ) -> Option<Arc<Reading>> {
        let all = self.all();
        let kept = all.get(&environment.id)?.reading.as_ref()?;
        let same = kept.project == *project && kept.environment == *environment && kept.registered == registered;
        same.then(|| Arc::clone(&kept.reading))
    }

    /// Keeps a reading of the tracked tip.
    pub(super) fn keep(
        &self,
        project: &Project,
        environment: &Environment,
        registered: Vec<RegisteredService>,
        reading: &Reading,
    ) {
        let mut all = self.all();
        let one = all.entry(environment.id.clone()).or_default();
        one.reading = Some(Kept {
            project: project.clone(),
            environment: environment.clone(),
            registered,
            reading: Arc::new(reading.clone()),
        });
    }

    /// Forgets everything about an environment: what is written next is written whatever it says.
    pub(super) fn forget(&self, id: &EnvironmentRef) {
        self.all().remove(id);
    }
}
