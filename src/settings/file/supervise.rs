//! The table `[supervise]`.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use crate::settings::file::values::{Amount, Wrong, account, path, size, wrong};
use crate::settings::supervise::{CGROUP_OFF, PortRange, SuperviseSettings};

pub(super) const KEYS: &[&str] = &["state_dir", "port_range", "peers", "cgroup", "log_limit"];

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SuperviseTable {
    state_dir: Option<Spanned<PathBuf>>,
    port_range: Option<Spanned<String>>,
    peers: Option<Vec<Spanned<String>>>,
    cgroup: Option<Spanned<PathBuf>>,
    log_limit: Option<Spanned<Amount>>,
}

impl SuperviseTable {
    pub(super) fn read(self, defaults: SuperviseSettings) -> Result<SuperviseSettings, Wrong> {
        let port_range = match self.port_range {
            Some(text) => text.get_ref().parse::<PortRange>().map_err(|error| wrong(&text, error.to_string()))?,
            None => defaults.port_range,
        };
        let cgroup = match self.cgroup {
            Some(directory) if directory.get_ref().as_os_str() == CGROUP_OFF => Some(directory.into_inner()),
            directory => path(directory)?,
        };
        let peers = self.peers.unwrap_or_default().into_iter().map(|name| account(name, "user"));
        Ok(SuperviseSettings {
            state_dir: path(self.state_dir)?,
            port_range,
            peers: peers.collect::<Result<_, _>>()?,
            cgroup,
            log_limit: size(self.log_limit, 1 << 40)?.unwrap_or(defaults.log_limit),
        })
    }
}
