//! The one authorisation gate: who may do what, whichever door they came through (CLI, API, later UI and comments).
//!
//! Pure. Every door builds an [`Actor`] and asks [`authorise`]; nothing else compares roles.

mod comments;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::authority::comments::{CommentCommands, UnknownCommands};

/// What someone may do, each including what comes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything but secrets.
    Viewer,
    /// Plans, refreshes, syncs and rolls back.
    Operator,
    /// Says where things are deployed and with which credentials.
    Admin,
}

impl Role {
    /// The role's word.
    pub fn word(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// A name for the audit log: `alice (uid 1000)`, `token ci`.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reading status, plans, runs, logs.
    Read,
    /// Having the report on one pull request made again, as a comment may ask; changes nothing.
    Report,
    /// Looking at Git and live again; changes nothing.
    Refresh,
    /// Carrying out a plan.
    Sync,
    /// Carrying out a plan back to a recorded release.
    Rollback,
    /// Registering or changing projects, environments, services, secrets' references.
    Configure,
    /// Minting or revoking tokens.
    Tokens,
    /// Reading the audit log: it names auth references and who did what.
    Audit,
}

impl Operation {
    /// The least role that may.
    pub fn needs(self) -> Role {
        match self {
            Operation::Read | Operation::Report => Role::Viewer,
            Operation::Refresh | Operation::Sync | Operation::Rollback => Role::Operator,
            Operation::Configure | Operation::Tokens | Operation::Audit => Role::Admin,
        }
    }

    /// The operation's word, for the audit log and refusals.
    pub fn word(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Report => "report",
            Operation::Refresh => "refresh",
            Operation::Sync => "sync",
            Operation::Rollback => "rollback",
            Operation::Configure => "configure",
            Operation::Tokens => "tokens",
            Operation::Audit => "audit",
        }
    }
}

/// The actor's role does not allow the operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Denied {
    /// Who asked.
    pub actor: Actor,
    /// For what.
    pub operation: Operation,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is {}; {} needs the role {}",
            self.actor.name,
            self.actor.role.word(),
            self.operation.word(),
            self.operation.needs().word()
        )
    }
}

/// Allows or denies.
///
/// # Errors
/// [`Denied`] where the actor's role is below what the operation needs.
pub fn authorise(actor: &Actor, operation: Operation) -> Result<(), Denied> {
    if actor.role >= operation.needs() { Ok(()) } else { Err(Denied { actor: actor.clone(), operation }) }
}

#[cfg(test)]
mod tests {
    use super::{Actor, Operation, Role, authorise};

    #[test]
    fn each_role_may_exactly_what_it_should() {
        let table = [
            (Operation::Read, [true, true, true]),
            (Operation::Report, [true, true, true]),
            (Operation::Refresh, [false, true, true]),
            (Operation::Sync, [false, true, true]),
            (Operation::Rollback, [false, true, true]),
            (Operation::Configure, [false, false, true]),
            (Operation::Tokens, [false, false, true]),
            (Operation::Audit, [false, false, true]),
        ];
        for (operation, allowed) in table {
            for (role, expected) in [Role::Viewer, Role::Operator, Role::Admin].into_iter().zip(allowed) {
                let actor = Actor { name: "someone".into(), role };
                assert_eq!(authorise(&actor, operation).is_ok(), expected, "{role:?} {operation:?}");
            }
        }
    }
}
