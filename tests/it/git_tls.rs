//! Is a repository read over `https://`, and only where its certificate is trusted?
//!
//! nginx speaks TLS before the plain Git server, with a certificate of `testdata/tls`. Which authorities are trusted is said
//! by the environment, so the test runs its own binary again as a child.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use trueup::git::GitError;

use crate::git::{client, remote, resolve};
use crate::world::backend;
use crate::world::git_server::{GitServer, Repo};
use crate::world::installation::{end, until};

const URL: &str = "TRUEUP_TEST_TLS_URL";
const NGINX: &str = "/usr/sbin/nginx";

/// nginx before a server; ends with the test.
struct Proxy {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn testdata(name: &str) -> String {
    format!("{}/testdata/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

impl Proxy {
    fn before(server: &GitServer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};", at(name)))
            .join("\n");
        let configuration = format!(
            "daemon off; master_process off; pid {}; error_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
             location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_buffering off; }} }} }}\n",
            at("pid"),
            testdata("server.pem"),
            testdata("server.key"),
            server.address
        );
        std::fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
        let child = Command::new(NGINX)
            .args(["-e", "stderr", "-p", &at(""), "-c", &at("nginx.conf")])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let proxy = Proxy { child, port, _folder: folder };
        until("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        proxy
    }
}

/// Nothing by itself: what [`a_repository_is_read_over_tls`] runs with the authority trusted, and without.
#[tokio::test]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let remote = remote(&url);
    let (_mirrors, git) = client();
    match git.resolve_ref(&remote, "main").await {
        Ok(_) => {
            let tip = resolve(&git, &remote, "main").await;
            git.fetch(&remote, &tip).await.unwrap();
            let read = git.read_file(&remote, &tip.commit, "a").await.unwrap();
            println!("read {}", String::from_utf8(read.unwrap()).unwrap());
        }
        Err(GitError::Unreachable { reason, .. }) => println!("refused {reason}"),
        Err(other) => panic!("{other:?}"),
    }
}

fn reads(url: &str, trusted: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "git_tls::child", "--nocapture"])
        .env(URL, url)
        .env("SSL_CERT_FILE", trusted)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn a_repository_is_read_over_tls() {
    if !backend::git() || !backend::available("nginx", Path::new(NGINX).exists()) {
        return;
    }
    let repo = Repo::with("a", "over TLS");
    let server = GitServer::start(repo.folder.path());
    let proxy = Proxy::before(&server);
    let url = format!("https://127.0.0.1:{}/shop/.git", proxy.port);
    let said = reads(&url, Path::new(&testdata("authority.pem")));
    assert!(said.contains("read over TLS"), "{said}");
    assert!(server.seen().len() >= 2, "it was asked, and fetched from");
    // Another authority's certificate is not good enough, and nothing of what was to be asked leaves.
    let said = reads(&url, Path::new("/etc/ssl/certs/ca-certificates.crt"));
    assert!(said.contains("refused") && said.to_lowercase().contains("certificate"), "{said}");
    assert!(server.seen().is_empty(), "an untrusted server was asked");
}
