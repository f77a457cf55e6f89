//! Registered services, and what services print.

mod follow;
pub(in crate::http) mod list;
pub(in crate::http) mod logs;
pub(in crate::http) mod put;
pub(in crate::http) mod remove;
