//! Gitea and Forgejo.

pub(super) mod webhook;
