//! Bearer tokens.

pub(in crate::http) mod list;
pub(in crate::http) mod mint;
pub(in crate::http) mod revoke;
