//! Who did what: every configuration change, sync, denial and resolution of an auth reference, in the database.
//!
//! Knows what is written and how; where from is each door's matter. Entries hold references and names, never values.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::authority::{Actor, Denied, Operation};
use crate::secret::{AuthRef, Witness};
use crate::store::records::AuditEntry;
use crate::store::{Store, StoreError};

/// The same again within this time is one line that counts: a pass resolves its secrets every minute, and a script that
/// is denied tries again.
const FOLDED_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// Writes the audit log; cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    store: Store,
}

impl Audit {
    /// Into this store.
    pub fn new(store: Store) -> Self {
        Audit { store }
    }

    /// Writes down what an actor is about to do, before it is done. `what` says what exactly (`project add`,
    /// `environment set`), `target` to what.
    ///
    /// # Errors
    /// A database that refuses: then it must not be done.
    pub async fn allowed(&self, actor: &Actor, what: &str, target: &str, at: Timestamp) -> Result<(), StoreError> {
        let entry = AuditEntry {
            at,
            actor: actor.name.clone(),
            operation: what.to_owned(),
            target: target.to_owned(),
            outcome: "allowed".to_owned(),
        };
        self.store.append_audit(entry).await
    }

    /// Writes down that an actor was denied; trying again within an hour counts on that line.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn denied(&self, denied: &Denied, target: &str, at: Timestamp) -> Result<(), StoreError> {
        let operation: Operation = denied.operation;
        let entry = AuditEntry {
            at,
            actor: denied.actor.name.clone(),
            operation: operation.word().to_owned(),
            target: target.to_owned(),
            outcome: format!("denied: {denied}"),
        };
        self.store.append_audit_folded(entry, FOLDED_WITHIN).await
    }
}

impl Audit {
    /// Writes down that someone was refused what they asked for, for a reason other than their role; trying again within
    /// an hour counts on that line.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn refused(
        &self,
        who: &str,
        what: &str,
        target: &str,
        why: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let entry = AuditEntry {
            at,
            actor: who.to_owned(),
            operation: what.to_owned(),
            target: target.to_owned(),
            outcome: format!("refused: {why}"),
        };
        self.store.append_audit_folded(entry, FOLDED_WITHIN).await
    }
}

#[async_trait]
impl Witness for Audit {
    async fn resolved(
        &self,
        reference: &AuthRef,
        purpose: &str,
        actor: &str,
        failed: Option<&str>,
    ) -> Result<(), String> {
        let entry = AuditEntry {
            at: Timestamp::now(),
            actor: actor.to_owned(),
            operation: "secret resolved".into(),
            target: format!("{reference} for {purpose}"),
            outcome: failed.map_or_else(|| "allowed".into(), |why| format!("failed: {why}")),
        };
        self.store.append_audit_folded(entry, FOLDED_WITHIN).await.map_err(|error| error.to_string())
    }
}
