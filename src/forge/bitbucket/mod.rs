//! Bitbucket Cloud.

pub(super) mod webhook;
