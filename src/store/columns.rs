//! Columns ↔ types: what is stored is parsed again when it is read, so that a damaged row is an error and not a value.

use std::error::Error;
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Error as SqlError, Result as SqlResult, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use crate::ids::RunId;

fn invalid(column: usize, kind: Type, error: impl Error + Send + Sync + 'static) -> SqlError {
    SqlError::FromSqlConversionFailure(column, kind, Box::new(error))
}

/// A column whose text is parsed.
pub(super) fn text<T>(row: &Row<'_>, column: usize) -> SqlResult<T>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    row.get_ref(column)?
        .as_str()
        .map_err(|error| invalid(column, Type::Text, error))?
        .parse()
        .map_err(|error| invalid(column, Type::Text, error))
}

/// As [`text`], where the column may be NULL.
pub(super) fn optional_text<T>(row: &Row<'_>, column: usize) -> SqlResult<Option<T>>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => text(row, column).map(Some),
    }
}

/// A column that holds JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> SqlResult<T> {
    let text = row.get_ref(column)?.as_str().map_err(|error| invalid(column, Type::Text, error))?;
    serde_json::from_str(text).map_err(|error| invalid(column, Type::Text, error))
}

/// As [`json`], where the column may be NULL.
pub(super) fn optional_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> SqlResult<Option<T>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => json(row, column).map(Some),
    }
}

/// A column that holds the word of an enum.
pub(super) fn word<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> SqlResult<T> {
    let text: String = row.get(column)?;
    serde_json::from_value(serde_json::Value::String(text)).map_err(|error| invalid(column, Type::Text, error))
}

/// A column that holds a time.
pub(super) fn time(row: &Row<'_>, column: usize) -> SqlResult<Timestamp> {
    let nanos: i64 = row.get(column)?;
    Timestamp::from_nanosecond(i128::from(nanos)).map_err(|error| invalid(column, Type::Integer, error))
}

/// As [`time`], where the column may be NULL.
pub(super) fn optional_time(row: &Row<'_>, column: usize) -> SqlResult<Option<Timestamp>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => time(row, column).map(Some),
    }
}

/// A column that counts.
pub(super) fn count(row: &Row<'_>, column: usize) -> SqlResult<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|error| invalid(column, Type::Integer, error))
}

/// A column that holds a run's number.
pub(super) fn run_id(row: &Row<'_>, column: usize) -> SqlResult<RunId> {
    count(row, column).map(RunId)
}

/// A time as it is stored: nanoseconds since 1970, which reach to the year 2262.
pub(super) fn nanos(at: Timestamp) -> Result<i64, StoreError> {
    i64::try_from(at.as_nanosecond())
        .map_err(|_| StoreError::Database(format!("{at} is beyond the times that can be stored")))
}

/// A run's number as it is stored. One too large for SQLite is no run's.
pub(super) fn run_number(run: RunId) -> i64 {
    i64::try_from(run.0).unwrap_or(i64::MAX)
}

/// A value as JSON.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Database(format!("a record is no JSON: {error}")))
}

/// An enum's word.
pub(super) fn to_word<T: Serialize>(value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(StoreError::Database(format!("{other} is no word"))),
        Err(error) => Err(StoreError::Database(format!("a record is no JSON: {error}"))),
    }
}
