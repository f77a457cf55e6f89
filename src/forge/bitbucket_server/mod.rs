//! Bitbucket Data Center, formerly Server.

pub(super) mod webhook;
