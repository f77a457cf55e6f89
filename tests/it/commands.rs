//! Does a comment's command do exactly what it says, once, in the name of who wrote it, and is it answered?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ring::hmac::{HMAC_SHA256, Key, sign};
use serde_json::json;
use trueup::authority::{CommentCommands, Role};
use trueup::daemon::Intake;
use trueup::forge::ForgeKind;
use trueup::forge::api::Permission;
use trueup::http::webhook::WebhookSettings;
use trueup::ids::RunId;
use trueup::store::InboxBound;
use trueup::store::records::{CommandState, RunState};
use trueup::sync::journal::{Boundary, Step};

use crate::world::commands::{Bench, Crew, REPOSITORY, environment, project, until};
use crate::world::door::Door;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_every_forge_a_command_carries_its_plan_out_and_is_answered_in_one_comment() {
    for kind in ForgeKind::ALL {
        let bench = Bench::open(kind).await;
        let plan = bench.plan().await;
        let id = bench.say("alice", &format!("{}\n\nthis is the one", Bench::line(&plan))).await;
        let answer = bench.answer().await;
        let [run] = &bench.runs().await[..] else { panic!("{kind}: one run") };
        assert_eq!((run.state, &run.plan), (RunState::Succeeded, &plan.digest), "{kind}");
        let user = bench.world.user("alice").id;
        assert_eq!(run.actor, format!("alice (forge user {user}, comment {id})"), "{kind}");
        assert!(answer.contains(&format!("Run {}", run.id)) && answer.contains("**succeeded**"), "{kind}: {answer}");
        assert!(bench.plan().await.actions.is_empty(), "{kind}: what was asked for is what runs");
        assert_eq!(bench.audited(" | sync | shop/production plan").await.len(), 1, "{kind}");

        until("the report tells of the run, too", async || {
            let comments = bench.world.comments(REPOSITORY, bench.number);
            comments
                .iter()
                .any(|text| !text.body.contains(":answer:") && text.body.contains(&format!("run {}", run.id)))
        })
        .await;

        // The comment and its delivery again, and the plan again: nothing happens a second time.
        bench.tell(id).await;
        bench.tell(id).await;
        bench.quiet().await;
        assert_eq!((bench.answers().len(), bench.runs().await.len()), (1, 1), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_makes_the_report_again_and_a_viewer_may_ask_for_it() {
    let bench = Bench::unmerged(ForgeKind::Gitea).await;
    bench.allow(CommentCommands::Plan).await;
    bench.map("victor", Role::Viewer).await;
    bench.permit("victor", Permission::Read);
    bench.say("victor", "/trueup plan").await;
    let answer = bench.answer().await;
    assert!(answer.contains("makes its report on this request again"), "{answer}");
    until("the report is there", async || {
        let comments = bench.world.comments(REPOSITORY, bench.number);
        comments.iter().any(|text| text.body.contains("LOG_LEVEL"))
    })
    .await;
    assert!(bench.runs().await.is_empty());
}

/// A signed delivery, as GitHub sends it.
async fn deliver(door: &Door, id: &str, number: u64, comment: u64, body: &str) -> u16 {
    let payload = json!({
        "action": "created",
        "issue": { "number": number, "pull_request": {} },
        "comment": { "id": comment, "body": body, "user": { "login": "mallory", "id": 1 } },
        "repository": { "full_name": REPOSITORY, "clone_url": "https://github.com/acme/shop.git" },
        "sender": { "login": "mallory", "id": 1 },
    })
    .to_string();
    let tag = sign(&Key::new(HMAC_SHA256, SECRET.as_bytes()), payload.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(format!("http://{}/hooks/github/shop", door.tcp))
        .header("content-type", "application/json")
        .header("x-github-event", "issue_comment")
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", format!("sha256={hex}"));
    request.body(payload).send().await.unwrap().status().as_u16()
}

const SECRET: &str = "It's a Secret to Everybody";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_delivery_leads_to_a_run_and_what_it_says_beside_the_number_counts_for_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let mut bench = Bench::open(ForgeKind::Github).await;
    bench.kill().await;
    let plan = bench.plan().await;
    let path = bench.house.state.path().join("webhook");
    std::fs::write(&path, SECRET).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut registered = bench.house.store.project(&project()).await.unwrap().unwrap();
    registered.webhook_secret = Some(format!("file://{}", path.display()).parse().unwrap());
    bench.house.store.update_project(registered).await.unwrap();

    let limits = WebhookSettings { max_body_bytes: 64 << 10, inbox: InboxBound::default() };
    let Bench { world, house, number, patience, .. } = bench;
    let door = Door::open_with(house, "no-such-group", limits).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let moved: trueup::daemon::Moved = Arc::new(|_| {});
    let metrics = trueup::metrics::Metrics::default();
    let (heard, _intake) =
        Intake::start(door.house.store.clone(), Arc::clone(&door.bell), moved, metrics, stop.clone());
    let syncs = door.house.syncs.clone();
    let crew = Crew::start(&door.house, &world, syncs, patience, Some(heard)).await;

    // The payload's author is somebody else and its text another; the forge is asked.
    let id = world.say(REPOSITORY, number, "alice", &Bench::line(&plan));
    assert_eq!(deliver(&door, "one", number, id, "/trueup plan").await, 202);
    // The same delivery, and another one of the same comment.
    assert_eq!(deliver(&door, "one", number, id, "/trueup plan").await, 200);
    assert_eq!(deliver(&door, "two", number, id, "/trueup plan").await, 202);
    let store = &door.house.store;
    until("the command is over", async || {
        let runs = store.runs(&environment(), 10).await.unwrap();
        runs.len() == 1 && store.next_command_due().await.unwrap().is_none()
    })
    .await;
    until("it is answered", async || store.outbox_depth().await.unwrap().0 == 0).await;
    let runs = store.runs(&environment(), 10).await.unwrap();
    assert_eq!((runs.len(), runs[0].state), (1, RunState::Succeeded), "{runs:?}");
    let answers: Vec<_> =
        world.comments(REPOSITORY, number).into_iter().filter(|text| text.body.contains(":answer:")).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");

    // What is no command at its beginning is not even read at the forge.
    drop(world.seen());
    let quoted = world.say(REPOSITORY, number, "alice", &format!("> {}", Bench::line(&plan)));
    assert_eq!(deliver(&door, "three", number, quoted, &format!("> {}", Bench::line(&plan))).await, 202);
    until("it is taken in", async || store.inbox_depth() == 0).await;
    assert!(!world.lines().iter().any(|line| line.contains(&format!("comments/{quoted}"))));
    crew.kill().await;
    stop.cancel();
}

/// Holds a run at its first boundary until it is let go.
struct Hold(tokio::sync::watch::Receiver<bool>, AtomicUsize);

impl Boundary for Hold {
    fn reached(&self, _: &Step, _: bool) {
        self.1.fetch_add(1, Ordering::SeqCst);
        while !*self.0.borrow() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_daemon_that_is_killed_begins_no_command_again_and_tells_of_the_run() {
    let mut bench = Bench::open(ForgeKind::Gitea).await;
    bench.kill().await;
    let (open, held) = tokio::sync::watch::channel(false);
    bench.house.syncs = bench.house.syncs.clone().with_boundary(Arc::new(Hold(held, AtomicUsize::new(0))));
    bench.begin().await;
    let plan = bench.plan().await;
    let id = bench.say("alice", &Bench::line(&plan)).await;
    until("its run was begun", async || bench.runs().await.len() == 1).await;
    bench.kill().await;
    open.send(true).unwrap();
    bench.begin().await;
    bench.tell(id).await;
    let answer = bench.answer().await;
    assert_eq!(bench.runs().await.len(), 1);
    assert!(answer.contains("**succeeded**"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_was_taken_up_and_never_begun_is_told_of_and_not_begun() {
    let mut bench = Bench::open(ForgeKind::Gitea).await;
    bench.kill().await;
    let plan = bench.plan().await;
    let id = bench.world.say(REPOSITORY, bench.number, "alice", &Bench::line(&plan));
    // As the process leaves it that ends between taking up and beginning.
    let store = &bench.house.store;
    let new = trueup::store::records::NewCommand {
        project: project(),
        integration: "forge".parse().unwrap(),
        repository: REPOSITORY.into(),
        pull: bench.number,
        comment_id: id,
        at: jiff::Timestamp::now(),
    };
    store.want_command(new).await.unwrap();
    let row = store.due_commands(jiff::Timestamp::now()).await.unwrap().remove(0);
    assert!(store.take_command(row.id, "alice (forge user 1, comment 1)", &environment(), &plan.digest).await.unwrap());
    assert!(!store.take_command(row.id, "alice", &environment(), &plan.digest).await.unwrap(), "once");
    let row = store.due_commands(jiff::Timestamp::now()).await.unwrap().remove(0);
    assert_eq!((row.state, row.run), (CommandState::Taken, None::<RunId>));

    bench.begin().await;
    bench.tell(id).await;
    let answer = bench.answer().await;
    assert!(answer.contains("not begun again by itself"), "{answer}");
    assert!(bench.runs().await.is_empty());
}
