//! Forges: webhooks in, the API out. One folder each.
//!
//! What a forge sends is turned into an event here and nothing more: this module must not know the store, the passes or
//! what becomes of an event. The types of a forge's own formats stay within its folder.

mod kind;

pub use kind::{ForgeKind, UnknownForge};
