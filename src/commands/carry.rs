//! One command: read at its forge, judged, carried out, followed, answered.

use jiff::{SignedDuration, Timestamp};
use tracing::Instrument as _;

use crate::authority::{Actor, CommentCommands, Denied, Operation, authorise};
use crate::commands::answer::{self, Answer, Why};
use crate::commands::grammar::{Command, PlanPrefix, Target, parse};
use crate::commands::{OLDEST, Parts};
use crate::forge::ForgeError;
use crate::forge::api::{Comment, CommentRequest, ForgeUser, Permission, PullState};
use crate::ids::EnvironmentRef;
use crate::outbox::{About, Posting, Unposted};
use crate::plan::{Plan, PlanOptions};
use crate::report::detail::ReportDetail;
use crate::reporter::Way;
use crate::store::StoreError;
use crate::store::records::{CommandRow, CommandState, Environment, RunState};
use crate::sync::Started;
use crate::sync::gate::Refusal;

/// How often a run is looked at whose end is to be told.
const FOLLOW: SignedDuration = SignedDuration::from_secs(1);

/// What a comment comes to.
enum Judged {
    /// Nobody is answered: it is no command, or nobody's here.
    Silent(String),
    /// Who is known here is told why not.
    Refused(Actor, Why),
    /// The report is to be made again.
    Plan(Actor),
    /// A plan is to be carried out.
    Sync(Actor, EnvironmentRef, Box<Plan>),
}

/// Why a comment could not be judged.
enum Unjudged {
    /// The forge may answer later. Whose command it is, where that is known already.
    Later(Box<ForgeError>, Option<Actor>),
    /// The database refuses.
    Store(StoreError),
}

impl From<StoreError> for Unjudged {
    fn from(error: StoreError) -> Self {
        Unjudged::Store(error)
    }
}

/// Takes a command as far as it goes now.
pub(super) async fn carry_on(parts: &Parts, row: CommandRow) -> Result<(), StoreError> {
    let span = tracing::info_span!(
        "command", integrationId = %row.integration, project = %row.project, prNumber = row.pull,
        comment = row.comment_id, operation = "comment_command"
    );
    async {
        match row.state {
            CommandState::Waiting => heard(parts, &row).await,
            CommandState::Taken => left(parts, &row).await,
            CommandState::Running => follow(parts, &row).await,
            CommandState::Done => Ok(()),
        }
    }
    .instrument(span)
    .await
}

/// Tells of every command that an earlier process had taken up: none is begun again.
pub(super) async fn interrupted(parts: &Parts) -> Result<(), StoreError> {
    for row in parts.store.due_commands(Timestamp::now()).await? {
        if row.state == CommandState::Taken {
            left(parts, &row).await?;
        }
    }
    Ok(())
}

/// A command that was taken up, by whoever is not at it any more: its run is followed where it was begun.
async fn left(parts: &Parts, row: &CommandRow) -> Result<(), StoreError> {
    let (Some(name), Some(actor)) = (&row.environment, &row.actor) else {
        return parts.store.end_command(row.id, "taken up without a name", Timestamp::now()).await;
    };
    let at = EnvironmentRef { project: row.project.clone(), environment: name.clone() };
    match parts.store.run_of(&at, actor).await? {
        Some(run) => {
            parts.store.running_command(row.id, run).await?;
            match &row.plan {
                Some(plan) => say(parts, row, &Answer::Began { run, at, plan: plan.clone() }).await,
                None => Ok(()),
            }
        }
        None => {
            tracing::warn!(environment = %at, "the daemon ended while it was at a command; it is not begun again");
            end(parts, row, &Answer::Interrupted { at }, "interrupted before a run began; not begun again").await
        }
    }
}

async fn follow(parts: &Parts, row: &CommandRow) -> Result<(), StoreError> {
    let (Some(run), Some(name), Some(plan)) = (row.run, &row.environment, &row.plan) else {
        return parts.store.end_command(row.id, "its run is not known", Timestamp::now()).await;
    };
    let at = EnvironmentRef { project: row.project.clone(), environment: name.clone() };
    let succeeded = match parts.store.run(run).await?.map(|run| run.state) {
        Some(RunState::Running) => {
            return parts.store.postpone_command(row.id, after(FOLLOW)).await;
        }
        Some(RunState::Succeeded) => true,
        Some(RunState::Failed) => false,
        None => return parts.store.end_command(row.id, "its run is no longer kept", Timestamp::now()).await,
    };
    let outcome = format!("run {run} {}", if succeeded { "succeeded" } else { "failed" });
    report_again(parts, row).await?;
    end(parts, row, &Answer::Ended { run, at, plan: plan.clone(), succeeded }, &outcome).await
}

/// A comment that was heard of.
async fn heard(parts: &Parts, row: &CommandRow) -> Result<(), StoreError> {
    let way = match way(parts, row).await? {
        Ok(way) => way,
        Err(why) => return ignore(parts, row, &why).await,
    };
    match judge(parts, row, &way).await {
        Ok(Judged::Silent(why)) => ignore(parts, row, &why).await,
        Ok(Judged::Refused(actor, why)) => refuse(parts, row, &actor, why).await,
        Ok(Judged::Plan(actor)) => {
            parts.audit.allowed(&actor, "comment plan", &target(row), Timestamp::now()).await?;
            report_again(parts, row).await?;
            end(parts, row, &Answer::Planned, "planned again").await
        }
        Ok(Judged::Sync(actor, at, plan)) => sync(parts, row, actor, at, *plan).await,
        Err(Unjudged::Store(error)) => Err(error),
        Err(Unjudged::Later(error, actor)) => {
            let now = Timestamp::now();
            let deadline = row.heard_at.saturating_add(parts.patience).unwrap_or(Timestamp::MAX);
            if now < deadline {
                let least = SignedDuration::from_secs(parts.patience.as_secs().clamp(20, 300) / 20);
                let asked = error.retry_after().and_then(|wait| SignedDuration::try_from(wait).ok()).unwrap_or(least);
                let again = now.saturating_add(asked.max(least)).unwrap_or(deadline).min(deadline);
                tracing::warn!(%error, "the forge cannot be asked what a command needs; it is tried again");
                return parts.store.postpone_command(row.id, again).await;
            }
            match actor {
                Some(actor) => refuse(parts, row, &actor, Why::Unasked).await,
                None => ignore(parts, row, &format!("not read within the time for it: {error}")).await,
            }
        }
    }
}

/// The forge that the comment was heard of from; else why it is none of it any more.
async fn way(parts: &Parts, row: &CommandRow) -> Result<Result<Way, String>, StoreError> {
    match parts.ways.to(&row.project).await {
        Ok(Some(way)) if way.integration == row.integration && way.repository.as_str() == row.repository => Ok(Ok(way)),
        Ok(Some(_)) => Ok(Err("its project is on another forge or repository by now".to_owned())),
        Ok(None) => Ok(Err("its project has no integration any more".to_owned())),
        Err(Unposted::NoWay(why)) => Ok(Err(why)),
        Err(Unposted::Store(error)) => Err(error),
    }
}

/// Everything that decides, read afresh.
async fn judge(parts: &Parts, row: &CommandRow, way: &Way) -> Result<Judged, Unjudged> {
    let silent = |why: &str| Ok(Judged::Silent(why.to_owned()));
    let read = way.forge.read_comment(&way.repository, row.pull, &row.comment_id.to_string()).await;
    let comment = match read {
        Ok(Some(comment)) => comment,
        Ok(None) => return silent("the comment is gone"),
        Err(error) if error.is_transient() => return Err(Unjudged::Later(Box::new(error), None)),
        Err(error) => return Ok(Judged::Silent(error.to_string())),
    };
    if comment.is_bot {
        return silent("a machine wrote it");
    }
    let Some(command) = parse(&comment.body) else { return silent("it is no command") };
    let Some(user) = parts.store.forge_user(&row.integration, &comment.author.id).await? else {
        let who = stranger(&comment.author, row);
        parts.audit.refused(&who, "comment command", &target(row), "has no role here", Timestamp::now()).await?;
        return silent("whoever wrote it has no role here");
    };
    // The comment's number makes the name one of a kind, so that its run is found by it.
    let name = format!("{} ({} user {}, comment {})", user.login, row.integration, user.user_id, row.comment_id);
    let actor = Actor { name, role: user.role };
    if let Some(why) = untimely(&comment) {
        return Ok(Judged::Refused(actor, why));
    }
    let command = match command {
        Ok(command) => command,
        Err(misread) => return Ok(Judged::Refused(actor, misread.into())),
    };
    let (operation, needs) = match &command {
        Command::Plan => (Operation::Report, (Permission::Read, "read")),
        Command::Sync { .. } => (Operation::Sync, (Permission::Write, "write to")),
    };
    if let Err(denied) = authorise(&actor, operation) {
        return Ok(Judged::Refused(actor, Why::Denied(denied)));
    }
    let environments = parts.store.environments(Some(&row.project)).await?;
    let shared = match parts.ways.is_shared(&row.project, way).await {
        Ok(shared) => shared,
        Err(Unposted::NoWay(why)) => return Ok(Judged::Silent(why)),
        Err(Unposted::Store(error)) => return Err(error.into()),
    };
    let sync = match command {
        Command::Plan => {
            if environments.iter().all(|environment| taken(environment) < CommentCommands::Plan) {
                return silent("no environment takes commands");
            }
            None
        }
        Command::Sync { target, plan } => match named(row, &environments, &target, shared) {
            Ok(environment) if taken(environment) < CommentCommands::Sync => {
                return Ok(Judged::Refused(actor, Why::Off(environment.id.clone(), "sync")));
            }
            Ok(environment) => Some((environment.id.clone(), plan)),
            Err(Some(why)) => return Ok(Judged::Refused(actor, why)),
            Err(None) => return silent("it is another project's"),
        },
    };
    if sync.is_some() {
        let pull = match way.forge.read_pull_request(&way.repository, row.pull).await {
            Ok(pull) => pull,
            Err(error) if error.is_transient() => return Err(Unjudged::Later(Box::new(error), Some(actor))),
            Err(error) => return Ok(Judged::Silent(error.to_string())),
        };
        let why = match pull.state {
            _ if pull.is_fork => Some(Why::Fork),
            PullState::Open => Some(Why::Open),
            PullState::Closed => Some(Why::Closed),
            PullState::Merged => None,
        };
        if let Some(why) = why {
            return Ok(Judged::Refused(actor, why));
        }
    }
    match way.forge.read_permission(&way.repository, &comment.author).await {
        Ok(permission) if permission >= needs.0 => {}
        Ok(_) => return Ok(Judged::Refused(actor, Why::Permission(needs.1))),
        Err(error) if error.is_transient() => return Err(Unjudged::Later(Box::new(error), Some(actor))),
        Err(error) => {
            tracing::warn!(%error, "the forge does not tell what users may do; a command is refused");
            return Ok(Judged::Refused(actor, Why::PermissionUntold));
        }
    }
    match sync {
        None => Ok(Judged::Plan(actor)),
        Some((at, prefix)) => confirmed(parts, actor, at, &prefix).await,
    }
}

/// The plan that a digest names, where it is one that a comment may have carried out.
async fn confirmed(parts: &Parts, actor: Actor, at: EnvironmentRef, prefix: &PlanPrefix) -> Result<Judged, Unjudged> {
    let plan = match parts.store.plan_by_prefix(prefix.as_str()).await {
        Ok(plan) if plan.environment == at => plan,
        // A plan of another environment is as good as none: what there is elsewhere is nobody's business here.
        Ok(_) | Err(StoreError::NotFound(_) | StoreError::Conflict(_)) => {
            let latest = parts.store.latest_plan(&at).await?.map(|plan| plan.digest);
            return Ok(Judged::Refused(actor, Why::NoPlan { at, latest }));
        }
        Err(error) => return Err(error.into()),
    };
    if plan.options != PlanOptions::default() {
        return Ok(Judged::Refused(actor, Why::Options));
    }
    Ok(Judged::Sync(actor, at, Box::new(plan)))
}

/// Why a comment is too late, or no longer what its author wrote.
fn untimely(comment: &Comment) -> Option<Why> {
    match (comment.edited, comment.created_at) {
        (Some(true), _) => Some(Why::Edited),
        (None, _) | (_, None) => Some(Why::Undated),
        (Some(false), Some(at)) => (Timestamp::now().duration_since(at) > OLDEST).then_some(Why::Old),
    }
}

/// What an environment takes. One that is in no report answers none either.
fn taken(environment: &Environment) -> CommentCommands {
    match environment.report_detail {
        ReportDetail::Off => CommentCommands::Off,
        ReportDetail::Full | ReportDetail::NamesOnly => environment.comment_commands,
    }
}

/// The environment that a command names; `Err(None)` where it is another project's matter.
fn named<'a>(
    row: &CommandRow,
    environments: &'a [Environment],
    target: &Target,
    shared: bool,
) -> Result<&'a Environment, Option<Why>> {
    match &target.project {
        Some(project) if *project != row.project && shared => return Err(None),
        Some(project) if *project != row.project => return Err(Some(Why::NoEnvironment(row.project.clone()))),
        None if shared => return Err(Some(Why::Ambiguous)),
        Some(_) | None => {}
    }
    let found = environments.iter().find(|environment| environment.id.environment == target.environment);
    found.ok_or_else(|| Some(Why::NoEnvironment(row.project.clone())))
}

/// Carries a plan out: written down, taken up, and then begun through the gate.
async fn sync(parts: &Parts, row: &CommandRow, actor: Actor, at: EnvironmentRef, plan: Plan) -> Result<(), StoreError> {
    let target = format!("{at} plan {}", plan.digest.short());
    parts.audit.allowed(&actor, "sync", &target, Timestamp::now()).await?;
    if !parts.store.take_command(row.id, &actor.name, &at, &plan.digest).await? {
        return Ok(());
    }
    // In a task of its own: a daemon that ends must not leave half of an admission behind.
    let begun = {
        let (syncs, actor, at, digest) = (parts.syncs.clone(), actor.clone(), at.clone(), plan.digest.to_string());
        tokio::spawn(async move { syncs.start(actor, &at, &digest).await })
    };
    let why = match begun.await {
        Ok(Ok(Started::Run(run))) => {
            tracing::info!(%run, environment = %at, actor = actor.name, "a comment's command began a run");
            parts.store.running_command(row.id, run).await?;
            return say(parts, row, &Answer::Began { run, at, plan: plan.digest }).await;
        }
        Ok(Ok(Started::NothingToDo(_))) => return end(parts, row, &Answer::InSync { at }, "nothing to do").await,
        Ok(Err(Refusal::Moved { current, .. })) => Why::Moved(current.digest.clone(), answer::moved(&plan, &current)),
        Ok(Err(Refusal::Denied(denied))) => Why::Denied(denied),
        Ok(Err(Refusal::Busy(at))) => Why::Busy(at),
        Ok(Err(Refusal::Replan(why))) => {
            tracing::warn!(environment = %at, why, "a command's plan could not be made again");
            Why::NotPlanned(at)
        }
        Ok(Err(Refusal::NotAllowed(why))) => {
            tracing::info!(environment = %at, why, "a command's plan may not be carried out");
            Why::NotAllowed(at)
        }
        // Whether a run began is not known here: the row says that it was taken up, and the next look finds out.
        Ok(Err(Refusal::Store(error))) => return Err(error),
        Err(error) => {
            tracing::error!(%error, "beginning a command's run broke off");
            return Ok(());
        }
    };
    refuse(parts, row, &actor, why).await
}

/// Has the request's report made again, soon.
async fn report_again(parts: &Parts, row: &CommandRow) -> Result<(), StoreError> {
    parts.store.want_pull(&row.project, row.pull, Timestamp::now()).await?;
    parts.wanted.notify_one();
    Ok(())
}

async fn ignore(parts: &Parts, row: &CommandRow, why: &str) -> Result<(), StoreError> {
    tracing::info!(why, "a comment is left alone");
    parts.store.end_command(row.id, &format!("left alone: {why}"), Timestamp::now()).await
}

/// Says why not, to someone who has a role here, on the record.
async fn refuse(parts: &Parts, row: &CommandRow, actor: &Actor, why: Why) -> Result<(), StoreError> {
    let outcome = why.outcome();
    match &why {
        Why::Denied(denied @ Denied { .. }) => parts.audit.denied(denied, &target(row), Timestamp::now()).await?,
        _ => {
            parts
                .audit
                .refused(&actor.name, "comment command", &target(row), &why.to_string(), Timestamp::now())
                .await?
        }
    }
    end(parts, row, &Answer::Refused(why), &outcome).await
}

async fn end(parts: &Parts, row: &CommandRow, answer: &Answer, outcome: &str) -> Result<(), StoreError> {
    say(parts, row, answer).await?;
    tracing::info!(outcome, "a command is over");
    parts.store.end_command(row.id, outcome, Timestamp::now()).await
}

/// Leaves the answer in the outbox, in the place of what was answered before.
async fn say(parts: &Parts, row: &CommandRow, answer: &Answer) -> Result<(), StoreError> {
    let way = match way(parts, row).await? {
        Ok(way) => way,
        Err(why) => {
            tracing::info!(why, "nobody can be answered");
            return Ok(());
        }
    };
    let marker = answer::marker(&parts.installation, row.comment_id, way.forge.limits().comment_form);
    let body = answer::text(answer, &marker);
    let request = CommentRequest { repository: way.repository, pull: row.pull, known_id: None, marker, body };
    let about =
        About { project: row.project.clone(), environment: None, pull: Some(row.pull), commit: None, heard_at: None };
    parts.outbox.put(about, &Posting::Answer(request)).await
}

fn target(row: &CommandRow) -> String {
    format!("{} #{}", row.project, row.pull)
}

/// Someone without a role, as the audit log names them.
fn stranger(author: &ForgeUser, row: &CommandRow) -> String {
    let name: String = author.name.chars().filter(|c| !c.is_control()).take(60).collect();
    let id: String = author.id.chars().filter(|c| !c.is_control()).take(60).collect();
    format!("{name} ({} user {id})", row.integration)
}

fn after(wait: SignedDuration) -> Timestamp {
    Timestamp::now().saturating_add(wait).unwrap_or(Timestamp::MAX)
}
