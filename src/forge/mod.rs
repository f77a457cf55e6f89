//! Forges: webhooks in, the API out. One folder each.
//!
//! What a forge sends is turned into an event here and nothing more: this module must not know the store, the passes or
//! what becomes of an event. The types of a forge's own formats stay within its folder.

pub mod api;
mod credential;
mod error;
mod github;
mod kind;
pub mod memory;
mod pace;
mod rate;
mod registry;
mod repository;
mod session;
mod upsert;

pub use credential::ForgeAuth;
pub use error::ForgeError;
pub use kind::{ForgeKind, UnknownForge};
pub use registry::{ForgeSettings, connect};
pub use repository::{InvalidRepositoryPath, RepositoryPath};
