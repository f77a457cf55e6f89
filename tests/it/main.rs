//! The one integration test binary: `world/` holds stateful fakes, then a file per question.

// Tests may unwrap: a panic is how they fail.
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, missing_docs, dead_code)]

mod cli;
mod cli_daemon;
mod crash;
mod crash_local;
mod daemon;
mod daemon_load;
mod declared;
mod declared_hostile;
mod declared_schema;
mod docker;
mod docker_carry;
mod docker_faults;
mod docker_image;
mod docker_matrix;
mod docker_probe;
mod docker_property;
mod drift_golden;
mod drift_properties;
mod flow_docker;
mod flow_docker_fail;
mod flow_docker_generated;
mod flow_docker_images;
mod flow_docker_matrix;
mod flow_docker_quiet;
mod flow_docker_secrets;
mod flow_local;
mod git;
mod git_merge;
mod git_mirror;
mod git_remote;
mod git_ssh;
mod git_watch;
mod http;
mod http_description;
mod http_roles;
mod layering;
mod local;
mod local_cgroup;
mod local_crash;
mod local_drift;
mod local_policy;
mod local_protocol;
mod local_unit;
mod local_users;
mod plan_applied;
mod plan_digest;
mod plan_rules;
mod quickstart;
mod store;
mod sync;
mod webhook_payloads;
mod webhook_signatures;
mod world;
