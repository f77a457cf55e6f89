//! A replica's output: a file that its process appends to by itself, so that no crash of the supervisor breaks it.
//! Bounded by copying its end aside and truncating it, which a process that appends does not notice; what is written
//! between the two is lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The longest line that is shown; the rest of it is cut.
const LINE_MAX: usize = 16 << 10;

/// How much of a file's end is read for its last lines.
const TAIL_MAX: u64 = 4 << 20;

/// The predecessor of a log.
pub(super) fn older(log: &Path) -> PathBuf {
    log.with_extension("1")
}

/// Opens a log for a process to append to.
///
/// # Errors
/// It cannot be opened.
pub(super) fn append(log: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(log)
}

/// Truncates a log that has grown beyond the limit, its last `limit` bytes kept aside. Says whether it did.
///
/// # Errors
/// The file system refused.
pub(super) fn rotate(log: &Path, limit: u64) -> io::Result<bool> {
    match std::fs::metadata(log) {
        Ok(meta) if meta.size() > limit => {}
        Ok(_small) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().read(true).write(true).open(log)?;
    let size = file.metadata()?.size();
    let beside = log.with_extension("1.new");
    let mut aside = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.seek(SeekFrom::Start(size.saturating_sub(limit)))?;
    io::copy(&mut Read::by_ref(&mut file).take(limit), &mut aside)?;
    std::fs::rename(&beside, older(log))?;
    file.set_len(0)?;
    Ok(true)
}

/// The last lines of a log and, where it has too few, of its predecessor; oldest first. With the position up to which
/// they go, for a [`Follower`].
///
/// # Errors
/// It cannot be read.
pub(super) fn tail(log: &Path, lines: usize) -> io::Result<(Vec<String>, u64)> {
    let (mut found, position) = tail_of(log, lines)?;
    if found.len() < lines {
        let (mut before, _) = tail_of(&older(log), lines - found.len())?;
        before.append(&mut found);
        found = before;
    }
    Ok((found, position))
}

fn tail_of(log: &Path, lines: usize) -> io::Result<(Vec<String>, u64)> {
    let mut file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.size();
    let start = size.saturating_sub(TAIL_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_MAX).read_to_end(&mut bytes)?;
    let position = start + bytes.len() as u64;
    let mut pieces: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if pieces.last().is_some_and(|last| last.is_empty()) {
        pieces.pop();
    }
    if start > 0 && !pieces.is_empty() {
        pieces.remove(0);
    }
    let skip = pieces.len().saturating_sub(lines);
    Ok((pieces[skip..].iter().map(|piece| line_of(piece)).collect(), position))
}

fn line_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LINE_MAX)]);
    text.trim_end_matches('\r').to_owned()
}

/// Reads what a log gains.
#[derive(Debug)]
pub(super) struct Follower {
    log: PathBuf,
    position: u64,
    partial: Vec<u8>,
}

impl Follower {
    /// Follows from a position that [`tail`] gave.
    pub(super) fn new(log: PathBuf, position: u64) -> Self {
        Follower { log, position, partial: Vec::new() }
    }

    /// The whole lines that came since; `last` also gives the one that was never ended.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn next(&mut self, last: bool) -> io::Result<Vec<String>> {
        let mut file = match File::open(&self.log) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        if file.metadata()?.size() < self.position {
            // Rotated meanwhile.
            self.position = 0;
        }
        file.seek(SeekFrom::Start(self.position))?;
        let mut bytes = Vec::new();
        file.take(1 << 20).read_to_end(&mut bytes)?;
        self.position += bytes.len() as u64;
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.split_last() {
                Some((b'\n', rest)) => {
                    self.partial.extend_from_slice(rest);
                    lines.push(line_of(&std::mem::take(&mut self.partial)));
                }
                _ => {
                    self.partial.extend_from_slice(piece);
                    self.partial.truncate(LINE_MAX);
                }
            }
        }
        if last && !self.partial.is_empty() {
            lines.push(line_of(&std::mem::take(&mut self.partial)));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Follower, append, older, rotate, tail};

    #[test]
    fn a_log_is_bounded_and_its_end_survives() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let mut writer = append(&log).expect("opened");
        for i in 0..200 {
            writeln!(writer, "line {i}").expect("written");
            rotate(&log, 500).expect("rotated");
        }
        writeln!(writer, "after").expect("written");
        let size = |file: &std::path::Path| std::fs::metadata(file).expect("there").len();
        assert!(size(&log) <= 520 && size(&older(&log)) <= 500);
        let (lines, _) = tail(&log, 5).expect("read");
        assert_eq!(lines, ["line 196", "line 197", "line 198", "line 199", "after"]);
    }

    #[test]
    fn following_sees_whole_lines_across_a_rotation() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let mut writer = append(&log).expect("opened");
        write!(writer, "old\nha").expect("written");
        let (lines, position) = tail(&log, 1).expect("read");
        assert_eq!(lines, ["ha"]);
        let mut follower = Follower::new(log.clone(), position);
        write!(writer, "lf\nnew\n").expect("written");
        assert_eq!(follower.next(false).expect("read"), ["lf", "new"]);
        assert!(rotate(&log, 3).expect("rotated"));
        write!(writer, "x\nrest").expect("written");
        assert_eq!(follower.next(false).expect("read"), ["x"]);
        assert_eq!(follower.next(true).expect("read"), ["rest"]);
    }
}
