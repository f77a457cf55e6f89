//! The story itself: every step is a command that a user would type, run for real, with a line on what it shows.

use anyhow::{Context, ensure};

use crate::cli::quickstart::docker::Engine;
use crate::cli::quickstart::replica::Replica;
use crate::cli::quickstart::stage::{Stage, Target, own_binary};
use crate::cli::terminal::{Terminal, Tone};
use crate::git::sample::SampleRepository;

/// What a command is expected to answer: in sync or done.
const DONE: i32 = 0;
/// And: drift.
const DRIFT: i32 = 2;

/// The line that the commit changes, before and after.
const GREETING: (&str, &str) = ("GREETING: hello", "GREETING: good morning");

/// Tells it from the first commit to the last sync, and with `keep` waits for Ctrl-C then.
///
/// # Errors
/// A step did not show what it should.
pub(super) async fn tell(stage: &mut Stage, keep: bool, terminal: &mut Terminal) -> anyhow::Result<()> {
    let repository = set_up(stage, terminal).await?;
    first_sync(stage, terminal).await?;
    change_by_hand(stage, terminal).await?;
    commit(stage, &repository, terminal).await?;
    last_sync(stage, terminal).await?;
    say(
        terminal,
        "That was all of it: what differs and why, before anything changes; and nothing changes unless you say so.",
    )?;
    if keep {
        play_on(stage, terminal).await?;
    }
    Ok(())
}

/// One line on what comes next.
fn say(terminal: &mut Terminal, line: &str) -> anyhow::Result<()> {
    let line = terminal.paint(Tone::Strong, &format!("# {line}"));
    terminal.line("")?;
    terminal.line(&line)?;
    Ok(())
}

/// Shows a command and runs it.
async fn step(stage: &Stage, terminal: &mut Terminal, arguments: &[&str], expected: i32) -> anyhow::Result<()> {
    let quoted: Vec<String> = arguments.iter().map(|argument| quote(argument)).collect();
    let command = format!("trueup {}", quoted.join(" "));
    terminal.line(&terminal.paint(Tone::Good, &format!("$ {command}")))?;
    let code = stage.run(arguments).await?;
    ensure!(code == expected, "`{command}` ended with {code}; the story expects {expected} here");
    Ok(())
}

/// An argument as a shell takes it.
fn quote(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) { argument.to_owned() } else { format!("'{argument}'") }
}

async fn set_up(stage: &mut Stage, terminal: &mut Terminal) -> anyhow::Result<SampleRepository> {
    let repository = stage.make_repository()?;
    say(terminal, &format!("A Git repository ({}) declares what should run:", repository.path().display()))?;
    terminal.line(&terminal.paint(Tone::Good, "$ cat .trueup.yml"))?;
    terminal.text(stage.file())?;
    say(terminal, "A daemon on temporary state (as a service it would be: systemctl start trueup)")?;
    stage.start().await?;
    say(terminal, "It is told which repository to watch, and where its services run. Neither deploys anything.")?;
    let path = repository.path().display().to_string();
    step(stage, terminal, &["project", "add", stage.project(), &path], DONE).await?;
    let environment = stage.environment();
    match stage.target() {
        Target::Local => {
            let value = format!("Trueup={}", own_binary()?.display());
            let own = "allow_own_user=true";
            let add = ["env", "add", &environment, "--provider", "local", "--set", own, "--value", &value];
            step(stage, terminal, &add, DONE).await?;
        }
        Target::Docker { image } => {
            let value = format!("Image={image}");
            step(stage, terminal, &["env", "add", &environment, "--provider", "docker", "--value", &value], DONE)
                .await?;
        }
    }
    Ok(repository)
}

async fn first_sync(stage: &Stage, terminal: &mut Terminal) -> anyhow::Result<()> {
    let environment = stage.environment();
    say(terminal, "What would a sync do? (Exit code 2: there is drift.)")?;
    step(stage, terminal, &["plan", &environment], DRIFT).await?;
    say(terminal, "Do it. (Without --yes it shows the plan and asks.)")?;
    step(stage, terminal, &["sync", &environment, "--yes"], DONE).await?;
    say(terminal, "Now what runs is what is declared, and it is healthy: two answers, side by side.")?;
    step(stage, terminal, &["status", &environment], DONE).await?;
    greet(stage, terminal)
}

/// Asks the sample's service itself, where it is a process of this machine.
fn greet(stage: &Stage, terminal: &mut Terminal) -> anyhow::Result<()> {
    let Some(supervisor) = stage.supervisor() else { return Ok(()) };
    let replica = Replica::of(supervisor)?;
    terminal.line(&terminal.paint(Tone::Good, &format!("$ curl localhost:{}", replica.port())))?;
    terminal.line(&replica.answer()?)?;
    Ok(())
}

async fn change_by_hand(stage: &Stage, terminal: &mut Terminal) -> anyhow::Result<()> {
    say(terminal, "At 3 a.m. someone changes what runs, by hand:")?;
    match stage.supervisor() {
        Some(supervisor) => {
            let replica = Replica::of(supervisor)?;
            let bytes: u64 = 768 << 20;
            let command = format!("$ prlimit --pid {} --as={bytes}:", replica.pid());
            terminal.line(&terminal.paint(Tone::Good, &command))?;
            replica.limit_memory(bytes)?;
        }
        None => {
            let engine = Engine::new()?;
            let containers = engine.containers(stage.project()).await?;
            let container = containers.first().context("the sample's container was not found")?;
            let command = format!("$ docker update --memory 96m --memory-swap 96m {}", container.name());
            terminal.line(&terminal.paint(Tone::Good, &command))?;
            engine.limit_memory(container, 96 << 20).await?;
        }
    }
    let environment = stage.environment();
    say(terminal, "Trueup sees which field, and says why: cause `live`, as nobody changed the file.")?;
    step(stage, terminal, &["plan", &environment], DRIFT).await?;
    let address = format!("{environment}/web.resources.memory_limit");
    step(stage, terminal, &["why", &address], DRIFT).await
}

async fn commit(stage: &Stage, repository: &SampleRepository, terminal: &mut Terminal) -> anyhow::Result<()> {
    let (before, after) = GREETING;
    say(terminal, "Meanwhile a commit changes the file:")?;
    let command = format!("$ sed -i 's/{before}/{after}/' .trueup.yml && git commit -am 'Greet by the time of day'");
    terminal.line(&terminal.paint(Tone::Good, &command))?;
    let file = stage.file().replace(before, after);
    ensure!(file != stage.file(), "the sample holds no `{before}`");
    stage.commit(repository, &file, "Greet by the time of day")?;
    say(
        terminal,
        "Each field with its own cause: `repo` for what the commit changed, `live` for what someone did by hand.",
    )?;
    step(stage, terminal, &["plan", &stage.environment()], DRIFT).await?;
    if stage.supervisor().is_some() {
        say(terminal, "And nothing happened yet: only a sync changes what runs.")?;
    }
    greet(stage, terminal)
}

async fn last_sync(stage: &Stage, terminal: &mut Terminal) -> anyhow::Result<()> {
    let environment = stage.environment();
    say(terminal, "One explicit command mends both, and a failure would bring the old one back as it was.")?;
    step(stage, terminal, &["sync", &environment, "--yes"], DONE).await?;
    step(stage, terminal, &["plan", &environment], DONE).await?;
    greet(stage, terminal)?;
    say(terminal, "Every run is kept, step by step; `trueup rollback` goes back to one.")?;
    step(stage, terminal, &["history", &environment], DONE).await
}

/// Leaves the stage to the user until they press Ctrl-C, which [`super::run`] waits for.
async fn play_on(stage: &Stage, terminal: &mut Terminal) -> anyhow::Result<()> {
    say(terminal, "It goes on running for you to play with. In another terminal:")?;
    terminal.line(&format!("  export TRUEUP_SOCKET={}", stage.socket().display()))?;
    terminal.line(&format!("  cd {}", stage.repository().display()))?;
    terminal
        .line(&format!("  trueup status     # then edit .trueup.yml, commit, trueup plan {}", stage.environment()))?;
    terminal.line("Ctrl-C here ends it and cleans up.")?;
    std::future::pending::<()>().await;
    Ok(())
}
