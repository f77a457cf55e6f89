//! A pull request's report: head merged into the tip, planned beside the tip over one look at what runs.
//!
//! Nothing here is decided by the head but what is declared: environments, credentials and what may be shown come from the
//! operator. A fork's head is planned only where the operator said so, and then without a look at anything.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use crate::declared::Declared;
use crate::drift::{Base, Gaps};
use crate::git::{GitError, Merge, Remote, ResolvedRef};
use crate::ids::{CommitSha, ProjectName};
use crate::pass::read::Origin;
use crate::pass::{PassError, Passes, Reading, Sight, Site, fork, tracked_ref, unprobeable};
use crate::plan::{Plan, PlanOptions};
use crate::report::detail::ReportDetail;
use crate::report::drift::DriftReport;
use crate::report::mask::Leaving;
use crate::report::parts::{Plans, sort};
use crate::report::pull::{
    AfterMerge, EnvironmentReport, NotPlanned, PATHS_MAX, PlannedPull, PullOutcome, PullReport, PullState,
    ServiceOutcome,
};
use crate::store::records::{Environment, Project, RunKind, RunState};

/// How many runs back it is looked for the one that carried a commit.
const RUNS_BACK: usize = 50;

/// What is known of a pull request, from its forge or from Git alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullFacts {
    /// Its newest commit.
    pub head: CommitSha,
    /// The branch that it is to be merged into, without `refs/heads/`; `None` where that is not known: then every
    /// environment is reported on.
    pub target: Option<String>,
    /// Whether its head is another repository's. Where that is not known, it is.
    pub fork: bool,
    /// How it stands.
    pub state: PullState,
}

impl PullFacts {
    /// Whether the head is another repository's and was not taken over by a merge.
    fn is_foreign(&self) -> bool {
        match self.state {
            PullState::Open | PullState::Closed => self.fork,
            PullState::Merged { .. } => false,
        }
    }
}

/// The refs under which forges show a pull request's head to Git: GitHub's, Gitea's and Forgejo's, then GitLab's, then
/// Bitbucket Data Center's. Bitbucket Cloud has none.
pub fn head_refs(number: u64) -> [String; 3] {
    [
        format!("refs/pull/{number}/head"),
        format!("refs/merge-requests/{number}/head"),
        format!("refs/pull-requests/{number}/from"),
    ]
}

/// What a report's environments have in common.
struct Request<'a> {
    project: &'a Project,
    number: u64,
    facts: &'a PullFacts,
    remote: &'a Remote,
    actor: &'a str,
    /// Where each tracked ref stands.
    tips: BTreeMap<String, Result<Option<ResolvedRef>, String>>,
}

/// The three readings that a report is sorted from.
struct Readings {
    without: Reading,
    with: Reading,
    now: Reading,
}

impl Passes {
    /// What Git alone tells of a pull request: its head, and that it is none of a fork's where a branch of the repository
    /// stands at the same commit. `target` is what whoever asks says it is.
    ///
    /// # Errors
    /// [`PassError::NoRef`] where the repository shows no such pull request.
    pub async fn pull_facts(
        &self,
        project: &ProjectName,
        number: u64,
        target: Option<String>,
        actor: &str,
    ) -> Result<PullFacts, PassError> {
        let project = self.project(project).await?;
        let remote = self.remote(&project, actor).await?;
        let git = &self.parts.git;
        for reference in head_refs(number) {
            if let Some(found) = git.resolve_ref(&remote, &reference).await? {
                let fork = !git.is_branch(&remote, &found.commit).await?;
                return Ok(PullFacts { head: found.commit, target, fork, state: PullState::Open });
            }
        }
        let [reference, ..] = head_refs(number);
        Err(PassError::NoRef { project: project.name, reference })
    }

    /// What a latest plan says was changed outside Trueup, masked; `None` where nothing of it may leave the house, or
    /// where the file was read anew since.
    ///
    /// # Errors
    /// [`PassError`] where the environment is gone, switched off, or its file cannot be read again.
    pub async fn changed_outside(&self, plan: &Plan, detail: ReportDetail) -> Result<Option<DriftReport>, PassError> {
        let site = self.enabled(&plan.environment).await?;
        let registered = self.parts.store.services(&plan.environment).await?;
        let reading = match self.seen.reading(&site.project, &site.environment, &registered) {
            Some(reading) => Some(Reading::clone(&reading)),
            None => self.read_remembered(&site).await?,
        };
        let Some(reading) = reading.filter(|reading| reading.commit == plan.commit) else { return Ok(None) };
        let base = self.parts.store.base(&plan.environment).await?;
        Ok(DriftReport::of(plan, &base, &reading.declared, detail))
    }

    /// What merging a pull request and then syncing would change, in every environment that tracks its target.
    ///
    /// # Errors
    /// [`PassError`] where nothing can be said of any environment; what concerns one alone stands in the report.
    pub async fn pull_report(
        &self,
        project: &ProjectName,
        number: u64,
        facts: &PullFacts,
        actor: &str,
    ) -> Result<PullReport, PassError> {
        let project = self.project(project).await?;
        let mut report = PullReport {
            project: project.name.clone(),
            number,
            head: facts.head.clone(),
            target: facts.target.clone(),
            fork: facts.fork,
            state: facts.state.clone(),
            environments: Vec::new(),
        };
        if facts.state == PullState::Closed {
            return Ok(report);
        }
        let environments = self.parts.store.environments(Some(&project.name)).await?;
        let remote = self.remote(&project, actor).await?;
        let mut tips = BTreeMap::new();
        let tracked: BTreeSet<String> =
            environments.iter().map(|environment| tracked_ref(&project, environment)).collect();
        for reference in tracked {
            let tip = self.parts.git.resolve_ref(&remote, &reference).await.map_err(|error| error.to_string());
            tips.insert(reference, tip);
        }
        let request = Request { project: &project, number, facts, remote: &remote, actor, tips };
        let asked = environments.into_iter().map(|environment| self.environment_report(&request, environment));
        report.environments = join_all(asked).await.into_iter().flatten().collect();
        report.environments.sort_by(|a, b| a.environment.cmp(&b.environment));
        Ok(report)
    }

    async fn project(&self, name: &ProjectName) -> Result<Project, PassError> {
        let found = self.parts.store.project(name).await?.ok_or_else(|| PassError::NoProject(name.clone()))?;
        if found.disabled { Err(PassError::Disabled(found.name)) } else { Ok(found) }
    }

    /// One environment's part; `None` where it does not track the request's target.
    async fn environment_report(&self, request: &Request<'_>, environment: Environment) -> Option<EnvironmentReport> {
        let tracked = tracked_ref(request.project, &environment);
        let target = request.facts.target.as_deref();
        let reported = |outcome| Some(EnvironmentReport { environment: environment.id.environment.clone(), outcome });
        let not_planned = |why| reported(PullOutcome::NotPlanned { why });
        let tells = environment.report_detail == ReportDetail::Full && !request.facts.is_foreign();
        let failed = |why: String| not_planned(NotPlanned::Failed { why: tells.then_some(why) });
        let tip = match request.tips.get(&tracked)? {
            Ok(Some(tip)) => tip,
            Ok(None) => return None,
            Err(_) if target.is_some_and(|target| !names(&tracked, target)) => return None,
            Err(why) => return failed(why.clone()),
        };
        if target.is_some_and(|target| tip.full_name != format!("refs/heads/{target}")) {
            return None;
        }
        if environment.report_detail == ReportDetail::Off {
            return not_planned(NotPlanned::ReportsOff);
        }
        if request.facts.is_foreign() && !environment.plan_forks {
            return not_planned(NotPlanned::ForkNotAllowed);
        }
        let outcome = match self.enabled(&environment.id).await {
            Ok(site) => self.pull_outcome(request, &site, tracked, tip).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(outcome) => reported(outcome),
            Err(PassError::Invalid(invalid, _)) => reported(PullOutcome::Invalid { problems: invalid.diagnostics }),
            Err(error) => failed(error.to_string()),
        }
    }

    async fn pull_outcome(
        &self,
        request: &Request<'_>,
        site: &Site,
        tracked: String,
        tip: &ResolvedRef,
    ) -> Result<PullOutcome, PassError> {
        self.parts.git.fetch(request.remote, tip).await?;
        let readings = match &request.facts.state {
            PullState::Merged { commit } => self.merged_readings(request, site, tracked, tip, commit.as_ref()).await?,
            PullState::Open | PullState::Closed => match self.open_readings(request, site, tracked, tip).await? {
                Ok(readings) => readings,
                Err(outcome) => return Ok(outcome),
            },
        };
        if readings.now.no_file {
            return Ok(PullOutcome::NoFile { path: site.project.config_path.clone() });
        }
        let (mut planned, now) = self.planned(request, site, readings, tip).await?;
        if let PullState::Merged { commit } = &request.facts.state {
            self.parts.store.save_plan(&now).await?;
            let carried = commit.as_ref().unwrap_or(&request.facts.head);
            planned.merged = Some(self.after_merge(request, site, carried, &now).await?);
        }
        Ok(PullOutcome::Planned(Box::new(planned)))
    }

    /// Before the merge: the tip, and head merged into it; or why there is no such thing.
    async fn open_readings(
        &self,
        request: &Request<'_>,
        site: &Site,
        tracked: String,
        tip: &ResolvedRef,
    ) -> Result<Result<Readings, PullOutcome>, PassError> {
        let git = &self.parts.git;
        let head = &request.facts.head;
        let [name, ..] = head_refs(request.number);
        let at = ResolvedRef { full_name: name, commit: head.clone(), object: head.clone() };
        git.fetch(request.remote, &at).await?;
        let merged = match git.merge(request.remote, &tip.commit, head, &site.project.config_path).await? {
            Merge::Clean(merged) => merged,
            Merge::Conflict { mut paths } => {
                let more = paths.len().saturating_sub(PATHS_MAX);
                paths.truncate(PATHS_MAX);
                return Ok(Err(PullOutcome::Conflict { paths, more }));
            }
            Merge::Unrelated { shallow } => {
                return Ok(Err(PullOutcome::NotPlanned { why: NotPlanned::Unrelated { shallow } }));
            }
        };
        let without = self.before(site, request.remote, &tracked, tip).await?;
        let from = Origin {
            commit: head.clone(),
            branch: tip.full_name.strip_prefix("refs/heads/").map(str::to_owned),
            tag: None,
            full_name: None,
            version: None,
            tree: Some(merged.tree),
        };
        let mut with = self.resolve(site, request.remote, tracked, from, merged.file?).await?;
        if with
            .declared
            .services
            .iter()
            .flatten()
            .any(|(_, service)| service.leaves.values().any(|leaf| leaf.uses_commit))
        {
            with.notes.push(
                "the commit's id stands for the head's here; the merge makes another commit, with another id"
                    .to_owned(),
            );
        }
        Ok(Ok(Readings { without, now: with.clone(), with }))
    }

    /// After the merge: the tip, and what the merge made of what was there before it.
    async fn merged_readings(
        &self,
        request: &Request<'_>,
        site: &Site,
        tracked: String,
        tip: &ResolvedRef,
        commit: Option<&CommitSha>,
    ) -> Result<Readings, PassError> {
        let git = &self.parts.git;
        let now = self.read_at(site, request.remote, tracked.clone(), tip, None).await?;
        let carried = match commit {
            Some(commit) if git.is_reachable(request.remote, commit, &tip.commit).await? => commit,
            Some(_) | None => return Ok(Readings { without: now.clone(), with: now.clone(), now }),
        };
        let at = |commit: &CommitSha| ResolvedRef {
            full_name: tip.full_name.clone(),
            commit: commit.clone(),
            object: commit.clone(),
        };
        let with = self.before(site, request.remote, &tracked, &at(carried)).await?;
        let without = match git.first_parent(request.remote, carried).await? {
            Some(parent) => self.before(site, request.remote, &tracked, &at(&parent)).await?,
            None => nothing(&tracked),
        };
        Ok(Readings { without, with, now })
    }

    /// A reading to sort by: where the file of then was not valid, nothing was declared.
    async fn before(
        &self,
        site: &Site,
        remote: &Remote,
        tracked: &str,
        at: &ResolvedRef,
    ) -> Result<Reading, PassError> {
        match self.read_at(site, remote, tracked.to_owned(), at, None).await {
            Err(PassError::Invalid(..) | PassError::Git(GitError::Path { .. } | GitError::TooLarge { .. })) => {
                Ok(nothing(tracked))
            }
            reading => reading,
        }
    }

    /// The readings, planned over one look, sorted and masked.
    async fn planned(
        &self,
        request: &Request<'_>,
        site: &Site,
        mut readings: Readings,
        tip: &ResolvedRef,
    ) -> Result<(PlannedPull, Plan), PassError> {
        let base = self.parts.store.base(&site.environment.id).await?;
        let observed = !request.facts.is_foreign();
        let Readings { without, with, now } = &mut readings;
        let (gaps, live) = if observed {
            let (a, b, c, live) = tokio::join!(
                self.complete(&mut without.declared, site, request.actor),
                self.complete(&mut with.declared, site, request.actor),
                self.complete(&mut now.declared, site, request.actor),
                site.provider.observe()
            );
            ([a, b, c], live)
        } else {
            for reading in [without, with, &mut *now] {
                fork::complete(&mut reading.declared, &base);
            }
            ([Gaps::default(), Gaps::default(), Gaps::default()], fork::live_of(&base))
        };
        let unprobeable = match observed {
            true => unprobeable(&*site.provider, &now.declared).await,
            false => BTreeMap::new(),
        };
        let declared = now.declared.clone();
        let [without_gaps, with_gaps, now_gaps] = &gaps;
        let plan = |reading: Reading, gaps: &Gaps| {
            let sight = Sight { base: &base, gaps, unprobeable: unprobeable.clone() };
            self.plan_over(site, reading, PlanOptions::default(), &sight, live.clone()).0
        };
        let Readings { without, with, now } = readings;
        let (without, with, now) = (plan(without, without_gaps), plan(with, with_gaps), plan(now, now_gaps));
        let planned =
            shown(&Plans { without: &without, with: &with, now: &now }, &base, &declared, site, observed, tip);
        Ok((planned, now))
    }

    /// What there is to do since the merge, or what the latest sync that carried the commit made of it.
    async fn after_merge(
        &self,
        request: &Request<'_>,
        site: &Site,
        carried: &CommitSha,
        now: &Plan,
    ) -> Result<AfterMerge, PassError> {
        let store = &self.parts.store;
        let id = &site.environment.id;
        let command = format!("trueup sync {id} --plan {}", now.digest.short());
        let open = (!now.is_empty()).then(|| now.digest.clone());
        for run in store.runs(id, RUNS_BACK).await? {
            let (Some(commit), RunKind::Sync, RunState::Succeeded | RunState::Failed) =
                (&run.commit, run.kind, run.state)
            else {
                continue;
            };
            // A commit that was let go of on the forge's side cannot be told to be within.
            if !matches!(self.parts.git.is_reachable(request.remote, carried, commit).await, Ok(true)) {
                continue;
            }
            let succeeded = run.state == RunState::Succeeded;
            let released = store.releases(id, RUNS_BACK).await?;
            let verified = released.into_iter().find(|release| release.run.id == run.id);
            let plan = store.plan_by_prefix(run.plan.as_str()).await?;
            let services = plan.feasible().map(|action| ServiceOutcome {
                service: action.service.clone(),
                verified: succeeded
                    || verified.as_ref().is_some_and(|release| release.services.contains(&action.service)),
            });
            return Ok(AfterMerge::Ran {
                run: run.id,
                succeeded,
                services: services.collect(),
                command: open.is_some().then_some(command),
                rest: open,
            });
        }
        Ok(match open {
            Some(digest) => AfterMerge::Awaits { digest, command },
            None => AfterMerge::InSync,
        })
    }
}

/// Whether a tracked ref, as registered, names a branch.
fn names(tracked: &str, branch: &str) -> bool {
    tracked.strip_prefix("refs/heads/").unwrap_or(tracked) == branch
}

fn nothing(tracked: &str) -> Reading {
    Reading {
        declared: Declared::default(),
        reference: tracked.to_owned(),
        commit: None,
        commits: BTreeMap::new(),
        notes: Vec::new(),
        no_file: true,
        of: None,
    }
}

/// The plans, sorted and masked.
fn shown(
    plans: &Plans<'_>,
    base: &Base,
    declared: &Declared,
    site: &Site,
    observed: bool,
    tip: &ResolvedRef,
) -> PlannedPull {
    let leaving = Leaving {
        plan: plans.now,
        without: plans.without,
        base,
        declared,
        detail: site.environment.report_detail,
        observed,
    };
    leaving.planned(&sort(*plans), tip.commit.clone())
}
