//! Bitbucket Cloud.

mod api;
mod hook;
mod text;
pub(super) mod webhook;
mod wire;

pub(super) use api::Bitbucket;
