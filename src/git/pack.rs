//! Packs: writing one from objects, and joining many into one. Blocking.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use gix::ObjectId;
use gix::objs::Kind;

use crate::git::error::GitError;

const HEADER: u64 = 12;
const TRAILER: u64 = 20;

/// Writes `objects` of `source` as a pack without deltas.
pub(crate) fn write(source: &gix::Repository, objects: &[ObjectId], file: &mut File) -> Result<(), GitError> {
    let mut out = HashingWriter::new(BufWriter::new(file));
    let failed = || GitError::disk("writing a pack");
    out.write_all(&header(objects.len())?).map_err(failed())?;
    for id in objects {
        let object = source.find_object(*id).map_err(|error| GitError::Local {
            path: source.path().display().to_string(),
            reason: error.to_string(),
        })?;
        out.write_all(&entry_header(object.kind, object.data.len())).map_err(failed())?;
        let mut deflate = gix::zlib::stream::deflate::Write::new(&mut out, gix::zlib::Compression::BEST_SPEED);
        deflate.write_all(&object.data).and_then(|()| deflate.flush()).map_err(failed())?;
    }
    out.finish()
}

fn header(count: usize) -> Result<[u8; HEADER as usize], GitError> {
    let count = u32::try_from(count)
        .map_err(|_| GitError::TooLarge { what: "the number of objects".into(), limit: u64::from(u32::MAX) })?;
    let mut header = *b"PACK\0\0\0\x02\0\0\0\0";
    header[8..].copy_from_slice(&count.to_be_bytes());
    Ok(header)
}

/// The kind in three bits and the size in groups of seven, the first of four (gitformat-pack).
fn entry_header(kind: Kind, size: usize) -> Vec<u8> {
    let kind: u8 = match kind {
        Kind::Commit => 1,
        Kind::Tree => 2,
        Kind::Blob => 3,
        Kind::Tag => 4,
    };
    let mut rest = size >> 4;
    let mut bytes = vec![(kind << 4) | (size & 0x0f) as u8];
    while rest > 0 {
        if let Some(last) = bytes.last_mut() {
            *last |= 0x80;
        }
        bytes.push((rest & 0x7f) as u8);
        rest >>= 7;
    }
    bytes
}

/// Joins packs into one. Deltas name their base by its distance within their own pack, or by id, so the packs'
/// bodies may simply follow each other.
pub(crate) fn join(packs: &[PathBuf], file: &mut File) -> Result<(), GitError> {
    let mut total = 0;
    for pack in packs {
        total += body(pack)?.1;
    }
    let mut out = HashingWriter::new(BufWriter::new(file));
    let failed = || GitError::disk("joining packs");
    out.write_all(&header(total)?).map_err(failed())?;
    for pack in packs {
        std::io::copy(&mut body(pack)?.0, &mut out).map_err(failed())?;
    }
    out.finish()
}

/// A pack's entries as bytes, and their number.
fn body(pack: &Path) -> Result<(impl Read, usize), GitError> {
    let failed = || GitError::disk(format!("reading {}", pack.display()));
    let mut file = File::open(pack).map_err(failed())?;
    let length = file.metadata().map_err(failed())?.len();
    let mut head = [0_u8; HEADER as usize];
    file.read_exact(&mut head).map_err(failed())?;
    if !head.starts_with(b"PACK\0\0\0\x02") || length < HEADER + TRAILER {
        return Err(failed()(std::io::Error::other("no version 2 pack")));
    }
    let count = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
    file.seek(SeekFrom::Start(HEADER)).map_err(failed())?;
    Ok((BufReader::new(file.take(length - HEADER - TRAILER)), count))
}

/// Adds the SHA-1 of everything written at the end.
struct HashingWriter<W: Write> {
    inner: W,
    hasher: gix::hash::Hasher,
}

impl<W: Write> HashingWriter<W> {
    fn new(inner: W) -> Self {
        HashingWriter { inner, hasher: gix::hash::hasher(gix::hash::Kind::Sha1) }
    }

    fn finish(mut self) -> Result<(), GitError> {
        let digest = self.hasher.try_finalize().map_err(|error| GitError::BrokeOff(error.to_string()))?;
        self.inner
            .write_all(digest.as_slice())
            .and_then(|()| self.inner.flush())
            .map_err(GitError::disk("ending a pack"))
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::entry_header;
    use gix::objs::Kind;

    #[test]
    fn entry_headers_as_git_writes_them() {
        assert_eq!(entry_header(Kind::Blob, 5), [0x35]);
        assert_eq!(entry_header(Kind::Commit, 15), [0x1f]);
        assert_eq!(entry_header(Kind::Tree, 16), [0xa0, 0x01]);
        assert_eq!(entry_header(Kind::Tag, 300), [0xcc, 0x12]);
        assert_eq!(entry_header(Kind::Blob, 1 << 20), [0xb0, 0x80, 0x80, 0x04]);
    }
}
