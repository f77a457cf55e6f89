//! GitLab.

pub(super) mod webhook;
