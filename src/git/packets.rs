//! Git's pkt-line framing over any byte stream, bounded in bytes and in silence.
//!
//! Knows nothing of what the lines mean.

use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::git::error::{GitError, quoted};

/// Ends a request or an answer.
pub(crate) const FLUSH: &[u8] = b"0000";
/// Separates the sections of a version 2 request.
pub(crate) const DELIMITER: &[u8] = b"0001";

/// A byte stream from a remote.
pub(crate) type Input = Pin<Box<dyn AsyncRead + Send>>;

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// A line of data, with its newline if it had one.
    Line(&'a [u8]),
    /// `0000`.
    Flush,
    /// `0001`.
    Delimiter,
    /// `0002`.
    ResponseEnd,
    /// The stream ended between two packets.
    End,
}

/// Appends one line to a request.
pub(crate) fn line(request: &mut Vec<u8>, text: &str) {
    request.extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
}

/// A packet's text without its newline.
pub(crate) fn text(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// Reads packets; every read has a deadline, and all of them together a bound.
pub(crate) struct PacketReader {
    input: Input,
    buffer: Vec<u8>,
    limit: u64,
    left: u64,
    silence: Duration,
    url: String,
}

impl PacketReader {
    /// `limit` bounds the whole answer in bytes, `silence` every wait for its next packet.
    pub(crate) fn new(input: Input, url: &str, limit: u64, silence: Duration) -> Self {
        PacketReader { input, buffer: Vec::new(), limit, left: limit, silence, url: url.to_owned() }
    }

    /// Sets the bound for what follows.
    pub(crate) fn bound(&mut self, limit: u64) {
        self.limit = limit;
        self.left = limit;
    }

    /// The next packet.
    pub(crate) async fn next(&mut self) -> Result<Packet<'_>, GitError> {
        let silence = self.silence;
        match tokio::time::timeout(silence, self.read()).await {
            Ok(Ok(Some(0))) => Ok(Packet::Flush),
            Ok(Ok(Some(1))) => Ok(Packet::Delimiter),
            Ok(Ok(Some(2))) => Ok(Packet::ResponseEnd),
            Ok(Ok(Some(_))) => Ok(Packet::Line(&self.buffer)),
            Ok(Ok(None)) => Ok(Packet::End),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(GitError::Timeout { url: self.url.clone(), after: silence }),
        }
    }

    /// The next line, as an owned text; `None` at a flush, which alone ends a list. One that is cut off is no list.
    pub(crate) async fn next_text(&mut self) -> Result<Option<Vec<u8>>, GitError> {
        let url = self.url.clone();
        match self.next().await? {
            Packet::Line(line) => match line.strip_prefix(b"ERR ") {
                Some(said) => Err(GitError::Server { url, reason: quoted(said), transient: false }),
                None => Ok(Some(text(line).to_vec())),
            },
            Packet::Flush => Ok(None),
            Packet::Delimiter | Packet::ResponseEnd => {
                Err(GitError::Protocol { url, reason: "a list is divided amid its lines".into() })
            }
            Packet::End => Err(GitError::Protocol { url, reason: "the answer breaks off".into() }),
        }
    }

    async fn read(&mut self) -> Result<Option<usize>, GitError> {
        let mut head = [0_u8; 4];
        let mut filled = 0;
        while filled < head.len() {
            match self.input.read(&mut head[filled..]).await.map_err(|error| self.broken(&error))? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(self.garbage("it ends amid a packet")),
                count => filled += count,
            }
        }
        let length = std::str::from_utf8(&head).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        match length {
            Some(special @ 0..=2) => Ok(Some(special)),
            Some(length @ 4..=65520) => {
                self.left = self.left.checked_sub(length as u64).ok_or_else(|| GitError::TooLarge {
                    what: format!("the answer of {}", self.url),
                    limit: self.limit,
                })?;
                self.buffer.resize(length - 4, 0);
                match self.input.read_exact(&mut self.buffer).await {
                    Ok(_) => Ok(Some(length)),
                    Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                        Err(self.garbage("it ends amid a packet"))
                    }
                    Err(error) => Err(self.broken(&error)),
                }
            }
            _ => Err(self.garbage(&format!("`{}` is no packet length", quoted(&head)))),
        }
    }

    fn garbage(&self, reason: &str) -> GitError {
        GitError::Protocol { url: self.url.clone(), reason: reason.to_owned() }
    }

    fn broken(&self, error: &std::io::Error) -> GitError {
        GitError::Unreachable { url: self.url.clone(), reason: root_cause(error) }
    }
}

/// The innermost cause of an error, which for network errors is the one that says something. Never names a URL.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    quoted(cause.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Packet, PacketReader, line};
    use crate::git::GitError;
    use std::time::Duration;

    fn reader(bytes: &'static [u8], limit: u64) -> PacketReader {
        PacketReader::new(Box::pin(bytes), "u", limit, Duration::from_secs(5))
    }

    #[tokio::test]
    async fn packets_of_every_kind() {
        let mut written = Vec::new();
        line(&mut written, "want x");
        assert_eq!(written, b"000bwant x\n");
        let mut reader = reader(b"000bwant x\n0000000100020004", 100);
        assert_eq!(reader.next().await.unwrap(), Packet::Line(b"want x\n"));
        assert_eq!(reader.next().await.unwrap(), Packet::Flush);
        assert_eq!(reader.next().await.unwrap(), Packet::Delimiter);
        assert_eq!(reader.next().await.unwrap(), Packet::ResponseEnd);
        assert_eq!(reader.next().await.unwrap(), Packet::Line(b""));
        assert_eq!(reader.next().await.unwrap(), Packet::End);
    }

    #[tokio::test]
    async fn garbage_truncation_and_excess_are_errors() {
        for bytes in [&b"<htm"[..], b"00", b"0008ab", b"0003", b"fff5"] {
            assert!(matches!(reader(bytes, 100).next().await, Err(GitError::Protocol { .. })), "{bytes:?}");
        }
        assert!(matches!(reader(b"0008abcd", 7).next().await, Err(GitError::TooLarge { limit: 7, .. })));
    }
}
