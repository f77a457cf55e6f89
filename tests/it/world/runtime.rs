//! A runtime in memory: a stateful provider that behaves as an engine does and rejects what an engine would.

mod odd;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::BroadcastStream;
use trueup::ids::{RunId, ServiceName};
use trueup::live::capability::{Capabilities, ChangeKind, Effect, Support};
use trueup::live::field::FieldPath;
use trueup::live::image::{ImageRef, ImageValue};
use trueup::live::value::{PullPolicy, Value};
use trueup::live::{Health, Live, LiveLeaf, LiveReplica, LiveService, Observed, ReplicaId};
use trueup::provider::{
    Check, Connect, ConnectionReport, ProbeOutcome, Progress, Provider, ReplicaSpec, ReplicaState, SharedProvider,
    StepError,
};
use trueup::store::records::{Environment, Project};
use trueup::sync::gate::SyncPermit;

/// The runtime; clones share one world.
#[derive(Clone, Default)]
pub struct Runtime {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    replicas: BTreeMap<ReplicaId, Replica>,
    next: u32,
    unreachable: bool,
    /// Services whose replicas are there and cannot be looked at.
    hidden: BTreeSet<String>,
    /// Replicas made from these image tags end at once, or never get healthy.
    crashing: BTreeSet<String>,
    unhealthy: BTreeSet<String>,
    /// Replicas made from these end over and over, and are started again each time.
    looping: BTreeSet<String>,
    /// How the next steps go, by the name of the call: `None` as ever.
    scripted: BTreeMap<&'static str, VecDeque<Option<StepError>>>,
    /// What every replica prints, and what its own check says of it where it fails.
    printed: Vec<String>,
    ailing: Option<String>,
    /// Whether what is followed goes on after what was printed.
    following: bool,
    /// Whether environments on it cannot be connected, and how often that was tried.
    unusable: bool,
    refused: usize,
    /// How often a registry was asked.
    asked: usize,
    /// How often each service was probed.
    probes: BTreeMap<ServiceName, u32>,
    /// What the next probes answer; after that it is told by the image's tag.
    answers: VecDeque<ProbeOutcome>,
    /// Why no probe can be carried out.
    unprobeable: Option<String>,
    /// Leaves that it says it set, and does not keep.
    deaf: BTreeSet<FieldPath>,
    /// Whether what it says it removed stays.
    clinging: bool,
    /// Who is told of every change by hand.
    told: Option<broadcast::Sender<()>>,
    /// Every effect, in order, for asserting that nothing happened.
    effects: Vec<String>,
}

/// One replica of the world.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    pub service: ServiceName,
    pub index: u32,
    pub release: RunId,
    pub running: bool,
    /// How often its restart policy started it again.
    pub restarts: u32,
    pub leaves: BTreeMap<FieldPath, Value>,
    /// What nobody declared, and what must survive every sync.
    pub unmanaged: BTreeMap<String, String>,
}

const CAPABILITIES: Capabilities = Capabilities {
    provider: "memory",
    support,
    accepts: |_, _| Ok(()),
    effect,
    required: &[FieldPath::Image],
    default_of: |_| None,
    kept: |_, _| None,
};

fn support(field: &FieldPath) -> Support {
    match field {
        FieldPath::Pull
        | FieldPath::DependsOn
        | FieldPath::Port
        | FieldPath::HealthPath
        | FieldPath::HealthPort
        | FieldPath::HealthCommand
        | FieldPath::HealthInterval
        | FieldPath::HealthTimeout
        | FieldPath::HealthStartPeriod
        | FieldPath::HealthyThreshold
        | FieldPath::UnhealthyThreshold
        | FieldPath::DeployStrategy
        | FieldPath::RollbackOnFailure
        | FieldPath::Source => Support::Policy,
        _ => Support::Observed,
    }
}

fn effect(field: &FieldPath, kind: ChangeKind) -> Effect {
    match (field, kind) {
        (FieldPath::Stopped | FieldPath::Replicas | FieldPath::Restart, _) => Effect::InPlace,
        (FieldPath::MemoryLimit | FieldPath::CpuLimit, ChangeKind::Set) => Effect::InPlace,
        _ => Effect::Replace,
    }
}

impl Runtime {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Every replica, by id.
    pub fn replicas(&self) -> BTreeMap<ReplicaId, Replica> {
        self.state().replicas.clone()
    }

    /// The running replicas of a service.
    pub fn running(&self, service: &str) -> Vec<Replica> {
        self.state().replicas.values().filter(|r| r.running && r.service.as_str() == service).cloned().collect()
    }

    /// How often a service was probed so far.
    pub fn probes(&self, service: &str) -> u32 {
        self.state().probes.get(&service.parse::<ServiceName>().unwrap()).copied().unwrap_or_default()
    }

    /// Every effect so far.
    pub fn effects(&self) -> Vec<String> {
        self.state().effects.clone()
    }

    /// Someone changes what runs, behind Trueup's back.
    pub fn by_hand(&self, service: &str, change: impl Fn(&mut Replica)) {
        let mut state = self.state();
        let found: Vec<_> = state.replicas.values_mut().filter(|r| r.service.as_str() == service).collect();
        assert!(!found.is_empty(), "no replica of {service}");
        found.into_iter().for_each(change);
        if let Some(told) = &state.told {
            // Whoever listened may have gone.
            told.send(()).ok();
        }
    }

    /// Someone stops one replica.
    pub fn stop_by_hand(&self, id: &ReplicaId) {
        self.state().get(id).unwrap().running = false;
    }

    /// Someone removes a service's replicas.
    pub fn remove_by_hand(&self, service: &str) {
        self.state().replicas.retain(|_, replica| replica.service.as_str() != service);
    }

    /// Whether the runtime answers.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.state().unreachable = unreachable;
    }

    /// The replicas of a service can no longer be looked at.
    pub fn hide(&self, service: &str) {
        self.state().hidden.insert(service.to_owned());
    }

    /// Everything can be looked at again.
    pub fn show_all(&self) {
        self.state().hidden.clear();
    }

    /// Replicas of this image tag end as soon as they start.
    pub fn crash(&self, tag: &str) {
        self.state().crashing.insert(tag.to_owned());
    }

    /// Replicas of this image tag never pass a probe.
    pub fn sicken(&self, tag: &str) {
        self.state().unhealthy.insert(tag.to_owned());
    }

    /// Replicas of this image tag end soon after each start, and their restart policy starts them again.
    pub fn restart_endlessly(&self, tag: &str) {
        self.state().looping.insert(tag.to_owned());
    }

    /// Whether its environments cannot be connected.
    pub fn set_unusable(&self, unusable: bool) {
        self.state().unusable = unusable;
    }

    /// How often that was tried in vain.
    pub fn refused(&self) -> usize {
        self.state().refused
    }

    /// How often a registry was asked.
    pub fn asked(&self) -> usize {
        self.state().asked
    }

    /// Every replica has printed these lines.
    pub fn print(&self, lines: &[&str]) {
        self.state().printed = lines.iter().map(|line| (*line).to_owned()).collect();
    }

    /// Whoever follows what replicas print is kept waiting for more.
    pub fn go_on_printing(&self) {
        self.state().following = true;
    }

    /// Every running replica fails its own check, which says this.
    pub fn ail(&self, why: &str) {
        self.state().ailing = Some(why.to_owned());
    }

    /// The next call of that name fails, after those that this was said of before.
    pub fn fail_next(&self, call: &'static str, error: StepError) {
        self.state().scripted.entry(call).or_default().push_back(Some(error));
    }

    /// The next call of that name goes well, after those that something was said of before.
    pub fn pass_next(&self, call: &'static str) {
        self.state().scripted.entry(call).or_default().push_back(None);
    }
}

impl State {
    fn reach(&mut self, call: &'static str) -> Result<(), StepError> {
        if self.unreachable {
            return Err(StepError::Unreachable("connection refused".to_owned()));
        }
        match self.scripted.get_mut(call).and_then(VecDeque::pop_front).flatten() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn get(&mut self, id: &ReplicaId) -> Result<&mut Replica, StepError> {
        self.replicas.get_mut(id).ok_or_else(|| StepError::Gone(id.clone()))
    }
}

fn tag_of(leaves: &BTreeMap<FieldPath, Value>) -> String {
    match leaves.get(&FieldPath::Image) {
        Some(Value::Image(image)) => {
            let tag = image.reference.as_ref().and_then(|reference| reference.tag.as_deref());
            tag.unwrap_or_default().to_owned()
        }
        _ => String::new(),
    }
}

/// The content of a tag, the same for the same tag.
pub fn content_of(image: &ImageRef) -> ImageValue {
    let hash = ring::digest::digest(&ring::digest::SHA256, image.tagged().as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    ImageValue { reference: Some(image.clone()), content: [format!("sha256:{hex}").parse().unwrap()].into() }
}

#[async_trait]
impl Provider for Runtime {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn observe(&self) -> Live {
        let state = self.state();
        if state.unreachable {
            return Live { services: Observed::Unknown("connection refused".to_owned()) };
        }
        let mut services: BTreeMap<ServiceName, LiveService> = BTreeMap::new();
        for (id, replica) in &state.replicas {
            let name = format!("{}-{}", replica.service, replica.index);
            if state.hidden.contains(replica.service.as_str()) {
                let unseen = &mut services.entry(replica.service.clone()).or_default().unseen;
                unseen.insert(name, "input/output error".to_owned());
                continue;
            }
            let visible = |field: &FieldPath| support(field) == Support::Observed && *field != FieldPath::Replicas;
            let mut leaves: BTreeMap<FieldPath, Observed<LiveLeaf>> = replica
                .leaves
                .iter()
                .filter(|(field, _)| visible(field))
                .map(|(field, value)| (field.clone(), Observed::Known(LiveLeaf::set(value.clone()))))
                .collect();
            leaves.insert(FieldPath::Stopped, Observed::Known(LiveLeaf::set(Value::Flag(!replica.running))));
            let health = match (replica.running, &state.ailing) {
                (true, None) => Health::Healthy,
                (true, Some(why)) => Health::Unhealthy { why: why.clone() },
                (false, _) => Health::Stopped { why: "exit code 0".to_owned() },
            };
            services.entry(replica.service.clone()).or_default().replicas.push(LiveReplica {
                id: id.clone(),
                name,
                index: replica.index,
                release: Some(replica.release),
                leaves,
                health,
            });
        }
        Live { services: Observed::Known(services) }
    }

    async fn resolve_image(&self, image: &ImageRef, _pull: Option<PullPolicy>) -> Observed<ImageValue> {
        Runtime::state(self).asked += 1;
        Observed::Known(content_of(image))
    }

    async fn resolve_image_here(&self, image: &ImageRef, _pull: Option<PullPolicy>) -> Observed<ImageValue> {
        Observed::Unknown(format!("nobody is asked for {}", image.tagged()))
    }

    async fn can_probe(&self, _check: &Check) -> Result<(), String> {
        match &Runtime::state(self).unprobeable {
            None => Ok(()),
            Some(why) => Err(why.clone()),
        }
    }

    async fn test_connection(&self) -> ConnectionReport {
        ConnectionReport { ok: !self.state().unreachable, findings: Vec::new() }
    }

    async fn prepare(
        &self,
        permit: &SyncPermit,
        spec: &ReplicaSpec<'_>,
        progress: &dyn Progress,
    ) -> Result<ReplicaId, StepError> {
        let mut state = self.state();
        state.reach("prepare")?;
        assert_eq!(spec.release, permit.run(), "a replica is made for another run than its permit's");
        progress.line("creating");
        let unmanaged = match spec.from {
            Some(from) => state.get(from)?.unmanaged.clone(),
            None => BTreeMap::new(),
        };
        for field in spec.withdrawn {
            assert!(!spec.leaves.contains_key(field), "{field} is withdrawn and declared");
        }
        let mut leaves = spec.leaves.clone();
        for value in leaves.values_mut() {
            if let Value::Secret(secret) = value {
                let name = secret.name.as_ref().expect("a declared secret has a name");
                let held = spec.secrets.get(name).expect("a declared secret has a value");
                *value = Value::Text(secrecy::ExposeSecret::expose_secret(held).into());
            }
        }
        leaves.retain(|field, _| !state.deaf.contains(field));
        state.next += 1;
        let id = ReplicaId(format!("replica-{}", state.next));
        state.effects.push(format!("prepare {id}"));
        let replica = Replica {
            service: spec.service.clone(),
            index: spec.index,
            release: spec.release,
            running: false,
            restarts: 0,
            leaves,
            unmanaged,
        };
        state.replicas.insert(id.clone(), replica);
        Ok(id)
    }

    async fn start(&self, _permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError> {
        let mut state = self.state();
        state.reach("start")?;
        let crashes = {
            let tag = tag_of(&state.get(replica)?.leaves);
            state.crashing.contains(&tag)
        };
        state.get(replica)?.running = !crashes;
        state.effects.push(format!("start {replica}"));
        Ok(())
    }

    async fn stop(&self, _permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError> {
        let mut state = self.state();
        state.reach("stop")?;
        state.get(replica)?.running = false;
        state.effects.push(format!("stop {replica}"));
        Ok(())
    }

    async fn remove(&self, _permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError> {
        let mut state = self.state();
        state.reach("remove")?;
        if !state.clinging {
            state.replicas.remove(replica);
        }
        state.effects.push(format!("remove {replica}"));
        Ok(())
    }

    async fn discard(&self, permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError> {
        {
            let mut state = self.state();
            if let Some(found) = state.replicas.get(replica) {
                assert_eq!(found.release, permit.run(), "{replica} was not made by this run");
            }
            state.effects.push(format!("discard {replica}"));
        }
        self.remove(permit, replica).await
    }

    async fn update(
        &self,
        _permit: &SyncPermit,
        replica: &ReplicaId,
        leaves: &BTreeMap<FieldPath, Value>,
    ) -> Result<(), StepError> {
        let mut state = self.state();
        state.reach("update")?;
        for field in leaves.keys() {
            assert_eq!(effect(field, ChangeKind::Set), Effect::InPlace, "{field} cannot be changed in place");
        }
        let mut kept = leaves.clone();
        kept.retain(|field, _| !state.deaf.contains(field));
        state.get(replica)?.leaves.extend(kept);
        state.effects.push(format!("update {replica}"));
        Ok(())
    }

    async fn state(&self, replica: &ReplicaId) -> Result<ReplicaState, StepError> {
        let mut state = Runtime::state(self);
        state.reach("state")?;
        let tag = tag_of(&state.get(replica)?.leaves);
        let loops = state.looping.contains(&tag);
        let found = state.get(replica)?;
        found.restarts += u32::from(loops && found.running);
        let (running, restarts) = (found.running, found.restarts);
        let ended = (!running || restarts > 0).then(|| "exit code 1".to_owned());
        let health = if running { Health::Healthy } else { Health::Stopped { why: "exit code 1".to_owned() } };
        Ok(ReplicaState { running, restarts, ended, health })
    }

    async fn probe(&self, replica: &ReplicaId, _check: &Check) -> ProbeOutcome {
        let mut state = self.state();
        let Ok(found) = state.get(replica) else { return ProbeOutcome::Impossible("gone".to_owned()) };
        let (running, tag, service) = (found.running, tag_of(&found.leaves), found.service.clone());
        *state.probes.entry(service).or_default() += 1;
        if let Some(answer) = state.answers.pop_front() {
            return answer;
        }
        match running && !state.unhealthy.contains(&tag) {
            true => ProbeOutcome::Passed,
            false => ProbeOutcome::Failed("503 Service Unavailable".to_owned()),
        }
    }

    async fn logs(&self, _replica: &ReplicaId, lines: usize) -> Result<Vec<String>, StepError> {
        let printed = Runtime::state(self).printed.clone();
        let all = if printed.is_empty() { vec!["last words".to_owned()] } else { printed };
        Ok(all[all.len().saturating_sub(lines)..].to_vec())
    }

    async fn follow_logs(
        &self,
        replica: &ReplicaId,
        lines: usize,
        sink: mpsc::Sender<String>,
    ) -> Result<(), StepError> {
        for line in self.logs(replica, lines).await? {
            if sink.send(line).await.is_err() {
                return Ok(());
            }
        }
        let following = Runtime::state(self).following;
        if following {
            sink.closed().await;
        }
        Ok(())
    }

    fn changes(&self) -> Option<BoxStream<'static, Result<(), String>>> {
        let told = Runtime::state(self).told.as_ref()?.subscribe();
        Some(BroadcastStream::new(told).map(|told| told.map_err(|error| error.to_string())).boxed())
    }
}

impl Connect for Runtime {
    fn connect(&self, _project: &Project, _environment: &Environment) -> Result<SharedProvider, String> {
        let mut state = self.state();
        if state.unusable {
            state.refused += 1;
            return Err("its settings are not usable".to_owned());
        }
        Ok(Arc::new(self.clone()))
    }
}
