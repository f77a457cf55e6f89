//! Probes of a replica over the loopback: it listens on the port that it was given, on this machine.

use std::net::Ipv4Addr;
use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::provider::ProbeOutcome;

/// Whether something accepts connections.
pub(super) async fn tcp(port: u16, timeout: Duration) -> ProbeOutcome {
    match tokio::time::timeout(timeout, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await {
        Ok(Ok(_stream)) => ProbeOutcome::Passed,
        Ok(Err(error)) => ProbeOutcome::Failed(format!("nothing accepts connections on 127.0.0.1:{port}: {error}")),
        Err(_elapsed) => late(port, timeout),
    }
}

/// Whether a GET is answered with 200 to 399.
pub(super) async fn http(port: u16, path: &str, timeout: Duration) -> ProbeOutcome {
    match tokio::time::timeout(timeout, get(port, path)).await {
        Ok(Ok(status)) if (200..400).contains(&status) => ProbeOutcome::Passed,
        Ok(Ok(status)) => ProbeOutcome::Failed(format!("GET {path} on 127.0.0.1:{port} was answered with {status}")),
        Ok(Err(why)) => ProbeOutcome::Failed(format!("GET {path} on 127.0.0.1:{port}: {why}")),
        Err(_elapsed) => late(port, timeout),
    }
}

fn late(port: u16, timeout: Duration) -> ProbeOutcome {
    ProbeOutcome::Failed(format!("no answer from 127.0.0.1:{port} within {} ms", timeout.as_millis()))
}

async fn get(port: u16, path: &str) -> Result<u16, String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = Request::get(path)
        .header("host", format!("127.0.0.1:{port}"))
        .header("user-agent", concat!("trueup/", env!("CARGO_PKG_VERSION")))
        .header("connection", "close")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|error| error.to_string())?;
    // The head is enough: the body is left unread, and the connection ends with this function.
    let mut driving = tokio::task::JoinSet::new();
    driving.spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    Ok(response.status().as_u16())
}
