//! Probes that run beside the replica: an exec in its container, or a helper container that shares its network
//! namespace. Helpers belong to the environment, carry no service's label, and are removed when they have answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures_util::StreamExt;

use super::DockerProvider;
use super::engine::{CHANGE, EngineError, bounded};
use super::labels;
use super::probe::{late, verdict};
use crate::live::ReplicaId;
use crate::provider::{ProbeOutcome, StepError};

/// What a command's output may add to a reason, in bytes.
const OUTPUT: usize = 2 * 1024;
/// Added to a helper's time for its container's start.
const START: Duration = Duration::from_secs(10);

/// Sends one request and prints the answer's first line; `nc` is kept waiting for the answer by the sleep.
const HTTP_SCRIPT: &str = r#"{ printf 'GET %s HTTP/1.0\r\nHost: localhost:%s\r\nUser-Agent: trueup-probe\r\n\r\n' "$1" "$2"; sleep "$3"; } | nc -w "$3" 127.0.0.1 "$2" | head -n 1"#;
/// Says whether the port accepts.
const TCP_SCRIPT: &str = r#"if nc -w "$2" 127.0.0.1 "$1" -e true; then echo open; else echo closed; fi"#;

impl DockerProvider {
    /// Whether a helper could be run.
    pub(super) async fn helper_possible(&self) -> Result<(), String> {
        let Some(image) = &self.settings.probe_image else {
            return Err(format!(
                "the replicas' addresses cannot be dialled from here, and no helper image is set; set `probe_image` to \
                 an image with sh and nc (such as busybox) that the Engine at {} has",
                self.engine.address
            ));
        };
        match self.engine.image(&image.to_string()).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(format!(
                "the Engine does not have the probe image {}; pull it there (docker pull {})",
                image.familiar(),
                image.familiar()
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) async fn helper_http(
        &self,
        replica: &ReplicaId,
        path: &str,
        port: u16,
        limit: Duration,
    ) -> ProbeOutcome {
        let what = format!("GET :{port}{path}");
        let words = [HTTP_SCRIPT, "probe", path, &port.to_string(), &seconds(limit)];
        match self.helper_line(replica, &words, limit).await {
            Err(why) => ProbeOutcome::Impossible(why),
            Ok(None) => ProbeOutcome::Failed(late(&what, limit)),
            Ok(Some(line)) => {
                let mut words = line.split(' ');
                let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/"));
                match words.next().and_then(|status| status.parse().ok()).filter(|_| is_http) {
                    Some(status) => verdict(&what, status),
                    None => ProbeOutcome::Failed(format!("{what} did not answer in HTTP: {}", bounded(&line))),
                }
            }
        }
    }

    pub(super) async fn helper_tcp(&self, replica: &ReplicaId, port: u16, limit: Duration) -> ProbeOutcome {
        let words = [TCP_SCRIPT, "probe", &port.to_string(), &seconds(limit)];
        match self.helper_line(replica, &words, limit).await {
            Err(why) => ProbeOutcome::Impossible(why),
            Ok(Some(line)) if line == "open" => ProbeOutcome::Passed,
            Ok(Some(line)) if line == "closed" => ProbeOutcome::Failed(format!("port {port} accepts no connection")),
            Ok(Some(line)) => ProbeOutcome::Impossible(format!("the probe container said: {}", bounded(&line))),
            Ok(None) => ProbeOutcome::Failed(late(&format!("port {port}"), limit)),
        }
    }

    /// Runs a script beside the replica and returns its first line.
    async fn helper_line(
        &self,
        replica: &ReplicaId,
        words: &[&str],
        limit: Duration,
    ) -> Result<Option<String>, String> {
        self.helper_possible().await?;
        self.clear_helpers(replica).await.map_err(|error| error.to_string())?;
        let image = self.settings.probe_image.as_ref().map(ToString::to_string);
        let mut labels = labels::environment(&self.environment);
        labels.insert(labels::PROBE.to_owned(), replica.0.clone());
        let body = ContainerCreateBody {
            image,
            entrypoint: Some(vec!["sh".to_owned(), "-c".to_owned()]),
            cmd: Some(words.iter().map(|word| (*word).to_owned()).collect()),
            labels: Some(labels),
            host_config: Some(HostConfig {
                network_mode: Some(format!("container:{replica}")),
                cap_drop: Some(vec!["ALL".to_owned()]),
                readonly_rootfs: Some(true),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let made = self.engine.call(CHANGE, |docker| async move { docker.create_container(None, body).await }).await;
        let id = made.map_err(|error| format!("the probe container could not be made: {error}"))?.id;
        let line = async {
            let container = id.as_str();
            self.engine.call(CHANGE, |docker| async move { docker.start_container(container, None).await }).await?;
            self.first_line(&id, limit + START).await
        };
        let line = line.await.map_err(|error: StepError| format!("the probe container failed: {error}"));
        self.delete(&id, true).await.map_err(|error| format!("the probe container stays behind: {error}"))?;
        line
    }

    /// Helpers of this replica that a crash left.
    async fn clear_helpers(&self, replica: &ReplicaId) -> Result<(), EngineError> {
        let mut wanted = labels::filter(&self.environment);
        wanted.push(format!("{}={replica}", labels::PROBE));
        let filters = HashMap::from([("label".to_owned(), wanted), ("status".to_owned(), vec!["exited".to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let left = self.engine.read(|docker| async move { docker.list_containers(Some(options)).await }).await?;
        for id in left.into_iter().filter_map(|container| container.id) {
            self.delete(&id, true).await?;
        }
        Ok(())
    }

    /// A command in the replica that must exit 0. One that runs into the limit goes on there: the Engine has no way to
    /// end an exec.
    /// Runs the command in the replica. One that does not end in its time goes on, as the Engine has no way to end an
    /// exec; until it has ended the probe fails without starting another, so that they do not pile up.
    pub(super) async fn probe_command(&self, replica: &ReplicaId, argv: &[String], limit: Duration) -> ProbeOutcome {
        let probed = async {
            if self.still_runs(replica).await? {
                return Ok(ProbeOutcome::Failed("the command of an earlier probe has not ended yet".to_owned()));
            }
            let exec = self.create_exec(replica, argv).await?;
            match tokio::time::timeout(limit, self.exec(&exec)).await {
                Err(_) => {
                    self.overdue().insert(replica.0.clone(), exec);
                    Ok(ProbeOutcome::Failed(late("the command", limit)))
                }
                Ok(ended) => ended.map(verdict_of),
            }
        };
        match probed.await {
            Ok(outcome) => outcome,
            Err(EngineError::Unreachable(why)) => ProbeOutcome::Impossible(why),
            Err(EngineError::Refused(why) | EngineError::Missing(why)) => ProbeOutcome::Failed(why),
        }
    }

    pub(super) fn overdue(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.engine.overdue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a probe's command that did not end in its time still runs.
    async fn still_runs(&self, replica: &ReplicaId) -> Result<bool, EngineError> {
        let Some(exec) = self.overdue().get(&replica.0).cloned() else { return Ok(false) };
        let runs = match self.engine.read(|docker| async move { docker.inspect_exec(&exec).await }).await {
            Ok(exec) => exec.running == Some(true),
            // The Engine forgets those that ended.
            Err(EngineError::Missing(_)) => false,
            Err(error) => return Err(error),
        };
        if !runs {
            self.overdue().remove(&replica.0);
        }
        Ok(runs)
    }

    async fn create_exec(&self, replica: &ReplicaId, argv: &[String]) -> Result<String, EngineError> {
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(argv.to_vec()),
            ..CreateExecOptions::default()
        };
        let id = replica.0.as_str();
        Ok(self.engine.read(|docker| async move { docker.create_exec(id, options).await }).await?.id)
    }

    /// The exit code and the output.
    async fn exec(&self, exec: &str) -> Result<(Option<i64>, String), EngineError> {
        let options = StartExecOptions { detach: false, ..StartExecOptions::default() };
        let started = self.engine.read(|docker| async move { docker.start_exec(exec, Some(options)).await }).await?;
        let mut said: Vec<u8> = Vec::new();
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(piece) = output.next().await {
                let piece = piece.map_err(|error| self.engine.explain(error))?;
                let room = OUTPUT.saturating_sub(said.len());
                said.extend(piece.as_ref().iter().take(room));
            }
        }
        let ended = self.engine.read(|docker| async move { docker.inspect_exec(exec).await }).await?;
        Ok((ended.exit_code, String::from_utf8_lossy(&said).into_owned()))
    }
}

fn verdict_of((code, output): (Option<i64>, String)) -> ProbeOutcome {
    if code == Some(0) {
        return ProbeOutcome::Passed;
    }
    let code = code.map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"));
    let output = output.trim();
    let said = if output.is_empty() { String::new() } else { format!(": {}", bounded(output)) };
    ProbeOutcome::Failed(format!("the command ended with {code}{said}"))
}

/// Whole seconds, at least one, as busybox counts.
fn seconds(limit: Duration) -> String {
    limit.as_millis().div_ceil(1_000).max(1).to_string()
}
