//! `trueup sample-server`: the service of the quickstart's sample repository. Hidden, as it is of no other use.
//!
//! Answers `GET /healthz` with `ok` and everything else with `GREETING`, on `PORT`, to the loopback address only.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::cli::Outcome;

/// A tiny HTTP server: the sample repository's service
#[derive(Debug, Args)]
pub(super) struct SampleServer {
    /// The port to listen on
    #[arg(long, env = "PORT")]
    port: u16,
    /// What to answer
    #[arg(long, env = "GREETING", default_value = "hello")]
    greeting: String,
}

/// How long one exchange may take.
const EXCHANGE: Duration = Duration::from_secs(2);
/// How much of a request is read, in bytes.
const REQUEST_LIMIT: u64 = 8 << 10;

/// Serves until it is ended by a signal.
pub(super) fn run(verb: &SampleServer) -> anyhow::Result<Outcome> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, verb.port))
        .with_context(|| format!("port {} cannot be listened on", verb.port))?;
    for stream in listener.incoming() {
        // A caller that hangs up midway is its own affair; the next one is served all the same.
        match stream.and_then(|stream| answer(stream, &verb.greeting)) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(error) => writeln!(std::io::stderr(), "an exchange broke off: {error}")?,
        }
    }
    Ok(Outcome::Done)
}

fn answer(stream: TcpStream, greeting: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(EXCHANGE))?;
    stream.set_write_timeout(Some(EXCHANGE))?;
    let mut lines = BufReader::new((&stream).take(REQUEST_LIMIT)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The headers say nothing of interest, but a caller may not like it when they are left unread.
    for header in lines {
        if header?.is_empty() {
            break;
        }
    }
    let body = if request.split_whitespace().nth(1) == Some("/healthz") { "ok" } else { greeting };
    let length = body.len() + 1;
    write!(
        &stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}\n"
    )
}
