//! Where does the guarded client go, with what, and for how long? Real servers on loopback and a resolver that lies.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use trueup::guarded::{
    AllowedHosts, Bounds, GuardSettings, GuardedAnswer, GuardedClient, GuardedError, GuardedRequest, Redirects, Resolve,
};

/// A server that answers every request as it is told, and keeps what it was asked.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&seen), Arc::new(answer));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, kept, answer) = (stream.unwrap(), Arc::clone(&kept), Arc::clone(&answer));
                kept.lock().unwrap().push(String::new());
                std::thread::spawn(move || {
                    let mut bytes = vec![0; 65_536];
                    let length = stream.read(&mut bytes).unwrap_or_default();
                    let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
                    kept.lock().unwrap().push(request.clone());
                    answer(&request, &mut stream);
                });
            }
        });
        Server { address, seen }
    }

    /// Says this, whatever is asked.
    fn saying(head: &'static str, body: &'static str) -> Self {
        Server::start(move |_, stream| {
            let length = body.len();
            let text = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(text.as_bytes()).ok();
        })
    }

    fn redirecting(status: u16, to: String) -> Self {
        Server::start(move |_, stream| {
            let text =
                format!("HTTP/1.1 {status} Moved\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(text.as_bytes()).ok();
        })
    }

    fn url(&self) -> Url {
        format!("http://{}/x", self.address).parse().unwrap()
    }

    /// Connections and requests so far.
    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Answers name by name, each time the next answer; the last one stays.
#[derive(Default)]
struct Liar {
    answers: HashMap<String, Vec<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Resolve for Liar {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        let mut asked = self.asked.lock().unwrap();
        let times = asked.iter().filter(|one| *one == host).count();
        asked.push(host.to_owned());
        let answers = self.answers.get(host).ok_or_else(|| std::io::Error::other("no such name"))?;
        Ok(answers[times.min(answers.len() - 1)].clone())
    }
}

fn client(allowed: AllowedHosts, resolver: Arc<Liar>) -> GuardedClient {
    let mut settings = GuardSettings::new(allowed);
    settings.resolver = resolver;
    settings.connect_timeout = Duration::from_millis(500);
    GuardedClient::new(settings).unwrap()
}

fn request(method: Method, url: Url) -> GuardedRequest {
    let credential = Some((AUTHORIZATION, HeaderValue::from_static("Bearer hunter2")));
    let body = (method != Method::GET).then(|| Bytes::from_static(b"the-body"));
    GuardedRequest { method, url, headers: HeaderMap::new(), credential, body }
}

const BOUNDS: Bounds = Bounds { time: Duration::from_secs(5), bytes: 1000, redirects: Redirects::Checked };

async fn get(client: &GuardedClient, url: &Url) -> Result<GuardedAnswer, GuardedError> {
    client.fetch(request(Method::GET, url.clone()), BOUNDS).await
}

fn addresses(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|one| one.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_typed_host_is_asked_wherever_it_is_and_by_the_address_that_was_resolved() {
    let server = Server::saying("200 OK", "here");
    let typed: Url = format!("http://forge.acme.test:{}/x", server.address.port()).parse().unwrap();
    let liar =
        Liar { answers: [("forge.acme.test".into(), vec![addresses(&["127.0.0.1"])])].into(), ..Liar::default() };
    let answer = get(&client(AllowedHosts::none().typed(&typed), Arc::new(liar)), &typed).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, b"here".as_ref()));
    assert!(server.seen()[1].contains("authorization: Bearer hunter2"));
}

#[tokio::test]
async fn what_nobody_typed_is_refused_before_anything_is_connected_to() {
    let inside = Server::saying("200 OK", "secret");
    let port = inside.address.port();
    let mut answers: HashMap<String, Vec<Vec<IpAddr>>> = HashMap::new();
    answers.insert("inside.test".into(), vec![addresses(&["127.0.0.1"])]);
    answers.insert("six.test".into(), vec![addresses(&["::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1"])]);
    let client = client(AllowedHosts::none(), Arc::new(Liar { answers, ..Liar::default() }));
    for url in [
        format!("http://127.0.0.1:{port}/x"),
        format!("https://127.0.0.1:{port}/x"),
        format!("https://2130706433:{port}/x"),
        format!("https://0x7f.1:{port}/x"),
        format!("https://[::1]:{port}/x"),
        format!("https://[::ffff:127.0.0.1]:{port}/x"),
        format!("https://inside.test:{port}/x"),
        format!("https://INSIDE.test:{port}/x"),
        format!("https://six.test:{port}/x"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://10.0.0.1/x".to_owned(),
        "ftp://inside.test/x".to_owned(),
    ] {
        let refused = get(&client, &url.parse().unwrap()).await.unwrap_err();
        assert!(matches!(refused, GuardedError::Refused { .. }), "{url}: {refused:?}");
        assert!(!refused.is_transient());
    }
    assert_eq!(inside.seen(), [""; 0], "nobody was connected to");
}

#[tokio::test]
async fn a_name_that_changes_its_address_after_the_check_leads_nowhere_new() {
    let inside = Server::saying("200 OK", "secret");
    // TEST-NET addresses count as closed; this one is public, and nothing answers there from here.
    let rebinding = vec![addresses(&["198.41.0.254"]), addresses(&["127.0.0.1"])];
    let mixed = vec![addresses(&["127.0.0.1", "198.41.0.254"])];
    let answers = [("rebind.test".to_owned(), rebinding), ("mixed.test".to_owned(), mixed)].into();
    let liar = Arc::new(Liar { answers, ..Liar::default() });
    let client = client(AllowedHosts::none(), Arc::clone(&liar));
    let port = inside.address.port();
    let url: Url = format!("https://rebind.test:{port}/x").parse().unwrap();
    let first = get(&client, &url).await.unwrap_err();
    assert!(first.is_transient(), "the address that was checked is the one that was tried: {first:?}");
    assert_eq!(*liar.asked.lock().unwrap(), ["rebind.test"], "one question, and its answer counts");
    let second = get(&client, &url).await.unwrap_err();
    assert!(matches!(second, GuardedError::Refused { .. }), "{second:?}");
    let mixed: Url = format!("https://mixed.test:{port}/x").parse().unwrap();
    assert!(get(&client, &mixed).await.is_err());
    assert_eq!(inside.seen(), [""; 0], "nobody was connected to");
}

#[tokio::test]
async fn a_redirect_is_checked_like_a_request() {
    let inside = Server::saying("200 OK", "secret");
    let port = inside.address.port();
    let liar = Liar { answers: [("inside.test".into(), vec![addresses(&["127.0.0.1"])])].into(), ..Liar::default() };
    let liar = Arc::new(liar);
    for to in [
        format!("http://127.0.0.1:{port}/x"),
        format!("https://127.0.0.1:{port}/x"),
        format!("https://inside.test:{port}/x"),
        format!("//127.0.0.1:{port}/x"),
        "file:///etc/passwd".to_owned(),
        "http://user:pass@forge/x".to_owned(),
        String::new(),
    ] {
        let outside = Server::redirecting(302, to.clone());
        let refused = get(&client(AllowedHosts::none().typed(&outside.url()), Arc::clone(&liar)), &outside.url()).await;
        let refused = refused.unwrap_err();
        let closed = matches!(refused, GuardedError::Refused { .. } | GuardedError::Redirect { .. });
        assert!(closed && !refused.is_transient(), "{to}: {refused:?}");
    }
    assert_eq!(inside.seen(), [""; 0], "nobody was connected to");
}

#[tokio::test]
async fn a_credential_stays_with_its_origin_and_a_body_too() {
    let allowed = Server::saying("200 OK", "there");
    for status in [301, 302, 303, 307, 308] {
        let first = Server::redirecting(status, allowed.url().to_string());
        let listed = format!("127.0.0.1:{}", allowed.address.port());
        let hosts = AllowedHosts::none().typed(&first.url()).listed([listed.as_str()]);
        let client = client(hosts, Arc::default());
        let answer = get(&client, &first.url()).await.unwrap();
        assert_eq!(answer.url, allowed.url());
        let same_host = Bounds { redirects: Redirects::SameHost, ..BOUNDS };
        let kept = client.fetch(request(Method::GET, first.url()), same_host).await;
        assert!(matches!(kept, Err(GuardedError::Redirect { .. })), "another port is another place");
        let post = client.fetch(request(Method::POST, first.url()), BOUNDS).await;
        assert!(matches!(post, Err(GuardedError::Redirect { .. })), "{status}");
    }
    let seen = allowed.seen().join("\n");
    assert!(seen.contains("GET /x"), "{seen}");
    assert!(!seen.contains("hunter2") && !seen.contains("the-body") && !seen.contains("POST"), "{seen}");
}

#[tokio::test]
async fn within_its_origin_a_request_goes_on_whole() {
    let server = Server::start(|request, stream| {
        let answer = match request.contains("/x HTTP") {
            true => "HTTP/1.1 307 Moved\r\nlocation: /y\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            false => "HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        };
        stream.write_all(answer.as_bytes()).ok();
    });
    let client = client(AllowedHosts::none().typed(&server.url()), Arc::default());
    let answer = client.fetch(request(Method::POST, server.url()), BOUNDS).await.unwrap();
    assert_eq!(answer.status.as_u16(), 201);
    let second = server.seen().pop().unwrap();
    assert!(second.starts_with("POST /y") && second.contains("hunter2") && second.contains("the-body"), "{second}");
}

#[tokio::test]
async fn time_size_and_redirects_are_bounded() {
    let endless = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n").ok();
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let large = get(&client(AllowedHosts::none().typed(&endless.url()), Arc::default()), &endless.url()).await;
    assert!(matches!(large, Err(GuardedError::TooLarge { limit: 1000, .. })), "{large:?}");
    let silent = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab").ok();
        // Keeps the connection until the client goes.
        stream.read_exact(&mut [0]).ok();
    });
    let begun = Instant::now();
    let bounds = Bounds { time: Duration::from_millis(300), ..BOUNDS };
    let silent_client = client(AllowedHosts::none().typed(&silent.url()), Arc::default());
    let late = silent_client.fetch(request(Method::GET, silent.url()), bounds).await;
    assert!(matches!(late, Err(GuardedError::Timeout { .. })), "{late:?}");
    assert!(begun.elapsed() < Duration::from_secs(4));
    let circle = Server::redirecting(302, "/x".to_owned());
    let round = get(&client(AllowedHosts::none().typed(&circle.url()), Arc::default()), &circle.url()).await;
    assert!(matches!(round, Err(GuardedError::Redirect { .. })), "{round:?}");
    let requests = circle.seen().iter().filter(|request| !request.is_empty()).count();
    assert_eq!(requests, 6, "the request and five redirects");
}

#[tokio::test]
async fn an_error_shows_no_query_and_no_credential() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url: Url = format!("http://{closed}/x?token=hunter2#hunter2").parse().unwrap();
    let error = get(&client(AllowedHosts::none().typed(&url), Arc::default()), &url).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    let shown = format!("{:?}", request(Method::POST, url));
    assert!(!shown.contains("hunter2") && !shown.contains("the-body"), "{shown}");
}
