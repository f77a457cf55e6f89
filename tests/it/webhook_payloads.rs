//! Does every forge's delivery say what it says, and does nothing that anyone can send panic, hang or pass for another?

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Map, Value};
use trueup::forge::event::{CommentOn, Event, EventKind, ObjectName, ParseError, PullRequestAction, RefChange};
use trueup::forge::webhook::parse;
use trueup::forge::{ForgeKind, Headers};

use crate::world::backend;

const ZEROS: &str = "0000000000000000000000000000000000000000";

/// The header under which a forge sends the payload that lies at this path, and the forge.
fn header_of(path: &str) -> Option<(ForgeKind, &'static str, String)> {
    let mut parts = path.split('/');
    let (first, second) = (parts.next()?, parts.next()?);
    let stem = path.rsplit('/').next()?.strip_suffix(".json")?;
    if first == "github" {
        return Some((ForgeKind::Github, "x-github-event", second.to_owned()));
    }
    match second {
        "gitlab" => Some((ForgeKind::Gitlab, "x-gitlab-event", "System Hook".to_owned())),
        "gitea" => Some((ForgeKind::Gitea, "x-gitea-event", gitea_event(stem))),
        "gogs" => Some((ForgeKind::Gitea, "x-gogs-event", gitea_event(stem))),
        "bitbucket" => Some((ForgeKind::Bitbucket, "x-event-key", bitbucket_key(stem))),
        // The event is in the body too.
        "bitbucket-server" => Some((ForgeKind::BitbucketServer, "content-type", "application/json".to_owned())),
        _ => None,
    }
}

fn gitea_event(stem: &str) -> String {
    match stem.trim_end_matches("-event") {
        "issues" => "issues".into(),
        "pull-request-comment" => "issue_comment".into(),
        "pull-request-review" => "pull_request_approved".into(),
        other => other.replace('-', "_"),
    }
}

fn bitbucket_key(stem: &str) -> String {
    for noun in ["pull-request", "issue", "repo"] {
        if let Some(verb) = stem.strip_prefix(noun).and_then(|rest| rest.strip_prefix('-')) {
            let verb = match (noun, verb) {
                ("pull-request", "merged") => "fulfilled",
                ("pull-request", "declined") => "rejected",
                ("pull-request", "approval-removed") => "unapproved",
                (_, other) => other,
            };
            return format!("{}:{}", noun.replace('-', ""), verb.replace('-', "_"));
        }
    }
    "repo:commit_comment_created".into()
}

fn read(forge: ForgeKind, header: (&str, &str), body: &[u8]) -> Result<Event, ParseError> {
    parse(forge, &Headers::of([(header.0, header.1.as_bytes())]), body)
}

fn each_payload(folder: &Path, mut check: impl FnMut(&str, &Value, &[u8])) -> usize {
    let folder = folder.join("webhooks");
    let index: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("index.json")).unwrap()).unwrap();
    let payloads = index["payloads"].as_object().unwrap();
    for (path, entry) in payloads {
        check(path, entry, &std::fs::read(folder.join(path)).unwrap());
    }
    payloads.len()
}

#[test]
fn published_payloads_say_what_their_index_states() {
    let Some(folder) = backend::conformance() else { return };
    let mut checked = 0;
    let all = each_payload(&folder, |path, entry, body| {
        let facts = entry["facts"].as_object().unwrap();
        let Some((forge, header, value)) = header_of(path) else {
            assert_eq!(entry["forge"], "docker-hub", "{path} is of a forge that no test knows");
            let refused = ForgeKind::ALL.iter().filter(|forge| read(**forge, ("x-none", ""), body).is_err()).count();
            assert_eq!(refused, ForgeKind::ALL.len(), "{path} is no forge's");
            return;
        };
        let excerpt = path.ends_with("gogs/pull-request-event.json") || path.ends_with("gogs/issue-comment-event.json");
        match read(forge, (header, &value), body) {
            // These two leave out what every real one has: the head of the request, the id of the comment.
            Err(_) if excerpt => {}
            Err(error) => panic!("{path}: {error}"),
            Ok(event) => check_facts(path, facts, &event),
        }
        checked += facts.len();
    });
    assert!(all >= 207 && checked > 1000, "{all} payloads, {checked} facts");
}

fn check_facts(path: &str, facts: &Map<String, Value>, event: &Event) {
    for (name, fact) in facts {
        let found = fact_of(name, fact, facts, event);
        assert_eq!(found.as_ref(), Some(fact), "{path}: {name} of {event:#?}");
    }
}

/// The fact of this name as the event has it. A name that is not known here panics.
fn fact_of(name: &str, stated: &Value, facts: &Map<String, Value>, event: &Event) -> Option<Value> {
    let repository = event.repository.as_ref();
    let text = |text: &str| Some(Value::from(text));
    let maybe = |text: &Option<String>| text.as_deref().map(Value::from);
    match name {
        // The index names some events by the shape of their payload.
        "event" if matches!(&*event.name, "create" | "delete") => Some(stated.clone()),
        "event" if event.name.starts_with("pullrequest:comment") => text("pullrequest:comment"),
        "event" if event.name.starts_with("pullrequest:") => text("pullrequest"),
        "event" if event.name == "pull_request_comment" => text("issue_comment"),
        "event" if event.name.starts_with("pull_request_appr") => text("pull_request_review"),
        "event" if event.name.starts_with("pull_request_") && event.name != "pull_request_review" => {
            text("pull_request")
        }
        "event" => text(&event.name),
        "action" => maybe(&event.action),
        "repo" => repository.map(|repository| repository.full_name.clone().into()),
        "clone_url" => repository.and_then(|repository| repository.clone_urls.first()).map(|url| url.clone().into()),
        "private" => repository.and_then(|repository| repository.private).map(Value::from),
        "sender" => maybe(&event.sender),
        "installation" => event.installation.map(Value::from),
        _ => kind_fact(name, stated, facts, &event.kind),
    }
}

fn kind_fact(name: &str, stated: &Value, facts: &Map<String, Value>, kind: &EventKind) -> Option<Value> {
    let commit = |name: &Option<ObjectName>| name.as_ref().map(|name| Value::from(name.as_str()));
    let maybe = |text: &Option<String>| text.as_deref().map(Value::from);
    match (kind, name) {
        (EventKind::Ping { hook }, "hook_id") => hook.map(Value::from),
        (EventKind::Push(changes), "changes") => Some(changes_like(stated, changes)),
        (EventKind::Push(changes), _) => push_fact(name, facts, &changes[0]),
        (EventKind::PullRequest(request), _) => match name {
            "number" => Some(request.number.into()),
            "state" => maybe(&request.state),
            "head_sha" => commit(&request.head.commit),
            "base_sha" => commit(&request.base.commit),
            "head_ref" => maybe(&request.head.reference),
            "base_ref" => maybe(&request.base.reference),
            "fork" => Some(request.fork.into()),
            "merged" => Some((request.action == PullRequestAction::Closed { merged: true }).into()),
            _ => panic!("no test knows the fact {name} of a pull request"),
        },
        (EventKind::Review { number }, "number") => Some((*number).into()),
        (EventKind::Comment(comment), _) => match (name, comment.on) {
            ("body", _) => Some(comment.body.clone().into()),
            ("commenter", _) => maybe(&comment.author),
            ("number", CommentOn::PullRequest(number) | CommentOn::Issue(number)) => Some(number.into()),
            ("is_pr", on) => Some(matches!(on, CommentOn::PullRequest(_)).into()),
            ("noteable", CommentOn::PullRequest(_)) => Some("MergeRequest".into()),
            ("noteable", CommentOn::Issue(_)) => Some("Issue".into()),
            ("noteable", CommentOn::Commit) => Some("Commit".into()),
            ("noteable", CommentOn::Other) => Some("Snippet".into()),
            // What the comment's event says of its request besides; it is read from the forge when it is needed.
            ("state" | "head_sha" | "head_ref" | "base_ref", CommentOn::PullRequest(_)) => Some(stated.clone()),
            _ => panic!("no test knows the fact {name} of a comment"),
        },
        (EventKind::Check(check) | EventKind::CheckRerequested(check), _) => match name {
            "head_sha" | "sha" => commit(&check.head),
            "status" => maybe(&check.status),
            "conclusion" => maybe(&check.conclusion),
            "ref" => maybe(&check.reference),
            _ => panic!("no test knows the fact {name} of a check"),
        },
        (EventKind::Installation(installation), _) => match name {
            "repositories" => Some(installation.repositories.len().into()),
            "added" => Some(installation.added.len().into()),
            "removed" => Some(installation.removed.len().into()),
            _ => panic!("no test knows the fact {name} of an installation"),
        },
        (EventKind::Release { tag }, "tag") => Some(tag.clone().into()),
        _ => panic!("no test knows the fact {name} of {kind:?}"),
    }
}

fn push_fact(name: &str, facts: &Map<String, Value>, change: &RefChange) -> Option<Value> {
    let moved = |name: &Option<ObjectName>| Some(Value::from(name.as_ref().map_or(ZEROS, ObjectName::as_str)));
    match name {
        "ref" if facts.contains_key("ref_type") && !facts["ref"].as_str()?.starts_with("refs/") => {
            Some(change.reference.splitn(3, '/').nth(2)?.into())
        }
        "ref" => Some(change.reference.clone().into()),
        "ref_type" => Some(if change.reference.starts_with("refs/tags/") { "tag" } else { "branch" }.into()),
        "before" => moved(&change.before),
        "after" => moved(&change.after),
        "created" => Some(change.created.into()),
        "deleted" => Some(change.deleted.into()),
        "forced" => change.forced.map(Value::from),
        "commits" => Some(change.commits.into()),
        "total_commits" => change.commits_total.map(Value::from),
        "checkout_sha" => change.checkout.as_ref().map(|name| name.as_str().into()),
        _ => panic!("no test knows the fact {name} of a push"),
    }
}

/// The changes in the index's words, which differ between the two Bitbuckets.
fn changes_like(stated: &Value, changes: &[RefChange]) -> Value {
    let cloud = stated[0].get("name").is_some();
    let hash = |name: &Option<ObjectName>| name.as_ref().map_or(ZEROS.to_owned(), ToString::to_string);
    let one = |change: &RefChange| {
        if !cloud {
            let kind = if change.deleted {
                "DELETE"
            } else if change.created {
                "ADD"
            } else {
                "UPDATE"
            };
            return serde_json::json!({ "ref": change.reference, "type": kind, "old": hash(&change.before), "new": hash(&change.after) });
        }
        serde_json::json!({
            "type": if change.reference.starts_with("refs/tags/") { "tag" } else { "branch" },
            "name": change.reference.splitn(3, '/').nth(2),
            "new": hash(&change.after), "old": hash(&change.before),
            "created": change.created, "closed": change.deleted, "forced": change.forced,
            // Whether all commits are listed matters to nobody: they are read from the repository.
            "truncated": stated[0]["truncated"],
        })
    };
    changes.iter().map(one).collect()
}

/// Small deliveries of every forge, for what is tried on them below.
fn samples() -> Vec<(ForgeKind, (&'static str, &'static str), Value)> {
    let sha = "ec26c3e57ca3a959ca5aad62de7213c562f8c821";
    let repository = serde_json::json!({ "full_name": "acme/shop", "clone_url": "https://git.acme.dev/acme/shop.git" });
    let side = serde_json::json!({ "ref": "main", "sha": sha, "repo": { "full_name": "acme/shop" } });
    let request = serde_json::json!({ "action": "closed", "repository": repository, "sender": { "login": "alice" },
        "pull_request": { "number": 7, "title": "x", "merged": true, "head": side, "base": side } });
    let push = serde_json::json!({ "ref": "refs/heads/main", "before": ZEROS, "after": sha, "commits": [], "repository": repository });
    let server = serde_json::json!({ "slug": "shop", "project": { "key": "ACME" } });
    vec![
        (ForgeKind::Github, ("x-github-event", "pull_request"), request.clone()),
        (ForgeKind::Github, ("x-github-event", "push"), push.clone()),
        (ForgeKind::Gitea, ("x-gitea-event", "pull_request"), request),
        (ForgeKind::Forgejo, ("x-forgejo-event", "push"), push),
        (
            ForgeKind::Gitlab,
            ("x-gitlab-event", "Merge Request Hook"),
            serde_json::json!({ "object_kind": "merge_request", "project": { "path_with_namespace": "acme/shop" }, "object_attributes": {
                "iid": 7, "action": "update", "oldrev": sha, "source_branch": "a", "target_branch": "b", "source_project_id": 1, "target_project_id": 1 } }),
        ),
        (
            ForgeKind::Bitbucket,
            ("x-event-key", "pullrequest:created"),
            serde_json::json!({ "repository": { "full_name": "acme/shop" }, "pullrequest": { "id": 7, "source": {}, "destination": {} } }),
        ),
        (
            ForgeKind::BitbucketServer,
            ("x-event-key", "pr:opened"),
            serde_json::json!({ "pullRequest": { "id": 7, "fromRef": { "id": "a", "repository": server }, "toRef": { "id": "b", "repository": server } } }),
        ),
    ]
}

#[test]
fn samples_are_understood() {
    for (forge, header, body) in samples() {
        let event = read(forge, header, body.to_string().as_bytes()).unwrap();
        match event.kind {
            EventKind::PullRequest(request) => assert_eq!(request.number, 7, "{forge}"),
            EventKind::Push(changes) => assert!(changes[0].created && !changes[0].deleted, "{forge}"),
            other => panic!("{forge}: {other:?}"),
        }
        assert!(event.repository.is_some_and(|repository| repository.full_name.eq_ignore_ascii_case("acme/shop")));
    }
}

#[test]
fn a_head_that_is_gone_or_elsewhere_is_a_fork() {
    let (forge, header, mut body) = samples().remove(0);
    for (repository, expected) in [(Value::Null, true), (serde_json::json!({ "full_name": "mallory/shop" }), true)] {
        body["pull_request"]["head"]["repo"] = repository;
        let EventKind::PullRequest(request) = read(forge, header, body.to_string().as_bytes()).unwrap().kind else {
            panic!("a pull request")
        };
        assert_eq!(request.fork, expected);
    }
}

#[test]
fn a_body_cut_anywhere_is_refused() {
    for (forge, header, body) in samples() {
        let text = body.to_string();
        for end in 0..text.len() {
            assert!(read(forge, header, &text.as_bytes()[..end]).is_err(), "{forge} cut at {end}");
        }
        assert!(read(forge, header, format!("{text}{text}").as_bytes()).is_err(), "{forge} twice");
    }
}

#[test]
fn doubled_keys_that_matter_are_refused() {
    let (forge, header, body) = samples().remove(0);
    let text = body.to_string();
    for key in ["\"action\":\"closed\"", "\"number\":7", "\"full_name\":\"acme/shop\"", "\"merged\":true"] {
        assert!(text.contains(key), "{key}");
        let doubled = text.replacen(key, &format!("{key},{key}"), 1);
        assert!(read(forge, header, doubled.as_bytes()).is_err(), "{key}");
    }
}

#[test]
fn deep_nesting_and_huge_numbers_cost_nothing() {
    for (forge, header, body) in samples() {
        let text = body.to_string();
        for deep in ["[", "{\"a\":"] {
            let open = deep.repeat(200_000);
            let junk = format!("{{\"zz\":{open}1,{}", &text[1..]);
            assert!(read(forge, header, junk.as_bytes()).is_err(), "{forge}: never closed");
            assert!(read(forge, header, open.as_bytes()).is_err(), "{forge}: nothing else");
        }
        let nested = format!("{{\"zz\":{}{},{}", "[".repeat(100_000), "]".repeat(100_000), &text[1..]);
        assert!(read(forge, header, nested.as_bytes()).is_ok(), "{forge}: a field that is not read");
        let number = text.replace(":7", &format!(":{}", "9".repeat(5_000)));
        assert!(number == text || read(forge, header, number.as_bytes()).is_err(), "{forge}: a huge number");
        let real = text.replace(":7", ":7.5");
        assert!(real == text || read(forge, header, real.as_bytes()).is_err(), "{forge}: half a request");
    }
}

#[test]
fn errors_repeat_nothing_of_a_body() {
    let (forge, header, mut body) = samples().remove(0);
    body["pull_request"]["number"] = "hunter2".into();
    let error = read(forge, header, body.to_string().as_bytes()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    assert!(error.to_string().contains("line 1, column"), "{error}");
}

/// Another type in the place of each value that is read.
fn retyped(body: &Value, place: usize, with: &Value) -> Value {
    fn walk(value: &mut Value, left: &mut usize, with: &Value) -> bool {
        if *left == 0 {
            *value = with.clone();
            return true;
        }
        *left -= 1;
        match value {
            Value::Object(map) => map.values_mut().any(|value| walk(value, left, with)),
            Value::Array(list) => list.iter_mut().any(|value| walk(value, left, with)),
            _ => false,
        }
    }
    let (mut body, mut left) = (body.clone(), place);
    walk(&mut body, &mut left, with);
    body
}

proptest! {
    /// Whatever arrives: an answer, and never another request's number.
    #[test]
    fn mutations_never_pass_for_another_request(
        sample in 0..7_usize,
        place in 0..40_usize,
        with in prop_oneof![
            Just(Value::Null), Just(Value::from(-1)), Just(Value::from("x")), Just(Value::from(1.5)),
            Just(serde_json::json!([])), Just(serde_json::json!({})), Just(Value::from(true)), Just(Value::from(u64::MAX)),
        ],
        noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let (forge, header, body) = samples().swap_remove(sample);
        let changed = retyped(&body, place, &with);
        let well_formed = changed.to_string();
        if let Ok(Event { kind: EventKind::PullRequest(request), .. }) = read(forge, header, well_formed.as_bytes()) {
            prop_assert!(request.number == 7 || with == u64::MAX && request.number == u64::MAX);
        }
        let mut bytes = well_formed.into_bytes();
        for (index, byte) in noise {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        for kind in ForgeKind::ALL {
            let _answer = read(kind, header, &bytes);
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400), form in any::<bool>()) {
        let media: &[u8] = if form { b"application/x-www-form-urlencoded" } else { b"application/json" };
        for forge in ForgeKind::ALL {
            let headers = Headers::of([
                ("content-type", media), ("x-github-event", b"push".as_slice()), ("x-gitea-event", b"push"), ("x-event-key", b"repo:push"),
            ]);
            prop_assert!(parse(forge, &headers, &bytes).is_err());
        }
    }
}
