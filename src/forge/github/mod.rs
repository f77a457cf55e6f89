//! GitHub, and GitHub Enterprise.

mod api;
mod app;
mod check;
mod connection;
mod hook;
mod text;
pub(super) mod webhook;
mod wire;

pub(super) use api::Github;
