//! What only one forge has: GitHub's App, check runs and pace; GitLab's notes on lines; redirects of moved repositories.

use trueup::forge::ForgeKind;
use trueup::forge::api::{
    Annotation, AnnotationLevel, Change, CheckConclusion, CheckRunRequest, LineNote, LineNotes, LineNotesRequest,
    StatusRequest, StatusState,
};

use crate::forge::{MARKER, REPOSITORY, comment, world};
use crate::world::backend;
use crate::world::forge::fault::Fault;
use crate::world::forge::{ForgeWorld, repository};

fn check(world: &ForgeWorld, annotations: usize, title: &str) -> CheckRunRequest {
    let annotation = |line| Annotation {
        path: ".trueup.yml".into(),
        start_line: line,
        end_line: line,
        level: AnnotationLevel::Warning,
        title: "~ image".into(),
        message: "web: image changes".into(),
    };
    CheckRunRequest {
        repository: repository(REPOSITORY),
        commit: world.inner().state.repositories[REPOSITORY].pulls[&1].head.parse().unwrap(),
        name: "trueup/production".into(),
        conclusion: CheckConclusion::Neutral,
        title: title.into(),
        summary: "3 changes".into(),
        details_url: Some("https://trueup.acme.dev/plans/ab".into()),
        annotations: (1..=annotations as u32).map(annotation).collect(),
    }
}

/// The runs: annotations and conclusion of each.
fn runs(world: &ForgeWorld) -> Vec<(usize, String)> {
    let inner = world.inner();
    let checks = &inner.state.repositories[REPOSITORY].checks;
    checks.iter().map(|check| (check.annotations.len(), check.conclusion.clone())).collect()
}

#[tokio::test]
async fn annotations_go_in_batches_and_an_interrupted_run_goes_on_where_it_stood() {
    if !backend::git() {
        return;
    }
    let world = world(ForgeKind::Github);
    let forge = world.connect_app();
    assert!(forge.limits().check_runs);
    let request = check(&world, 120, "3 changes");
    let made = forge.upsert_check_run(&request).await.unwrap();
    assert_eq!(made.change, Change::Created);
    assert_eq!(runs(&world), [(120, "neutral".to_owned())]);
    let again = forge.upsert_check_run(&request).await.unwrap();
    assert_eq!((again.change, &again.id), (Change::Unchanged, &made.id));
    for (method, fault) in [
        ("PATCH", Fault::status(502)),
        ("PATCH", Fault::LoseReply),
        ("POST", Fault::LoseReply),
        ("POST", Fault::CloseMidBody),
    ] {
        let request = check(&world, 130, &format!("{method} {fault:?}"));
        world.fault(method, "/check-runs", fault.clone());
        let failed = forge.upsert_check_run(&request).await.unwrap_err();
        assert!(failed.is_transient(), "{method} {fault:?}: {failed}");
        forge.upsert_check_run(&request).await.unwrap();
        let last = runs(&world).pop().unwrap();
        assert_eq!(last, (130, "neutral".to_owned()), "{method} {fault:?}: every annotation once");
    }
    assert_eq!(runs(&world).len(), 5, "each content has one run");
    let empty = forge.upsert_check_run(&check(&world, 0, "in sync")).await.unwrap();
    assert_eq!(empty.change, Change::Created);
    assert_eq!(runs(&world).pop().unwrap(), (0, "neutral".to_owned()));
    let token = world.connect();
    assert!(!token.limits().check_runs);
    assert!(!token.upsert_check_run(&request).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn an_apps_token_is_bought_once_renewed_and_bought_again_where_it_is_refused() {
    if !backend::git() {
        return;
    }
    let world = world(ForgeKind::Github);
    let forge = world.connect_app();
    let purchases = |world: &ForgeWorld| world.lines().iter().filter(|line| line.contains("access_tokens")).count();
    let made = forge.upsert_comment(&comment(None, "one")).await.unwrap();
    forge.upsert_comment(&comment(Some(&made.id), "two")).await.unwrap();
    assert_eq!(purchases(&world), 1, "one token serves while it lasts");
    world.inner().state.tokens.clear();
    forge.upsert_comment(&comment(Some(&made.id), "three")).await.unwrap();
    assert_eq!(purchases(&world), 1, "a token that is refused is replaced at once");
    world.inner().state.tokens.clear();
    world.inner().state.token_life = Some(200);
    for text in ["four", "five", "six"] {
        forge.upsert_comment(&comment(Some(&made.id), text)).await.unwrap();
    }
    assert_eq!(purchases(&world), 3, "a token that is about to end serves its own operation only");
    let comments = world.comments(REPOSITORY, 1);
    assert_eq!((comments.len(), comments[0].author.as_str()), (1, "trueup[bot]"));
    let elsewhere = forge.read_pull_request(&repository("acme/none"), 1).await.unwrap_err();
    assert!(elsewhere.to_string().contains("not installed"), "{elsewhere}");
    let granted = ["contents:read", "checks:write", "statuses:write", "issues:write"];
    world.inner().state.scopes = Some(granted.iter().map(ToString::to_string).collect());
    let poor = forge.test_connection(Some(&repository(REPOSITORY))).await.unwrap();
    assert_eq!(poor.account, "trueup[bot]");
    assert_eq!(
        (poor.missing, poor.missing_optional),
        (vec!["pull_requests:write".into()], vec!["repository_hooks:write".into()])
    );
}

#[tokio::test]
async fn github_gets_eighty_writes_a_minute_and_no_more() {
    if !backend::git() {
        return;
    }
    let world = world(ForgeKind::Github);
    let forge = world.connect();
    let mut request = StatusRequest {
        repository: repository(REPOSITORY),
        commit: "a".repeat(40).parse().unwrap(),
        context: "trueup/production".into(),
        state: StatusState::Success,
        description: String::new(),
        target_url: None,
        branch: None,
    };
    for number in 0..80 {
        request.description = number.to_string();
        forge.set_status(&request).await.unwrap();
    }
    let paced = forge.set_status(&request).await.unwrap_err();
    let wait = paced.retry_after().unwrap().as_secs();
    assert!(paced.is_transient() && (1..=60).contains(&wait), "{paced} {wait}");
    assert_eq!(world.writes().len(), 80, "the one too many was not sent");
    forge.read_pull_request(&repository(REPOSITORY), 1).await.unwrap();
}

#[tokio::test]
async fn a_moved_repository_is_followed_on_its_forge_and_nowhere_else() {
    if !backend::git() {
        return;
    }
    let world = world(ForgeKind::Github);
    let forge = world.connect();
    let redirect = |status, to: String| Fault::Say { status, headers: vec![("location", to)], body: "" };
    let own = format!("{}/api/v3/repos/{REPOSITORY}/issues/1/comments", world.endpoint());
    world.fault("POST", "/comments", redirect(307, own.clone()));
    assert_eq!(forge.upsert_comment(&comment(None, "one")).await.unwrap().change, Change::Created);
    for (method, status, to) in [
        ("GET", 302, "https://169.254.169.254/latest/meta-data".to_owned()),
        ("GET", 302, "http://127.0.0.1:1/x".to_owned()),
        ("PATCH", 307, "https://evil.example/x".to_owned()),
        ("PATCH", 301, own),
    ] {
        world.fault(method, "/comments", redirect(status, to.clone()));
        let refused = forge.upsert_comment(&comment(None, "two")).await.unwrap_err();
        assert!(!refused.is_transient(), "{method} {to}: {refused}");
    }
    let comments = world.comments(REPOSITORY, 1);
    assert_eq!(comments.len(), 1);
    assert!(comments[0].body.contains("one"));
}

#[tokio::test]
async fn notes_stand_on_lines_of_the_diff_and_are_resolved_when_they_no_longer_hold() {
    if !backend::git() {
        return;
    }
    let world = world(ForgeKind::Gitlab);
    let forge = world.connect();
    let note = |line, text: &str| LineNote { path: ".trueup.yml".into(), line, body: format!("{MARKER} {text}") };
    let request =
        |notes| LineNotesRequest { repository: repository(REPOSITORY), pull: 1, marker: MARKER.into(), notes };
    let none = LineNotes::default();
    let first = forge.note_lines(&request(vec![note(3, "a"), note(7, "b"), note(500, "c")])).await.unwrap();
    assert_eq!(first, LineNotes { created: 2, outside: 1, ..none });
    let second = forge.note_lines(&request(vec![note(3, "a"), note(7, "changed")])).await.unwrap();
    assert_eq!(second, LineNotes { unchanged: 1, edited: 1, ..none });
    let third = forge.note_lines(&request(vec![note(7, "changed")])).await.unwrap();
    assert_eq!(third, LineNotes { unchanged: 1, resolved: 1, ..none });
    let fourth = forge.note_lines(&request(vec![note(3, "a"), note(7, "changed")])).await.unwrap();
    assert_eq!(fourth, LineNotes { unchanged: 1, edited: 1, ..none }, "a resolved one is opened again");
    let inner = world.inner();
    let standing = &inner.state.repositories[REPOSITORY].discussions;
    assert_eq!(standing.len(), 2);
    assert!(standing.iter().all(|one| !one.resolved));
}

#[tokio::test]
async fn a_token_lists_a_hundred_and_more_requests_without_following_a_link() {
    if !backend::git() {
        return;
    }
    for kind in ForgeKind::ALL {
        let world = world(kind);
        {
            let mut inner = world.inner();
            let pulls = &mut inner.state.repositories.get_mut(REPOSITORY).unwrap().pulls;
            let one = pulls[&1].clone();
            for number in 2..=230 {
                pulls.insert(number, crate::world::forge::state::Pull { number, ..one.clone() });
            }
        }
        let open = world.connect().list_open_pull_requests(&repository(REPOSITORY)).await.unwrap();
        let numbers: Vec<u64> = open.iter().map(|pull| pull.number).collect();
        assert_eq!(numbers, (1..=230).collect::<Vec<u64>>(), "{kind}");
        assert!(open.iter().all(|pull| pull.head.commit.is_some()), "{kind}");
    }
}

#[tokio::test]
async fn a_private_forks_request_is_read_without_its_commit() {
    if !backend::git() {
        return;
    }
    let world = world(ForgeKind::Bitbucket);
    let number = world.open_fork_pull(REPOSITORY, "mallory/shop", "evil", &[("x", "y")]);
    world.fault("GET", "/mallory/shop/commit", Fault::status(403));
    let read = world.connect().read_pull_request(&repository(REPOSITORY), number).await.unwrap();
    assert!(read.is_fork && read.head.commit.is_none() && read.base.commit.is_some(), "{read:?}");
}
