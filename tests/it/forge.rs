//! Does every forge do what a [`Forge`](trueup::forge::api::Forge) promises? One suite over all of them.

use serde_json::json;
use trueup::forge::ForgeKind;
use trueup::forge::api::{
    Change, CommentRequest, IssueRequest, LineNotesRequest, Permission, PullState, StatusRequest, StatusState,
    WebhookRequest,
};

use crate::world::backend;
use crate::world::forge::{Asked, ForgeWorld, TOKEN, description, repository};

pub const REPOSITORY: &str = "acme/shop";
pub const MARKER: &str = "<!-- trueup:7f3a -->";
const HOOK: &str = "https://trueup.acme.dev/hooks/x/shop";

/// A world with a repository and an open request, whose number is 1.
pub fn world(kind: ForgeKind) -> ForgeWorld {
    let world = ForgeWorld::start(kind);
    world.create(REPOSITORY, &[(".trueup.yml", "version: 1\n")]);
    world.push(REPOSITORY, "more", &[(".trueup.yml", "version: 1\n# more\n")]);
    assert_eq!(world.open_pull(REPOSITORY, "more"), 1);
    world
}

pub fn comment(known_id: Option<&str>, text: &str) -> CommentRequest {
    CommentRequest {
        repository: repository(REPOSITORY),
        pull: 1,
        known_id: known_id.map(str::to_owned),
        marker: MARKER.into(),
        body: format!("{MARKER}\n{text}\n"),
    }
}

/// The worlds of every forge; none without git.
pub fn worlds() -> Vec<ForgeWorld> {
    if !backend::git() {
        return Vec::new();
    }
    // Says so where requests are not held against the forges' descriptions, or fails where they have to be.
    backend::available("conformance", description::folder().is_some());
    ForgeKind::ALL.into_iter().map(world).collect()
}

#[tokio::test]
async fn one_comment_is_created_edited_found_again_and_made_anew_where_it_was_deleted() {
    for world in worlds() {
        let (forge, kind) = (world.connect(), world.kind());
        let made = forge.upsert_comment(&comment(None, "one")).await.unwrap();
        assert_eq!(made.change, Change::Created, "{kind}");
        world.seen();
        let found = forge.upsert_comment(&comment(None, "one")).await.unwrap();
        assert_eq!((found.change, &found.id), (Change::Unchanged, &made.id), "{kind}");
        assert_eq!(world.writes(), [""; 0], "{kind}: nothing changed, nothing is written");
        let edited = forge.upsert_comment(&comment(Some(&made.id), "two")).await.unwrap();
        assert_eq!((edited.change, &edited.id), (Change::Edited, &made.id), "{kind}");
        let forgotten = forge.upsert_comment(&comment(None, "three")).await.unwrap();
        assert_eq!((forgotten.change, &forgotten.id), (Change::Edited, &made.id), "{kind}");
        assert_eq!(world.comments(REPOSITORY, 1).len(), 1, "{kind}");
        let read = forge.read_comment(&repository(REPOSITORY), 1, &made.id).await.unwrap().unwrap();
        assert!(
            read.body.contains("three") && read.author.name.contains("trueup") && !read.author.id.is_empty(),
            "{kind}: {read:?}"
        );
        world.delete_comment(REPOSITORY, &made.id);
        assert_eq!(forge.read_comment(&repository(REPOSITORY), 1, &made.id).await.unwrap(), None, "{kind}");
        let anew = forge.upsert_comment(&comment(Some(&made.id), "four")).await.unwrap();
        assert_eq!(anew.change, Change::Created, "{kind}");
        let comments = world.comments(REPOSITORY, 1);
        assert_eq!(comments.len(), 1, "{kind}");
        assert!(comments[0].body.contains("four"), "{kind}");
        let unmarked = CommentRequest { body: "no marker".into(), ..comment(None, "") };
        assert!(forge.upsert_comment(&unmarked).await.is_err(), "{kind}: it would not be found again");
    }
}

#[tokio::test]
async fn a_marker_in_somebody_elses_comment_is_not_ours_and_ours_is_found_behind_many() {
    for world in worlds() {
        let (forge, kind) = (world.connect(), world.kind());
        let copied = world.say(REPOSITORY, 1, "mallory", &format!("{MARKER} mine"));
        for number in 0..130 {
            world.say(REPOSITORY, 1, "alice", &format!("comment {number}"));
        }
        let made = forge.upsert_comment(&comment(None, "one")).await.unwrap();
        assert_eq!(made.change, Change::Created, "{kind}");
        let found = forge.upsert_comment(&comment(None, "two")).await.unwrap();
        assert_eq!((found.change, &found.id), (Change::Edited, &made.id), "{kind}");
        let comments = world.comments(REPOSITORY, 1);
        assert_eq!(comments.len(), 132, "{kind}");
        let theirs = comments.iter().find(|text| text.id == copied).unwrap();
        assert_eq!(theirs.body, format!("{MARKER} mine"), "{kind}");
    }
}

#[tokio::test]
async fn a_status_is_set_and_set_again() {
    for world in worlds() {
        let (forge, kind) = (world.connect(), world.kind());
        let commit = world.inner().state.repositories[REPOSITORY].pulls[&1].head.clone();
        let mut request = StatusRequest {
            repository: repository(REPOSITORY),
            commit: commit.parse().unwrap(),
            context: "trueup/production".into(),
            state: StatusState::Pending,
            description: "3 changes await sync ".repeat(40),
            target_url: None,
            branch: Some("main".into()),
        };
        forge.set_status(&request).await.unwrap();
        request.description = "2 changes await sync".into();
        request.target_url = Some("https://trueup.acme.dev/plans/ab".into());
        forge.set_status(&request).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        let words = |state| {
            let inner = world.inner();
            let status = inner.state.repositories[REPOSITORY].status(&commit, "trueup/production").unwrap();
            assert_eq!(status.description, "2 changes await sync", "{kind}");
            assert_eq!(status.url, "https://trueup.acme.dev/plans/ab", "{kind}");
            (state, status.state.clone())
        };
        let mut seen = vec![words(StatusState::Pending)];
        for state in [StatusState::Success, StatusState::Failure, StatusState::Error] {
            request.state = state;
            forge.set_status(&request).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
            seen.push(words(state));
        }
        let words: Vec<&str> = seen.iter().map(|(_, word)| word.as_str()).collect();
        let expected = match kind {
            ForgeKind::Github | ForgeKind::Gitea | ForgeKind::Forgejo => ["pending", "success", "failure", "error"],
            ForgeKind::Gitlab => ["pending", "success", "failed", "failed"],
            ForgeKind::Bitbucket => ["INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"],
            ForgeKind::BitbucketServer => ["INPROGRESS", "SUCCESSFUL", "FAILED", "UNKNOWN"],
        };
        assert_eq!(words, expected, "{kind}");
    }
}

#[tokio::test]
async fn requests_are_read_whatever_became_of_them() {
    for world in worlds() {
        let (forge, kind, place) = (world.connect(), world.kind(), repository(REPOSITORY));
        let head = world.push(REPOSITORY, "more", &[("a", "b")]);
        let one = forge.read_pull_request(&place, 1).await.unwrap();
        assert_eq!((one.number, one.state, one.is_fork), (1, PullState::Open, false), "{kind}");
        assert_eq!(one.head.branch, "more", "{kind}");
        assert_eq!(one.head.commit.as_ref().unwrap().as_str(), head, "{kind}");
        assert_eq!((one.base.branch.as_str(), one.base.repository.as_ref()), ("main", Some(&place)), "{kind}");
        assert!(one.author.contains("alice"), "{kind}: {}", one.author);
        assert_eq!(one.merge_commit, None, "{kind}: an open request is on no branch");
        let fork = world.open_fork_pull(REPOSITORY, "mallory/shop", "evil", &[("x", "y")]);
        let two = forge.read_pull_request(&place, fork).await.unwrap();
        assert!(two.is_fork, "{kind}");
        assert_eq!(two.head.repository, Some(repository("mallory/shop")), "{kind}");
        let merge = world.merge(REPOSITORY, 1);
        world.push(REPOSITORY, "less", &[("a", "c")]);
        let third = world.open_pull(REPOSITORY, "less");
        world.close_pull(REPOSITORY, third);
        let merged = forge.read_pull_request(&place, 1).await.unwrap();
        assert_eq!(merged.state, PullState::Merged, "{kind}");
        assert_eq!(merged.merge_commit.unwrap().as_str(), merge, "{kind}");
        assert_eq!(forge.read_pull_request(&place, third).await.unwrap().state, PullState::Closed, "{kind}");
        world.inner().state.repositories.get_mut(REPOSITORY).unwrap().pulls.get_mut(&fork).unwrap().from = None;
        let gone = forge.read_pull_request(&place, fork).await.unwrap();
        assert!(gone.is_fork && gone.head.repository.is_none(), "{kind}: a head without a repository is a fork's");
        let open = forge.list_open_pull_requests(&place).await.unwrap();
        assert_eq!(open.iter().map(|pull| pull.number).collect::<Vec<_>>(), [fork], "{kind}");
        assert!(forge.read_pull_request(&place, 99).await.is_err(), "{kind}");
    }
}

#[tokio::test]
async fn the_refs_of_requests_are_where_the_limits_say() {
    for world in worlds() {
        let (limits, kind) = (world.connect().limits(), world.kind());
        let head = world.inner().state.repositories[REPOSITORY].pulls[&1].head.clone();
        let listed = crate::world::git_server::git(&world.bare(REPOSITORY)).args(["for-each-ref"]).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        match limits.pull_ref {
            Some(pattern) => {
                let name = pattern.replace("{}", "1");
                assert!(listed.contains(&format!("{head} commit\t{name}")), "{kind}: {name} in\n{listed}");
            }
            None => assert_eq!(listed.lines().count(), 2, "{kind}: branches alone\n{listed}"),
        }
    }
}

#[tokio::test]
async fn permissions_are_those_of_that_very_user() {
    for world in worlds() {
        let (forge, kind, place) = (world.connect(), world.kind(), repository(REPOSITORY));
        {
            let mut inner = world.inner();
            let permissions = &mut inner.state.repositories.get_mut(REPOSITORY).unwrap().permissions;
            permissions.insert("root".into(), Permission::Admin);
            permissions.insert("bob".into(), Permission::Read);
            permissions.insert("nobody".into(), Permission::None);
            // A name within another.
            permissions.insert("rooted".into(), Permission::Read);
        }
        for (user, expected) in [
            ("root", Permission::Admin),
            ("alice", Permission::Write),
            ("bob", Permission::Read),
            ("rooted", Permission::Read),
            ("nobody", Permission::None),
            ("roo", Permission::None),
            ("mallory", Permission::None),
        ] {
            let user = world.user(user);
            assert_eq!(forge.read_permission(&place, &user).await.unwrap(), expected, "{kind}: {user:?}");
        }
        // Whoever took a name after its first bearer gave it up is not who bore it.
        let taker = trueup::forge::api::ForgeUser { id: "99".into(), ..world.user("root") };
        assert_eq!(forge.read_permission(&place, &taker).await.unwrap(), Permission::None, "{kind}");
        for climbing in ["..", ""] {
            let climbing = trueup::forge::api::ForgeUser { id: climbing.into(), name: climbing.into() };
            assert!(
                !matches!(forge.read_permission(&place, &climbing).await, Ok(permission) if permission > Permission::None),
                "{kind}"
            );
        }
    }
}

#[tokio::test]
async fn an_account_is_found_by_its_name_and_a_comment_says_whose_it_is_since_when_and_whether_it_was_edited() {
    for world in worlds() {
        let (forge, kind, place) = (world.connect(), world.kind(), repository(REPOSITORY));
        let alice = world.user("alice");
        // Names on Bitbucket Cloud are not unique: accounts are named by their ids there.
        let name = if kind == ForgeKind::Bitbucket { alice.id.as_str() } else { "alice" };
        assert_eq!(forge.find_user(Some(&place), name).await.unwrap(), Some(alice.clone()), "{kind}");
        let nobody = if kind == ForgeKind::Bitbucket { "{mallory}" } else { "mallory" };
        assert_eq!(forge.find_user(Some(&place), nobody).await.unwrap(), None, "{kind}");

        let id = world.say(REPOSITORY, 1, "alice", "/trueup plan");
        let read = forge.read_comment(&place, 1, &id.to_string()).await.unwrap().unwrap();
        assert_eq!((&read.author, read.edited), (&alice, Some(false)), "{kind}");
        let age = jiff::Timestamp::now().duration_since(read.created_at.unwrap());
        assert!(age.as_secs() < 60, "{kind}: {read:?}");
        world.edit_comment(REPOSITORY, id, "/trueup sync production --plan 0123456789");
        let read = forge.read_comment(&place, 1, &id.to_string()).await.unwrap().unwrap();
        assert_eq!(read.edited, Some(true), "{kind}");
    }
}

#[tokio::test]
async fn a_webhook_is_made_seen_and_put_right() {
    for world in worlds() {
        let (forge, kind, place) = (world.connect(), world.kind(), repository(REPOSITORY));
        assert_eq!(forge.check_webhook(&place, HOOK).await.unwrap(), None, "{kind}");
        let request = WebhookRequest { repository: place.clone(), url: HOOK.into(), secret: "s3cret-one".into() };
        let made = forge.upsert_webhook(&request).await.unwrap();
        assert_eq!(made.change, Change::Created, "{kind}");
        let seen = forge.check_webhook(&place, HOOK).await.unwrap().unwrap();
        assert!(seen.active && seen.missing_events.is_empty() && seen.last_delivery.is_none(), "{kind}: {seen:?}");
        let wanted = {
            let mut inner = world.inner();
            let hook = &mut inner.state.repositories.get_mut(REPOSITORY).unwrap().hooks[0];
            assert_eq!(hook.secret, "s3cret-one", "{kind}");
            hook.active = false;
            hook.last = Some(500);
            hook.events.pop().unwrap()
        };
        let broken = forge.check_webhook(&place, HOOK).await.unwrap().unwrap();
        assert_eq!((broken.active, broken.missing_events), (false, vec![wanted]), "{kind}");
        let tells = !matches!(kind, ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Bitbucket);
        assert_eq!(broken.last_delivery.map(|last| last.accepted), tells.then_some(false), "{kind}");
        let request = WebhookRequest { secret: "s3cret-two".into(), ..request };
        let repaired = forge.upsert_webhook(&request).await.unwrap();
        assert_eq!((repaired.change, repaired.id), (Change::Edited, made.id), "{kind}");
        let inner = world.inner();
        let hooks = &inner.state.repositories[REPOSITORY].hooks;
        assert_eq!(hooks.len(), 1, "{kind}");
        assert!(hooks[0].active && hooks[0].secret == "s3cret-two", "{kind}");
    }
}

#[tokio::test]
async fn one_issue_is_written_closed_and_opened_again() {
    for world in worlds() {
        let (forge, kind, place) = (world.connect(), world.kind(), repository(REPOSITORY));
        let mut request = IssueRequest {
            repository: place.clone(),
            known_id: None,
            marker: MARKER.into(),
            title: "production drifts".into(),
            body: format!("{MARKER}\n1 change"),
        };
        if !forge.limits().issues {
            let refused = forge.upsert_issue(&request).await.unwrap_err();
            assert!(!refused.is_transient(), "{kind}");
            continue;
        }
        let made = forge.upsert_issue(&request).await.unwrap();
        assert_eq!(made.change, Change::Created, "{kind}");
        request.body = format!("{MARKER}\n2 changes");
        let found = forge.upsert_issue(&request).await.unwrap();
        assert_eq!((found.change, &found.id), (Change::Edited, &made.id), "{kind}");
        forge.close_issue(&place, Some(&made.id), MARKER).await.unwrap();
        let state = |world: &ForgeWorld| {
            let inner = world.inner();
            let issues = inner.state.repositories[REPOSITORY].issues();
            assert_eq!(issues.len(), 1, "{kind}");
            (issues[0].open, issues[0].body.clone())
        };
        assert_eq!(state(&world), (false, request.body.clone()), "{kind}");
        request.known_id = Some(made.id.clone());
        request.body = format!("{MARKER}\n3 changes");
        forge.upsert_issue(&request).await.unwrap();
        assert_eq!(state(&world), (true, request.body.clone()), "{kind}");
        forge.close_issue(&place, Some("999999"), MARKER).await.unwrap();
        // One whose id was never learned is found by its marker.
        forge.close_issue(&place, None, "<!-- another -->").await.unwrap();
        assert!(state(&world).0, "{kind}");
        forge.close_issue(&place, None, MARKER).await.unwrap();
        assert!(!state(&world).0, "{kind}");
    }
}

#[tokio::test]
async fn what_a_forge_has_not_is_said_and_not_tried() {
    for world in worlds() {
        let (forge, kind) = (world.connect(), world.kind());
        let notes =
            LineNotesRequest { repository: repository(REPOSITORY), pull: 1, marker: MARKER.into(), notes: Vec::new() };
        world.seen();
        let done = forge.note_lines(&notes).await;
        assert_eq!(done.is_ok(), forge.limits().line_notes, "{kind}");
        if let Err(error) = done {
            assert!(!error.is_transient() && error.to_string().contains("cannot"), "{kind}: {error}");
            assert_eq!(world.lines(), [""; 0], "{kind}");
        }
    }
}

#[tokio::test]
async fn a_test_of_the_connection_names_the_account_and_what_is_missing() {
    for world in worlds() {
        let (forge, kind, place) = (world.connect(), world.kind(), repository(REPOSITORY));
        let well = forge.test_connection(Some(&place)).await.unwrap();
        assert!(well.account.contains("trueup"), "{kind}: {well:?}");
        assert_eq!((well.missing.len(), well.missing_optional.len()), (0, 0), "{kind}: {well:?}");
        let (scopes, missing, optional): (&[&str], &[&str], &[&str]) = match kind {
            ForgeKind::Github => (&["public_repo"], &["repo"], &["admin:repo_hook"]),
            ForgeKind::Gitlab => {
                (&["read_repository"], &["api", "write_repository"], &["the role Maintainer in the project (webhook)"])
            }
            ForgeKind::Gitea | ForgeKind::Forgejo => {
                (&["read:user"], &["write:issue"], &["admin access to the repository (webhook, permissions)"])
            }
            ForgeKind::Bitbucket => (&["account", "repository"], &["pullrequest"], &["webhook"]),
            ForgeKind::BitbucketServer => (&["REPO_READ"], &[], &["REPO_ADMIN"]),
        };
        world.inner().state.scopes = Some(scopes.iter().map(ToString::to_string).collect());
        let poor = forge.test_connection(Some(&place)).await.unwrap();
        assert_eq!(poor.missing, missing, "{kind}");
        assert_eq!(poor.missing_optional, optional, "{kind}");
        let elsewhere = world.connect().test_connection(Some(&repository("acme/none"))).await;
        assert!(elsewhere.map_or(true, |found| !found.missing.is_empty()), "{kind}");
    }
}

#[tokio::test]
async fn the_credential_is_resolved_when_it_is_used_witnessed_and_never_shown() {
    for world in worlds() {
        let (forge, kind) = (world.connect(), world.kind());
        forge.upsert_comment(&comment(None, "one")).await.unwrap();
        let witnessed = std::mem::take(&mut *world.witness.0.lock().unwrap());
        assert!(witnessed.iter().all(|line| line.starts_with(&format!("forge: {kind}: "))), "{witnessed:?}");
        assert!(witnessed.iter().any(|line| line.contains("acme/shop")), "{kind}: {witnessed:?}");
        std::fs::write(world.auth_ref("token").to_string().trim_start_matches("file://"), "another").unwrap();
        let refused = forge.upsert_comment(&comment(None, "two")).await.unwrap_err();
        assert!(!refused.is_transient(), "{kind}: {refused}");
        std::fs::remove_file(world.auth_ref("token").to_string().trim_start_matches("file://")).unwrap();
        let unset = forge.upsert_comment(&comment(None, "two")).await.unwrap_err();
        assert!(unset.is_transient(), "{kind}: whoever provides it makes this work: {unset}");
        for shown in [format!("{forge:?}"), format!("{refused:?} {refused}"), format!("{unset:?} {unset}")] {
            assert!(!shown.contains(TOKEN) && !shown.contains("another"), "{kind}: {shown}");
        }
    }
}

/// The check itself: what is not described is found.
#[test]
fn what_no_description_has_is_found() {
    if !backend::available("conformance", description::folder().is_some()) {
        return;
    }
    let asked = |method: &str, path: &str, body: serde_json::Value| Asked {
        method: method.into(),
        path: path.split('/').map(str::to_owned).collect(),
        query: Vec::new(),
        headers: hyper::HeaderMap::new(),
        body,
    };
    for (kind, path, body) in [
        (ForgeKind::Github, "repos/a/b/issues/1/comments", json!({ "body": "x" })),
        (ForgeKind::Gitea, "repos/a/b/issues/1/comments", json!({ "body": "x" })),
        (ForgeKind::Forgejo, "repos/a/b/issues/1/comments", json!({ "body": "x" })),
        (ForgeKind::Gitlab, "projects/a/merge_requests/1/notes", json!({ "body": "x" })),
        (
            ForgeKind::Bitbucket,
            "repositories/a/b/pullrequests/1/comments",
            json!({ "type": "pullrequest_comment", "content": { "raw": "x" } }),
        ),
        (ForgeKind::BitbucketServer, "api/latest/projects/a/repos/b/pull-requests/1/comments", json!({ "text": "x" })),
    ] {
        let good = asked("POST", path, body.clone());
        assert!(description::check(kind, &good).unwrap().is_some(), "{kind}");
        let mut unknown = body.clone();
        unknown["bogus"] = json!(1);
        let mut wrong = body.clone();
        for (_, value) in wrong.as_object_mut().unwrap() {
            *value = json!(["wrong"]);
        }
        let mut bad = vec![
            ("a field", asked("POST", path, unknown)),
            ("a type", asked("POST", path, wrong)),
            ("a path", asked("POST", "nothing/of/the/kind", body.clone())),
            ("a method", asked("PATCH", "nothing", body.clone())),
            ("a parameter", Asked { query: vec![("bogus".into(), "1".into())], ..good.clone() }),
        ];
        if kind != ForgeKind::BitbucketServer {
            bad.push(("a missing field", asked("POST", path, json!({}))));
        }
        for (what, asked) in bad {
            assert!(description::check(kind, &asked).is_err(), "{kind}: {what} is not found");
        }
    }
}
