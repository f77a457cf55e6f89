//! Gitea's and Forgejo's API over a world's state.

use serde_json::{Value, json};
use trueup::forge::api::Permission;

use super::github::{seconds, user};
use super::state::{Hook, Repository, State, Status, Text};
use super::{Asked, Reply, TOKEN, github};

const ME: &str = "trueup";

fn refuse(status: u16, message: &str) -> Option<Reply> {
    Some(Reply::json(status, json!({ "message": message, "url": "https://forge/api/swagger" })))
}

pub fn handle(state: &mut State, asked: &Asked) -> Option<Reply> {
    if asked.headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(&format!("token {TOKEN}")) {
        return refuse(401, "token is required");
    }
    let parts = asked.parts();
    match parts.as_slice() {
        ["user"] if !state.has("read:user") => {
            refuse(403, "token does not have at least one of required scope(s): [read:user]")
        }
        ["user"] => Some(Reply::json(200, user(ME))),
        ["users", login] => match state.knows(login) {
            true => Some(Reply::json(200, user(login))),
            false => refuse(404, "user redirect does not exist"),
        },
        ["repos", owner, name, rest @ ..] => {
            let full = format!("{owner}/{name}");
            let Some(mut repository) = state.repositories.remove(&full) else { return refuse(404, "not found") };
            let reply = in_repository(state, &mut repository, asked, &full, rest);
            state.repositories.insert(full, repository);
            reply
        }
        _ => None,
    }
}

fn in_repository(
    state: &mut State,
    repository: &mut Repository,
    asked: &Asked,
    full: &str,
    rest: &[&str],
) -> Option<Reply> {
    let missing = || refuse(404, "The target couldn't be found.");
    match (asked.method.as_str(), rest) {
        ("GET", []) => {
            let permissions = json!({ "admin": state.has("admin"), "push": true, "pull": true });
            Some(Reply::json(200, json!({ "full_name": full, "permissions": permissions })))
        }
        ("GET", ["issues"]) if !state.has("write:issue") => {
            refuse(403, "token does not have at least one of required scope(s): [read:issue]")
        }
        ("GET", ["issues", number, "comments"]) => {
            let comments = repository.comments(number.parse().ok()?);
            Some(Reply::json(200, comments.into_iter().map(|text| comment(text, full)).collect()))
        }
        ("POST", ["issues", number, "comments"]) => {
            let number = number.parse().ok()?;
            if !repository.pulls.contains_key(&number) {
                return missing();
            }
            let text = repository.write(state.next_id(), Some(number), ME, String::new(), asked.text("body"));
            Some(Reply::json(201, comment(text, full)))
        }
        ("GET", ["issues", "comments", id]) => match repository.text(id) {
            Some(text) => Some(Reply::json(200, comment(text, full))),
            None => missing(),
        },
        ("PATCH", ["issues", "comments", id]) => {
            let Some(text) = repository.text(id).filter(|text| text.pull.is_some()) else { return missing() };
            if text.author != ME {
                return None;
            }
            text.body = asked.text("body");
            Some(Reply::json(200, comment(text, full)))
        }
        ("GET", ["issues"]) => {
            let issues = repository
                .issues()
                .into_iter()
                .filter(|issue| issue.open && asked.query("created_by").is_none_or(|creator| creator == issue.author));
            Some(Reply::page(issues.map(issue).collect(), asked, "limit"))
        }
        ("POST", ["issues"]) => {
            let text = repository.write(state.next_id(), None, ME, asked.text("title"), asked.text("body"));
            Some(Reply::json(201, issue(text)))
        }
        ("PATCH", ["issues", id]) => {
            let Some(text) = repository.text(id).filter(|text| text.pull.is_none()) else { return missing() };
            for (field, place) in [("title", &mut text.title), ("body", &mut text.body)] {
                if let Some(value) = asked.body[field].as_str() {
                    value.clone_into(place);
                }
            }
            if let Some(state) = asked.body["state"].as_str() {
                text.open = state == "open";
            }
            Some(Reply::json(201, issue(text)))
        }
        ("POST", ["statuses", commit]) => {
            repository.set_status(Status {
                commit: (*commit).into(),
                context: asked.text("context"),
                state: asked.text("state"),
                description: asked.text("description"),
                url: asked.text("target_url"),
            });
            Some(Reply::json(201, json!({ "status": asked.body["state"], "context": asked.body["context"] })))
        }
        ("GET", ["pulls"]) => {
            let open = repository.pulls.values().rev().filter(|pull| pull.open);
            Some(Reply::page(open.map(|pull| pull_of(pull, full)).collect(), asked, "limit"))
        }
        ("GET", ["pulls", number]) => match repository.pulls.get(&number.parse().ok()?) {
            Some(pull) => Some(Reply::json(200, pull_of(pull, full))),
            None => missing(),
        },
        ("GET", ["collaborators", login, "permission"]) => {
            let word = match repository.permissions.get(*login) {
                Some(Permission::Admin) => "admin",
                Some(Permission::Write) => "write",
                Some(Permission::Read) => "read",
                Some(Permission::None) => "none",
                None => return missing(),
            };
            Some(Reply::json(200, json!({ "permission": word, "user": user(login) })))
        }
        (_, ["hooks", hooks @ ..]) => in_hooks(state, repository, asked, hooks),
        _ => None,
    }
}

fn in_hooks(state: &mut State, repository: &mut Repository, asked: &Asked, rest: &[&str]) -> Option<Reply> {
    let events = || asked.body["events"].as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned());
    let config = |field: &str| asked.body["config"][field].as_str().unwrap_or_default().to_owned();
    match (asked.method.as_str(), rest) {
        ("GET", []) => Some(Reply::page(repository.hooks.iter().map(hook).collect(), asked, "limit")),
        ("POST", []) => {
            repository.hooks.push(Hook {
                id: state.next_id(),
                url: config("url"),
                secret: config("secret"),
                active: asked.body["active"] == true,
                events: events().collect(),
                last: None,
            });
            Some(Reply::json(201, hook(repository.hooks.last().unwrap())))
        }
        ("PATCH", [id]) => {
            let id: u64 = id.parse().ok()?;
            let one = repository.hooks.iter_mut().find(|hook| hook.id == id)?;
            (one.secret, one.active, one.events) = (config("secret"), asked.body["active"] == true, events().collect());
            Some(Reply::json(200, hook(one)))
        }
        _ => None,
    }
}

fn hook(hook: &Hook) -> Value {
    let config = json!({ "url": hook.url, "content_type": "json" });
    json!({ "id": hook.id, "type": "gitea", "active": hook.active, "events": hook.events, "config": config })
}

fn comment(text: &Text, full: &str) -> Value {
    let url = text.pull.map(|number| format!("https://forge/{full}/pulls/{number}")).unwrap_or_default();
    json!({ "id": text.id, "body": text.body, "user": user(&text.author), "html_url": format!("https://forge/c/{}", text.id),
        "issue_url": "", "pull_request_url": url,
        "created_at": seconds(text.created), "updated_at": seconds(text.updated) })
}

fn issue(text: &Text) -> Value {
    json!({ "id": text.id + 500_000, "number": text.id, "title": text.title, "body": text.body, "user": user(&text.author),
        "state": if text.open { "open" } else { "closed" }, "html_url": format!("https://forge/i/{}", text.id) })
}

fn pull_of(pull: &super::state::Pull, full: &str) -> Value {
    let mut value = github::pull(pull, full);
    value["merged"] = json!(pull.merged.is_some());
    if pull.merged.is_none() {
        value["merge_commit_sha"] = Value::Null;
    }
    value
}
