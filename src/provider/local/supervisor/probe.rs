//! A command run beside a replica to see how it is: same checkout, environment, user and limits.

use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::provider::local::supervisor::environment;
use crate::provider::local::supervisor::exec::Order;
use crate::provider::local::supervisor::keeper::{Ground, Published};
use crate::provider::local::supervisor::launch::{Output, launch};
use crate::provider::local::supervisor::policy::Ending;
use crate::provider::local::supervisor::protocol::Probed;
use crate::provider::local::supervisor::replica::EnvValues;
use crate::provider::local::supervisor::session::Session;

/// How much of what it prints is kept.
const SAID_MAX: usize = 8 << 10;

/// Runs a command beside a replica and waits for its end.
pub(super) async fn probe(
    ground: &Ground,
    id: &str,
    published: &Published,
    argv: Vec<String>,
    timeout: Duration,
) -> Probed {
    match run(ground, id, published, argv, timeout).await {
        Ok(probed) => probed,
        Err(why) => Probed::NotRun(why),
    }
}

async fn run(
    ground: &Ground,
    id: &str,
    published: &Published,
    argv: Vec<String>,
    timeout: Duration,
) -> Result<Probed, String> {
    let blueprint = &published.spec.blueprint;
    let text = |error: std::io::Error| error.to_string();
    // Its cgroup's limits hold for the probe too; a limit by process would be set anew from the replica's wish.
    let address_space = ground.limits.backend();
    let address_space = blueprint.memory.filter(|_| !address_space.memory).map(|memory| memory.0);
    let order = Order {
        argv,
        env: published.given.values.clone(),
        directory: environment::directory(&ground.layout, id, blueprint),
        user: environment::user(&blueprint.user)?,
        cgroup: ground.limits.cgroup(id),
        address_space,
        dies_with_supervisor: true,
    };
    let (reader, writer) = std::io::pipe().map_err(text)?;
    let output = Output { stdout: writer.try_clone().map_err(text)?.into(), stderr: writer.into() };
    let mut reader = pipe::Receiver::from_owned_fd_unchecked(nonblocking(reader).map_err(text)?).map_err(text)?;
    let process = launch(&ground.binary, &ground.boot, &order, output, |_| Ok(())).await?;
    // Without the cgroup, which is the replica's: only the probe's own session is ended.
    let session = Session { leader: process.identity().clone(), replica: id.to_owned(), cgroup: None };
    let mut said = Vec::new();
    let finished = tokio::time::timeout(timeout, async {
        tokio::select! {
            ended = process.ended() => ended,
            // Reads as long as the probe runs; ends by the other branch.
            () = read_end(&mut reader, &mut said) => process.ended().await,
        }
    })
    .await;
    session.kill().await.map_err(text)?;
    let ending = process.reap().map_err(text)?;
    match finished {
        Err(_elapsed) => return Ok(Probed::TimedOut),
        Ok(ended) => ended.map_err(text)?,
    }
    // All writers are gone: what is left in the pipe ends.
    if tokio::time::timeout(Duration::from_secs(1), read_end(&mut reader, &mut said)).await.is_err() {
        tracing::debug!(replica = id, "a probe's output did not end with it");
    }
    let code = match ending {
        Ending::Exited(code) => Some(code),
        Ending::Signalled(_) | Ending::OutOfMemory | Ending::Unseen | Ending::NotStarted(_) => None,
    };
    Ok(Probed::Ended { code, said: last_line(&said, &published.given.values, &blueprint.secret_env) })
}

fn nonblocking(reader: std::io::PipeReader) -> std::io::Result<std::os::fd::OwnedFd> {
    let descriptor = std::os::fd::OwnedFd::from(reader);
    rustix::io::ioctl_fionbio(&descriptor, true)?;
    Ok(descriptor)
}

async fn read_end(reader: &mut pipe::Receiver, said: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    loop {
        let count = match reader.read(&mut buffer).await {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) => {
                tracing::debug!(%error, "a probe's output broke off");
                return;
            }
        };
        said.extend_from_slice(&buffer[..count]);
        if said.len() > SAID_MAX {
            said.drain(..said.len() - SAID_MAX);
        }
    }
}

fn last_line(said: &[u8], given: &EnvValues, secret: &std::collections::BTreeSet<String>) -> String {
    let mut text = String::from_utf8_lossy(said).into_owned();
    for value in secret.iter().filter_map(|name| given.0.get(name)).filter(|value| !value.expose_secret().is_empty()) {
        text = text.replace(value.expose_secret(), "(secret)");
    }
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::last_line;
    use crate::provider::local::supervisor::replica::EnvValues;

    #[test]
    fn a_secret_that_a_probe_prints_is_masked() {
        let given = EnvValues::from_texts([("TOKEN".to_owned(), "hunter2hunter2".to_owned())]);
        let secret = BTreeSet::from(["TOKEN".to_owned()]);
        assert_eq!(last_line(b"one\ntoken=hunter2hunter2!\n\n", &given, &secret), "token=(secret)!");
        assert_eq!(last_line(b"", &given, &secret), "");
    }
}
