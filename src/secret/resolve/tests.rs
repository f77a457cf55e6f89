//! What counts as a secret's value, and that nothing is handed out unseen.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use secrecy::ExposeSecret;

use super::{Fingerprinter, SecretError, Secrets, Witness};
use crate::secret::AuthRef;

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    broken: bool,
}

#[async_trait]
impl Witness for Log {
    async fn resolved(
        &self,
        reference: &AuthRef,
        purpose: &str,
        actor: &str,
        failed: Option<&str>,
    ) -> Result<(), String> {
        if self.broken {
            return Err("disk full".into());
        }
        let line = format!("{actor} {reference} {purpose} {}", failed.unwrap_or("ok"));
        self.lines.lock().expect("lock").push(line);
        Ok(())
    }
}

fn secrets(log: &Arc<Log>) -> Secrets {
    Secrets::with_fingerprinter(log.clone(), Fingerprinter::with_key(b"key"))
}

fn file(directory: &Path, name: &str, content: &[u8], mode: u32) -> AuthRef {
    let path = directory.join(name);
    std::fs::write(&path, content).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    format!("file://{}", path.display()).parse().expect("valid")
}

async fn resolve(reference: &AuthRef) -> Result<String, SecretError> {
    let log = Arc::new(Log::default());
    secrets(&log).resolve(reference, "a test", "someone").await.map(|value| value.expose_secret().to_owned())
}

#[tokio::test]
async fn files_lose_one_line_end_and_nothing_else() {
    let directory = tempfile::TempDir::new().expect("directory");
    for (content, value) in
        [("s3cret", "s3cret"), ("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), (" a\nb \n\n", " a\nb \n"), ("é", "é")]
    {
        let reference = file(directory.path(), "secret", content.as_bytes(), 0o600);
        assert_eq!(resolve(&reference).await.expect("resolved"), value);
    }
    let shared = file(directory.path(), "group", b"x", 0o640);
    assert_eq!(resolve(&shared).await.expect("a group may share a secret"), "x");
}

#[tokio::test]
async fn a_secret_that_cannot_be_masked_is_given_to_no_service() {
    let directory = tempfile::TempDir::new().expect("directory");
    let log = Arc::new(Log::default());
    let secrets = secrets(&log);
    let short = file(directory.path(), "short", b"pin", 0o600);
    let refused = secrets.resolve_for_service(&short, "a test", "someone").await.expect_err("too short").to_string();
    assert!(refused.contains("fewer than 4 bytes") && !refused.contains("pin,"), "{refused}");
    assert!(secrets.resolve(&short, "a repository", "someone").await.is_ok(), "nothing prints a repository's");
    let long = file(directory.path(), "long", b"pins", 0o600);
    assert!(secrets.resolve_for_service(&long, "a test", "someone").await.is_ok());
}

#[tokio::test]
async fn what_is_no_secret_is_refused_without_showing_it() {
    let directory = tempfile::TempDir::new().expect("directory");
    let at = directory.path();
    for (name, content, mode) in [
        ("world", b"s3cret".to_vec(), 0o604),
        ("writable", b"s3cret".to_vec(), 0o602),
        ("empty", b"\n".to_vec(), 0o600),
        ("binary", b"s3cret\xff".to_vec(), 0o600),
        ("nul", b"s3cret\0".to_vec(), 0o600),
        ("long", "s3cret".repeat(20_000).into_bytes(), 0o600),
    ] {
        let refused = resolve(&file(at, name, &content, mode)).await.expect_err(name).to_string();
        assert!(!refused.contains("s3cret") && refused.contains(name), "{refused}");
    }
    let open = resolve(&file(at, "world", b"x", 0o644)).await.expect_err("open").to_string();
    assert!(open.contains("chmod o="), "{open}");
    for path in ["missing", "."] {
        let reference: AuthRef = format!("file://{}/{path}", at.display()).parse().expect("valid");
        assert!(resolve(&reference).await.is_err(), "{path}");
    }
    let fifo = at.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .expect("mkfifo");
    let reference: AuthRef = format!("file://{}", fifo.display()).parse().expect("valid");
    assert!(matches!(resolve(&reference).await, Err(SecretError::Invalid { .. })), "a FIFO must not block");
    let unset: AuthRef = "env://TRUEUP_TEST_NEVER_SET".parse().expect("valid");
    assert!(matches!(resolve(&unset).await, Err(SecretError::NotSet(_))));
}

#[tokio::test]
async fn every_resolution_is_witnessed_or_refused() {
    let log = Arc::new(Log::default());
    let path: AuthRef = "env://PATH".parse().expect("valid");
    let unset: AuthRef = "env://TRUEUP_TEST_NEVER_SET".parse().expect("valid");
    assert!(secrets(&log).resolve(&path, "shop/production: path", "daemon").await.is_ok());
    assert!(secrets(&log).resolve(&unset, "shop/production: x", "daemon").await.is_err());
    let lines = log.lines.lock().expect("lock").clone();
    assert_eq!(lines[0], "daemon env://PATH shop/production: path ok");
    assert!(lines[1].contains("TRUEUP_TEST_NEVER_SET has no value"), "{}", lines[1]);

    let broken = Arc::new(Log { broken: true, ..Log::default() });
    let refused = secrets(&broken).resolve(&path, "a test", "daemon").await;
    assert!(matches!(refused, Err(SecretError::Unaudited { .. })), "nothing is handed out unseen");
}
