//! The world around Trueup: stateful fakes, and the real backends where this machine has them.

pub mod backend;
pub mod cases;
pub mod commands;
pub mod cut;
pub mod dock;
pub mod docker;
pub mod door;
pub mod engine;
pub mod forge;
pub mod git_server;
pub mod hold;
pub mod house;
pub mod installation;
pub mod leaves;
pub mod local;
pub mod office;
pub mod permit;
pub mod pulls;
pub mod repo;
pub mod reporting;
pub mod runtime;
pub mod sides;
pub mod spec;
