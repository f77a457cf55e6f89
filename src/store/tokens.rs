//! Bearer tokens: their names, roles and hashes.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::columns::{nanos, text, time, word};
use super::error::is_constraint;
use super::records::TokenRecord;
use super::{Store, StoreError};
use crate::authority::Role;

fn token(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    Ok(TokenRecord { name: text(row, 0)?, role: word(row, 1)?, created_at: time(row, 2)? })
}

impl Store {
    /// Records a token by the SHA-256 of its text.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the name is taken.
    pub async fn add_token(&self, name: &str, role: Role, sha256: [u8; 32], at: Timestamp) -> Result<(), StoreError> {
        let (name, at) = (name.to_owned(), nanos(at)?);
        self.transact(move |c| {
            c.execute(
                "INSERT INTO tokens (name, role, sha256, created_at) VALUES (?1, ?2, ?3, ?4)",
                params![name, role.word(), sha256, at],
            )
            .map_err(|error| match is_constraint(&error) {
                true => StoreError::Conflict(format!("token {name} exists already")),
                false => error.into(),
            })?;
            Ok(())
        })
        .await
    }

    /// The token whose text has this SHA-256. That the index is no constant-time comparison tells nothing: who can
    /// choose a hash cannot choose a text for it.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn token_by_hash(&self, sha256: [u8; 32]) -> Result<Option<TokenRecord>, StoreError> {
        self.query(move |c| {
            let mut statement = c.prepare_cached("SELECT name, role, created_at FROM tokens WHERE sha256 = ?1")?;
            Ok(statement.query_row([sha256], token).optional()?)
        })
        .await
    }

    /// Every token, by name.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        self.query(|c| {
            let mut statement = c.prepare_cached("SELECT name, role, created_at FROM tokens ORDER BY name")?;
            Ok(statement.query_map([], token)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none of that name.
    pub async fn remove_token(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.transact(move |c| match c.execute("DELETE FROM tokens WHERE name = ?1", [&name])? {
            0 => Err(StoreError::NotFound(format!("token {name}"))),
            _ => Ok(()),
        })
        .await
    }
}
