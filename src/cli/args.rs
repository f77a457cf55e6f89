//! The command line's tree: which verbs there are, what they share, and who carries them out.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;

use crate::cli::client::{Client, ClientError, Endpoint};
use crate::cli::failure::Advice;
use crate::cli::terminal::Terminal;
use crate::cli::{
    Outcome, audit, completions, deliveries, doctor, env, events, history, integration, logs, outbox, plan, project,
    quickstart, refresh, rollback, sample_server, schema, serve, service, show, status, supervise, sync, token,
    validate, why,
};
use crate::settings::Settings;

/// The verbs by purpose; a test keeps it complete.
const VERBS: &str = "\
See:
  status       Is what runs what the repository declares, and is it healthy?
  plan         What would a sync change, field by field, and why?
  why          One field: what is declared, last applied and running
  history      The runs of an environment
  show         One run with its steps and output, or one plan
  logs         The output of a run or of a service
  events       What happened, and with --follow what happens

Change:
  sync         Carry out a plan, after showing it and asking
  rollback     Go back to a recorded release, after showing the plan and asking
  refresh      Look at Git and at what runs now, instead of in a minute

Register (admin):
  project      Repositories that are watched
  env          Where their services run, and with which secrets
  service      Services for files in the short form
  integration  Outside services: forges, registries, CI, runtime hosts
  token        Bearer tokens for the API over TCP
  audit        Who changed, synced, was denied or resolved a secret's reference
  deliveries   What webhooks delivered, and what became of it
  outbox       What is said on forges, and what became of it

Write the file:
  validate     Check a file, with every mistake at its line and column
  schema       The file's JSON Schema, for editors

Run and look after:
  serve        The daemon: watches, compares, and syncs when asked
  supervise    Own the processes of `local` environments, apart from the daemon
  doctor       Check everything between this terminal and what runs
  quickstart   See it all on a sample repository, in a minute, leaving nothing behind
  completions  Completions for a shell";

const EXIT_CODES: &str = "\
Exit codes: 0 in sync or done, 2 drift, 1 error (wrong usage too).
Nothing but `sync` and `rollback` changes what runs.";

/// GitOps without surprises: field-level drift from Git to what runs, changed only by an explicit sync.
#[derive(Debug, Parser)]
#[command(
    name = "trueup",
    version,
    max_term_width = 100,
    help_template = "{about}\n\n{usage-heading} {usage}\n\n{before-help}Options:\n{options}{after-help}",
    before_help = VERBS,
    after_help = EXIT_CODES,
    disable_help_subcommand = true
)]
pub(super) struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

/// Where the daemon is. The token comes from the environment only: arguments are visible to every user of a machine.
#[derive(Clone, Debug, Args)]
pub(super) struct Connection {
    /// The daemon's Unix socket, where it is not /run/trueup/trueup.sock
    #[arg(long, global = true, env = "TRUEUP_SOCKET", value_name = "PATH", help_heading = "Daemon")]
    socket: Option<PathBuf>,
    /// The daemon's URL, instead of its socket; the bearer token is read from TRUEUP_TOKEN
    // Its id must be no verb's: clap would take one argument for the other.
    #[arg(
        id = "daemon-url",
        long = "url",
        global = true,
        env = "TRUEUP_URL",
        value_name = "URL",
        help_heading = "Daemon"
    )]
    url: Option<String>,
}

impl Connection {
    /// The client for it.
    pub(super) fn client(&self) -> Result<Client, ClientError> {
        self.client_or(Settings::default().socket())
    }

    /// The same, with the socket that counts where none is named.
    pub(super) fn client_or(&self, usual: PathBuf) -> Result<Client, ClientError> {
        Client::new(self.endpoint(usual)?)
    }

    fn endpoint(&self, usual: PathBuf) -> Result<Endpoint, ClientError> {
        let Some(url) = &self.url else { return Ok(Endpoint::Socket(self.socket.clone().unwrap_or(usual))) };
        match std::env::var("TRUEUP_TOKEN") {
            Ok(token) if !token.trim().is_empty() => {
                Ok(Endpoint::Url(url.clone(), SecretString::from(token.trim().to_owned())))
            }
            _ => Err(ClientError::Unreachable(Advice::new(
                "a daemon's URL takes a token, and TRUEUP_TOKEN is not set",
                "an admin makes one with `trueup token add NAME --role operator`",
            ))),
        }
    }
}

#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum Verb {
    Status(status::Status),
    Plan(plan::PlanArgs),
    Why(why::Why),
    History(history::History),
    Show(show::Show),
    Logs(logs::Logs),
    Events(events::EventsArgs),
    Sync(sync::SyncArgs),
    Rollback(rollback::Rollback),
    Refresh(refresh::Refresh),
    #[command(subcommand)]
    Project(project::Project),
    #[command(subcommand, visible_alias = "environment")]
    Env(env::Env),
    #[command(subcommand)]
    Service(service::Service),
    #[command(subcommand)]
    Integration(integration::Integration),
    #[command(subcommand)]
    Token(token::Token),
    Audit(audit::Audit),
    #[command(subcommand)]
    Deliveries(deliveries::Deliveries),
    #[command(subcommand)]
    Outbox(outbox::Outbox),
    Validate(validate::Validate),
    Schema(schema::Schema),
    Serve(serve::Serve),
    Supervise(supervise::Supervise),
    Doctor(doctor::Doctor),
    Quickstart(quickstart::Quickstart),
    #[command(hide = true)]
    SampleServer(sample_server::SampleServer),
    Completions(completions::Completions),
}

/// What every verb that speaks to the daemon needs.
pub(super) struct Context<'a> {
    /// The daemon.
    pub(super) client: Client,
    /// Where to write.
    pub(super) terminal: &'a mut Terminal,
}

/// Hands a parsed command line to its verb.
pub(super) fn dispatch(cli: Cli, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    let Cli { connection, verb } = cli;
    match verb {
        Verb::Validate(verb) => validate::run(&verb, terminal),
        Verb::Schema(verb) => schema::run(&verb, terminal),
        Verb::Completions(verb) => completions::run(&verb, terminal),
        Verb::SampleServer(verb) => sample_server::run(&verb),
        Verb::Serve(verb) => serve::run(&verb, connection.socket.as_deref()),
        Verb::Supervise(verb) => supervise::run(&verb),
        Verb::Doctor(verb) => block_on(doctor::run(&verb, &connection, terminal)),
        Verb::Quickstart(verb) => block_on(quickstart::run(&verb, terminal)),
        Verb::Plan(verb) if verb.is_offline() => block_on(plan::run_offline(&verb, terminal)),
        online => {
            let context = Context { client: connection.client()?, terminal };
            block_on(dispatch_online(online, context))
        }
    }
}

async fn dispatch_online(verb: Verb, context: Context<'_>) -> anyhow::Result<Outcome> {
    match verb {
        Verb::Status(verb) => status::run(&verb, context).await,
        Verb::Plan(verb) => plan::run(&verb, context).await,
        Verb::Why(verb) => why::run(&verb, context).await,
        Verb::History(verb) => history::run(&verb, context).await,
        Verb::Show(verb) => show::run(&verb, context).await,
        Verb::Logs(verb) => logs::run(&verb, context).await,
        Verb::Events(verb) => events::run(&verb, context).await,
        Verb::Sync(verb) => sync::run(&verb, context).await,
        Verb::Rollback(verb) => rollback::run(&verb, context).await,
        Verb::Refresh(verb) => refresh::run(&verb, context).await,
        Verb::Project(verb) => project::run(&verb, context).await,
        Verb::Env(verb) => env::run(&verb, context).await,
        Verb::Service(verb) => service::run(&verb, context).await,
        Verb::Integration(verb) => integration::run(&verb, context).await,
        Verb::Token(verb) => token::run(&verb, context).await,
        Verb::Audit(verb) => audit::run(&verb, context).await,
        Verb::Deliveries(verb) => deliveries::run(&verb, context).await,
        Verb::Outbox(verb) => outbox::run(&verb, context).await,
        Verb::Validate(_)
        | Verb::Schema(_)
        | Verb::Completions(_)
        | Verb::SampleServer(_)
        | Verb::Serve(_)
        | Verb::Supervise(_)
        | Verb::Doctor(_)
        | Verb::Quickstart(_) => anyhow::bail!("this verb needs no daemon and was carried out without one"),
    }
}

fn block_on<F: Future<Output = anyhow::Result<Outcome>>>(verb: F) -> anyhow::Result<Outcome> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(verb)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{Cli, VERBS};

    #[test]
    fn the_tree_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_verb_takes_a_global_argument_for_its_own() {
        let command = Cli::command();
        let global: Vec<&str> = command.get_arguments().map(|argument| argument.get_id().as_str()).collect();
        fn check(command: &clap::Command, global: &[&str]) {
            for verb in command.get_subcommands() {
                for argument in verb.get_arguments() {
                    let id = argument.get_id().as_str();
                    // `supervise` has a socket of its own, by the same name and of the same type on purpose.
                    let own = verb.get_name() == "supervise" && id == "socket";
                    assert!(own || !global.contains(&id), "{} {id}", verb.get_name());
                }
                check(verb, global);
            }
        }
        check(&command, &global);
    }

    #[test]
    fn the_overview_names_every_verb_and_no_other() {
        let listed: Vec<&str> = VERBS
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        let command = Cli::command();
        let verbs: Vec<&str> =
            command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(|verb| verb.get_name()).collect();
        assert_eq!(listed, verbs);
    }

    #[test]
    fn every_verb_says_what_it_is_for() {
        fn check(command: &clap::Command) {
            for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
                assert!(verb.get_about().is_some(), "{} has no description", verb.get_name());
                for argument in verb.get_arguments() {
                    let id = argument.get_id().as_str();
                    assert!(argument.get_help().is_some() || id == "help", "{} {id} has no help", verb.get_name());
                }
                check(verb);
            }
        }
        check(&Cli::command());
    }

    /// Every verb that tells something tells it as JSON, too; the others are named here, each for its reason.
    #[test]
    fn every_reading_verb_speaks_json() {
        const OTHERS: &[&str] = &[
            // They change something, and say what came of it.
            "sync",
            "rollback",
            "project add",
            "project set",
            "project remove",
            "env add",
            "env set",
            "env remove",
            "service set",
            "service remove",
            "integration add",
            "integration set",
            "integration remove",
            "deliveries replay",
            "outbox post",
            "integration user add",
            "integration user remove",
            "token add",
            "token remove",
            // They run until they are ended.
            "serve",
            "supervise",
            "quickstart",
            // What they print is a file.
            "completions",
            "schema",
        ];
        fn collect(command: &clap::Command, path: &str, verbs: &mut Vec<(String, bool)>) {
            for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
                let path = format!("{path} {}", verb.get_name()).trim().to_owned();
                if verb.has_subcommands() {
                    collect(verb, &path, verbs);
                } else {
                    verbs.push((path, verb.get_arguments().any(|argument| argument.get_id() == "json")));
                }
            }
        }
        let mut verbs = Vec::new();
        collect(&Cli::command(), "", &mut verbs);
        for (verb, json) in &verbs {
            assert!(*json || OTHERS.contains(&verb.as_str()), "`{verb}` has no --json");
        }
        for other in OTHERS {
            assert!(verbs.iter().any(|(verb, _)| verb == other), "there is no verb `{other}`");
        }
    }
}
