//! Bitbucket Data Center's API over a world's state.

use serde_json::{Value, json};
use trueup::forge::api::Permission;

use super::state::{Hook, Pull, Repository, State, Status, Text, account};
use super::{Asked, Reply, TOKEN};

const ME: &str = "trueup";

fn refuse(status: u16, message: &str) -> Option<Reply> {
    Some(Reply::json(status, json!({ "errors": [{ "context": null, "message": message, "exceptionName": null }] })))
}

fn page(items: Vec<Value>, asked: &Asked) -> Option<Reply> {
    let (start, limit) = (asked.number("start", 0), asked.number("limit", 25));
    let more = items.len() > start + limit;
    let values: Vec<Value> = items.into_iter().skip(start).take(limit).collect();
    let mut body = json!({ "values": values, "start": start, "limit": limit, "isLastPage": !more });
    if more {
        body["nextPageStart"] = json!(start + limit);
    }
    Some(Reply::json(200, body))
}

pub fn handle(state: &mut State, asked: &Asked) -> Option<Reply> {
    if asked.headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(&format!("Bearer {TOKEN}")) {
        return refuse(401, "Authentication failed. Please check your credentials and try again.");
    }
    let parts = asked.parts();
    let ["api", "latest", rest @ ..] = parts.as_slice() else { return None };
    let reply = match rest {
        ["application-properties"] => Some(Reply::json(200, json!({ "version": "9.4.0" }))),
        ["users"] if asked.query("permission.1").is_none() => {
            let filter = asked.query("filter")?;
            let logins = state.repositories.values().flat_map(|one| one.permissions.keys());
            page(logins.filter(|login| login.contains(filter)).map(|login| user(login)).collect(), asked)
        }
        ["users"] => {
            let repository =
                format!("{}/{}", asked.query("permission.1.projectKey")?, asked.query("permission.1.repositorySlug")?);
            let wanted = match asked.query("permission.1")? {
                "REPO_ADMIN" => Permission::Admin,
                "REPO_WRITE" => Permission::Write,
                "REPO_READ" => Permission::Read,
                _ => return None,
            };
            let filter = asked.query("filter").unwrap_or_default();
            let repository = state.repositories.get(&repository)?;
            let found = repository.permissions.iter().filter(|(login, has)| login.contains(filter) && **has >= wanted);
            page(found.map(|(login, _)| user(login)).collect(), asked)
        }
        ["projects", project, "repos", name, rest @ ..] => {
            let full = format!("{project}/{name}");
            let Some(mut repository) = state.repositories.remove(&full) else {
                return refuse(404, &format!("Repository {full} does not exist."));
            };
            let reply = in_repository(state, &mut repository, asked, &full, rest);
            state.repositories.insert(full, repository);
            reply
        }
        _ => None,
    };
    reply.map(|reply| reply.header("x-ausername", ME))
}

fn in_repository(
    state: &mut State,
    repository: &mut Repository,
    asked: &Asked,
    full: &str,
    rest: &[&str],
) -> Option<Reply> {
    let missing = || refuse(404, "No such thing.");
    match (asked.method.as_str(), rest) {
        ("GET", []) => Some(Reply::json(200, json!({ "slug": full.split('/').nth(1) }))),
        ("POST", ["commits", commit, "builds"]) => {
            repository.set_status(Status {
                commit: (*commit).into(),
                context: asked.text("key"),
                state: asked.text("state"),
                description: asked.text("description"),
                url: asked.text("url"),
            });
            Some(Reply::empty(204))
        }
        ("GET", ["pull-requests"]) => {
            let open = repository.pulls.values().rev().filter(|pull| pull.open);
            page(open.map(|one| pull(one, full)).collect(), asked)
        }
        ("GET", ["pull-requests", number]) => match repository.pulls.get(&number.parse().ok()?) {
            Some(one) => Some(Reply::json(200, pull(one, full))),
            None => missing(),
        },
        ("GET", ["pull-requests", number, "activities"]) => {
            let comments = repository.comments(number.parse().ok()?).into_iter().rev();
            let said = comments.map(|text| json!({ "action": "COMMENTED", "comment": comment(text) }));
            page(said.chain([json!({ "action": "OPENED" })]).collect(), asked)
        }
        ("POST", ["pull-requests", number, "comments"]) => {
            let number = number.parse().ok()?;
            if !repository.pulls.contains_key(&number) {
                return missing();
            }
            let text = repository.write(state.next_id(), Some(number), ME, String::new(), asked.text("text"));
            Some(Reply::json(201, comment(text)))
        }
        (method @ ("GET" | "PUT"), ["pull-requests", number, "comments", id]) => {
            let number = number.parse().ok()?;
            let Some(text) = repository.text(id).filter(|text| text.pull == Some(number)) else { return missing() };
            if method == "PUT" {
                if text.author != ME {
                    return None;
                }
                if asked.body["version"] != text.version {
                    return refuse(409, "You are attempting to modify a comment based on out-of-date information.");
                }
                text.body = asked.text("text");
                text.version += 1;
            }
            Some(Reply::json(200, comment(text)))
        }
        (_, ["webhooks", ..]) if !state.has("REPO_ADMIN") => {
            refuse(401, "You are not permitted to access this resource")
        }
        (_, ["webhooks", hooks @ ..]) => in_hooks(state, repository, asked, hooks),
        _ => None,
    }
}

fn in_hooks(state: &mut State, repository: &mut Repository, asked: &Asked, rest: &[&str]) -> Option<Reply> {
    let events = || asked.body["events"].as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned());
    let secret = || asked.body["configuration"]["secret"].as_str().unwrap_or_default().to_owned();
    match (asked.method.as_str(), rest) {
        ("GET", []) => page(repository.hooks.iter().map(hook).collect(), asked),
        ("POST", []) => {
            repository.hooks.push(Hook {
                id: state.next_id(),
                url: asked.text("url"),
                secret: secret(),
                active: asked.body["active"] == true,
                events: events().collect(),
                last: None,
            });
            Some(Reply::json(200, hook(repository.hooks.last().unwrap())))
        }
        ("PUT", [id]) => {
            let one = repository.hooks.iter_mut().find(|hook| hook.id.to_string() == *id)?;
            (one.secret, one.active, one.events) = (secret(), asked.body["active"] == true, events().collect());
            Some(Reply::json(200, hook(one)))
        }
        ("GET", [id, "latest"]) => match repository.hooks.iter().find(|hook| hook.id.to_string() == *id)?.last {
            Some(status) => {
                let outcome = if status < 300 { "SUCCESS" } else { "FAILURE" };
                let result = json!({ "outcome": outcome, "description": status.to_string() });
                Some(Reply::json(200, json!({ "finish": 1_795_262_400_000_u64, "result": result })))
            }
            None => Some(Reply::empty(204)),
        },
        _ => None,
    }
}

fn hook(hook: &Hook) -> Value {
    json!({ "id": hook.id, "name": "Trueup", "url": hook.url, "active": hook.active, "events": hook.events })
}

fn user(login: &str) -> Value {
    let (login, id) = account(login);
    json!({ "name": login, "slug": login, "id": id, "type": "NORMAL" })
}

fn comment(text: &Text) -> Value {
    json!({ "id": text.id, "version": text.version, "text": text.body, "author": user(&text.author),
        "createdDate": text.created.as_millisecond(), "updatedDate": text.updated.as_millisecond() })
}

fn pull(pull: &Pull, full: &str) -> Value {
    let state = match (pull.open, &pull.merged) {
        (true, _) => "OPEN",
        (false, Some(_)) => "MERGED",
        (false, None) => "DECLINED",
    };
    let side = |branch: &str, commit: &str, name: Option<&str>| {
        let repository = name.and_then(|name| name.split_once('/'));
        json!({ "id": format!("refs/heads/{branch}"), "displayId": branch, "latestCommit": commit,
            "repository": repository.map(|(project, slug)| json!({ "slug": slug, "project": { "key": project } })) })
    };
    json!({
        "id": pull.number, "version": 0, "state": state, "author": { "user": { "name": pull.author } },
        "fromRef": side(&pull.branch, &pull.head, pull.from.as_deref()),
        "toRef": side(&pull.base_branch, &pull.base, Some(full)),
        "properties": { "mergeCommit": pull.merged.as_ref().map(|commit| json!({ "id": commit })) },
        "links": { "self": [{ "href": format!("https://forge/{full}/pull-requests/{}", pull.number) }] },
    })
}
