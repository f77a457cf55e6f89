//! Does a merge in memory hold what git's own merge would, and does it leave the mirror as it was?

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use trueup::git::{Git, Merge, MergeKind, Remote};

use crate::git::{client, remote, resolve, sha};
use crate::world::backend;
use crate::world::git_server::Repo;

const FILE: &str = ".trueup.yml";
const LINES: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n";

/// A repository whose `main` and `feature` parted after one commit.
fn parted() -> Repo {
    let repo = Repo::with(FILE, LINES);
    repo.commit("src/a", "a");
    repo.git(&["branch", "feature"]);
    repo
}

fn on(repo: &Repo, branch: &str, file: &str, content: &str) -> String {
    repo.git(&["checkout", "-q", branch]);
    repo.commit(file, content)
}

/// Merges `feature` into `main` in a fresh mirror.
async fn merged(repo: &Repo) -> Merge {
    let (folder, git) = client();
    let remote = remote(&repo.path.display().to_string());
    let merge = of(&git, &remote, "main", "feature").await;
    let before = objects(folder.path());
    of(&git, &remote, "main", "feature").await;
    assert_eq!(objects(folder.path()), before, "the mirror is as it was");
    merge
}

async fn of(git: &Git, remote: &Remote, tip: &str, head: &str) -> Merge {
    let (tip, head) = (resolve(git, remote, tip).await, resolve(git, remote, head).await);
    for commit in [&tip, &head] {
        git.fetch(remote, commit).await.unwrap();
    }
    git.merge(remote, &tip.commit, &head.commit, FILE).await.unwrap()
}

/// Every file of a folder with its length.
fn objects(folder: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false => drop(found.insert(entry.path().display().to_string(), entry.metadata().unwrap().len())),
            }
        }
    }
    found
}

fn text(merge: &Merge) -> (MergeKind, Option<String>) {
    let Merge::Clean(merged) = merge else { panic!("{merge:?}") };
    let file = merged.file.as_ref().unwrap().as_ref();
    (merged.kind, file.map(|bytes| String::from_utf8(bytes.clone()).unwrap()))
}

fn conflicts(merge: &Merge) -> Vec<&str> {
    let Merge::Conflict { paths } = merge else { panic!("{merge:?}") };
    paths.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn what_fits_is_merged_line_by_line() {
    if !backend::git() {
        return;
    }
    let repo = parted();
    on(&repo, "main", FILE, &LINES.replace("one", "ONE"));
    assert_eq!(text(&merged(&repo).await), (MergeKind::AlreadyMerged, Some(LINES.replace("one", "ONE"))));
    on(&repo, "feature", FILE, &LINES.replace("nine", "NINE"));
    on(&repo, "feature", "src/b", "b");
    let merge = merged(&repo).await;
    assert_eq!(text(&merge), (MergeKind::Merged, Some(LINES.replace("one", "ONE").replace("nine", "NINE"))));
    let Merge::Clean(held) = &merge else { unreachable!() };
    let paths: Vec<&str> = held.tree.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, [FILE, "src/a", "src/b"]);

    repo.git(&["checkout", "-q", "feature"]);
    repo.git(&["merge", "-q", "--no-edit", "main"]);
    assert_eq!(text(&merged(&repo).await).0, MergeKind::FastForward);
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["merge", "-q", "feature"]);
    assert_eq!(text(&merged(&repo).await).0, MergeKind::AlreadyMerged);
}

#[tokio::test]
async fn conflicts_name_their_paths() {
    if !backend::git() {
        return;
    }
    let repo = parted();
    on(&repo, "main", FILE, &LINES.replace("five", "5"));
    on(&repo, "main", "src/a", "ours");
    on(&repo, "feature", FILE, &LINES.replace("five", "FIVE"));
    assert_eq!(conflicts(&merged(&repo).await), [FILE]);
    on(&repo, "feature", "src/a", "theirs");
    assert_eq!(conflicts(&merged(&repo).await), [FILE, "src/a"]);
    on(&repo, "feature", FILE, &LINES.replace("five", "5"));
    assert_eq!(conflicts(&merged(&repo).await), ["src/a"], "what both sides did alike is none");
    repo.git(&["rm", "-q", "src/a"]);
    repo.git(&["commit", "-q", "-m", "gone"]);
    assert_eq!(conflicts(&merged(&repo).await), ["src/a"], "changed here, removed there");
}

#[tokio::test]
async fn a_renamed_file_takes_its_changes_along() {
    if !backend::git() {
        return;
    }
    let repo = parted();
    repo.git(&["checkout", "-q", "feature"]);
    repo.git(&["mv", FILE, "deploy.yml"]);
    repo.git(&["commit", "-q", "-m", "renamed"]);
    on(&repo, "main", FILE, &LINES.replace("one", "ONE"));
    let merge = merged(&repo).await;
    assert_eq!(text(&merge), (MergeKind::Merged, None), "the path of before is not there any more");
    let Merge::Clean(held) = &merge else { unreachable!() };
    assert!(held.tree.iter().any(|entry| entry.path == "deploy.yml"));
}

#[tokio::test]
async fn criss_cross_histories_merge_as_git_merges_them() {
    if !backend::git() {
        return;
    }
    let repo = parted();
    on(&repo, "main", FILE, &LINES.replace("one", "ONE"));
    on(&repo, "feature", FILE, &LINES.replace("nine", "NINE"));
    let (main, feature) = (repo.git(&["rev-parse", "main"]), repo.git(&["rev-parse", "feature"]));
    repo.git(&["merge", "-q", "--no-edit", &main]);
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["merge", "-q", "--no-edit", &feature]);
    let both = LINES.replace("one", "ONE").replace("nine", "NINE");
    on(&repo, "main", FILE, &both.replace("three", "THREE"));
    on(&repo, "feature", FILE, &both.replace("seven", "SEVEN"));
    assert_eq!(repo.git(&["merge-base", "--all", "main", "feature"]).lines().count(), 2, "two bases");
    let expected = both.replace("three", "THREE").replace("seven", "SEVEN");
    assert_eq!(text(&merged(&repo).await), (MergeKind::Merged, Some(expected)));
}

#[tokio::test]
async fn without_a_common_history_there_is_nothing_to_merge_over() {
    if !backend::git() {
        return;
    }
    let repo = parted();
    repo.git(&["checkout", "-q", "--orphan", "other"]);
    repo.commit(FILE, "other\n");
    repo.git(&["branch", "-f", "feature", "other"]);
    assert!(matches!(merged(&repo).await, Merge::Unrelated { shallow: false }));

    let repo = parted();
    on(&repo, "main", FILE, &LINES.replace("one", "ONE"));
    on(&repo, "feature", "src/a", "b");
    let folder = tempfile::tempdir().unwrap();
    let shallow = folder.path().join("shallow");
    let (from, to) = (format!("file://{}", repo.path.display()), shallow.display().to_string());
    repo.git(&["clone", "-q", "--depth=1", "--no-single-branch", "--no-local", &from, &to]);
    let (_mirrors, git) = client();
    let merge = of(&git, &remote(&to), "refs/remotes/origin/main", "refs/remotes/origin/feature").await;
    assert!(matches!(merge, Merge::Unrelated { shallow: true }), "{merge:?}");
}

#[tokio::test]
async fn the_first_parent_is_what_was_merged_into() {
    if !backend::git() {
        return;
    }
    let repo = parted();
    let main = on(&repo, "main", "src/b", "b");
    let feature = on(&repo, "feature", "src/c", "c");
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["merge", "-q", "--no-edit", "feature"]);
    let (_mirrors, git) = client();
    let remote = remote(&repo.path.display().to_string());
    let tip = resolve(&git, &remote, "main").await;
    git.fetch(&remote, &tip).await.unwrap();
    assert_eq!(git.first_parent(&remote, &tip.commit).await.unwrap(), Some(sha(&main)));
    let root = sha(&repo.git(&["rev-list", "--max-parents=0", "main"]));
    assert_eq!(git.first_parent(&remote, &root).await.unwrap(), None);
    assert!(git.is_branch(&remote, &sha(&feature)).await.unwrap());
    assert!(!git.is_branch(&remote, &sha(&main)).await.unwrap(), "history is no branch");
}

/// One change of one side.
#[derive(Clone, Debug)]
enum Edit {
    Line(usize, String),
    Write(String, String),
    Remove(String),
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = || prop_oneof!["src/[ab]", "lib/[ab]"];
    prop_oneof![
        2 => (0_usize..9, "[a-c]{1,2}").prop_map(|(at, text)| Edit::Line(at, text)),
        1 => (name(), "[a-c]{1,2}").prop_map(|(name, text)| Edit::Write(name, text)),
        1 => name().prop_map(Edit::Remove),
    ]
}

fn make(repo: &Repo, branch: &str, edits: &[Edit]) {
    repo.git(&["checkout", "-q", branch]);
    for edit in edits {
        match edit {
            Edit::Line(at, text) => {
                let path = repo.path.join(FILE);
                let mut lines: Vec<String> =
                    std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
                lines[*at] = text.clone();
                std::fs::write(path, lines.join("\n") + "\n").unwrap();
            }
            Edit::Write(name, text) => {
                std::fs::create_dir_all(repo.path.join(name).parent().unwrap()).unwrap();
                std::fs::write(repo.path.join(name), text).unwrap();
            }
            Edit::Remove(name) => drop(std::fs::remove_file(repo.path.join(name))),
        }
    }
    repo.git(&["add", "-A"]);
    repo.git(&["commit", "-q", "--allow-empty", "-m", "edited"]);
}

#[test]
fn git_itself_merges_alike() {
    if !backend::git() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let edits = || proptest::collection::vec(edit(), 1..5);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&(edits(), edits(), any::<bool>()), |(ours, theirs, both)| {
            let repo = parted();
            if both {
                on(&repo, "main", "src/b", "b");
                repo.git(&["branch", "-f", "feature", "main"]);
            }
            make(&repo, "main", &ours);
            make(&repo, "feature", &theirs);
            let merge = runtime.block_on(merged(&repo));
            // Renames are guesses, and this world's files are too short to guess by.
            let said = std::process::Command::new("git")
                .args(["-c", "merge.renames=false", "merge-tree", "--write-tree", "--name-only", "main", "feature"])
                .current_dir(&repo.path)
                .output()
                .unwrap();
            let said_text = String::from_utf8(said.stdout).unwrap();
            let mut lines = said_text.lines();
            let tree = lines.next().unwrap();
            match (&merge, said.status.success()) {
                (Merge::Clean(held), true) => {
                    let listed = repo.git(&["ls-tree", "-r", tree]);
                    let held: Vec<String> = held
                        .tree
                        .iter()
                        .map(|entry| format!("{:06o} blob {}\t{}", entry.mode, entry.blob, entry.path))
                        .collect();
                    assert_eq!(held.join("\n"), listed);
                }
                (Merge::Conflict { paths }, false) => {
                    let named: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
                    assert_eq!(*paths, named);
                }
                (merge, _) => panic!("{merge:?}, but git says {said_text}"),
            }
            Ok(())
        })
        .unwrap();
}
