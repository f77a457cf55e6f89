//! Carrying out a plan: the gate, the journalled apply, the verification.

pub mod gate;
