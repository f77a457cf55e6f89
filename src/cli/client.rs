//! Speaks the daemon's API: over its Unix socket, or over TCP with a bearer token.
//!
//! Knows requests, replies and problems, and nothing of what verbs do with them.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::failure::Advice;

/// The largest reply that is read, in bytes.
const REPLY_LIMIT: usize = 64 << 20;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a reply may take: a plan may have to ask a Git host and several registries first.
const REPLY_TIMEOUT: Duration = Duration::from_secs(180);
/// How long a stream may be silent; the daemon sends a comment every 15 seconds.
const STREAM_SILENCE: Duration = Duration::from_secs(60);

/// Where the daemon is.
#[derive(Clone, Debug)]
pub(super) enum Endpoint {
    /// A Unix socket.
    Socket(PathBuf),
    /// A URL, with the token that it takes.
    Url(String, SecretString),
}

/// Why a request brought no reply that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The daemon answered with a problem.
    #[error("{}", .0.detail.as_deref().unwrap_or(&.0.title))]
    Problem(Box<Problem>),
    /// Nothing usable came back.
    #[error("the daemon's answer could not be read: {0}")]
    Reply(String),
    /// The daemon was reached and the exchange broke off.
    #[error("the exchange with the daemon broke off")]
    Broken(#[source] reqwest::Error),
    /// The daemon could not be reached.
    #[error(transparent)]
    Unreachable(#[from] Advice),
}

impl ClientError {
    /// The problem's HTTP status, where the daemon answered with one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            ClientError::Problem(problem) => Some(problem.status),
            ClientError::Reply(_) | ClientError::Broken(_) | ClientError::Unreachable(_) => None,
        }
    }
}

/// An error as the API tells it (RFC 9457).
#[derive(Clone, Debug, serde::Deserialize)]
pub(super) struct Problem {
    /// The kind of problem in words.
    #[serde(default)]
    pub(super) title: String,
    /// The HTTP status.
    #[serde(default)]
    pub(super) status: u16,
    /// This occurrence in words.
    pub(super) detail: Option<String>,
    /// Whatever else came along.
    #[serde(flatten)]
    pub(super) extra: serde_json::Map<String, serde_json::Value>,
}

/// A connection to one daemon.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    endpoint: Endpoint,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// A URL that would send the token in the clear over a network, or a TLS set-up that fails.
    pub(super) fn new(endpoint: Endpoint) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(STREAM_SILENCE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("trueup/", env!("CARGO_PKG_VERSION")));
        match &endpoint {
            Endpoint::Socket(path) => builder = builder.unix_socket(path.clone()).no_proxy(),
            Endpoint::Url(url, _) => check_url(url)?,
        }
        let http = builder.build().map_err(ClientError::Broken)?;
        Ok(Client { http, endpoint })
    }

    /// Whether it speaks over a Unix socket, so that paths mean the same on both sides.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.endpoint, Endpoint::Socket(_))
    }

    /// `GET` of a path below `/api/v1`, whose segments the caller has escaped or which need no escaping.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.exchange(Method::GET, path, None::<&()>).await
    }

    /// A request without a body and with a JSON reply.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, ClientError> {
        self.exchange(method, path, None::<&()>).await
    }

    /// A request with a JSON body and a JSON reply.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn send<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        self.exchange(method, path, Some(body)).await
    }

    /// A request whose reply has nothing to say.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn tell(&self, method: Method, path: &str) -> Result<(), ClientError> {
        read(self.request(method, path, None::<&()>, Some(REPLY_TIMEOUT)).await?).await.map(drop)
    }

    /// `GET` of a stream of server-sent events.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn events(&self, path: &str) -> Result<Events, ClientError> {
        let response = self.request(Method::GET, path, None::<&()>, None).await?;
        Ok(Events { response, parser: EventParser::default() })
    }

    /// `GET` of plain text.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn text(&self, path: &str) -> Result<String, ClientError> {
        let bytes = read(self.request(Method::GET, path, None::<&()>, Some(REPLY_TIMEOUT)).await?).await?;
        String::from_utf8(bytes).map_err(|error| ClientError::Reply(error.to_string()))
    }

    async fn exchange<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, ClientError> {
        let bytes = read(self.request(method, path, body, Some(REPLY_TIMEOUT)).await?).await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Reply(error.to_string()))
    }

    async fn request<B: Serialize + ?Sized>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
        timeout: Option<Duration>,
    ) -> Result<Response, ClientError> {
        let base = match &self.endpoint {
            Endpoint::Socket(_) => "http://trueup",
            Endpoint::Url(url, _) => url.trim_end_matches('/'),
        };
        let mut request = self.http.request(method, format!("{base}/api/v1{path}"));
        if let Endpoint::Url(_, token) = &self.endpoint {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(problem(response).await)
    }

    /// Says why nobody answered, and what to do about it.
    fn unreachable(&self, error: reqwest::Error) -> ClientError {
        if !error.is_connect() && !error.is_timeout() {
            return ClientError::Broken(error);
        }
        match &self.endpoint {
            Endpoint::Url(url, _) => ClientError::Unreachable(
                Advice::new(
                    format!("no daemon answers at {url}"),
                    "check --url (or TRUEUP_URL), and that the daemon listens there: `listen` in its trueup.toml",
                )
                .because(error),
            ),
            Endpoint::Socket(path) => match std::os::unix::net::UnixStream::connect(path) {
                Ok(_) => ClientError::Broken(error),
                Err(reason) => ClientError::Unreachable(socket_advice(path, reason)),
            },
        }
    }
}

/// What an unanswered socket means.
fn socket_advice(path: &std::path::Path, reason: std::io::Error) -> Advice {
    use std::io::ErrorKind;
    let shown = path.display();
    match reason.kind() {
        ErrorKind::NotFound => Advice::new(
            format!("no daemon is running here: there is no socket {shown}"),
            "start one with `systemctl start trueup`, or in a terminal with `trueup serve`\nname another daemon's socket with --socket or TRUEUP_SOCKET",
        ),
        ErrorKind::ConnectionRefused => Advice::new(
            format!("no daemon is running here: nobody answers at {shown}"),
            "start it again with `systemctl restart trueup`, or in a terminal with `trueup serve`; `journalctl -u trueup` says why it ended",
        ),
        ErrorKind::PermissionDenied => Advice::new(
            format!("you may not talk to the daemon at {shown}"),
            "become a member of the group `trueup` (`sudo usermod -aG trueup $USER`, then log in again), or use sudo",
        ),
        _ => Advice::new(
            format!("the daemon's socket {shown} cannot be used"),
            "`trueup doctor` looks at everything between here and there",
        ),
    }
    .because(reason)
}

/// A token goes to a loopback address or over TLS, nowhere else.
fn check_url(url: &str) -> Result<(), ClientError> {
    let refuse = |message: String, help: &str| Err(ClientError::Unreachable(Advice::new(message, help)));
    let Ok(parsed) = reqwest::Url::parse(url) else {
        return refuse(format!("`{url}` is not a URL"), "write it like https://trueup.example.org");
    };
    let loopback = parsed.host_str().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        "http" => refuse(
            "the token would cross the network in the clear".into(),
            "use https://, or an SSH tunnel to the daemon's Unix socket",
        ),
        other => refuse(format!("`{other}` is not spoken here"), "write it like https://trueup.example.org"),
    }
}

async fn problem(response: Response) -> ClientError {
    let status = response.status();
    match read(response).await.map(|bytes| serde_json::from_slice::<Problem>(&bytes)) {
        Ok(Ok(mut problem)) => {
            problem.status = status.as_u16();
            ClientError::Problem(Box::new(problem))
        }
        Ok(Err(_)) => ClientError::Reply(answered(status)),
        Err(error) => error,
    }
}

fn answered(status: StatusCode) -> String {
    format!("it is {status} without a description; is this a Trueup daemon?")
}

async fn read(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ClientError::Broken)? {
        if bytes.len() + chunk.len() > REPLY_LIMIT {
            return Err(ClientError::Reply(format!("it is larger than {} MiB", REPLY_LIMIT >> 20)));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its name.
    pub(super) name: String,
    /// Its data.
    pub(super) data: String,
}

/// A stream of events.
#[derive(Debug)]
pub(super) struct Events {
    response: Response,
    parser: EventParser,
}

impl Events {
    /// The next event; `None` where the stream ended.
    ///
    /// # Errors
    /// The stream broke off, was silent for a minute, or is no event stream.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(event) = self.parser.next()? {
                return Ok(Some(event));
            }
            match self.response.chunk().await.map_err(ClientError::Broken)? {
                Some(chunk) => self.parser.push(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// Cuts bytes into events as they arrive.
#[derive(Debug, Default)]
struct EventParser {
    buffer: Vec<u8>,
    name: String,
    data: Option<String>,
}

/// The longest line of an event stream, in bytes.
const EVENT_LIMIT: usize = 1 << 20;

impl EventParser {
    fn push(&mut self, chunk: &Bytes) {
        self.buffer.extend_from_slice(chunk);
    }

    fn next(&mut self) -> Result<Option<Event>, ClientError> {
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            if line.is_empty() {
                let name = std::mem::take(&mut self.name);
                if let Some(data) = self.data.take() {
                    return Ok(Some(Event { name, data }));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => self.name = value.to_owned(),
                "data" => match &mut self.data {
                    Some(data) if data.len() + value.len() < EVENT_LIMIT => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    Some(_) => return Err(ClientError::Reply("an event is longer than 1 MiB".into())),
                    None => self.data = Some(value.to_owned()),
                },
                // A comment (the daemon's sign of life), or a field that this client has no use for.
                _ => {}
            }
        }
        if self.buffer.len() > EVENT_LIMIT {
            return Err(ClientError::Reply("a line of the event stream is longer than 1 MiB".into()));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Client, Endpoint, Event, EventParser};

    #[test]
    fn events_arrive_whole_however_they_are_cut() {
        let stream = ": alive\n\nevent: line\ndata: {\"a\":1}\n\nevent: end\r\ndata: one\r\ndata: two\r\n\r\n";
        for size in [1, 3, 7, stream.len()] {
            let mut parser = EventParser::default();
            let mut events = Vec::new();
            for chunk in stream.as_bytes().chunks(size) {
                parser.push(&Bytes::copy_from_slice(chunk));
                while let Some(event) = parser.next().expect("a valid stream") {
                    events.push(event);
                }
            }
            let event = |name: &str, data: &str| Event { name: name.into(), data: data.into() };
            assert_eq!(events, [event("line", "{\"a\":1}"), event("end", "one\ntwo")], "in chunks of {size}");
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = EventParser::default();
        parser.push(&Bytes::from(vec![b'x'; (1 << 20) + 1]));
        assert!(parser.next().is_err());
    }

    #[test]
    fn a_token_never_crosses_a_network_in_the_clear() {
        for (url, allowed) in [
            ("http://trueup.example.org", false),
            ("http://localhost.example.org", false),
            ("ftp://localhost", false),
            ("trueup", false),
        ] {
            let client = Client::new(Endpoint::Url(url.into(), String::from("token").into()));
            assert_eq!(client.is_ok(), allowed, "{url}");
        }
    }
}
