//! Forges: webhooks in, the API out. One folder each.
//!
//! What a forge sends is turned into an event here and nothing more, and what it is asked goes through [`api::Forge`]:
//! this module must not know the store, the passes, what becomes of an event or when a report is tried again. The types
//! of a forge's own formats stay within its folder.

pub mod api;
mod bitbucket;
mod bitbucket_server;
mod credential;
mod error;
pub mod event;
mod gitea;
mod github;
mod gitlab;
mod headers;
mod kind;
pub mod memory;
mod pace;
mod payload;
mod rate;
mod registry;
mod repository;
mod session;
pub mod signature;
mod upsert;
pub mod webhook;

pub use credential::ForgeAuth;
pub use error::ForgeError;
pub use headers::Headers;
pub use kind::{ForgeKind, UnknownForge};
pub use registry::{ForgeSettings, connect};
pub use repository::{InvalidRepositoryPath, RepositoryPath};
