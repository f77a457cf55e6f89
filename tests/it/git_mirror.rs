//! Do mirrors survive a crash, damage, growth and sharing?

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use trueup::git::{Git, GitError, GitSettings};

use crate::git::{client, remote, resolve, settings, with_token};
use crate::world::backend;
use crate::world::git_server::{GitServer, Mode, Repo};

/// The one mirror in a folder of mirrors.
fn mirror(mirrors: &Path) -> PathBuf {
    let mut folders = std::fs::read_dir(mirrors).unwrap().map(|entry| entry.unwrap().path());
    let only = folders.next().expect("a mirror");
    assert_eq!(folders.next(), None, "one mirror only");
    only
}

fn packs(mirrors: &Path) -> Vec<PathBuf> {
    let folder = mirror(mirrors).join("repo.git/objects/pack");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "pack")).collect()
}

#[tokio::test]
async fn what_is_there_is_not_fetched_again_and_credentials_do_not_share() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with("a", "1");
    let server = GitServer::start(repo.folder.path());
    let url = server.url("shop/.git");
    let (mirrors, git) = client();
    let public = remote(&url);
    let tip = resolve(&git, &public, "main").await;
    git.fetch(&public, &tip).await.unwrap();
    server.seen();
    git.fetch(&public, &tip).await.unwrap();
    git.clone().fetch(&remote(&url), &tip).await.unwrap();
    assert!(server.seen().is_empty(), "the server was asked for what is here");
    mirror(mirrors.path());
    let other = with_token(&url, "token");
    let unread = git.read_file(&other, &tip.commit, "a").await;
    assert!(matches!(unread, Err(GitError::NotFetched { .. })), "{unread:?}");
    git.fetch(&other, &tip).await.unwrap();
    assert_eq!(std::fs::read_dir(mirrors.path()).unwrap().count(), 2);
    git.keep_only(std::slice::from_ref(&other)).await.unwrap();
    mirror(mirrors.path());
    assert!(git.read_file(&other, &tip.commit, "a").await.unwrap().is_some());
    assert!(git.read_file(&public, &tip.commit, "a").await.is_err());
}

#[tokio::test]
async fn many_fetches_leave_few_packs_and_every_object() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with("a", "0");
    let server = GitServer::start(repo.folder.path());
    for url in [server.url("shop/.git"), repo.path.display().to_string()] {
        let (mirrors, git) = client();
        let remote = remote(&url);
        let mut commits = Vec::new();
        for number in 0..40 {
            repo.commit("a", &format!("{url} {number}"));
            let tip = resolve(&git, &remote, "main").await;
            git.fetch(&remote, &tip).await.unwrap();
            commits.push(tip.commit);
        }
        assert!(packs(mirrors.path()).len() <= 17, "{:?}", packs(mirrors.path()).len());
        for (number, commit) in commits.iter().enumerate() {
            let read = git.read_file(&remote, commit, "a").await.unwrap().unwrap();
            assert_eq!(String::from_utf8(read).unwrap(), format!("{url} {number}"));
        }
        let check = crate::world::git_server::git(&mirror(mirrors.path()).join("repo.git"))
            .args(["fsck", "--full", "--strict"])
            .output()
            .unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    }
}

#[tokio::test]
async fn a_mirror_that_outgrows_its_bound_is_built_anew_from_what_is_tracked() {
    if !backend::git() {
        return;
    }
    let noise = |seed: u64| -> String {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        (0..3_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                format!("{state:016x}")
            })
            .collect()
    };
    let repo = Repo::with("a", "0");
    let server = GitServer::start(repo.folder.path());
    let folder = tempfile::tempdir().unwrap();
    let git = Git::new(GitSettings { max_mirror_bytes: 100_000, ..settings(folder.path()) });
    let remote = remote(&server.url("shop/.git"));
    for round in 0..8 {
        repo.git(&["checkout", "-q", "--orphan", &format!("round-{round}")]);
        repo.commit("a", &noise(round + 1));
        let tip = resolve(&git, &remote, &format!("round-{round}")).await;
        git.fetch(&remote, &tip).await.unwrap();
        assert!(git.read_file(&remote, &tip.commit, "a").await.unwrap().is_some());
        let size: u64 = packs(folder.path()).iter().map(|pack| pack.metadata().unwrap().len()).sum();
        assert!(size <= 100_000, "{size}");
    }
}

#[tokio::test]
async fn debris_and_damage_are_mended_by_the_next_fetch() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with("a", "1");
    let server = GitServer::start(repo.folder.path());
    let remote = remote(&server.url("shop/.git"));
    let (mirrors, git) = client();
    let first = resolve(&git, &remote, "main").await;
    git.fetch(&remote, &first).await.unwrap();
    let home = mirror(mirrors.path());
    let tracked = std::fs::read_dir(home.join("repo.git/refs/tracked")).unwrap().next().unwrap().unwrap().path();
    for debris in ["incoming-x", "repo.git/HEAD.lock", "repo.git/packed-refs.lock", "repo.git/objects/pack/.tmpabc"] {
        std::fs::write(home.join(debris), "debris").unwrap();
    }
    std::fs::write(tracked.with_extension("lock"), "debris").unwrap();
    std::fs::write(home.join("repo.git/objects/pack/pack-torn.pack"), "PACK").unwrap();
    repo.commit("a", "2");
    let second = resolve(&git, &remote, "main").await;
    git.fetch(&remote, &second).await.unwrap();
    assert_eq!(git.read_file(&remote, &second.commit, "a").await.unwrap().as_deref(), Some(&b"2"[..]));
    assert!(!home.join("incoming-x").exists() && !home.join("repo.git/objects/pack/pack-torn.pack").exists());
    // Flipped bytes within every pack: reading says so, and the next fetch builds it anew.
    for pack in packs(mirrors.path()) {
        let mut bytes = std::fs::read(&pack).unwrap();
        let length = bytes.len();
        bytes[12..length - 20].fill(0xff);
        let mut permissions = std::fs::metadata(&pack).unwrap().permissions();
        #[allow(clippy::permissions_set_readonly_false)]
        permissions.set_readonly(false);
        std::fs::set_permissions(&pack, permissions).unwrap();
        std::fs::write(&pack, bytes).unwrap();
    }
    let unread = git.read_file(&remote, &second.commit, "a").await;
    assert!(matches!(unread, Err(GitError::Damaged { .. })), "{unread:?}");
    git.fetch(&remote, &second).await.unwrap();
    assert_eq!(git.read_file(&remote, &second.commit, "a").await.unwrap().as_deref(), Some(&b"2"[..]));
    // A repository that cannot even be opened.
    std::fs::write(home.join("repo.git/config"), "[core\n").unwrap();
    git.fetch(&remote, &second).await.unwrap();
    assert_eq!(git.read_file(&remote, &second.commit, "a").await.unwrap().as_deref(), Some(&b"2"[..]));
}

/// What `a_killed_fetch_leaves_nothing_broken` runs in a process of its own.
#[tokio::test]
#[ignore = "a part of another test, which starts it in a process of its own"]
async fn fetch_in_a_process() {
    let Ok(url) = std::env::var("TRUEUP_TEST_FETCH_URL") else { return };
    let git = Git::new(settings(Path::new(&std::env::var("TRUEUP_TEST_FETCH_MIRRORS").unwrap())));
    let remote = remote(&url);
    let tip = resolve(&git, &remote, "main").await;
    git.fetch(&remote, &tip).await.unwrap();
}

#[tokio::test]
async fn a_killed_fetch_leaves_nothing_broken() {
    if !backend::git() {
        return;
    }
    let repo = Repo::incompressible(300_000);
    let server = GitServer::start(repo.folder.path());
    let url = server.url("shop/.git");
    let (mirrors, git) = client();
    server.mode(Mode::HangAfter(200_000));
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["git_mirror::fetch_in_a_process", "--exact", "--ignored"])
        .env("TRUEUP_TEST_FETCH_URL", &url)
        .env("TRUEUP_TEST_FETCH_MIRRORS", mirrors.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let receiving = || {
        let mirror = std::fs::read_dir(mirrors.path()).ok()?.next()?.ok()?.path();
        let mut files = std::fs::read_dir(mirror).ok()?.flatten();
        files.find(|entry| {
            entry.file_name().to_string_lossy().starts_with("incoming-")
                && entry.metadata().is_ok_and(|data| data.len() > 0)
        })
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while receiving().is_none() {
        assert!(Instant::now() < deadline, "the fetch never began");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    server.mode(Mode::Serve);
    let remote = remote(&url);
    let tip = resolve(&git, &remote, "main").await;
    git.fetch(&remote, &tip).await.unwrap();
    assert_eq!(git.tree(&remote, &tip.commit).await.unwrap().len(), 1);
    assert!(receiving().is_none(), "the dead process's file is still there");
}

#[tokio::test]
async fn a_pack_that_rests_on_loose_objects_is_copied_with_them() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with("old", "1");
    let first = repo.git(&["rev-parse", "HEAD"]);
    let second = repo.commit("new", "2");
    // Only the second commit is packed, as after a fetch on top of work of one's own.
    let pack = format!(
        "printf '{second}\n^{first}\n' | git pack-objects -q --revs .git/objects/pack/pack && git prune-packed -q"
    );
    let done = std::process::Command::new("sh").args(["-c", &pack]).current_dir(&repo.path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(repo.git(&["count-objects"]).split(' ').next(), Some("3"), "the first commit stays loose");
    let (mirrors, git) = client();
    let remote = remote(&repo.path.display().to_string());
    let tip = resolve(&git, &remote, "main").await;
    git.fetch(&remote, &tip).await.unwrap();
    assert_eq!(git.tree(&remote, &tip.commit).await.unwrap().len(), 2);
    assert_eq!(git.read_file(&remote, &first.parse().unwrap(), "old").await.unwrap().as_deref(), Some(&b"1"[..]));
    let blob = git.tree(&remote, &tip.commit).await.unwrap()[0].blob.parse().unwrap();
    let strange = git.is_reachable(&remote, &blob, &tip.commit).await;
    assert!(matches!(strange, Err(GitError::NoCommit { .. })), "{strange:?}");
    assert!(!mirror(mirrors.path()).join("damaged").exists(), "an odd question is no damage");
}

/// An object is held in memory as a whole, so one that is too large is taken neither from a remote nor out of a mirror.
#[tokio::test]
async fn an_object_above_the_bound_is_refused() {
    if !backend::git() {
        return;
    }
    let repo = Repo::incompressible(300_000);
    let server = GitServer::start(repo.folder.path());
    let remote = remote(&server.url("shop/.git"));
    let (folder, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bounded = |max_object_bytes: u64| Git::new(GitSettings { max_object_bytes, ..settings(folder.path()) });
    let (tight, wide) = (bounded(100_000), bounded(400_000));
    let tip = resolve(&tight, &remote, "main").await;
    let refused = tight.fetch(&remote, &tip).await.unwrap_err();
    assert!(matches!(refused, GitError::Protocol { .. }), "{refused}");
    assert!(refused.to_string().contains("an object above 100000"), "{refused}");
    assert!(packs(folder.path()).is_empty(), "the pack is kept nevertheless");
    // Within the bound it is taken, and laid down again only within the bound.
    wide.fetch(&remote, &tip).await.unwrap();
    let refused = tight.checkout(&remote, &tip.commit, &into.path().join("tight")).await.unwrap_err();
    assert!(refused.to_string().contains("100000"), "{refused}");
    assert!(!into.path().join("tight").exists());
    wide.checkout(&remote, &tip.commit, &into.path().join("wide")).await.unwrap();
}
