//! From one format of the database to the next: `schema/sql/NNNN_*.sql` in order, each in a transaction of its own
//! that also moves `user_version`.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Every migration; the first brings an empty file to format 1. Shipped ones never change.
pub(super) const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_initial.sql", include_str!("../../schema/sql/0001_initial.sql")),
    ("0002_deliveries.sql", include_str!("../../schema/sql/0002_deliveries.sql")),
    ("0003_integrations.sql", include_str!("../../schema/sql/0003_integrations.sql")),
    ("0004_reports.sql", include_str!("../../schema/sql/0004_reports.sql")),
    ("0005_outbox.sql", include_str!("../../schema/sql/0005_outbox.sql")),
    ("0006_users_and_refs.sql", include_str!("../../schema/sql/0006_users_and_refs.sql")),
    ("0007_drift_and_hooks.sql", include_str!("../../schema/sql/0007_drift_and_hooks.sql")),
    ("0008_comment_commands.sql", include_str!("../../schema/sql/0008_comment_commands.sql")),
];

/// Brings the database to the newest format.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    migrate_to(connection, path, MIGRATIONS.len())
}

fn migrate_to(connection: &mut Connection, path: &Path, target: usize) -> Result<(), StoreError> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::Newer { path: path.display().to_string(), found, known });
    }
    let done = found as usize;
    for (number, (name, sql)) in (1u32..).zip(MIGRATIONS).take(target).skip(done) {
        let failed = |error: rusqlite::Error| match StoreError::from(error) {
            StoreError::Database(why) => StoreError::Database(format!("migration {name} failed and was undone: {why}")),
            other => other,
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        transaction.execute_batch(sql).map_err(failed)?;
        transaction.pragma_update(None, "user_version", number).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::Connection;

    use super::{MIGRATIONS, migrate, migrate_to};

    #[test]
    fn every_file_is_listed_in_order() {
        let mut files: Vec<String> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/sql"))
            .expect("schema/sql")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8"))
            .collect();
        files.sort();
        assert_eq!(files, MIGRATIONS.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
        for (number, (name, _)) in (1..).zip(MIGRATIONS) {
            assert!(name.starts_with(&format!("{number:04}_")), "{name}");
        }
    }

    /// Every past format, filled with its sample rows, comes to the newest one whole.
    #[test]
    fn sample_rows_of_every_format_survive() {
        for format in 1..=MIGRATIONS.len() {
            let mut connection = Connection::open_in_memory().expect("memory");
            connection.pragma_update(None, "foreign_keys", true).expect("pragma");
            migrate_to(&mut connection, Path::new("memory"), format).expect("old format");
            let rows = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/store/{format:04}.sql"));
            connection.execute_batch(&std::fs::read_to_string(&rows).expect("sample rows")).expect("fits its format");
            let before = count(&connection);
            migrate(&mut connection, Path::new("memory")).expect("migrates");
            assert_eq!(count(&connection), before);
            let broken: i64 = connection
                .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
                .expect("check");
            assert_eq!(broken, 0);
        }
    }

    fn count(connection: &Connection) -> Vec<i64> {
        ["projects", "environments", "bases", "releases", "runs", "journal"]
            .iter()
            .map(|table| {
                connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("count")
            })
            .inspect(|count| assert!(*count > 0))
            .collect()
    }
}
