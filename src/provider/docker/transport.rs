//! Connections to an Engine: a Unix socket, TCP with or without TLS, or another machine's through ssh.
//!
//! Connections are kept and used again. Must not know what is asked over them.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{BollardRequest, ClientVersion, Docker};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::settings::Address;

/// The Engine API version that is asked for first; the Engine's own, where it is older, is negotiated.
const WANTED: ClientVersion = ClientVersion { major_version: 1, minor_version: 51 };

/// A ceiling for the client library; every call has its own, shorter limit.
const CEILING: u64 = 8 * 24 * 3_600;

/// How long a connection may idle before it is closed.
const IDLE: Duration = Duration::from_secs(90);

/// A client for the Engine at `address`. Connects on first use.
pub(super) fn client(address: &Address) -> Result<Docker, Error> {
    match address {
        Address::Unix(path) => pooled(Dial::Unix(path.clone())),
        Address::Ssh { program, destination, port } => {
            pooled(Dial::Ssh { program: program.clone(), destination: destination.clone(), port: *port })
        }
        Address::Tcp { authority, tls: None } => {
            Docker::connect_with_http(&format!("tcp://{authority}"), CEILING, &WANTED)
        }
        Address::Tcp { authority, tls: Some(tls) } => {
            Docker::connect_with_ssl(&format!("tcp://{authority}"), &tls.key, &tls.cert, &tls.ca, CEILING, &WANTED)
        }
    }
}

fn pooled(dial: Dial) -> Result<Docker, Error> {
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(4)
        .build(Connector { dial: Arc::new(dial) });
    let transport = move |request: BollardRequest| {
        let answer = client.request(request);
        async move { answer.await.map_err(Error::from) }
    };
    Docker::connect_with_custom_transport(transport, Some("http://docker"), CEILING, &WANTED)
}

/// What one connection takes.
#[derive(Debug)]
enum Dial {
    Unix(PathBuf),
    Ssh { program: String, destination: String, port: Option<u16> },
}

#[derive(Clone, Debug)]
struct Connector {
    dial: Arc<Dial>,
}

impl tower::Service<hyper::Uri> for Connector {
    type Response = TokioIo<Line>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Line>, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: hyper::Uri) -> Self::Future {
        let dial = Arc::clone(&self.dial);
        Box::pin(async move {
            let line = match &*dial {
                Dial::Unix(path) => unix(path).await?,
                Dial::Ssh { program, destination, port } => ssh(program, destination, *port)?,
            };
            Ok(TokioIo::new(line))
        })
    }
}

async fn unix(path: &Path) -> io::Result<Line> {
    UnixStream::connect(path).await.map(Line::Unix)
}

/// The ssh program carries the connection: keys, agents, known hosts and jump hosts are those of the daemon's user.
fn ssh(program: &str, destination: &str, port: Option<u16>) -> io::Result<Line> {
    let mut command = Command::new(program);
    command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-T"]);
    if let Some(port) = port {
        command.arg("-p").arg(port.to_string());
    }
    command.args(["--", destination, "docker", "system", "dial-stdio"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("ssh was started without its pipes"));
    };
    Ok(Line::Ssh(Box::new(SshLine { stdin, stdout, _child: child })))
}

/// One connection.
enum Line {
    Unix(UnixStream),
    Ssh(Box<SshLine>),
}

struct SshLine {
    stdin: ChildStdin,
    stdout: ChildStdout,
    // Killed when the connection goes.
    _child: Child,
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Line::Ssh(line) => Pin::new(&mut line.stdout).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Line::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Line::Ssh(line) => Pin::new(&mut line.stdin).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Line::Ssh(line) => Pin::new(&mut line.stdin).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Line::Ssh(line) => Pin::new(&mut line.stdin).poll_shutdown(cx),
        }
    }
}
