//! What a keeper is asked to do: start, stop, change.

use std::io;

use crate::provider::local::supervisor::keeper::{Keeper, Task};
use crate::provider::local::supervisor::policy::Ending;
use crate::provider::local::supervisor::protocol::Fault;
use crate::provider::local::supervisor::record::{self, Wanted};
use crate::provider::local::supervisor::replica::Change;

impl Keeper {
    pub(super) async fn carry_out(&mut self, task: Task) -> Result<(), Fault> {
        match task {
            Task::Start => self.start().await,
            Task::Stop => self.stop().await,
            Task::Change(change) => self.change(change),
        }
    }

    async fn start(&mut self) -> Result<(), Fault> {
        let failed = |error: io::Error| Fault::failed(error.to_string());
        if let Some(process) = &self.process {
            let session = self.session(process.identity().clone());
            session.signal(rustix::process::Signal::CONT).map_err(failed)?;
            self.state.wanted = Wanted::Running;
            return self.persist().map_err(failed);
        }
        self.restart_at = None;
        self.state.wanted = Wanted::Running;
        (self.state.restarts, self.state.quick_ends) = (0, 0);
        match self.launch().await {
            Ok(()) => self.persist().map_err(failed),
            Err(why) => {
                // Asked for and refused: it is not tried again behind the asker's back.
                self.state.wanted = Wanted::Stopped;
                self.state.process = None;
                self.state.ended = Some(Ending::NotStarted(why.clone()));
                self.persist().map_err(failed)?;
                Err(Fault::refused(format!("{} could not be started: {why}", self.id)))
            }
        }
    }

    async fn stop(&mut self) -> Result<(), Fault> {
        let failed = |error: io::Error| Fault::failed(error.to_string());
        self.restart_at = None;
        self.state.wanted = Wanted::Stopped;
        self.persist().map_err(failed)?;
        let Some(process) = self.process.take() else { return Ok(()) };
        let session = self.session(process.identity().clone());
        match session.end(Some(&process), self.spec.blueprint.stop_grace().duration()).await {
            Ok(killed) => {
                let ending = process.reap().map_err(failed)?;
                tracing::info!(replica = %self.id, killed, %ending, "stopped");
                self.state.process = None;
                self.state.ended = Some(ending);
                self.persist().map_err(failed)
            }
            Err(error) => {
                self.process = Some(process);
                self.publish();
                Err(failed(error))
            }
        }
    }

    fn change(&mut self, change: Change) -> Result<(), Fault> {
        let Change { memory, cpu, restart, grace } = change;
        if let Some(objection) = self.ground.limits.objection(cpu) {
            return Err(Fault::refused(objection));
        }
        let blueprint = &mut self.spec.blueprint;
        blueprint.memory = memory.or(blueprint.memory);
        blueprint.cpu = cpu.or(blueprint.cpu);
        blueprint.restart = restart.or(blueprint.restart);
        blueprint.grace = grace.or(blueprint.grace);
        let file = self.ground.layout.replica(&self.id).join("spec.json");
        record::write_json(&file, &self.spec).map_err(|error| Fault::failed(error.to_string()))?;
        self.publish();
        let Some(process) = &self.process else { return Ok(()) };
        let session = self.session(process.identity().clone());
        self.ground.limits.change(&session, memory, cpu).map_err(|error| Fault::failed(error.to_string()))
    }
}
