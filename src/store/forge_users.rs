//! Accounts on forges that have a role here.

use rusqlite::{OptionalExtension, Row, params};

use super::columns::{nanos, text, time, word};
use super::error::is_constraint;
use super::records::ForgeUserRow;
use super::{Store, StoreError};
use crate::ids::IntegrationName;

const COLUMNS: &str = "integration, user_id, login, role, created_at";

fn user(row: &Row<'_>) -> rusqlite::Result<ForgeUserRow> {
    Ok(ForgeUserRow {
        integration: text(row, 0)?,
        user_id: row.get(1)?,
        login: row.get(2)?,
        role: word(row, 3)?,
        created_at: time(row, 4)?,
    })
}

impl Store {
    /// Gives an account a role, in place of the one that it had.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the integration does not exist; [`StoreError::Conflict`] where the account has no
    /// id, and so could not be told from others.
    pub async fn put_forge_user(&self, user: ForgeUserRow) -> Result<(), StoreError> {
        let at = nanos(user.created_at)?;
        if user.user_id.is_empty() {
            return Err(StoreError::Conflict(format!("the forge gives {} no id that stays", user.login)));
        }
        self.transact(move |c| {
            let ForgeUserRow { integration, user_id, login, role, .. } = user;
            c.execute(
                "INSERT INTO forge_users (integration, user_id, login, role, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET login = excluded.login, role = excluded.role, created_at = excluded.created_at",
                params![integration.as_str(), user_id, login, role.word(), at],
            )
            .map_err(|error| match is_constraint(&error) {
                true => StoreError::NotFound(format!("integration {integration}")),
                false => error.into(),
            })?;
            Ok(())
        })
        .await
    }

    /// The accounts of a forge that have a role, by what they were called.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn forge_users(&self, integration: &IntegrationName) -> Result<Vec<ForgeUserRow>, StoreError> {
        let integration = integration.clone();
        self.query(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM forge_users WHERE integration = ?1 ORDER BY login, user_id");
            let mut statement = c.prepare_cached(&sql)?;
            Ok(statement.query_map([integration.as_str()], user)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The account with this id, where it has a role.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn forge_user(
        &self,
        integration: &IntegrationName,
        user_id: &str,
    ) -> Result<Option<ForgeUserRow>, StoreError> {
        let (integration, user_id) = (integration.clone(), user_id.to_owned());
        self.query(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM forge_users WHERE integration = ?1 AND user_id = ?2");
            Ok(c.prepare_cached(&sql)?.query_row([integration.as_str(), &user_id], user).optional()?)
        })
        .await
    }

    /// Takes an account's role away.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it has none.
    pub async fn remove_forge_user(&self, integration: &IntegrationName, user_id: &str) -> Result<(), StoreError> {
        let (integration, user_id) = (integration.clone(), user_id.to_owned());
        self.transact(move |c| {
            let sql = "DELETE FROM forge_users WHERE integration = ?1 AND user_id = ?2";
            match c.execute(sql, [integration.as_str(), &user_id])? {
                0 => Err(StoreError::NotFound(format!("an account {user_id} with a role at {integration}"))),
                _ => Ok(()),
            }
        })
        .await
    }
}
