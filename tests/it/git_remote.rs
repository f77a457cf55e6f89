//! Does a server that hangs, lies, redirects or breaks off cost more than an error within the deadline? Does a
//! credential ever go where it must not?

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trueup::git::{Git, GitError, GitSettings};

use crate::git::{client, remote, resolve, settings, sha, with_token};
use crate::world::backend;
use crate::world::git_server::{GitServer, Mode, Repo};

/// Impatient, so that the tests are not slow.
fn impatient(mirrors: &std::path::Path) -> Git {
    Git::new(GitSettings {
        timeout: Duration::from_millis(700),
        fetch_timeout: Duration::from_secs(3),
        max_mirror_bytes: 4 * 1024 * 1024,
        ..settings(mirrors)
    })
}

#[tokio::test]
async fn a_server_that_misbehaves_costs_an_error_within_the_deadline() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with("a", "1");
    let server = GitServer::start(repo.folder.path());
    let remote = remote(&server.url("shop/.git"));
    let flood = {
        let line = format!("{} refs/heads/{}", "1".repeat(40), "x".repeat(60_000));
        format!("{:04x}{line}", line.len() + 4).repeat(1_200).into_bytes()
    };
    let advertisement = b"000eversion 2\n0012fetch=shallow\n0000".to_vec();
    let cut = {
        let line = format!("{} refs/heads/main\0side-band-64k\n", "1".repeat(40));
        format!("001e# service=git-upload-pack\n0000{:04x}{line}", line.len() + 4).into_bytes()
    };
    let html = Some("text/html; charset=utf-8");
    type Expected = fn(&GitError) -> bool;
    let cases: Vec<(&str, Mode, Expected)> = vec![
        ("hangs", Mode::Hang, |error| matches!(error, GitError::Timeout { .. })),
        ("hangs amid", Mode::HangAfter(10), |error| matches!(error, GitError::Timeout { .. })),
        ("breaks off", Mode::Truncate(10), |error| {
            matches!(error, GitError::Unreachable { .. } | GitError::Protocol { .. })
        }),
        ("500", Mode::Status(500), |error| matches!(error, GitError::Server { transient: true, .. })),
        ("418", Mode::Status(418), |error| matches!(error, GitError::Server { transient: false, .. })),
        ("401", Mode::Status(401), |error| matches!(error, GitError::Authentication { .. })),
        ("404", Mode::Status(404), |error| matches!(error, GitError::NoRepository { .. })),
        ("a web page", Mode::Say(b"<html>".to_vec(), html), |error| matches!(error, GitError::Protocol { .. })),
        ("nonsense", Mode::Say(b"\xff\xfe\x00garbage".to_vec(), None), |error| {
            matches!(error, GitError::Protocol { .. })
        }),
        ("nothing", Mode::Say(Vec::new(), None), |error| matches!(error, GitError::Protocol { .. })),
        ("its capabilities for ever", Mode::Say(advertisement, None), |error| {
            matches!(error, GitError::Protocol { .. })
        }),
        ("a list that is cut between two refs", Mode::Say(cut, None), |error| {
            matches!(error, GitError::Protocol { .. })
        }),
        ("an error", Mode::Say(b"0010ERR go away\n".to_vec(), None), |error| matches!(error, GitError::Server { .. })),
        ("a flood of refs", Mode::Say(flood, None), |error| {
            matches!(error, GitError::TooLarge { .. } | GitError::Protocol { .. } | GitError::Timeout { .. })
        }),
    ];
    for (name, mode, expected) in cases {
        for known in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let git = impatient(folder.path());
            if known {
                server.mode(Mode::Serve);
                resolve(&git, &remote, "main").await;
            }
            server.mode(mode.clone());
            let begun = Instant::now();
            let error = git.resolve_ref(&remote, "main").await.expect_err(name);
            assert!(expected(&error), "{name} (known: {known}): {error:?}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{name}: {:?}", begun.elapsed());
            server.mode(Mode::Serve);
            resolve(&git, &remote, "main").await;
        }
    }
}

#[tokio::test]
async fn a_fetch_that_is_cut_or_too_large_leaves_the_mirror_whole() {
    if !backend::git() {
        return;
    }
    let repo = Repo::incompressible(300_000);
    let server = GitServer::start(repo.folder.path());
    let remote = remote(&server.url("shop/.git"));
    let folder = tempfile::tempdir().unwrap();
    let git = impatient(folder.path());
    let tip = resolve(&git, &remote, "main").await;
    for mode in [Mode::Truncate(100_000), Mode::HangAfter(100_000)] {
        server.mode(mode.clone());
        let error = git.fetch(&remote, &tip).await.unwrap_err();
        assert!(error.is_transient(), "{mode:?}: {error:?}");
        let unread = git.tree(&remote, &tip.commit).await;
        assert!(matches!(unread, Err(GitError::NotFetched { .. })), "{mode:?}: {unread:?}");
    }
    server.mode(Mode::Serve);
    let small = tempfile::tempdir().unwrap();
    let tight = Git::new(GitSettings { max_mirror_bytes: 100_000, ..settings(small.path()) });
    let error = tight.fetch(&remote, &tip).await.unwrap_err();
    assert!(matches!(error, GitError::TooLarge { limit: 100_000, .. }), "{error:?}");
    git.fetch(&remote, &tip).await.unwrap();
    assert_eq!(git.tree(&remote, &tip.commit).await.unwrap().len(), 1);
}

#[tokio::test]
async fn redirects_lead_only_within_the_typed_host_and_never_carry_the_credential_away() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with("a", "1");
    let server = GitServer::start(repo.folder.path());
    let other = GitServer::start(repo.folder.path());
    server.demand("x-access-token", "hunter2");
    let remote = with_token(&server.url("old/.git"), "hunter2");
    for target in [
        other.url(""),
        format!("http://localhost:{}/", server.address.port()),
        "http://169.254.169.254/latest/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "https://example.org/".to_owned(),
        "file:///etc/".to_owned(),
    ] {
        let (_mirrors, git) = client();
        server.mode(Mode::Redirect("/old/".into(), target.clone()));
        let error = git.resolve_ref(&remote, "main").await.unwrap_err();
        assert!(matches!(error, GitError::Redirect { .. }), "{target}: {error:?}");
        assert!(!error.to_string().contains("hunter2"));
    }
    assert!(other.seen().is_empty(), "the other server was asked");
    // Within the host, a renamed repository is followed, and its new place remembered.
    let (_mirrors, git) = client();
    server.mode(Mode::Redirect("/old/".into(), "/shop/".into()));
    let tip = resolve(&git, &remote, "main").await;
    server.seen();
    git.fetch(&remote, &tip).await.unwrap();
    assert!(server.seen().iter().all(|request| request.path.starts_with("/shop/.git/git-upload-pack")));
    let around = with_token(&server.url("loop/.git"), "hunter2");
    server.mode(Mode::Redirect("/loop/".into(), "/loop/".into()));
    assert!(matches!(git.resolve_ref(&around, "main").await, Err(GitError::Protocol { .. })));
}

#[tokio::test]
async fn a_credential_shows_in_no_log_no_error_no_file_and_no_debug() {
    if !backend::git() {
        return;
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let token = "ghp_hunter2hunter2";
    let repo = Repo::with("a", "1");
    let server = GitServer::start(repo.folder.path());
    server.demand("x-access-token", token);
    let (mirrors, git) = client();
    let url = server.url("shop/.git");
    let right = with_token(&url, token);
    let tip = resolve(&git, &right, "main").await;
    git.fetch(&right, &tip).await.unwrap();
    assert_eq!(git.read_file(&right, &tip.commit, "a").await.unwrap().as_deref(), Some(&b"1"[..]));
    let mut told = format!("{right:?} {git:?} {:?}", right.credential);
    for remote in [remote(&url), with_token(&url, "wrong-hunter2")] {
        let error = git.resolve_ref(&remote, "main").await.unwrap_err();
        assert!(matches!(error, GitError::Authentication { .. }), "{error:?}");
        told.push_str(&format!("{error} {error:?}"));
    }
    server.mode(Mode::Status(500));
    let error = git.resolve_ref(&right, "main").await.unwrap_err();
    told.push_str(&format!("{error} {error:?}"));
    drop(server);
    let error = git.resolve_ref(&right, "main").await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }), "{error:?}");
    told.push_str(&format!("{error} {error:?}"));
    told.push_str(&String::from_utf8_lossy(&log.0.lock().unwrap()));
    let encoded = "eC1hY2Nlc3MtdG9rZW46"; // the header's beginning: base64 of `x-access-token:`
    assert!(!told.contains("hunter2") && !told.contains(encoded), "{told}");
    let grep = std::process::Command::new("grep").args(["-r", "hunter2"]).arg(mirrors.path()).output().unwrap();
    assert!(grep.stdout.is_empty(), "{}", String::from_utf8_lossy(&grep.stdout));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_thousand_refs_are_asked_for_one_at_a_time_with_one_request() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with("a", "1");
    let commit = repo.git(&["rev-parse", "HEAD"]);
    for number in 0..1_000 {
        let folder = repo.path.join(format!(".git/refs/heads/topic/{number}"));
        std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
        std::fs::write(folder, format!("{commit}\n")).unwrap();
    }
    let server = GitServer::start(repo.folder.path());
    let remote = remote(&server.url("shop/.git"));
    let (_mirrors, git) = client();
    // Also where a known server is replaced by an older one.
    for mode in [Mode::Serve, Mode::ServeV0, Mode::Serve] {
        server.mode(mode);
        for number in [0, 7, 999] {
            let tip = resolve(&git, &remote, &format!("topic/{number}")).await;
            assert_eq!(tip.commit, sha(&commit));
        }
    }
    server.seen();
    resolve(&git, &remote, "topic/500").await;
    let seen = server.seen();
    let requests: Vec<&str> = seen.iter().map(|request| request.method.as_str()).collect();
    assert_eq!(requests, ["POST"], "a known server is asked once");
    // It is told which ref is meant, so that it does not list the other thousand.
    let body = String::from_utf8_lossy(&seen[0].body);
    let prefixes: Vec<&str> = body.split("ref-prefix ").skip(1).map(|rest| rest.lines().next().unwrap()).collect();
    assert!(prefixes.contains(&"refs/heads/topic/500"), "{body}");
    assert!(prefixes.iter().all(|prefix| prefix.ends_with("topic/500")), "{body}");
}

#[tokio::test]
async fn plain_http_goes_to_loopback_only() {
    let (_mirrors, git) = client();
    let error = git.resolve_ref(&remote("http://git.acme.invalid/shop"), "main").await.unwrap_err();
    assert!(matches!(error, GitError::NotAllowed { .. }), "{error:?}");
    assert!(git.check_url(&remote("http://127.0.0.1/shop").url).is_ok());
}

/// A server may say again what it was told; what is stored and shown of it holds no credential.
#[tokio::test]
async fn a_server_that_says_the_credential_again_is_quoted_without_it() {
    use base64::Engine as _;
    if !backend::git() {
        return;
    }
    let repo = Repo::with("a", "1");
    let server = GitServer::start(repo.folder.path());
    let token = "a-token-that-nobody-may-see";
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
    // Once, and so often that what is kept of it is cut somewhere within.
    for times in [1, 20] {
        server.mode(Mode::Echo(times));
        let (_folder, git) = client();
        let error = git.resolve_ref(&with_token(&server.url("shop/.git"), token), "main").await.unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(said.contains("Basic ***"), "{said}");
        for end in 8..basic.len() {
            assert!(!said.contains(&basic[..end]), "{said}");
        }
        assert!(!said.contains(token), "{said}");
    }
}
