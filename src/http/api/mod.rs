//! Handlers: a folder for each noun, a file for each verb.

pub(super) mod audit;
pub(super) mod deliveries;
pub(super) mod environments;
pub(super) mod events;
pub(super) mod integrations;
pub(super) mod meta;
pub(super) mod metrics;
pub(super) mod outbox;
pub(super) mod plans;
pub(super) mod projects;
pub(super) mod pulls;
pub(super) mod refresh;
pub(super) mod runs;
pub(super) mod services;
pub(super) mod status;
pub(super) mod tokens;
