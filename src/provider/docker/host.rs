//! A Docker Engine on its own, without an environment on it: what a registered runtime host is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::connection::examine_engine;
use super::engine::{Engine, Engines};
use super::settings::DockerSettings;
use crate::provider::ConnectionReport;

/// A Docker Engine at an address.
pub struct DockerHost {
    engine: Arc<Engine>,
}

impl DockerHost {
    /// The Engine at `address` (`unix:///…`, `tcp://…`, `ssh://…`), with the docker provider's settings for reaching it.
    /// Shares connections with the environments on it, and connects on first use.
    ///
    /// # Errors
    /// The setting that does not do, and what was expected.
    pub fn at(engines: &Engines, address: &str, settings: &BTreeMap<String, String>) -> Result<Self, String> {
        let settings = parse(address, settings)?;
        Ok(DockerHost { engine: engines.at(&settings.address, settings.timeout) })
    }

    /// Whether address and settings would do; nothing is connected to.
    ///
    /// # Errors
    /// As [`DockerHost::at`].
    pub fn check(address: &str, settings: &BTreeMap<String, String>) -> Result<(), String> {
        parse(address, settings).map(drop)
    }

    /// Whether it can be used, and what will run short there.
    pub async fn test_connection(&self) -> ConnectionReport {
        examine_engine(&self.engine).await
    }
}

fn parse(address: &str, settings: &BTreeMap<String, String>) -> Result<DockerSettings, String> {
    let mut settings = settings.clone();
    settings.insert("host".to_owned(), address.to_owned());
    DockerSettings::parse(&settings).map_err(|error| error.to_string())
}
