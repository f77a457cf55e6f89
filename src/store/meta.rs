//! What there is one of per installation.

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::OptionalExtension;

use super::{Store, StoreError};

impl Store {
    /// The installation's id: 32 random hexadecimal digits, made on first use and kept for good.
    ///
    /// # Errors
    /// A database that refuses, or a system without randomness.
    pub async fn installation(&self) -> Result<String, StoreError> {
        let find = |c: &rusqlite::Connection| -> rusqlite::Result<Option<String>> {
            c.query_row("SELECT value FROM meta WHERE key = 'installation'", [], |row| row.get(0)).optional()
        };
        if let Some(id) = self.query(move |c| Ok(find(c)?)).await? {
            return Ok(id);
        }
        let mut bytes = [0u8; 16];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| StoreError::Database("the system gives no randomness for the installation's id".into()))?;
        let fresh: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.transact(move |c| {
            c.execute("INSERT INTO meta (key, value) VALUES ('installation', ?1) ON CONFLICT DO NOTHING", [&fresh])?;
            Ok(find(c)?.unwrap_or(fresh))
        })
        .await
    }
}
