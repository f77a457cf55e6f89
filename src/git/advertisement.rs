//! What a server says of itself and of its refs: protocol version 2's capabilities, or version 0's list of refs.

use crate::git::error::{GitError, quoted};
use crate::git::packets::{DELIMITER, FLUSH, Packet, PacketReader, line, text};

/// The most that a list of refs may take, in bytes (about 600,000 refs).
pub(crate) const LIST_LIMIT: u64 = 64 * 1024 * 1024;

/// How Trueup names itself to servers.
pub(crate) const AGENT: &str = concat!("agent=trueup/", env!("CARGO_PKG_VERSION"));

/// One ref of a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteRef {
    /// Its full name.
    pub(crate) name: String,
    /// What it names.
    pub(crate) object: String,
    /// What the annotated tag that it names leads to.
    pub(crate) peeled: Option<String>,
    /// The ref that it stands for (`HEAD`).
    pub(crate) symref: Option<String>,
}

/// What a server speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Advertisement {
    /// Version 2: it waits for commands.
    V2,
    /// Version 0 or 1: it listed its refs at once.
    V0 {
        /// Every ref.
        refs: Vec<RemoteRef>,
        /// What it can do.
        capabilities: String,
        /// The commits at which a shallow remote's history ends.
        shallow: Vec<String>,
    },
}

impl Advertisement {
    /// Reads it off a fresh connection. `url` is for messages.
    pub(crate) async fn read(reader: &mut PacketReader, url: &str) -> Result<Self, GitError> {
        reader.bound(LIST_LIMIT);
        let mut first = reader.next_text().await?;
        // HTTP servers begin with `# service=git-upload-pack` and a flush.
        if first.as_deref().is_some_and(|line| line.starts_with(b"# service=")) {
            while first.is_some() {
                first = reader.next_text().await?;
            }
            first = reader.next_text().await?;
        }
        if first.as_deref() == Some(b"version 1") {
            first = reader.next_text().await?;
        }
        match first {
            Some(line) if line == b"version 2" => v2(reader, url).await,
            Some(line) => v0(line, reader, url).await,
            None => Err(GitError::Protocol { url: url.to_owned(), reason: "the answer is empty".into() }),
        }
    }
}

async fn v2(reader: &mut PacketReader, url: &str) -> Result<Advertisement, GitError> {
    let mut fetches = false;
    while let Some(capability) = reader.next_text().await? {
        fetches |= capability == b"fetch" || capability.starts_with(b"fetch=");
        if let Some(format) = capability.strip_prefix(b"object-format=") {
            only_sha1(format, url)?;
        }
    }
    if fetches {
        Ok(Advertisement::V2)
    } else {
        Err(GitError::Protocol { url: url.to_owned(), reason: "the server offers no `fetch`".into() })
    }
}

fn only_sha1(format: &[u8], url: &str) -> Result<(), GitError> {
    if format == b"sha1" {
        return Ok(());
    }
    Err(GitError::Protocol {
        url: url.to_owned(),
        reason: format!("the repository's object format is {}; only SHA-1 repositories are read", quoted(format)),
    })
}

async fn v0(first: Vec<u8>, reader: &mut PacketReader, url: &str) -> Result<Advertisement, GitError> {
    let garbage =
        |line: &[u8]| GitError::Protocol { url: url.to_owned(), reason: format!("`{}` is no ref", quoted(line)) };
    let zero = first.iter().position(|byte| *byte == 0).ok_or_else(|| garbage(&first))?;
    let capabilities = String::from_utf8_lossy(&first[zero + 1..]).into_owned();
    for capability in capabilities.split(' ') {
        if let Some(format) = capability.strip_prefix("object-format=") {
            only_sha1(format.as_bytes(), url)?;
        }
    }
    let mut refs: Vec<RemoteRef> = Vec::new();
    let mut shallow = Vec::new();
    let mut next = Some(first[..zero].to_vec());
    while let Some(line) = next {
        if let Some(id) = line.strip_prefix(b"shallow ") {
            shallow.push(object_id(id).ok_or_else(|| garbage(&line))?);
        } else {
            let (object, name) = split_ref(&line).ok_or_else(|| garbage(&line))?;
            match (name.strip_suffix("^{}"), refs.last_mut()) {
                // An empty repository says `capabilities^{}` in place of a first ref.
                (Some("capabilities"), _) => {}
                (Some(tag), Some(last)) if last.name == tag => last.peeled = Some(object),
                (Some(_), _) => return Err(garbage(&line)),
                (None, _) => {
                    let symref = capabilities
                        .split(' ')
                        .filter_map(|capability| capability.strip_prefix("symref=")?.split_once(':'))
                        .find(|(from, _)| *from == name)
                        .map(|(_, to)| to.to_owned());
                    refs.push(RemoteRef { name, object, peeled: None, symref });
                }
            }
        }
        next = reader.next_text().await?;
    }
    Ok(Advertisement::V0 { refs, capabilities, shallow })
}

/// Version 2's request for the refs under `prefixes`.
pub(crate) fn list_request(prefixes: &[String]) -> Vec<u8> {
    let mut request = Vec::with_capacity(256);
    line(&mut request, "command=ls-refs");
    line(&mut request, AGENT);
    request.extend_from_slice(DELIMITER);
    line(&mut request, "peel");
    line(&mut request, "symrefs");
    for prefix in prefixes {
        line(&mut request, &format!("ref-prefix {prefix}"));
    }
    request.extend_from_slice(FLUSH);
    request
}

/// Reads the answer to [`list_request`], keeping what `wanted` accepts: servers may send more than was asked for.
pub(crate) async fn read_list(
    reader: &mut PacketReader,
    url: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<RemoteRef>, GitError> {
    reader.bound(LIST_LIMIT);
    let mut refs = Vec::new();
    loop {
        let entry = match reader.next().await? {
            Packet::Line(entry) => text(entry),
            Packet::Flush => return Ok(refs),
            Packet::Delimiter | Packet::ResponseEnd | Packet::End => {
                return Err(GitError::Protocol { url: url.to_owned(), reason: "the list of refs breaks off".into() });
            }
        };
        if let Some(said) = entry.strip_prefix(b"ERR ") {
            return Err(GitError::Server { url: url.to_owned(), reason: quoted(said), transient: false });
        }
        match parse_entry(entry) {
            Some(entry) if wanted(&entry.name) => refs.push(entry),
            Some(_) => {}
            // A name that is not UTF-8 is none that anyone can have asked for.
            None if split_ref(entry).is_some() || std::str::from_utf8(entry).is_err() => {}
            None => {
                return Err(GitError::Protocol {
                    url: url.to_owned(),
                    reason: format!("`{}` is no ref", quoted(entry)),
                });
            }
        }
    }
}

/// `ID NAME [symref-target:NAME] [peeled:ID]`.
fn parse_entry(entry: &[u8]) -> Option<RemoteRef> {
    let (object, rest) = split_ref(entry)?;
    let mut words = rest.split(' ');
    let mut parsed = RemoteRef { name: words.next()?.to_owned(), object, peeled: None, symref: None };
    for word in words {
        if let Some(target) = word.strip_prefix("symref-target:") {
            parsed.symref = Some(target.to_owned());
        } else if let Some(peeled) = word.strip_prefix("peeled:") {
            parsed.peeled = Some(object_id(peeled.as_bytes())?);
        }
    }
    Some(parsed)
}

fn split_ref(line: &[u8]) -> Option<(String, String)> {
    let line = std::str::from_utf8(line).ok()?;
    let (object, name) = line.split_once(' ')?;
    Some((object_id(object.as_bytes())?, name.to_owned()))
}

/// Forty lower-case hexadecimal digits.
pub(crate) fn object_id(text: &[u8]) -> Option<String> {
    let valid = text.len() == 40 && text.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
    valid.then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Advertisement, RemoteRef, parse_entry, read_list};
    use crate::git::GitError;
    use crate::git::packets::PacketReader;
    use std::time::Duration;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    fn reader(lines: &[String]) -> PacketReader {
        let mut bytes = Vec::new();
        for line in lines {
            if line.is_empty() {
                bytes.extend_from_slice(b"0000");
            } else {
                bytes.extend_from_slice(format!("{:04x}{line}", line.len() + 4).as_bytes());
            }
        }
        PacketReader::new(Box::pin(std::io::Cursor::new(bytes)), "u", 1 << 20, Duration::from_secs(5))
    }

    #[tokio::test]
    async fn both_versions_are_understood() {
        let mut v2 = reader(&[
            "# service=git-upload-pack\n".into(),
            String::new(),
            "version 2\n".into(),
            "fetch=shallow\n".into(),
            String::new(),
        ]);
        assert_eq!(Advertisement::read(&mut v2, "u").await.unwrap(), Advertisement::V2);
        let mut v0 = reader(&[
            format!("{ID} HEAD\0side-band-64k symref=HEAD:refs/heads/main\n"),
            format!("{ID} refs/tags/v1\n"),
            format!("{ID} refs/tags/v1^{{}}\n"),
            String::new(),
        ]);
        let Advertisement::V0 { refs, .. } = Advertisement::read(&mut v0, "u").await.unwrap() else { panic!() };
        assert_eq!(refs[0].symref.as_deref(), Some("refs/heads/main"));
        assert_eq!(refs[1].peeled.as_deref(), Some(ID));
        let mut empty = reader(&[format!("{} capabilities^{{}}\0side-band-64k\n", "0".repeat(40)), String::new()]);
        let Advertisement::V0 { refs, .. } = Advertisement::read(&mut empty, "u").await.unwrap() else { panic!() };
        assert!(refs.is_empty());
    }

    #[tokio::test]
    async fn sha256_and_nonsense_are_refused() {
        let mut sha256 =
            reader(&["version 2\n".into(), "fetch\n".into(), "object-format=sha256\n".into(), String::new()]);
        assert!(matches!(Advertisement::read(&mut sha256, "u").await, Err(GitError::Protocol { .. })));
        let mut nonsense = reader(&["hello\n".into(), String::new()]);
        assert!(matches!(read_list(&mut nonsense, "u", |_| true).await, Err(GitError::Protocol { .. })));
        let mut cut = reader(&[format!("{ID} refs/heads/main\n")]);
        assert!(matches!(read_list(&mut cut, "u", |_| true).await, Err(GitError::Protocol { .. })));
    }

    #[test]
    fn entries() {
        assert_eq!(
            parse_entry(format!("{ID} refs/tags/v1 peeled:{ID}").as_bytes()),
            Some(RemoteRef { name: "refs/tags/v1".into(), object: ID.into(), peeled: Some(ID.into()), symref: None })
        );
        assert_eq!(parse_entry(b"unborn HEAD"), None);
    }
}
