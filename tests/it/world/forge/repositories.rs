//! The repositories of a forge: real ones, whose refs move as a forge moves them.

use std::path::PathBuf;
use std::process::Command;

use trueup::forge::ForgeKind;
use trueup::forge::api::{ForgeUser, Permission};

use super::ForgeWorld;
use super::state::{Pull, Repository, Text, account};
use crate::world::git_server::git;

/// Whoever opens requests.
pub const PEOPLE: &str = "alice";

impl ForgeWorld {
    /// Makes a repository whose branch `main` has one commit of these files, and returns the commit.
    pub fn create(&self, name: &str, files: &[(&str, &str)]) -> String {
        let bare = self.bare(name);
        std::fs::create_dir_all(&bare).unwrap();
        run(git(&bare).args(["init", "-q", "--bare", "-b", "main"]));
        run(git(&bare).args(["config", "uploadpack.allowAnySHA1InWant", "true"]));
        let mut repository = Repository::default();
        repository.permissions.insert(PEOPLE.into(), Permission::Write);
        self.inner().state.repositories.insert(name.into(), repository);
        self.push(name, "main", files)
    }

    /// Where a repository can be cloned from.
    pub fn clone_url(&self, name: &str) -> String {
        format!("{}/{name}.git", self.endpoint())
    }

    /// The bare repository.
    pub fn bare(&self, name: &str) -> PathBuf {
        self.shared.root.join(format!("{name}.git"))
    }

    /// Commits files to a branch (which begins at `main` where it is new), moves the requests from it, and returns the
    /// commit.
    pub fn push(&self, name: &str, branch: &str, files: &[(&str, &str)]) -> String {
        let commit = self.commit(name, branch, files);
        self.moved(name, branch, &commit);
        commit
    }

    fn commit(&self, name: &str, branch: &str, files: &[(&str, &str)]) -> String {
        let bare = self.bare(name);
        let work = tempfile::tempdir().unwrap();
        let url = bare.display().to_string();
        run(git(work.path()).args(["clone", "-q", &url, "."]));
        if !run(git(work.path()).args(["branch", "-r"])).is_empty() {
            let known = git(work.path()).args(["checkout", "-q", branch]).output().unwrap().status.success();
            if !known {
                run(git(work.path()).args(["checkout", "-q", "-b", branch, "origin/main"]));
            }
        }
        for (file, content) in files {
            let path = work.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        run(git(work.path()).args(["add", "-A"]));
        run(git(work.path()).args(["commit", "-q", "--allow-empty", "-m", "change"]));
        run(git(work.path()).args(["push", "-q", "origin", &format!("HEAD:refs/heads/{branch}")]));
        run(git(work.path()).args(["rev-parse", "HEAD"]))
    }

    fn moved(&self, name: &str, branch: &str, commit: &str) {
        let mut heads = Vec::new();
        for (target, repository) in &mut self.inner().state.repositories {
            for pull in repository.pulls.values_mut().filter(|pull| pull.open) {
                if pull.from.as_deref() == Some(name) && pull.branch == branch {
                    pull.head = commit.to_owned();
                    heads.push((target.clone(), pull.number));
                }
                if target == name && pull.base_branch == branch {
                    pull.base = commit.to_owned();
                }
            }
        }
        for (target, number) in heads {
            self.place_head(&target, number, name, branch);
        }
    }

    /// Puts a request's head where the forge shows it in the target's repository, objects and all.
    fn place_head(&self, target: &str, number: u64, from: &str, branch: &str) {
        let head = match self.kind() {
            ForgeKind::Github | ForgeKind::Gitea | ForgeKind::Forgejo => format!("refs/pull/{number}/head"),
            ForgeKind::Gitlab => format!("refs/merge-requests/{number}/head"),
            ForgeKind::BitbucketServer => format!("refs/pull-requests/{number}/from"),
            ForgeKind::Bitbucket => return,
        };
        let source = self.bare(from).display().to_string();
        run(git(&self.bare(target)).args(["fetch", "-q", &source, &format!("+refs/heads/{branch}:{head}")]));
    }

    /// Opens a request for a branch of the same repository, and returns its number.
    pub fn open_pull(&self, name: &str, branch: &str) -> u64 {
        self.open(name, name, branch)
    }

    /// Opens a request from a fork that has a branch with these files, and returns its number.
    pub fn open_fork_pull(&self, name: &str, fork: &str, branch: &str, files: &[(&str, &str)]) -> u64 {
        let (bare, source) = (self.bare(fork), self.bare(name).display().to_string());
        std::fs::create_dir_all(&bare).unwrap();
        run(git(&bare).args(["clone", "-q", "--bare", &source, "."]));
        self.inner().state.repositories.insert(fork.into(), Repository::default());
        self.push(fork, branch, files);
        self.open(name, fork, branch)
    }

    fn open(&self, name: &str, from: &str, branch: &str) -> u64 {
        let commit =
            |name: &str, branch: &str| run(git(&self.bare(name)).args(["rev-parse", &format!("refs/heads/{branch}")]));
        let (head, base) = (commit(from, branch), commit(name, "main"));
        let number = {
            let mut inner = self.inner();
            let pulls = &mut inner.state.repositories.get_mut(name).unwrap().pulls;
            let number = pulls.len() as u64 + 1;
            let pull = Pull {
                number,
                branch: branch.into(),
                from: Some(from.into()),
                head,
                base_branch: "main".into(),
                base,
                merged: None,
                open: true,
                author: PEOPLE.into(),
            };
            pulls.insert(number, pull);
            number
        };
        self.place_head(name, number, from, branch);
        number
    }

    /// Merges a request with a merge commit, which it returns.
    pub fn merge(&self, name: &str, number: u64) -> String {
        let (from, branch) = {
            let inner = self.inner();
            let pull = &inner.state.repositories[name].pulls[&number];
            (pull.from.clone().unwrap(), pull.branch.clone())
        };
        let work = tempfile::tempdir().unwrap();
        run(git(work.path()).args(["clone", "-q", &self.bare(name).display().to_string(), "."]));
        run(git(work.path()).args(["fetch", "-q", &self.bare(&from).display().to_string(), &branch]));
        run(git(work.path()).args(["merge", "-q", "--no-ff", "-m", "merge", "FETCH_HEAD"]));
        run(git(work.path()).args(["push", "-q", "origin", "HEAD:refs/heads/main"]));
        let commit = run(git(work.path()).args(["rev-parse", "HEAD"]));
        {
            let mut inner = self.inner();
            let pull = inner.state.repositories.get_mut(name).unwrap().pulls.get_mut(&number).unwrap();
            pull.open = false;
            pull.merged = Some(commit.clone());
        }
        self.moved(name, "main", &commit);
        commit
    }

    /// Closes a request that was not merged.
    pub fn close_pull(&self, name: &str, number: u64) {
        let mut inner = self.inner();
        inner.state.repositories.get_mut(name).unwrap().pulls.get_mut(&number).unwrap().open = false;
    }

    /// The comments of a request.
    pub fn comments(&self, name: &str, number: u64) -> Vec<Text> {
        self.inner().state.repositories[name].comments(number).into_iter().cloned().collect()
    }

    /// Someone writes a comment.
    pub fn say(&self, name: &str, number: u64, author: &str, body: &str) -> u64 {
        let mut inner = self.inner();
        let id = inner.state.next_id();
        let repository = inner.state.repositories.get_mut(name).unwrap();
        repository.write(id, Some(number), author, String::new(), body.into());
        id
    }

    /// Someone, who need not be its author, writes a comment anew a minute after it was written.
    pub fn edit_comment(&self, name: &str, id: u64, body: &str) {
        let mut inner = self.inner();
        let text = inner.state.repositories.get_mut(name).unwrap().text(&id.to_string()).unwrap();
        text.body = body.to_owned();
        text.version += 1;
        text.updated = text.created + jiff::SignedDuration::from_mins(1);
    }

    /// A comment turns out to be older.
    pub fn age_comment(&self, name: &str, id: u64, by: jiff::SignedDuration) {
        let mut inner = self.inner();
        let text = inner.state.repositories.get_mut(name).unwrap().text(&id.to_string()).unwrap();
        text.created -= by;
        text.updated -= by;
    }

    /// An account as this forge tells of it.
    pub fn user(&self, login: &str) -> ForgeUser {
        let (name, id) = account(login);
        let id = match self.kind() {
            ForgeKind::Bitbucket => format!("{{{id}}}"),
            _ => id.to_string(),
        };
        ForgeUser { id, name: name.to_owned() }
    }

    /// What someone may do in a repository.
    pub fn permit(&self, name: &str, login: &str, permission: Permission) {
        self.inner().state.repositories.get_mut(name).unwrap().permissions.insert(login.into(), permission);
    }

    /// Someone deletes a comment.
    pub fn delete_comment(&self, name: &str, id: &str) {
        let mut inner = self.inner();
        let texts = &mut inner.state.repositories.get_mut(name).unwrap().texts;
        let before = texts.len();
        texts.retain(|text| text.id.to_string() != id);
        assert_eq!(texts.len(), before - 1, "there is a comment {id}");
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
