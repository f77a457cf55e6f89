//! GitLab, of any edition.

mod api;
mod hook;
mod note;
mod text;
pub(super) mod webhook;
mod wire;

pub(super) use api::Gitlab;
