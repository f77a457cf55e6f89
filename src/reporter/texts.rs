//! A report → what is written on the forge. Pure: what is said of a report is `report`'s matter, this is who is asked to
//! write it where.

use crate::forge::RepositoryPath;
use crate::forge::api::{
    self, CheckConclusion, CheckRunRequest, CommentForm, CommentRequest, ForgeLimits, LineNote, LineNotesRequest,
    StatusRequest,
};
use crate::ids::{EnvironmentName, ProjectName};
use crate::outbox::Posting;
use crate::report::annotations::{self, Annotation, AnnotationLevel};
use crate::report::markdown::{self, CommentContext, CommentStyle, LengthUnit};
use crate::report::pull::{PullReport, PullState};
use crate::report::status::{self, CommitStatus, Naming, StatusState};

/// Where texts go and lead to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) repository: &'a RepositoryPath,
    pub(super) limits: ForgeLimits,
    pub(super) installation: &'a str,
    /// Where the whole report can be read.
    pub(super) link: Option<&'a str>,
    /// The project, where its repository has several.
    pub(super) shared: Option<&'a ProjectName>,
}

impl Place<'_> {
    pub(super) fn style(&self) -> CommentStyle {
        let html = match self.limits.comment_form {
            CommentForm::Html => true,
            CommentForm::Plain => false,
        };
        CommentStyle { limit: self.limits.comment_bytes, unit: LengthUnit::Bytes, html }
    }

    fn naming<'b>(&'b self, environment: &'b EnvironmentName) -> Naming<'b> {
        Naming { environment, project: self.shared, installation: Some(self.installation) }
    }
}

/// The comment of a request.
pub(super) fn comment(report: &PullReport, place: &Place<'_>) -> Posting {
    let style = place.style();
    let context = CommentContext { installation: place.installation, link: place.link, style };
    Posting::Comment(CommentRequest {
        repository: place.repository.clone(),
        pull: report.number,
        known_id: None,
        marker: markdown::marker(place.installation, &report.project, style),
        body: markdown::comment(report, &context),
    })
}

/// An environment's status on a request's head; `None` where there is nothing to say.
pub(super) fn status(report: &PullReport, environment: &EnvironmentName, place: &Place<'_>) -> Option<Posting> {
    let status = status::of_pull(report, place.naming(environment))?;
    Some(Posting::Status(status_request(status, report.head.clone(), None, place)))
}

/// A status as the forge is asked for it.
pub(super) fn status_request(
    CommitStatus { context, state, description }: CommitStatus,
    commit: crate::ids::CommitSha,
    branch: Option<String>,
    place: &Place<'_>,
) -> StatusRequest {
    let state = match state {
        StatusState::Success => api::StatusState::Success,
        StatusState::Pending => api::StatusState::Pending,
        StatusState::Failure => api::StatusState::Failure,
        StatusState::Error => api::StatusState::Error,
    };
    let (repository, target_url) = (place.repository.clone(), place.link.map(str::to_owned));
    StatusRequest { repository, commit, context, state, description, target_url, branch }
}

/// The check run of one environment, where the forge has such a thing and there is something to say.
pub(super) fn check_run(report: &PullReport, environment: &EnvironmentName, place: &Place<'_>) -> Option<Posting> {
    if !place.limits.check_runs || report.state == PullState::Closed {
        return None;
    }
    let CommitStatus { context, state, description } = status::of_pull(report, place.naming(environment))?;
    let context_of = CommentContext { installation: place.installation, link: place.link, style: place.style() };
    let summary = markdown::summary(report, environment, &context_of)?;
    let conclusion = match state {
        StatusState::Success => CheckConclusion::Success,
        StatusState::Pending | StatusState::Error => CheckConclusion::Neutral,
        StatusState::Failure => CheckConclusion::Failure,
    };
    Some(Posting::CheckRun(CheckRunRequest {
        repository: place.repository.clone(),
        commit: report.head.clone(),
        name: context,
        conclusion,
        title: description,
        summary,
        details_url: place.link.map(str::to_owned),
        annotations: annotations::of_environment(report, environment).into_iter().map(annotation).collect(),
    }))
}

fn annotation(Annotation { path, start_line, end_line, level, title, message }: Annotation) -> api::Annotation {
    let level = match level {
        AnnotationLevel::Notice => api::AnnotationLevel::Notice,
        AnnotationLevel::Warning => api::AnnotationLevel::Warning,
        AnnotationLevel::Failure => api::AnnotationLevel::Failure,
    };
    api::Annotation { path, start_line, end_line, level, title, message }
}

/// Notes on the lines of a request's diff, where the forge has no check runs and takes such notes: those of all
/// environments, one a line.
pub(super) fn line_notes(report: &PullReport, place: &Place<'_>) -> Option<Posting> {
    if place.limits.check_runs || !place.limits.line_notes || report.state != PullState::Open {
        return None;
    }
    let marker = markdown::marker(place.installation, &report.project, place.style());
    let mut lines = std::collections::BTreeMap::<(String, u32), Vec<String>>::new();
    for of in &report.environments {
        for remark in annotations::of_environment(report, &of.environment) {
            let on = lines.entry((remark.path, remark.start_line)).or_default();
            on.push(format!("{}: {}", of.environment, remark.title));
            on.extend(remark.message.lines().map(str::to_owned));
        }
    }
    let note = |((path, line), texts): ((String, u32), Vec<String>)| LineNote {
        body: format!("{marker}\n{}", markdown::fenced("", &texts)),
        path,
        line,
    };
    Some(Posting::LineNotes(LineNotesRequest {
        repository: place.repository.clone(),
        pull: report.number,
        marker: marker.clone(),
        notes: lines.into_iter().map(note).collect(),
    }))
}
