//! Asking a remote for a commit with its history, and writing the pack that it sends to a file.

use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::git::advertisement::{AGENT, Advertisement, object_id};
use crate::git::conversation::Conversation;
use crate::git::error::{GitError, quoted};
use crate::git::packets::{DELIMITER, FLUSH, Packet, PacketReader, line, text};

/// What is wanted, and what is here already.
pub(crate) struct Want<'a> {
    /// For messages.
    pub(crate) url: &'a str,
    /// The commit.
    pub(crate) commit: &'a str,
    /// What the ref names: version 0 servers only give out what they listed.
    pub(crate) object: &'a str,
    /// Commits that are here with all their history.
    pub(crate) haves: &'a [String],
    /// The most that may come, in bytes.
    pub(crate) limit: u64,
}

/// Receives the pack into `file` and returns the commits at which a shallow remote's history ends.
pub(crate) async fn receive(
    conversation: &mut Conversation<'_>,
    advertisement: &Advertisement,
    want: &Want<'_>,
    file: &mut File,
) -> Result<Vec<String>, GitError> {
    let (request, mut shallow) = match advertisement {
        Advertisement::V2 => (request_v2(want), Vec::new()),
        Advertisement::V0 { capabilities, shallow, .. } => (request_v0(want, capabilities)?, shallow.clone()),
    };
    let mut answer = conversation.ask(request, want.limit).await?;
    let reader = answer.reader();
    let first = until_pack(reader, want, &mut shallow).await?;
    demultiplex(reader, first, want, file).await?;
    Ok(shallow)
}

fn request_v2(want: &Want<'_>) -> Vec<u8> {
    let mut request = Vec::new();
    line(&mut request, "command=fetch");
    line(&mut request, AGENT);
    request.extend_from_slice(DELIMITER);
    line(&mut request, "ofs-delta");
    line(&mut request, "no-progress");
    line(&mut request, &format!("want {}", want.commit));
    for have in want.haves {
        line(&mut request, &format!("have {have}"));
    }
    line(&mut request, "done");
    request.extend_from_slice(FLUSH);
    request
}

fn request_v0(want: &Want<'_>, capabilities: &str) -> Result<Vec<u8>, GitError> {
    let offered = |name: &str| capabilities.split(' ').any(|capability| capability == name);
    if !offered("side-band-64k") {
        return Err(GitError::Protocol {
            url: want.url.to_owned(),
            reason: "the server is older than Git 1.5 (it offers no `side-band-64k`)".into(),
        });
    }
    let extra: String =
        ["ofs-delta", "no-progress"].iter().filter(|name| offered(name)).map(|name| format!(" {name}")).collect();
    let any = offered("allow-reachable-sha1-in-want") || offered("allow-any-sha1-in-want");
    let wanted = if any { want.commit } else { want.object };
    let mut request = Vec::new();
    line(&mut request, &format!("want {wanted} side-band-64k{extra} {AGENT}"));
    request.extend_from_slice(FLUSH);
    for have in want.haves {
        line(&mut request, &format!("have {have}"));
    }
    line(&mut request, "done");
    Ok(request)
}

/// Reads up to the pack. In version 0 the pack follows at once, so its first packet is returned.
async fn until_pack(
    reader: &mut PacketReader,
    want: &Want<'_>,
    shallow: &mut Vec<String>,
) -> Result<Option<Vec<u8>>, GitError> {
    loop {
        let packet = match reader.next().await? {
            Packet::Line(packet) => packet,
            Packet::Delimiter | Packet::Flush => continue,
            Packet::ResponseEnd | Packet::End => {
                return Err(GitError::Protocol {
                    url: want.url.to_owned(),
                    reason: "the answer ends before the pack".into(),
                });
            }
        };
        if packet.first().is_some_and(|band| (1..=3).contains(band)) {
            return Ok(Some(packet.to_vec()));
        }
        match text(packet) {
            b"packfile" => return Ok(None),
            b"acknowledgments" | b"shallow-info" | b"NAK" | b"ready" => {}
            entry if entry.starts_with(b"ACK ") || entry.starts_with(b"unshallow ") => {}
            entry if entry.starts_with(b"ERR ") => return Err(refused(want, &entry[4..])),
            entry => match entry.strip_prefix(b"shallow ").and_then(object_id) {
                Some(id) => shallow.push(id),
                None => {
                    return Err(GitError::Protocol {
                        url: want.url.to_owned(),
                        reason: format!("`{}` was not expected", quoted(entry)),
                    });
                }
            },
        }
    }
}

fn refused(want: &Want<'_>, said: &[u8]) -> GitError {
    let reason = quoted(said);
    let (url, commit) = (want.url.to_owned(), want.commit.to_owned());
    if reason.contains("not our ref") || reason.contains("unadvertised") || reason.contains("missing") {
        GitError::NoCommit { url, commit, reason }
    } else {
        GitError::Server { url, reason, transient: false }
    }
}

/// Band 1 is the pack, band 2 chatter, band 3 the server's last words.
async fn demultiplex(
    reader: &mut PacketReader,
    first: Option<Vec<u8>>,
    want: &Want<'_>,
    file: &mut File,
) -> Result<(), GitError> {
    let disk = || GitError::disk("writing a received pack");
    match first.as_deref() {
        Some([1, data @ ..]) => file.write_all(data).await.map_err(disk())?,
        Some([3, said @ ..]) => return Err(refused(want, said)),
        Some(_) | None => {}
    }
    loop {
        match reader.next().await? {
            Packet::Line([1, data @ ..]) => file.write_all(data).await.map_err(disk())?,
            Packet::Line([2, ..]) => {}
            Packet::Line([3, said @ ..]) => return Err(refused(want, said)),
            Packet::Line(other) => {
                return Err(GitError::Protocol {
                    url: want.url.to_owned(),
                    reason: format!("`{}` amid a pack", quoted(other)),
                });
            }
            Packet::Flush | Packet::ResponseEnd => return file.flush().await.map_err(disk()),
            Packet::Delimiter | Packet::End => {
                return Err(GitError::Protocol { url: want.url.to_owned(), reason: "the pack breaks off".into() });
            }
        }
    }
}
