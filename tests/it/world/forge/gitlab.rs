//! GitLab's API over a world's state.

use serde_json::{Value, json};
use trueup::forge::api::Permission;

use super::state::{Discussion, Hook, Pull, Repository, State, Status, Text, account};
use super::{Asked, Reply, TOKEN};

const ME: &str = "trueup";
const EVENTS: [&str; 5] = ["push_events", "tag_push_events", "merge_requests_events", "note_events", "issues_events"];

fn refuse(status: u16, message: Value) -> Option<Reply> {
    Some(Reply::json(status, json!({ "message": message })))
}

fn user(login: &str) -> Value {
    let (login, id) = account(login);
    json!({ "username": login, "id": id, "state": "active" })
}

/// A project's number, as it stands in requests.
fn number_of(name: &str) -> u64 {
    name.bytes().fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003)
}

pub fn handle(state: &mut State, asked: &Asked) -> Option<Reply> {
    if asked.headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(&format!("Bearer {TOKEN}")) {
        return refuse(401, "401 Unauthorized".into());
    }
    let parts = asked.parts();
    match parts.as_slice() {
        ["user"] => Some(Reply::json(200, user(ME))),
        ["users"] => {
            let wanted = asked.query("username")?;
            Some(Reply::json(200, state.knows(wanted).then(|| user(wanted)).into_iter().collect()))
        }
        ["personal_access_tokens", "self"] => {
            let all = ["api", "read_repository", "write_repository"];
            let scopes: Vec<&str> = all.into_iter().filter(|scope| state.has(scope)).collect();
            Some(Reply::json(200, json!({ "id": 1, "scopes": scopes })))
        }
        ["projects", project, rest @ ..] => {
            let name =
                state.repositories.keys().find(|name| name == project || number_of(name).to_string() == *project);
            let Some(name) = name.cloned() else { return refuse(404, "404 Project Not Found".into()) };
            let mut repository = state.repositories.remove(&name).unwrap();
            let reply = in_project(state, &mut repository, asked, &name, rest);
            state.repositories.insert(name, repository);
            reply
        }
        _ => None,
    }
}

fn in_project(
    state: &mut State,
    repository: &mut Repository,
    asked: &Asked,
    full: &str,
    rest: &[&str],
) -> Option<Reply> {
    let missing = || refuse(404, "404 Not found".into());
    match (asked.method.as_str(), rest) {
        ("GET", []) => {
            let level = if state.has("maintainer") { 40 } else { 30 };
            let permissions = json!({ "project_access": { "access_level": level }, "group_access": null });
            Some(Reply::json(200, json!({ "path_with_namespace": full, "permissions": permissions })))
        }
        ("POST", ["statuses", commit]) => {
            let status = Status {
                commit: (*commit).into(),
                context: asked.text("name"),
                state: asked.text("state"),
                description: asked.text("description"),
                url: asked.text("target_url"),
            };
            let same = repository.status(commit, &status.context).is_some_and(|old| old.state == status.state);
            repository.set_status(status);
            if same {
                // GitLab takes description and URL over, and then finds that the state is none to go to.
                return refuse(400, r#"Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition via "enqueue")"#.into());
            }
            Some(Reply::json(200, json!({ "status": asked.body["state"] })))
        }
        ("GET", ["merge_requests"]) => {
            let open = repository.pulls.values().rev().filter(|pull| pull.open);
            let listed = open.map(|pull| {
                let mut value = merge_request(pull, full);
                value.as_object_mut().unwrap().remove("diff_refs");
                value
            });
            Some(Reply::page(listed.collect(), asked, "per_page"))
        }
        ("GET", ["merge_requests", number]) => match repository.pulls.get(&number.parse().ok()?) {
            Some(pull) => Some(Reply::json(200, merge_request(pull, full))),
            None => missing(),
        },
        (_, ["merge_requests", number, rest @ ..]) => {
            let number: u64 = number.parse().ok()?;
            if !repository.pulls.contains_key(&number) {
                return missing();
            }
            in_request(state, repository, asked, number, rest)
        }
        ("GET", ["issues"]) => {
            let issues = repository.issues().into_iter().filter(|issue| issue.open);
            Some(Reply::page(issues.map(issue).collect(), asked, "per_page"))
        }
        ("POST", ["issues"]) => {
            let text = repository.write(state.next_id(), None, ME, asked.text("title"), asked.text("description"));
            Some(Reply::json(201, issue(text)))
        }
        ("PUT", ["issues", id]) => {
            let Some(text) = repository.text(id).filter(|text| text.pull.is_none()) else { return missing() };
            for (field, place) in [("title", &mut text.title), ("description", &mut text.body)] {
                if let Some(value) = asked.body[field].as_str() {
                    value.clone_into(place);
                }
            }
            match asked.body["state_event"].as_str() {
                Some("close") => text.open = false,
                Some("reopen") => text.open = true,
                _ => {}
            }
            Some(Reply::json(200, issue(text)))
        }
        ("GET", ["members", "all", id]) => {
            let named = |(login, _): &(&String, &Permission)| user(login)["id"].as_u64() == id.parse().ok();
            let Some((_, has)) = repository.permissions.iter().find(named) else { return missing() };
            let level = match has {
                Permission::Admin => 40,
                Permission::Write => 30,
                Permission::Read => 20,
                Permission::None => return missing(),
            };
            Some(Reply::json(200, json!({ "access_level": level, "state": "active" })))
        }
        (_, ["hooks", hooks @ ..]) => in_hooks(state, repository, asked, hooks),
        _ => None,
    }
}

fn in_request(
    state: &mut State,
    repository: &mut Repository,
    asked: &Asked,
    number: u64,
    rest: &[&str],
) -> Option<Reply> {
    let missing = || refuse(404, "404 Not found".into());
    match (asked.method.as_str(), rest) {
        ("GET", ["notes"]) => {
            // What GitLab itself writes about a request stands among the notes.
            let system =
                json!({ "id": 1, "body": "added 1 commit <!-- trueup -->", "system": true, "author": user(ME) });
            let notes = std::iter::once(system).chain(repository.comments(number).into_iter().map(note));
            Some(Reply::page(notes.collect(), asked, "per_page"))
        }
        ("POST", ["notes"]) => {
            let body = asked.text("body");
            if body.chars().count() > 1_000_000 {
                return refuse(400, json!({ "note": ["is too long (maximum is 1000000 characters)"] }));
            }
            let text = repository.write(state.next_id(), Some(number), ME, String::new(), body);
            Some(Reply::json(201, note(text)))
        }
        ("GET", ["notes", id]) => match repository.text(id).filter(|text| text.pull == Some(number)) {
            Some(text) => Some(Reply::json(200, note(text))),
            None => missing(),
        },
        ("PUT", ["notes", id]) => {
            if let Some(found) = repository.discussions.iter_mut().find(|one| one.note.to_string() == *id) {
                found.body = asked.text("body");
                return Some(Reply::json(200, discussion(found)["notes"][0].clone()));
            }
            let Some(text) = repository.text(id).filter(|text| text.pull == Some(number)) else { return missing() };
            if text.author != ME {
                return None;
            }
            text.body = asked.text("body");
            Some(Reply::json(200, note(text)))
        }
        ("GET", ["discussions"]) => {
            let here = repository.discussions.iter().filter(|one| one.pull == number);
            Some(Reply::page(here.map(discussion).collect(), asked, "per_page"))
        }
        ("POST", ["discussions"]) => {
            let position = &asked.body["position"];
            let pull = &repository.pulls[&number];
            assert_eq!(position["head_sha"], pull.head.as_str());
            let line = position["new_line"].as_u64()?;
            // The diffs of these worlds have a hundred lines.
            if line > 100 {
                return refuse(
                    400,
                    r#"400 Bad request - Note {:line_code=>["can't be blank", "must be a valid line code"]}"#.into(),
                );
            }
            repository.discussions.push(Discussion {
                id: state.next_id(),
                note: state.next_id(),
                pull: number,
                author: ME.into(),
                path: position["new_path"].as_str()?.into(),
                line,
                body: asked.text("body"),
                resolved: false,
            });
            Some(Reply::json(201, discussion(repository.discussions.last().unwrap())))
        }
        ("PUT", ["discussions", id]) => {
            let found = repository.discussions.iter_mut().find(|one| one.id.to_string() == *id)?;
            found.resolved = asked.body["resolved"] == true;
            Some(Reply::json(200, discussion(found)))
        }
        _ => None,
    }
}

fn in_hooks(state: &mut State, repository: &mut Repository, asked: &Asked, rest: &[&str]) -> Option<Reply> {
    let events = || EVENTS.into_iter().filter(|event| asked.body[*event] == true).map(str::to_owned).collect();
    match (asked.method.as_str(), rest) {
        ("GET", []) => Some(Reply::page(repository.hooks.iter().map(hook).collect(), asked, "per_page")),
        ("POST", []) => {
            repository.hooks.push(Hook {
                id: state.next_id(),
                url: asked.text("url"),
                secret: asked.text("token"),
                active: true,
                events: events(),
                last: None,
            });
            Some(Reply::json(201, hook(repository.hooks.last().unwrap())))
        }
        ("PUT", [id]) => {
            let one = repository.hooks.iter_mut().find(|hook| hook.id.to_string() == *id)?;
            (one.secret, one.active, one.events) = (asked.text("token"), true, events());
            Some(Reply::json(200, hook(one)))
        }
        ("GET", [id, "events"]) => {
            let last = repository.hooks.iter().find(|hook| hook.id.to_string() == *id)?.last;
            let sent = last.map(|status| json!({ "id": 1, "response_status": status.to_string() }));
            Some(Reply::json(200, sent.into_iter().collect()))
        }
        _ => None,
    }
}

fn hook(hook: &Hook) -> Value {
    let mut value = json!({ "id": hook.id, "url": hook.url,
        "alert_status": if hook.active { "executable" } else { "disabled" } });
    for event in EVENTS {
        value[event] = json!(hook.events.iter().any(|one| one == event));
    }
    value
}

fn note(text: &Text) -> Value {
    json!({ "id": text.id, "body": text.body, "author": user(&text.author), "system": false,
        "created_at": text.created.to_string(), "updated_at": text.updated.to_string() })
}

fn discussion(one: &Discussion) -> Value {
    json!({ "id": one.id.to_string(), "notes": [{
        "id": one.note, "body": one.body, "author": user(&one.author), "resolved": one.resolved,
        "position": { "new_path": one.path, "new_line": one.line },
    }] })
}

fn issue(text: &Text) -> Value {
    json!({ "id": text.id + 500_000, "iid": text.id, "title": text.title, "description": text.body,
        "author": user(&text.author), "web_url": format!("https://forge/i/{}", text.id) })
}

fn merge_request(pull: &Pull, full: &str) -> Value {
    let state = match (pull.open, &pull.merged) {
        (true, _) => "opened",
        (false, Some(_)) => "merged",
        (false, None) => "closed",
    };
    json!({
        "iid": pull.number, "state": state, "sha": pull.head,
        "source_branch": pull.branch, "target_branch": pull.base_branch,
        "source_project_id": pull.from.as_deref().map(number_of), "target_project_id": number_of(full),
        "merge_commit_sha": pull.merged, "squash_commit_sha": null,
        "author": user(&pull.author), "web_url": format!("https://forge/{full}/-/merge_requests/{}", pull.number),
        "diff_refs": { "base_sha": pull.base, "start_sha": pull.base, "head_sha": pull.head },
    })
}
