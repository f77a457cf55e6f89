//! Strategies over a provider's steps: what is prepared, stopped, started, gated and removed, and what happens when
//! one of these fails. Must not know what an engine is.

pub mod check;
pub mod health_gate;
mod moves;
pub mod recreate;
pub mod undo;
