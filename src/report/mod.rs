//! Plans in words. Pure functions: the same plan always reads the same.
//!
//! For those in the house, a plan as it is (`text`, `moved`). For those outside, on a forge or behind a webhook, only what
//! `mask` let through (`pull` and everything made from it).

pub mod annotations;
pub mod cloudevent;
pub mod detail;
pub mod drift;
pub mod markdown;
pub mod mask;
pub mod moved;
pub mod parts;
pub mod pull;
mod pull_rows;
pub mod pull_text;
mod rows;
pub mod status;
mod style;
pub mod text;
mod words;
