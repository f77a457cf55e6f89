//! What goes wrong between a forge and whoever asks it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::Response;

use super::{Asked, Reply};
use crate::world::git_server::{partial, whole};

pub type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing is done, and this is answered.
    Say { status: u16, headers: Vec<(&'static str, String)>, body: &'static str },
    /// Nothing is done, and half a body is sent.
    CloseMidBody,
    /// It is done, and the answer comes after this long.
    Slow(Duration),
    /// It is done, and the connection closes without an answer.
    LoseReply,
}

impl Fault {
    pub fn status(status: u16) -> Self {
        Fault::Say { status, headers: Vec::new(), body: r#"{"message":"no"}"# }
    }

    /// A proxy whose forge is down.
    pub fn bad_gateway() -> Self {
        let headers = vec![("content-type", "text/html".to_owned())];
        Fault::Say { status: 502, headers, body: "<html><h1>502 Bad Gateway</h1></html>" }
    }

    pub fn too_many(seconds: u64) -> Self {
        Fault::Say {
            status: 429,
            headers: vec![("retry-after", seconds.to_string())],
            body: r#"{"message":"slow down"}"#,
        }
    }

    /// GitHub's limit on content that is created too fast.
    pub fn secondary_limit() -> Self {
        let body = r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes."}"#;
        Fault::Say { status: 403, headers: Vec::new(), body }
    }

    /// Whether what was asked is done.
    pub fn acts(&self) -> bool {
        matches!(self, Fault::Slow(_) | Fault::LoseReply)
    }
}

/// A fault that waits for its request.
#[derive(Debug)]
pub struct Planned {
    pub method: String,
    pub part: String,
    pub fault: Fault,
}

impl Planned {
    pub fn hits(&self, asked: &Asked) -> bool {
        self.method == asked.method && asked.line().contains(&self.part)
    }
}

/// Sends an answer, or what a fault makes of it. An error closes the connection.
pub async fn send(fault: Option<Fault>, reply: Option<Reply>) -> Result<Answer, std::io::Error> {
    match fault {
        Some(Fault::Say { status, headers, body }) => {
            let mut answer = Response::builder().status(status);
            for (name, value) in headers {
                answer = answer.header(name, value);
            }
            return Ok(answer.body(whole(body.into())).unwrap());
        }
        Some(Fault::CloseMidBody) => {
            let answer = Response::builder().header("content-type", "application/json");
            return Ok(answer.body(partial(br#"{"id": 1, "bo"#.to_vec(), false)).unwrap());
        }
        Some(Fault::LoseReply) => return Err(std::io::Error::other("the reply is lost")),
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        None => {}
    }
    let reply = reply.unwrap();
    let mut answer = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        answer = answer.header(name, value);
    }
    let body = match reply.body {
        Some(body) => {
            answer = answer.header("content-type", "application/json; charset=utf-8");
            body.to_string().into_bytes()
        }
        None => Vec::new(),
    };
    Ok(answer.body(whole(body)).unwrap())
}
