//! Gitea, and Forgejo, which speak one API.

mod api;
mod hook;
mod text;
pub(super) mod webhook;
mod wire;

pub(super) use api::Gitea;
