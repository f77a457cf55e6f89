//! Whom does the daemon ask, when, and what becomes of those who do not answer?

use std::time::Duration;

use trueup::daemon::Pace;
use trueup::ids::EnvironmentRef;
use trueup::store::records::{Project, ReadState};

use crate::daemon::{Desk, NEVER, SOON, until};
use crate::world::backend;
use crate::world::git_server::{GitServer, Mode, Repo};
use crate::world::house::file;

const WEB: &str = "web: {image: acme/web:1}\n";

/// Sets a template value, as an operator does.
async fn set_area(desk: &Desk, id: &EnvironmentRef, area: &str) {
    let before = desk.store.environment(id).await.unwrap().unwrap();
    let mut after = before.clone();
    after.values.insert("Area".into(), area.into());
    desk.store.update_environment(before, after).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_look_fails_is_not_lost() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file(WEB));
    let server = GitServer::start(repo.folder.path());
    let mut desk = Desk::new();
    let id = desk.add("shop/production", &server.url("shop/.git")).await;
    desk.start(SOON, SOON);
    desk.plan(&id, |plan| plan.desired.len() == 1).await;
    desk.runtime.set_unusable(true);
    let commit = repo.commit(".trueup.yml", &file("web: {image: \"acme/web:2\"}\n"));
    // The ref is seen to have moved, and the look that it asks for fails for another reason than reading.
    server.seen();
    until(|| async { (!server.seen().is_empty()).then_some(()) }).await;
    until(|| async { (!server.seen().is_empty()).then_some(()) }).await;
    let before = desk.runtime.refused();
    until(|| async { (desk.runtime.refused() > before).then_some(()) }).await;
    desk.runtime.set_unusable(false);
    desk.plan(&id, |plan| plan.commit.as_ref().is_some_and(|known| known.as_str() == commit)).await;
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_while_the_repository_fails_is_planned_over_what_was_read() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file("web: {image: acme/web:1, env: {AREA: \"{{ .Env.Area }}\"}}\n"));
    let server = GitServer::start(repo.folder.path());
    let mut desk = Desk::new();
    let id = desk.add("shop/production", &server.url("shop/.git")).await;
    set_area(&desk, &id, "east").await;
    desk.start(SOON, SOON);
    desk.plan(&id, |plan| format!("{:?}", plan.desired).contains("east")).await;
    server.mode(Mode::Status(500));
    desk.read(&id, |read| read.state == ReadState::FetchFailed).await;
    set_area(&desk, &id, "west").await;
    desk.nudge(&id);
    desk.plan(&id, |plan| format!("{:?}", plan.desired).contains("west")).await;
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_nobody_is_asked_whatever_is_registered() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file(WEB));
    let server = GitServer::start(repo.folder.path());
    let mut desk = Desk::new();
    let id = desk.add("shop/production", &server.url("shop/.git")).await;
    desk.start(NEVER, NEVER);
    desk.plan(&id, |plan| plan.desired.len() == 1).await;
    let mut desk = desk.restarted().await;
    server.seen();
    let asked = desk.runtime.asked();
    desk.start_at(Pace { poll: SOON, observe: SOON, offline: true });
    let first = until(|| async { desk.passes.looks(&id).observed_at }).await;
    set_area(&desk, &id, "west").await;
    desk.nudge(&id);
    // A few looks after that.
    for _ in 0..3 {
        let last = desk.passes.looks(&id).observed_at.unwrap_or(first);
        until(|| async { desk.passes.looks(&id).observed_at.filter(|at| *at > last) }).await;
    }
    assert_eq!(server.seen().len(), 0, "the repository was asked");
    assert_eq!(desk.runtime.asked(), asked, "a registry was asked");
    let plan = desk.plan(&id, |_| true).await;
    assert!(plan.unknowns.iter().any(|unknown| unknown.why.contains("nobody is asked")), "{:?}", plan.unknowns);
    // Whoever asks for a plan has both asked.
    let plan = desk.passes.plan(&id, &Default::default(), "olga").await.unwrap();
    assert_eq!((plan.unknowns.len(), server.seen().is_empty()), (0, false));
    desk.stop().await;
}

/// Its places are all taken by those who wait for it; everyone else has their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_keeps_no_other_from_being_asked() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file(WEB));
    let (hanging, good) = (GitServer::start(repo.folder.path()), GitServer::start(repo.folder.path()));
    hanging.mode(Mode::Hang);
    let mut desk = Desk::waiting(Duration::from_secs(120));
    for number in 0..150 {
        let url = hanging.url(&format!("shop-{number}/.git")).replace("127.0.0.1", "localhost");
        desk.add(&format!("a{number}/production"), &url).await;
    }
    let id = desk.add("zoo/production", &good.url("shop/.git")).await;
    desk.start(NEVER, NEVER);
    desk.plan(&id, |plan| plan.desired.len() == 1).await;
    assert!(hanging.seen().len() <= 8, "more was asked of it than one host is to bear");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_may_want_a_user_name() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file(WEB));
    let server = GitServer::start(repo.folder.path());
    server.demand("deploy", "a-password");
    let folder = crate::world::house::scratch();
    let password = folder.path().join("password");
    std::fs::write(&password, "a-password").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut desk = Desk::new();
    let id = desk.add("shop/production", &server.url("shop/.git")).await;
    let project = desk.store.project(&id.project).await.unwrap().unwrap();
    let auth = Some(format!("file://{}", password.display()).parse().unwrap());
    desk.store.update_project(Project { auth: auth.clone(), ..project.clone() }).await.unwrap();
    desk.start(NEVER, NEVER);
    desk.read(&id, |read| read.state == ReadState::FetchFailed).await;
    desk.store.update_project(Project { auth, user: Some("deploy".into()), ..project }).await.unwrap();
    desk.nudge(&id);
    desk.plan(&id, |plan| plan.desired.len() == 1).await;
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_that_is_registered_anew_inherits_nothing() {
    if !backend::git() {
        return;
    }
    let repo = Repo::with(".trueup.yml", &file(WEB));
    let mut desk = Desk::new();
    let id = desk.add("shop/production", &repo.path.display().to_string()).await;
    desk.start(NEVER, NEVER);
    desk.plan(&id, |plan| plan.desired.len() == 1).await;
    // Removed and registered anew before the background hears of it: what it remembers is of the one before, and the
    // plan of the one of now would be taken for written already.
    desk.store.remove_environment(&id).await.unwrap();
    desk.add("shop/production", "").await;
    desk.nudge(&id);
    desk.plan(&id, |plan| plan.desired.len() == 1).await;
    desk.read(&id, |read| read.state == ReadState::Ok).await;
    desk.stop().await;
}
