//! One conversation with a remote's `git-upload-pack`, over whichever transport its URL names.

use crate::git::advertisement::{Advertisement, RemoteRef, list_request, read_list};
use crate::git::error::GitError;
use crate::git::http::HttpPlace;
use crate::git::packets::{FLUSH, PacketReader};
use crate::git::ssh::SshSession;

/// A remote that was reached.
pub(crate) enum Conversation<'a> {
    /// Over http(s): every request stands alone.
    Http {
        /// The server.
        place: HttpPlace<'a>,
        /// Whether it speaks version 2.
        v2: bool,
    },
    /// Over a process: requests follow each other.
    Ssh(Box<SshSession>),
}

impl<'a> Conversation<'a> {
    /// Reaches an http(s) remote.
    pub(crate) async fn http(place: HttpPlace<'a>) -> Result<(Self, Advertisement), GitError> {
        let advertisement = place.advertisement().await?;
        Ok((Conversation::Http { place, v2: advertisement == Advertisement::V2 }, advertisement))
    }

    /// Reaches an ssh remote.
    pub(crate) async fn ssh(mut session: SshSession, url: &str) -> Result<(Self, Advertisement), GitError> {
        match Advertisement::read(&mut session.reader, url).await {
            Ok(advertisement) => Ok((Conversation::Ssh(Box::new(session)), advertisement)),
            Err(error) => Err(session.explain(error).await),
        }
    }

    /// The refs under `prefixes` that `wanted` accepts.
    pub(crate) async fn list(
        &mut self,
        advertisement: Advertisement,
        url: &str,
        prefixes: &[String],
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<RemoteRef>, GitError> {
        match advertisement {
            Advertisement::V0 { refs, .. } => Ok(refs.into_iter().filter(|entry| wanted(&entry.name)).collect()),
            Advertisement::V2 => {
                let mut answer = self.ask(list_request(prefixes), crate::git::advertisement::LIST_LIMIT).await?;
                read_list(answer.reader(), url, wanted).await
            }
        }
    }

    /// Sends a request and returns where its answer is read.
    pub(crate) async fn ask(&mut self, request: Vec<u8>, limit: u64) -> Result<Answer<'_>, GitError> {
        match self {
            Conversation::Http { place, v2 } => Ok(Answer::Own(Box::new(place.ask(request, *v2, limit).await?))),
            Conversation::Ssh(session) => {
                session.write(&request).await?;
                session.reader.bound(limit);
                Ok(Answer::Shared(&mut session.reader))
            }
        }
    }

    /// Ends the conversation with what came of it: says goodbye where that is expected, and explains a failure with
    /// what the transport said.
    pub(crate) async fn settle<T>(self, result: Result<T, GitError>) -> Result<T, GitError> {
        match (self, result) {
            (Conversation::Http { .. }, result) => result,
            (Conversation::Ssh(session), Err(error)) => Err(session.explain(error).await),
            (Conversation::Ssh(mut session), Ok(value)) => {
                if let Err(error) = session.write(FLUSH).await {
                    tracing::trace!(%error, "ssh ended before the goodbye");
                }
                Ok(value)
            }
        }
    }
}

/// Where an answer is read.
pub(crate) enum Answer<'a> {
    /// A stream of its own.
    Own(Box<PacketReader>),
    /// The conversation's stream.
    Shared(&'a mut PacketReader),
}

impl Answer<'_> {
    /// The packets.
    pub(crate) fn reader(&mut self) -> &mut PacketReader {
        match self {
            Answer::Own(reader) => reader,
            Answer::Shared(reader) => reader,
        }
    }
}
