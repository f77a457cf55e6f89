//! Is what a remote holds read exactly, from every kind of URL, and nothing that must not be?

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use trueup::git::{Credential, Git, GitError, GitSettings, PathRule, Remote, RemoteUrl, ResolvedRef};
use trueup::ids::CommitSha;

use crate::world::backend;
use crate::world::git_server::{GitServer, Mode, Repo};

/// A Git whose mirrors go away with the folder.
pub fn client() -> (tempfile::TempDir, Git) {
    let folder = tempfile::Builder::new().prefix("trueup-mirrors-").tempdir().unwrap();
    let git = Git::new(settings(folder.path()));
    (folder, git)
}

pub fn settings(mirrors: &Path) -> GitSettings {
    let mut settings = GitSettings::new(mirrors.to_owned());
    settings.timeout = Duration::from_secs(20);
    settings.fetch_timeout = Duration::from_secs(60);
    settings
}

pub fn remote(url: &str) -> Remote {
    Remote { url: RemoteUrl::parse(url).unwrap(), credential: None }
}

pub fn with_token(url: &str, token: &str) -> Remote {
    let secret = SecretString::from(token.to_owned());
    Remote { credential: Some(Credential { id: "env://TOKEN".into(), username: None, secret }), ..remote(url) }
}

pub fn sha(text: &str) -> CommitSha {
    text.parse().unwrap()
}

pub async fn resolve(git: &Git, remote: &Remote, reference: &str) -> ResolvedRef {
    git.resolve_ref(remote, reference).await.unwrap().unwrap_or_else(|| panic!("{reference} is not there"))
}

/// Resolves, fetches and reads.
async fn read(git: &Git, remote: &Remote, reference: &str, path: &str) -> Option<String> {
    let resolved = resolve(git, remote, reference).await;
    git.fetch(remote, &resolved).await.unwrap();
    let bytes = git.read_file(remote, &resolved.commit, path).await.unwrap();
    bytes.map(|bytes| String::from_utf8(bytes).unwrap())
}

/// Every way to name one repository on this machine.
fn ways(repo: &Repo, server: &GitServer) -> Vec<(&'static str, Mode, String)> {
    let path = repo.path.display();
    vec![
        ("path", Mode::Serve, path.to_string()),
        ("file", Mode::Serve, format!("file://{path}/.git")),
        ("http v2", Mode::Serve, server.url("shop/.git")),
        ("http v0", Mode::ServeV0, server.url("shop/.git/")),
    ]
}

#[tokio::test]
async fn every_kind_of_ref_reads_over_every_kind_of_url() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", "one");
    let first = repo.git(&["rev-parse", "HEAD"]);
    repo.git(&["tag", "-a", "v1.0.0", "-m", "one"]);
    repo.git(&["tag", "light"]);
    repo.git(&["checkout", "-q", "-b", "feature/x"]);
    let second = repo.commit(".trueup.yml", "two");
    repo.git(&["update-ref", "refs/pull/7/head", &second]);
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["pack-refs", "--all"]);
    let server = GitServer::start(repo.folder.path());
    for (way, mode, url) in ways(&repo, &server) {
        server.mode(mode);
        let (_mirrors, git) = client();
        let remote = remote(&url);
        for (reference, name, commit, content) in [
            ("main", "refs/heads/main", &first, "one"),
            ("HEAD", "refs/heads/main", &first, "one"),
            ("v1.0.0", "refs/tags/v1.0.0", &first, "one"),
            ("light", "refs/tags/light", &first, "one"),
            ("v*", "refs/tags/v1.0.0", &first, "one"),
            ("feature/x", "refs/heads/feature/x", &second, "two"),
            ("refs/heads/feature/x", "refs/heads/feature/x", &second, "two"),
            ("refs/pull/7/head", "refs/pull/7/head", &second, "two"),
            (&second, &second, &second, "two"),
            (&second[..9], &second, &second, "two"),
        ] {
            let resolved = resolve(&git, &remote, reference).await;
            assert_eq!(
                (resolved.full_name.as_str(), resolved.commit.as_str()),
                (name, commit.as_str()),
                "{way} {reference}"
            );
            assert_eq!(
                read(&git, &remote, reference, ".trueup.yml").await.as_deref(),
                Some(content),
                "{way} {reference}"
            );
        }
        assert_eq!(git.resolve_ref(&remote, "nothing").await.unwrap(), None, "{way}");
        assert_eq!(git.resolve_ref(&remote, "a b\n").await.unwrap(), None, "{way}");
        assert_eq!(git.read_file(&remote, &sha(&first), "absent/at/all").await.unwrap(), None, "{way}");
        assert_eq!(git.version_tag(&remote, &sha(&first)).await.unwrap().as_deref(), Some("v1.0.0"), "{way}");
        assert_eq!(git.version_tag(&remote, &sha(&second)).await.unwrap(), None, "{way}");
        assert!(git.is_reachable(&remote, &sha(&first), &sha(&second)).await.unwrap(), "{way}");
        assert!(!git.is_reachable(&remote, &sha(&second), &sha(&first)).await.unwrap(), "{way}");
    }
}

#[tokio::test]
async fn moving_force_pushing_deleting_and_emptiness() {
    if !backend::git() {
        return;
    }
    let repo = Repo::empty();
    let server = GitServer::start(repo.folder.path());
    for (way, mode, url) in ways(&repo, &server) {
        server.mode(mode);
        let (_mirrors, git) = client();
        let remote = remote(&url);
        let branch = format!("b-{}", way.replace(' ', "-"));
        assert_eq!(git.resolve_ref(&remote, &branch).await.unwrap(), None, "{way}: no such branch");
        if way == "path" {
            assert_eq!(git.resolve_ref(&remote, "HEAD").await.unwrap(), None, "{way}: empty");
        }
        repo.git(&["checkout", "-q", "--orphan", &branch]);
        let first = repo.commit("a", "1");
        assert_eq!(read(&git, &remote, &branch, "a").await.as_deref(), Some("1"), "{way}");
        let second = repo.commit("a", "2");
        assert_eq!(read(&git, &remote, &branch, "a").await.as_deref(), Some("2"), "{way}");
        repo.git(&["commit", "-q", "--amend", "-m", "rewritten"]);
        let third = repo.commit("a", "3");
        assert_eq!(read(&git, &remote, &branch, "a").await.as_deref(), Some("3"), "{way}");
        assert!(git.is_reachable(&remote, &sha(&first), &sha(&third)).await.unwrap(), "{way}");
        assert!(!git.is_reachable(&remote, &sha(&second), &sha(&third)).await.unwrap(), "{way}: rewritten away");
        repo.git(&["checkout", "-q", "--detach"]);
        repo.git(&["branch", "-q", "-D", &branch]);
        assert_eq!(git.resolve_ref(&remote, &branch).await.unwrap(), None, "{way}: deleted");
        // A branch beneath where one was: names must not be in each other's way.
        repo.git(&["branch", &format!("{branch}/below")]);
        assert_eq!(read(&git, &remote, &format!("{branch}/below"), "a").await.as_deref(), Some("3"), "{way}");
    }
}

#[tokio::test]
async fn links_submodules_folders_dots_and_giants_are_refused() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with("real/file", "x");
    std::os::unix::fs::symlink("/etc/passwd", repo.path.join("link")).unwrap();
    std::os::unix::fs::symlink("real", repo.path.join("folder-link")).unwrap();
    std::fs::write(repo.path.join("giant"), vec![b'x'; 256 * 1024 + 1]).unwrap();
    let inner = repo.git(&["rev-parse", "HEAD"]);
    repo.git(&["add", "-A"]);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{inner},module")]);
    repo.git(&["commit", "-q", "-m", "traps"]);
    let (_mirrors, git) = client();
    let remote = remote(&repo.path.display().to_string());
    let tip = resolve(&git, &remote, "main").await;
    git.fetch(&remote, &tip).await.unwrap();
    for (path, expected) in [
        ("link", PathRule::Symlink),
        ("link/below", PathRule::Symlink),
        ("folder-link/file", PathRule::Symlink),
        ("module", PathRule::Submodule),
        ("module/.trueup.yml", PathRule::Submodule),
        ("real", PathRule::Folder),
        ("../shop/real/file", PathRule::Unsafe),
        ("real/../real/file", PathRule::Unsafe),
        ("/etc/passwd", PathRule::Unsafe),
        ("real//file", PathRule::Unsafe),
        ("", PathRule::Unsafe),
        ("./real/file", PathRule::Unsafe),
    ] {
        match git.read_file(&remote, &tip.commit, path).await {
            Err(GitError::Path { rule, .. }) => assert_eq!(rule, expected, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    let giant = git.read_file(&remote, &tip.commit, "giant").await;
    assert!(matches!(giant, Err(GitError::TooLarge { limit: 262_144, .. })), "{giant:?}");
    let paths: Vec<(String, u32)> =
        git.tree(&remote, &tip.commit).await.unwrap().into_iter().map(|entry| (entry.path, entry.mode)).collect();
    let expected = [
        ("folder-link", 0o120_000),
        ("giant", 0o100_644),
        ("link", 0o120_000),
        ("module", 0o160_000),
        ("real/file", 0o100_644),
    ];
    assert_eq!(paths, expected.map(|(path, mode)| (path.to_owned(), mode)));
}

#[tokio::test]
async fn a_commit_that_was_never_fetched_or_does_not_exist_is_an_error_not_an_absence() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with("a", "1");
    let server = GitServer::start(repo.folder.path());
    for (way, mode, url) in ways(&repo, &server) {
        server.mode(mode);
        let (_mirrors, git) = client();
        let remote = remote(&url);
        let nowhere = "1".repeat(40);
        let unread = git.read_file(&remote, &sha(&nowhere), "a").await;
        assert!(matches!(unread, Err(GitError::NotFetched { .. })), "{way}: {unread:?}");
        let resolved = resolve(&git, &remote, &nowhere).await;
        let unfetched = git.fetch(&remote, &resolved).await;
        assert!(matches!(unfetched, Err(GitError::NoCommit { .. })), "{way}: {unfetched:?}");
        let unread = git.tree(&remote, &sha(&nowhere)).await;
        assert!(matches!(unread, Err(GitError::NotFetched { .. })), "{way}: {unread:?}");
    }
}

#[tokio::test]
async fn a_checkout_has_the_files_and_nothing_that_leaves_it() {
    use std::os::unix::fs::PermissionsExt;
    if !backend::git() {
        return;
    }
    let repo = Repo::with("bin/run", "#!/bin/sh\n");
    std::fs::set_permissions(repo.path.join("bin/run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("../bin/run", repo.path.join("bin/again")).unwrap();
    let good = repo.commit("docs/a.md", "hello");
    let (mirrors, git) = client();
    let remote = remote(&repo.path.display().to_string());
    let tip = resolve(&git, &remote, "main").await;
    git.fetch(&remote, &tip).await.unwrap();
    let into = mirrors.path().join("out");
    git.checkout(&remote, &sha(&good), &into).await.unwrap();
    assert_eq!(std::fs::read_to_string(into.join("docs/a.md")).unwrap(), "hello");
    assert_eq!(std::fs::read_to_string(into.join("bin/again")).unwrap(), "#!/bin/sh\n");
    assert_eq!(std::fs::metadata(into.join("bin/run")).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(!into.join(".git").exists());
    let again = git.checkout(&remote, &sha(&good), &into).await;
    assert!(matches!(again, Err(GitError::Disk { .. })), "a full directory is not touched: {again:?}");
    for (name, target, expected) in [
        ("leaves", "../../x", PathRule::SymlinkLeaves),
        ("absolute", "/etc", PathRule::SymlinkLeaves),
        ("lfs", "", PathRule::LfsPointer),
    ] {
        repo.git(&["checkout", "-q", "-B", name, &good]);
        if target.is_empty() {
            std::fs::write(repo.path.join(name), "version https://git-lfs.github.com/spec/v1\noid sha256:0\n").unwrap();
        } else {
            std::os::unix::fs::symlink(target, repo.path.join(name)).unwrap();
        }
        repo.commit_all();
        refused_checkout(&git, &remote, name, expected, &mirrors.path().join(name)).await;
    }
    repo.git(&["checkout", "-q", "-B", "module", &good]);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{good},module")]);
    repo.git(&["commit", "-q", "-m", "module"]);
    refused_checkout(&git, &remote, "module", PathRule::Submodule, &mirrors.path().join("module")).await;
}

async fn refused_checkout(git: &Git, remote: &Remote, branch: &str, expected: PathRule, into: &Path) {
    let tip = resolve(git, remote, branch).await;
    git.fetch(remote, &tip).await.unwrap();
    match git.checkout(remote, &tip.commit, into).await {
        Err(GitError::Path { path, rule }) => assert_eq!((path.as_str(), rule), (branch, expected)),
        other => panic!("{branch}: {other:?}"),
    }
    assert!(!into.exists(), "a refused checkout leaves nothing");
    let left = std::fs::read_dir(into.parent().unwrap()).unwrap();
    assert!(left.flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with(".checkout-")));
}
