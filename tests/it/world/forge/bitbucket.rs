//! Bitbucket Cloud's API over a world's state.

use serde_json::{Value, json};
use trueup::forge::api::Permission;

use super::state::{Hook, Pull, Repository, State, Status, Text, account};
use super::{Asked, Reply, TOKEN};

const ME: &str = "trueup";

fn refuse(status: u16, message: &str) -> Option<Reply> {
    Some(Reply::json(status, json!({ "type": "error", "error": { "message": message } })))
}

fn user(login: &str) -> Value {
    let (login, id) = account(login);
    json!({ "type": "user", "uuid": format!("{{{id}}}"), "account_id": format!("557058:{login}"), "nickname": login })
}

/// A page, and the next one's whole URL, as Bitbucket gives it.
fn page(items: Vec<Value>, asked: &Asked) -> Option<Reply> {
    let (page, size) = (asked.number("page", 1), asked.number("pagelen", 10));
    let more = items.len() > page * size;
    let values: Vec<Value> = items.into_iter().skip((page - 1) * size).take(size).collect();
    let mut body = json!({ "values": values, "page": page, "pagelen": size });
    if more {
        let host = asked.headers["host"].to_str().unwrap();
        let kept: Vec<String> = asked
            .query
            .iter()
            .filter(|(name, _)| name != "page")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        body["next"] =
            json!(format!("http://{host}/2.0/{}?{}&page={}", asked.path.join("/"), kept.join("&"), page + 1));
    }
    Some(Reply::json(200, body))
}

pub fn handle(state: &mut State, asked: &Asked) -> Option<Reply> {
    if asked.headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(&format!("Bearer {TOKEN}")) {
        return refuse(401, "Token is invalid or not supported for this endpoint.");
    }
    let parts = asked.parts();
    let scopes = state.scopes.clone().unwrap_or_else(|| vec!["account".into(), "pullrequest".into(), "webhook".into()]);
    match parts.as_slice() {
        ["user"] if !state.has("account") => {
            refuse(403, "Your credentials lack one or more required privilege scopes.")
        }
        ["user"] => Some(Reply::json(200, user(ME)).header("x-oauth-scopes", scopes.join(", "))),
        ["users", wanted] => {
            let logins = state.repositories.values().flat_map(|one| one.permissions.keys());
            let found =
                logins.map(|login| user(login)).find(|one| one["uuid"] == *wanted || one["account_id"] == *wanted);
            match found {
                Some(one) => Some(Reply::json(200, one)),
                None => refuse(404, "No such user"),
            }
        }
        ["workspaces", workspace, "permissions", "repositories", name] => {
            let repository = state.repositories.get(&format!("{workspace}/{name}"))?;
            let granted = repository.permissions.iter().filter(|(login, permission)| {
                let uuid = format!("user.uuid=\"{{{}}}\"", account(login).1);
                let names = [uuid, format!("user.nickname=\"{login}\""), format!("user.account_id=\"557058:{login}\"")];
                **permission != Permission::None && names.iter().any(|name| asked.query("q") == Some(name))
            });
            let granted = granted.map(|(login, permission)| {
                json!({ "permission": format!("{permission:?}").to_lowercase(), "user": user(login) })
            });
            page(granted.collect(), asked)
        }
        ["repositories", workspace, name, rest @ ..] => {
            let full = format!("{workspace}/{name}");
            let Some(mut repository) = state.repositories.remove(&full) else {
                return refuse(404, "Repository not found");
            };
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
    let missing = || refuse(404, "Not found");
    match (asked.method.as_str(), rest) {
        ("GET", []) => {
            let scopes = state.scopes.clone().unwrap_or_else(|| vec!["pullrequest".into()]);
            Some(Reply::json(200, json!({ "full_name": full })).header("x-oauth-scopes", scopes.join(", ")))
        }
        ("GET", ["commit", short]) => {
            let mentioned =
                repository.pulls.values().flat_map(|pull| [Some(&pull.head), Some(&pull.base), pull.merged.as_ref()]);
            // A fork's head is asked of the fork, which has no requests of its own.
            let elsewhere =
                state.repositories.values().flat_map(|other| other.pulls.values()).map(|pull| Some(&pull.head));
            let full = mentioned.chain(elsewhere).flatten().find(|commit| commit.starts_with(short)).cloned();
            match full {
                Some(hash) => Some(Reply::json(200, json!({ "hash": hash }))),
                None => missing(),
            }
        }
        ("POST", ["commit", commit, "statuses", "build"]) => {
            if asked.text("key").chars().count() > 40 || asked.text("url").is_empty() {
                return refuse(400, "Bad request");
            }
            repository.set_status(Status {
                commit: (*commit).into(),
                context: asked.text("name"),
                state: asked.text("state"),
                description: asked.text("description"),
                url: asked.text("url"),
            });
            Some(Reply::json(201, asked.body.clone()))
        }
        ("GET", ["pullrequests"]) => {
            let open = repository.pulls.values().rev().filter(|pull| pull.open);
            page(open.map(|one| pull(one, full)).collect(), asked)
        }
        ("GET", ["pullrequests", number]) => match repository.pulls.get(&number.parse().ok()?) {
            Some(one) => Some(Reply::json(200, pull(one, full))),
            None => missing(),
        },
        ("GET", ["pullrequests", number, "comments"]) => {
            page(repository.comments(number.parse().ok()?).into_iter().map(comment).collect(), asked)
        }
        ("POST", ["pullrequests", number, "comments"]) => {
            let number = number.parse().ok()?;
            if !repository.pulls.contains_key(&number) {
                return missing();
            }
            let body = asked.body["content"]["raw"].as_str()?.to_owned();
            let text = repository.write(state.next_id(), Some(number), ME, String::new(), body);
            Some(Reply::json(201, comment(text)))
        }
        (method @ ("GET" | "PUT"), ["pullrequests", number, "comments", id]) => {
            let number = number.parse().ok()?;
            let Some(text) = repository.text(id).filter(|text| text.pull == Some(number)) else { return missing() };
            if method == "PUT" {
                if text.author != ME {
                    return None;
                }
                asked.body["content"]["raw"].as_str()?.clone_into(&mut text.body);
            }
            Some(Reply::json(200, comment(text)))
        }
        (_, ["hooks", hooks @ ..]) => in_hooks(state, repository, asked, hooks),
        _ => None,
    }
}

fn in_hooks(state: &mut State, repository: &mut Repository, asked: &Asked, rest: &[&str]) -> Option<Reply> {
    let events = || asked.body["events"].as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned());
    match (asked.method.as_str(), rest) {
        ("GET", []) => page(repository.hooks.iter().map(hook).collect(), asked),
        ("POST", []) => {
            repository.hooks.push(Hook {
                id: state.next_id(),
                url: asked.text("url"),
                secret: asked.text("secret"),
                active: asked.body["active"] == true,
                events: events().collect(),
                last: None,
            });
            Some(Reply::json(201, hook(repository.hooks.last().unwrap())))
        }
        ("PUT", [uuid]) => {
            let one = repository.hooks.iter_mut().find(|hook| format!("{{{}}}", hook.id) == *uuid)?;
            (one.secret, one.active, one.events) =
                (asked.text("secret"), asked.body["active"] == true, events().collect());
            Some(Reply::json(200, hook(one)))
        }
        _ => None,
    }
}

fn hook(hook: &Hook) -> Value {
    json!({ "uuid": format!("{{{}}}", hook.id), "url": hook.url, "active": hook.active, "events": hook.events,
        "secret_set": true })
}

fn comment(text: &Text) -> Value {
    json!({ "id": text.id, "content": { "raw": text.body }, "user": user(&text.author), "deleted": !text.open,
        "created_on": text.created.to_string(), "updated_on": text.updated.to_string(),
        "links": { "html": { "href": format!("https://forge/c/{}", text.id) } } })
}

fn pull(pull: &Pull, full: &str) -> Value {
    let state = match (pull.open, &pull.merged) {
        (true, _) => "OPEN",
        (false, Some(_)) => "MERGED",
        (false, None) => "DECLINED",
    };
    // Requests mention commits by their first twelve digits.
    let side = |branch: &str, commit: &str, name: Option<&str>| {
        json!({ "branch": { "name": branch }, "commit": { "hash": &commit[..12] },
            "repository": name.map(|name| json!({ "full_name": name })) })
    };
    json!({
        "id": pull.number, "state": state, "author": user(&pull.author),
        "source": side(&pull.branch, &pull.head, pull.from.as_deref()),
        "destination": side(&pull.base_branch, &pull.base, Some(full)),
        "merge_commit": pull.merged.as_ref().map(|commit| json!({ "hash": &commit[..12] })),
        "links": { "html": { "href": format!("https://forge/{full}/pull-requests/{}", pull.number) } },
    })
}
