//! Is a commit in a local repository noticed at once, however it is made?

use std::time::{Duration, Instant};

use trueup::git::{Git, GitError, Remote};

use crate::git::{client, remote, resolve};
use crate::world::backend;
use crate::world::git_server::{GitServer, Repo};

/// Generous for a loaded machine; the measured time is printed, and is a few milliseconds.
const DEADLINE: Duration = Duration::from_secs(10);

/// Waits until the watch fires and the ref stands elsewhere than before.
async fn moved(git: &Git, remote: &Remote, watch: &mut trueup::git::Watch, reference: &str, before: &str) -> Duration {
    let begun = Instant::now();
    let waiting = async {
        loop {
            watch.next().await;
            let now = git.resolve_ref(remote, reference).await.unwrap();
            if now.is_some_and(|tip| tip.commit.as_str() != before) {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("the commit was not noticed");
    begun.elapsed()
}

#[tokio::test]
async fn commits_are_noticed_within_a_tenth_of_a_second() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with("a", "1");
    let bare = repo.folder.path().join("bare.git");
    repo.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    let worktree = repo.folder.path().join("tree");
    repo.git(&["worktree", "add", "-q", "-b", "topic", worktree.to_str().unwrap()]);
    let (_mirrors, git) = client();
    let path = repo.path.display().to_string();
    for (name, url, reference) in [
        ("path", path.clone(), "main"),
        ("file", format!("file://{path}/.git"), "HEAD"),
        ("bare", bare.display().to_string(), "main"),
        ("worktree", worktree.display().to_string(), "topic"),
    ] {
        let remote = remote(&url);
        let mut watch = git.watch(&remote).unwrap();
        let mut fastest = DEADLINE;
        for number in 0..3 {
            let before = resolve(&git, &remote, reference).await.commit;
            let content = format!("{name} {number}");
            match name {
                "worktree" => {
                    std::fs::write(worktree.join("a"), content).unwrap();
                    let done = crate::world::git_server::git(&worktree).args(["commit", "-qam", "x"]).status().unwrap();
                    assert!(done.success());
                }
                "bare" => {
                    repo.commit("a", &content);
                    repo.git(&["push", "-q", bare.to_str().unwrap(), "main"]);
                }
                _ => drop(repo.commit("a", &content)),
            }
            fastest = fastest.min(moved(&git, &remote, &mut watch, reference, before.as_str()).await);
        }
        println!("{name}: a commit was noticed {fastest:?} after git had returned");
        assert!(fastest < Duration::from_millis(100), "{name}: {fastest:?}");
    }
}

#[tokio::test]
async fn packed_refs_new_folders_and_many_watches_at_once() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with("a", "1");
    let (_mirrors, git) = client();
    let remote = remote(&repo.path.display().to_string());
    let mut first = git.watch(&remote).unwrap();
    let mut second = git.watch(&remote).unwrap();
    let before = resolve(&git, &remote, "main").await.commit;
    repo.git(&["pack-refs", "--all"]);
    let tip = repo.commit("a", "2");
    repo.git(&["pack-refs", "--all"]);
    moved(&git, &remote, &mut first, "main", before.as_str()).await;
    moved(&git, &remote, &mut second, "main", before.as_str()).await;
    drop(second);
    repo.git(&["branch", "deep/er/still"]);
    moved(&git, &remote, &mut first, "deep/er/still", "").await;
    let after = repo.commit("a", "3");
    assert_ne!(tip, after);
    moved(&git, &remote, &mut first, "main", &tip).await;
}

#[tokio::test]
async fn only_what_is_here_can_be_watched() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with("a", "1");
    let server = GitServer::start(repo.folder.path());
    let (_mirrors, git) = client();
    assert!(matches!(git.watch(&remote(&server.url("shop/.git"))), Err(GitError::Watch { .. })));
    assert!(matches!(git.watch(&remote("/nowhere/at/all")), Err(GitError::Local { .. })));
}
