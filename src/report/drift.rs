//! Drift that came from outside, found when nobody asked: what an issue on the forge or an event says of it.

use serde::{Deserialize, Serialize};

use crate::declared::Declared;
use crate::drift::{Base, Cause};
use crate::ids::{EnvironmentRef, PlanDigest, ServiceName};
use crate::live::field::FieldPath;
use crate::plan::{Plan, Unknown};
use crate::report::detail::ReportDetail;
use crate::report::markdown::{CommentContext, fenced, fit, link};
use crate::report::mask::Leaving;
use crate::report::parts::{Part, Sorted};
use crate::report::pull::{PublicChange, PublicService};
use crate::report::pull_rows::{self, Tense};
use crate::report::status::things;

/// What was changed outside Trueup in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftReport {
    /// The environment.
    pub environment: EnvironmentRef,
    /// The plan that would put it back.
    pub plan: PlanDigest,
    /// The fields that were changed outside, by service; empty where nothing is.
    pub services: Vec<PublicService>,
}

impl DriftReport {
    /// What a plan says was changed outside, masked; `None` where the operator switched reports off.
    pub fn of(plan: &Plan, base: &Base, declared: &Declared, detail: ReportDetail) -> Option<Self> {
        if detail == ReportDetail::Off {
            return None;
        }
        let leaving = Leaving { plan, without: plan, base, declared, detail, observed: true };
        let services = plan.actions.iter().filter_map(|action| {
            let outside = action.changes.iter().filter(|change| matches!(change.cause, Cause::Live | Cause::Both));
            let changes: Vec<Sorted<'_>> = outside.map(|change| Sorted { change, instead_of: None }).collect();
            (!changes.is_empty()).then(|| leaving.service(&Part { action, changes }))
        });
        Some(DriftReport {
            environment: plan.environment.clone(),
            plan: plan.digest.clone(),
            services: services.collect(),
        })
    }

    /// Whether nothing was changed outside.
    pub fn is_in_sync(&self) -> bool {
        self.services.is_empty()
    }

    /// The same with what was told before and cannot be seen now: unknown is not put right.
    pub fn with_unseen(mut self, told: &[PublicService], unknowns: &[Unknown]) -> Self {
        for before in told {
            let now = self.services.iter().find(|now| now.service == before.service);
            let is_said = |field: &FieldPath| now.is_some_and(|now| now.changes.iter().any(|c| c.field == *field));
            let unseen = |change: &&PublicChange| {
                !is_said(&change.field)
                    && unknowns.iter().any(|unknown| covers(unknown, &before.service, &change.field))
            };
            let unseen: Vec<PublicChange> = before.changes.iter().filter(unseen).cloned().collect();
            if unseen.is_empty() {
                continue;
            }
            match self.services.iter_mut().find(|now| now.service == before.service) {
                Some(now) => {
                    now.changes.extend(unseen);
                    now.changes.sort_by(|a, b| a.field.cmp(&b.field));
                }
                None => self.services.push(PublicService { changes: unseen, ..before.clone() }),
            }
        }
        self.services.sort_by(|a, b| a.service.cmp(&b.service));
        self
    }

    /// Whether it says what was told before; where in the file a field stands, and words on it, do not count.
    pub fn says_the_same_as(&self, told: &[PublicService]) -> bool {
        core(&self.services) == core(told)
    }

    /// What an event says of it.
    pub fn data(&self) -> serde_json::Value {
        let EnvironmentRef { project, environment } = &self.environment;
        serde_json::json!({ "project": project, "environment": environment, "plan": self.plan, "services": self.services })
    }

    /// How many fields were changed outside.
    pub fn fields(&self) -> usize {
        self.services.iter().map(|service| service.changes.len()).sum()
    }
}

/// Whether what could not be seen is, or holds, this field.
fn covers(unknown: &Unknown, service: &ServiceName, field: &FieldPath) -> bool {
    unknown.service.as_ref().is_none_or(|one| one == service) && unknown.field.as_ref().is_none_or(|one| one == field)
}

/// What drifts, without where it is written and words on it.
fn core(services: &[PublicService]) -> Vec<PublicService> {
    let bare = |service: &PublicService| {
        let mut service = PublicService { at: None, notes: Vec::new(), ..service.clone() };
        for change in &mut service.changes {
            (change.at, change.note) = (None, None);
        }
        service
    };
    services.iter().map(bare).collect()
}

/// An issue on a forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueText {
    /// Its title, the same for an environment as long as there is one.
    pub title: String,
    /// Its text, the marker first.
    pub body: String,
}

/// The hidden first line of an environment's issue.
pub fn issue_marker(installation: &str, environment: &EnvironmentRef, html: bool) -> String {
    let installation: String = installation.chars().filter(char::is_ascii_alphanumeric).collect();
    match html {
        true => format!("<!-- trueup:{installation}:drift:{environment} -->"),
        false => format!("[trueup]: # (trueup:{installation}:drift:{environment})"),
    }
}

/// The issue about an environment in which something was changed outside; where nothing is any more it is closed as it stands.
pub fn issue(report: &DriftReport, context: &CommentContext<'_>) -> IssueText {
    let environment = &report.environment;
    let title = format!("Drift in {environment}: what runs was changed outside Trueup");
    let marker = issue_marker(context.installation, environment, context.style.html);
    let link = context.link.and_then(|address| link("The full plan", address)).map(|link| link + "\n");
    let link = link.unwrap_or_default();
    let verb = if report.fields() == 1 { "was" } else { "were" };
    let body = fit(context.style.limit, context.style.unit, |budget| {
        let shown = budget.lines(report.services.iter().flat_map(lines));
        format!(
            "{marker}\n{} of `{environment}` {verb} changed outside Trueup. Nothing is put back until someone syncs.\n\n{}\n\
             To put it back:\n\n{}\n{link}",
            things(report.fields(), "field"),
            fenced("diff", &shown),
            fenced("", &[format!("trueup sync {environment} --plan {}", report.plan.short())]),
        )
    });
    IssueText { title, body }
}

fn lines(service: &PublicService) -> Vec<String> {
    let width = pull_rows::width(service);
    let rows = pull_rows::shown(service)
        .flat_map(|change| pull_rows::lines(change, service.kind, width, Tense::Would))
        .collect::<Vec<_>>();
    std::iter::once(pull_rows::heading(service, Tense::Would)).chain(rows).collect()
}
