//! Trueup: a GitOps daemon that reports field-level drift and changes what runs only on an explicit sync.
//!
//! The flow is `git → declared`, `provider → live`, `store → base`; the three meet in `drift`, drift becomes a
//! `plan`, a plan becomes a `report`, and, on request and through `sync::gate` only, a run. [`pass`] is that flow as
//! code. Modules marked P are pure: data in, data out.
//!
//! | module | | what is there |
//! |---|---|---|
//! | [`ids`] | P | names and identifiers, parsed once |
//! | [`authority`] | P | roles, and the one gate that compares them |
//! | [`settings`] | P | the daemon's own settings (`trueup.toml`) |
//! | [`declared`] | P | the repo's file → `Declared` |
//! | [`live`] | P | what runs, and the normal forms in which both sides compare |
//! | [`drift`] | P | declared × base × live, with causes |
//! | [`plan`] | P | drift → `Plan`, its order and its digest |
//! | [`report`] | P | a plan as text, Markdown, JSON |
//! | [`pass`] | E | the flow: one pass over one environment |
//! | [`daemon`] | E | when to pass: timers, watches, backoff, shutdown |
//! | [`git`] | E | mirrors, polling, watching, reading a file at a commit |
//! | [`forge`] | E | GitHub, GitLab, Gitea, Forgejo, Bitbucket: webhooks in, the API out |
//! | [`outbox`] | E | reports on their way to forges: durable, paced, posted once |
//! | [`reporter`] | E | what is said on forges, and when: pull requests, branches |
//! | [`commands`] | E | commands in comments: read again, judged, carried out once, answered |
//! | [`integration`] | E | registered outside services, how to reach them, and how they are doing |
//! | [`oci`] | E | container registries: tags and digests |
//! | [`provider`] | E | where services run: `docker`, `local` |
//! | [`deploy`] | E | strategies over a provider's steps |
//! | [`sync`] | E | the gate, the journalled apply, verification |
//! | [`health`] | E | probing what is deployed, for `status` |
//! | [`secret`] | E | auth references and fingerprints |
//! | [`store`] | E | SQLite |
//! | [`http`] | E | the API |
//! | [`cli`] | E | one file per verb |
//! | [`guarded`] | E | the HTTP client for hosts that others name |
//! | [`audit`] | E | who did what |
//! | [`events`] | E | what happened, kept for a while and told to whoever listens |
//! | [`notify`] | E | events to notification webhooks |
//! | [`metrics`] | E | what is counted and timed, for Prometheus |

pub mod audit;
pub mod authority;
pub mod cli;
pub mod commands;
pub mod daemon;
pub mod declared;
pub mod deploy;
pub mod drift;
pub mod events;
pub mod forge;
pub mod git;
pub mod guarded;
pub mod health;
pub mod http;
pub mod ids;
pub mod integration;
pub mod live;
pub mod metrics;
pub mod notify;
pub mod oci;
pub mod outbox;
pub mod pass;
pub mod plan;
pub mod provider;
pub mod report;
pub mod reporter;
pub mod secret;
pub mod settings;
pub mod store;
pub mod sync;
