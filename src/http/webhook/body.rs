//! Reading what a stranger sends: bounded in size and in time, and in what all of them together take of the memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// What all bodies that are being read may take together, in KiB; more where a single one may be as large.
const ROOM_KIB: usize = 24 << 10;

/// The memory that bodies may take; what is read before it is proven must not be able to exhaust it.
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// Room for several bodies of this size.
    pub(super) fn for_bodies(max_body_bytes: usize) -> Self {
        Room(Arc::new(Semaphore::new(ROOM_KIB.max(2 * max_body_bytes.div_ceil(1024)))))
    }
}

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotRead {
    TooLarge,
    NoRoom,
    Broken(&'static str),
}

/// Reads a body of at most `most` bytes, with the room that it takes for as long as that is held.
pub(super) async fn read(
    body: Body,
    headers: &HeaderMap,
    most: usize,
    room: &Room,
) -> Result<(Bytes, OwnedSemaphorePermit), NotRead> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > most as u64) {
        return Err(NotRead::TooLarge);
    }
    tokio::time::timeout(BODY_TIMEOUT, collect(body, most, room))
        .await
        .unwrap_or(Err(NotRead::Broken("the body took longer than 30 seconds to arrive")))
}

async fn collect(mut body: Body, most: usize, room: &Room) -> Result<(Bytes, OwnedSemaphorePermit), NotRead> {
    let take = |kib: usize| {
        let permits = u32::try_from(kib).map_err(|_| NotRead::NoRoom)?;
        Arc::clone(&room.0).try_acquire_many_owned(permits).map_err(|_| NotRead::NoRoom)
    };
    let mut held = take(1)?;
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| NotRead::Broken("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(NotRead::TooLarge);
        }
        // What is not there yet takes no room: who only announces a body holds nothing.
        let needed = (bytes.len() + data.len()).div_ceil(1024);
        if needed > held.num_permits() {
            held.merge(take(needed - held.num_permits())?);
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes.freeze(), held))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{HeaderMap, HeaderValue};
    use bytes::Bytes;

    use super::{NotRead, Room, read};

    fn chunks(count: usize) -> Body {
        let chunk = || Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 1024]));
        Body::from_stream(futures_util::stream::iter((0..count).map(move |_| chunk())))
    }

    #[tokio::test]
    async fn a_body_is_bounded_whether_or_not_it_says_its_length() {
        let room = Room::for_bodies(8 << 10);
        let (bytes, _held) = read(chunks(8), &HeaderMap::new(), 8 << 10, &room).await.expect("fits");
        assert_eq!(bytes.len(), 8 << 10);
        assert_eq!(read(chunks(9), &HeaderMap::new(), 8 << 10, &room).await.err(), Some(NotRead::TooLarge));
        let declared = HeaderMap::from_iter([(axum::http::header::CONTENT_LENGTH, HeaderValue::from_static("8193"))]);
        assert_eq!(read(chunks(0), &declared, 8 << 10, &room).await.err(), Some(NotRead::TooLarge));
    }

    #[tokio::test]
    async fn all_bodies_together_are_bounded_and_give_their_room_back() {
        let room = Room::for_bodies(1 << 10);
        let headers = HeaderMap::new();
        let (_, held) = read(chunks(super::ROOM_KIB), &headers, usize::MAX, &room).await.expect("fits exactly");
        assert_eq!(read(chunks(1), &headers, usize::MAX, &room).await.err(), Some(NotRead::NoRoom));
        drop(held);
        assert!(read(chunks(1), &headers, usize::MAX, &room).await.is_ok());
    }
}
