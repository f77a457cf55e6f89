//! One operation's conversation with a forge's API: requests below the API's base URL, answers as JSON, errors in one
//! form. Follows no link that a forge sends but within its own origin.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::forge::credential::{Authorize, Header};
use crate::forge::pace::Pace;
use crate::forge::rate::{Limit, limit};
use crate::forge::{ForgeError, ForgeKind, RepositoryPath};
use crate::guarded::{Bounds, GuardedAnswer, GuardedClient, GuardedRequest, Redirects};

/// The longest answer that is read, in bytes.
const ANSWER_BYTES: usize = 32 << 20;
/// The most pages of one list.
const PAGES: usize = 100;
/// The longest part of a forge's message that is repeated, in characters.
const MESSAGE_CHARS: usize = 300;

/// A forge's API.
pub(crate) struct Api {
    pub(crate) kind: ForgeKind,
    pub(crate) client: GuardedClient,
    /// Every request goes below this.
    pub(crate) base: Url,
    pub(crate) timeout: Duration,
    pub(crate) headers: HeaderMap,
    pub(crate) authorize: Arc<dyn Authorize>,
    pub(crate) pace: Option<Mutex<Pace>>,
}

/// One operation's conversation.
pub(crate) struct Session<'a> {
    pub(crate) api: &'a Api,
    repository: Option<&'a RepositoryPath>,
    /// What is done, in words: `github: comment on acme/shop#7`.
    pub(crate) operation: String,
    credential: tokio::sync::Mutex<Header>,
}

/// One request of a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    /// Instead of path and query: a URL that the forge itself gave.
    at: Option<Url>,
    body: Option<Value>,
}

impl Ask {
    /// A request to the path of these parts; each is escaped.
    pub(crate) fn new(method: Method, path: &[&str]) -> Self {
        Ask { method, path: path.iter().map(ToString::to_string).collect(), query: Vec::new(), at: None, body: None }
    }

    pub(crate) fn get(path: &[&str]) -> Self {
        Ask::new(Method::GET, path)
    }

    /// A page that the forge names.
    fn at(url: Url) -> Self {
        Ask { at: Some(url), ..Ask::get(&[]) }
    }

    pub(crate) fn put(path: &[&str], body: Value) -> Self {
        Ask { body: Some(body), ..Ask::new(Method::PUT, path) }
    }

    pub(crate) fn post(path: &[&str], body: Value) -> Self {
        Ask { body: Some(body), ..Ask::new(Method::POST, path) }
    }

    pub(crate) fn patch(path: &[&str], body: Value) -> Self {
        Ask { body: Some(body), ..Ask::new(Method::PATCH, path) }
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }
}

#[derive(Deserialize)]
struct Linked<T> {
    values: Vec<T>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counted<T> {
    values: Vec<T>,
    #[serde(default)]
    is_last_page: bool,
    #[serde(default)]
    next_page_start: Option<u64>,
}

/// An answer of 200 to 299.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Bytes,
    operation: String,
}

impl Answer {
    /// The body.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ForgeError> {
        // What is no such JSON is a proxy's page or a body that was cut: the forge itself may answer later.
        serde_json::from_slice(&self.body).map_err(|error| ForgeError::Transient {
            operation: self.operation.clone(),
            reason: format!("the forge answers {} with what is not the JSON expected ({error})", self.status),
            retry_after: None,
        })
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether a further page follows.
    fn has_next(&self) -> bool {
        let links = self.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        links.flat_map(|value| value.split(',')).any(|link| {
            link.split(';').skip(1).any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"))
        })
    }
}

impl Api {
    /// Begins an operation: signs in.
    pub(crate) async fn begin<'a>(
        &'a self,
        repository: Option<&'a RepositoryPath>,
        what: &str,
    ) -> Result<Session<'a>, ForgeError> {
        let mut operation = format!("{}: {what}", self.kind);
        if let Some(repository) = repository {
            // Writing to a String cannot fail.
            write!(operation, " {repository}").ok();
        }
        let credential = self.authorize.header(repository, &operation).await?;
        Ok(Session { api: self, repository, operation, credential: tokio::sync::Mutex::new(credential) })
    }

    fn url(&self, ask: &Ask, operation: &str) -> Result<Url, ForgeError> {
        if let Some(url) = &ask.at {
            // What a forge writes into its answers is as little trusted as any payload.
            if url.origin() != self.base.origin() || !url.path().starts_with(self.base.path()) {
                let to = url.origin().ascii_serialization();
                return Err(ForgeError::rejected(operation, format!("the next page is said to be at {to}, not here")));
            }
            return Ok(url.clone());
        }
        let mut url = self.base.clone();
        {
            // A URL with a host can have a path.
            let mut parts = url.path_segments_mut().map_err(|()| ForgeError::rejected(operation, "no base URL"))?;
            parts.pop_if_empty();
            for part in &ask.path {
                if part.is_empty() || part.bytes().all(|b| b == b'.') {
                    return Err(ForgeError::rejected(operation, format!("`{part}` cannot be part of a path")));
                }
                parts.push(part);
            }
        }
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        Ok(url)
    }

    fn paced(&self, ask: &Ask, operation: &str) -> Result<(), ForgeError> {
        let Some(pace) = self.pace.as_ref().filter(|_| ask.method != Method::GET) else { return Ok(()) };
        let taken = pace.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        taken.map_err(|wait| ForgeError::Transient {
            operation: operation.to_owned(),
            reason: "as many writes as the forge takes in this while were sent".to_owned(),
            retry_after: Some(wait),
        })
    }
}

impl Session<'_> {
    /// Asks, and takes an answer of 200 to 299.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answer, ForgeError> {
        let url = self.api.url(&ask, &self.operation)?;
        self.api.paced(&ask, &self.operation)?;
        let answer = self.exchange(&ask, url.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED || !self.api.authorize.refused(self.repository).await {
            return self.judge(answer);
        }
        *self.credential.lock().await = self.api.authorize.header(self.repository, &self.operation).await?;
        let answer = self.exchange(&ask, url).await?;
        self.judge(answer)
    }

    /// Asks for what may not be there: `None` for 404 and 410.
    pub(crate) async fn find(&self, ask: Ask) -> Result<Option<Answer>, ForgeError> {
        match self.ask(ask).await {
            Ok(answer) => Ok(Some(answer)),
            Err(ForgeError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a list page by page, until the visitor has what it looks for. Pages are counted, so no link is followed;
    /// that a link is there says that a page follows. `size` is the query parameter for the length of a page.
    pub(crate) async fn pages<T: DeserializeOwned, B>(
        &self,
        ask: Ask,
        size: (&'static str, usize),
        mut visit: impl FnMut(T) -> ControlFlow<B>,
    ) -> Result<Option<B>, ForgeError> {
        for page in 1..=PAGES {
            let answer = self.ask(ask.clone().query(size.0, size.1).query("page", page)).await?;
            for item in answer.json::<Vec<T>>()? {
                if let ControlFlow::Break(found) = visit(item) {
                    return Ok(Some(found));
                }
            }
            if !answer.has_next() {
                return Ok(None);
            }
        }
        Err(self.too_long())
    }

    /// Reads a list whose pages name the next one (Bitbucket Cloud), until the visitor has what it looks for.
    pub(crate) async fn linked<T: DeserializeOwned, B>(
        &self,
        ask: Ask,
        mut visit: impl FnMut(T) -> ControlFlow<B>,
    ) -> Result<Option<B>, ForgeError> {
        let mut ask = ask;
        for _ in 0..PAGES {
            let page: Linked<T> = self.ask(ask).await?.json()?;
            for item in page.values {
                if let ControlFlow::Break(found) = visit(item) {
                    return Ok(Some(found));
                }
            }
            match page.next {
                Some(next) => {
                    let url =
                        next.parse().map_err(|_| ForgeError::rejected(&self.operation, "the next page has no URL"))?;
                    ask = Ask::at(url);
                }
                None => return Ok(None),
            }
        }
        Err(self.too_long())
    }

    /// Reads a list whose pages say where the next begins (Bitbucket Data Center), until the visitor has what it looks
    /// for.
    pub(crate) async fn counted<T: DeserializeOwned, B>(
        &self,
        ask: Ask,
        mut visit: impl FnMut(T) -> ControlFlow<B>,
    ) -> Result<Option<B>, ForgeError> {
        let mut start = 0;
        for _ in 0..PAGES {
            let page: Counted<T> = self.ask(ask.clone().query("limit", 100).query("start", start)).await?.json()?;
            for item in page.values {
                if let ControlFlow::Break(found) = visit(item) {
                    return Ok(Some(found));
                }
            }
            match page.next_page_start.filter(|next| *next > start && !page.is_last_page) {
                Some(next) => start = next,
                None => return Ok(None),
            }
        }
        Err(self.too_long())
    }

    /// Reads a list of values that comes in one answer (webhooks of Bitbucket Data Center).
    pub(crate) async fn whole<T: DeserializeOwned, B>(
        &self,
        ask: Ask,
        visit: impl FnMut(T) -> ControlFlow<B>,
    ) -> Result<Option<B>, ForgeError> {
        let page: Counted<T> = self.ask(ask).await?.json()?;
        Ok(page.values.into_iter().try_for_each(visit).break_value())
    }

    /// A list that outgrows what is read of one.
    fn too_long(&self) -> ForgeError {
        ForgeError::rejected(&self.operation, format!("a list of more than {PAGES} pages"))
    }

    async fn exchange(&self, ask: &Ask, url: Url) -> Result<GuardedAnswer, ForgeError> {
        let mut headers = self.api.headers.clone();
        let body = ask.body.as_ref().map(|body| Bytes::from(body.to_string()));
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let credential = Some(self.credential.lock().await.clone());
        let request = GuardedRequest { method: ask.method.clone(), url, headers, credential, body };
        let bounds = Bounds { time: self.api.timeout, bytes: ANSWER_BYTES, redirects: Redirects::Checked };
        let answer = self.api.client.fetch(request, bounds).await;
        answer.map_err(|error| ForgeError::guarded(&self.operation, error))
    }

    fn judge(&self, answer: GuardedAnswer) -> Result<Answer, ForgeError> {
        let operation = self.operation.clone();
        if answer.status.is_success() {
            return Ok(Answer { status: answer.status, headers: answer.headers, body: answer.body, operation });
        }
        let message = message(&answer.body);
        let reason = match message.as_str() {
            "" => format!("HTTP {}", answer.status),
            message => format!("HTTP {}: {message}", answer.status.as_u16()),
        };
        let status = answer.status.as_u16();
        if let Limit::Reached(retry_after) = limit(status, &answer.headers, &message, jiff::Timestamp::now()) {
            return Err(ForgeError::Transient { operation, reason, retry_after });
        }
        Err(match status {
            401 => ForgeError::Unauthorized { operation, reason },
            403 => ForgeError::Forbidden { operation, reason },
            404 | 410 => ForgeError::NotFound { operation, reason },
            408 | 425 | 500..=599 => ForgeError::Transient { operation, reason, retry_after: None },
            _ => ForgeError::Rejected { operation, reason },
        })
    }
}

/// What a forge says of a failure, in one line. GitHub and Gitea write `message` (GitHub with `errors`), GitLab
/// `message` or `error`, Bitbucket Cloud `error.message`, Bitbucket Data Center `errors[].message`.
fn message(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let mut parts: Vec<String> = Vec::new();
    let mut add = |value: &Value| match value {
        Value::Null => {}
        Value::String(text) => parts.push(text.clone()),
        other => parts.push(other.to_string()),
    };
    add(&body["message"]);
    match &body["error"] {
        Value::Object(error) => add(error.get("message").unwrap_or(&Value::Null)),
        error => add(error),
    }
    add(&body["error_description"]);
    for error in body["errors"].as_array().into_iter().flatten() {
        match (&error["message"], &error["code"]) {
            (Value::Null, Value::String(code)) => {
                let field = error["field"].as_str().unwrap_or_default();
                add(&Value::String(format!("{field} {code}").trim().to_owned()));
            }
            (Value::Null, _) => add(error),
            (message, _) => add(message),
        }
    }
    parts.dedup();
    let line: String = parts.join("; ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    crate::forge::api::cut(&line, MESSAGE_CHARS)
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn every_forge_is_understood_when_it_says_no() {
        for (body, expected) in [
            (r#"{"message":"Bad credentials","documentation_url":"x"}"#, "Bad credentials"),
            (
                r#"{"message":"Validation Failed","errors":[{"resource":"Hook","code":"custom","message":"Hook exists"},{"field":"body","code":"missing"}]}"#,
                "Validation Failed; Hook exists; body missing",
            ),
            (r#"{"message":{"note":["is too long"]}}"#, r#"{"note":["is too long"]}"#),
            (
                r#"{"error":"insufficient_scope","error_description":"more privileges"}"#,
                "insufficient_scope; more privileges",
            ),
            (r#"{"type":"error","error":{"message":"Access denied","detail":{}}}"#, "Access denied"),
            (
                r#"{"errors":[{"context":null,"message":"No such repository","exceptionName":"x"}]}"#,
                "No such repository",
            ),
            (r#"{"message":"two\nlines"}"#, "two lines"),
            ("<html>502 Bad Gateway</html>", ""),
            ("[1]", ""),
            ("", ""),
        ] {
            assert_eq!(message(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(message(format!(r#"{{"message":"{}"}}"#, "ä".repeat(9999)).as_bytes()).chars().count(), 300);
    }
}
