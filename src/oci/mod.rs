//! Container registries by the OCI distribution specification: what a tag means, which tags there are, whether it can be
//! used at all.
//!
//! Reads only. Credentials go to the registry, and to the token service that it names if that is of the same site; a
//! redirect gets none. Must not know who asks or why.

mod challenge;
mod client;
mod error;

pub use client::{Login, RegistryClient, RegistryPlace, TAGS_MAX, fetch_json};
pub use error::RegistryError;
