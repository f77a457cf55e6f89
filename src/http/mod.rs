//! The API.

pub mod dto;
pub mod problem;
