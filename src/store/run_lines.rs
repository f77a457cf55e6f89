//! What a run prints: bounded in lines and in their length.

use jiff::Timestamp;
use rusqlite::params;

use super::columns::{count, nanos, run_number, time};
use super::records::RunLine;
use super::{Store, StoreError};
use crate::ids::RunId;

/// The most lines that are kept of one run. The last one says that the output goes on.
pub const LINES_PER_RUN_MAX: u64 = 10_000;

/// The most bytes of one line; a longer one is cut and ends in `…`.
pub const LINE_BYTES_MAX: usize = 4_096;

impl Store {
    /// Appends a line to a run's output and returns its number. Beyond [`LINES_PER_RUN_MAX`] lines nothing is appended,
    /// and the number of the last one comes back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such run.
    pub async fn append_line(&self, run: RunId, at: Timestamp, text: &str) -> Result<u64, StoreError> {
        let (text, at) = (cut(text), nanos(at)?);
        self.transact(move |c| {
            let known = c.prepare_cached("SELECT 1 FROM runs WHERE id = ?1")?.exists([run_number(run)])?;
            if !known {
                return Err(StoreError::NotFound(format!("run {run}")));
            }
            let last: u64 = c
                .prepare_cached("SELECT coalesce(max(seq), 0) FROM run_lines WHERE run = ?1")?
                .query_row([run_number(run)], |row| count(row, 0))?;
            if last >= LINES_PER_RUN_MAX {
                return Ok(LINES_PER_RUN_MAX);
            }
            let seq = last + 1;
            let text = if seq == LINES_PER_RUN_MAX {
                format!("(the output goes on; {LINES_PER_RUN_MAX} lines of a run are kept)")
            } else {
                text
            };
            c.prepare_cached("INSERT INTO run_lines (run, seq, at, text) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![run_number(run), i64::try_from(seq).unwrap_or(i64::MAX), at, text])?;
            Ok(seq)
        })
        .await
    }

    /// A run's lines after the one numbered `after` (0: all), in order.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn lines(&self, run: RunId, after: u64) -> Result<Vec<RunLine>, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.query(move |c| {
            let mut statement =
                c.prepare_cached("SELECT seq, at, text FROM run_lines WHERE run = ?1 AND seq > ?2 ORDER BY seq")?;
            let rows = statement.query_map(params![run_number(run), after], |row| {
                Ok(RunLine { seq: count(row, 0)?, at: time(row, 1)?, text: row.get(2)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn cut(text: &str) -> String {
    if text.len() <= LINE_BYTES_MAX {
        return text.to_owned();
    }
    let mut end = LINE_BYTES_MAX - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::{LINE_BYTES_MAX, cut};

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        for fill in ["a", "é", "€", "𝄞"] {
            let line = cut(&fill.repeat(LINE_BYTES_MAX + 1));
            assert!(line.len() <= LINE_BYTES_MAX && line.len() > LINE_BYTES_MAX - 8, "{}", line.len());
            assert!(line.ends_with('…'));
        }
    }
}
