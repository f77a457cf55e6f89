//! GitHub's API over a world's state, as an Enterprise server has it: below `/api/v3`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use trueup::forge::api::Permission;

use super::state::{Check, Hook, Pull, Repository, State, Status, Text, account};
use super::{Asked, Reply, TOKEN};

pub const APP_KEY: &str = include_str!("../../../../testdata/forge/app-key.pkcs1.pem");
pub const APP_ID: &str = "4711";
const INSTALLATION: u64 = 77;

/// Who asks.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    App,
    Installation,
    User,
}

impl Who {
    fn login(self) -> &'static str {
        if self == Who::User { "trueup" } else { "trueup[bot]" }
    }
}

pub fn user(login: &str) -> Value {
    let (login, id) = account(login);
    json!({ "login": login, "id": id, "type": if login.ends_with("[bot]") { "Bot" } else { "User" } })
}

fn refuse(status: u16, message: &str) -> Option<Reply> {
    Some(Reply::json(status, json!({ "message": message, "documentation_url": "https://docs.github.com/rest" })))
}

fn who(state: &State, asked: &Asked) -> Option<Who> {
    let bearer = asked.headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
    if bearer == TOKEN {
        return Some(Who::User);
    }
    if state.tokens.iter().any(|token| token == bearer) {
        return Some(Who::Installation);
    }
    let PrivateKeyDer::Pkcs1(der) = PrivateKeyDer::from_pem_slice(APP_KEY.as_bytes()).unwrap() else { panic!() };
    let pair = RsaKeyPair::from_der(der.secret_pkcs1_der()).unwrap();
    let (signed, signature) = bearer.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public().as_ref());
    public.verify(signed.as_bytes(), &signature).ok()?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?).ok()?;
    let now = jiff::Timestamp::now().as_second();
    let (iat, exp) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
    (claims["iss"] == APP_ID && iat <= now && exp > now && exp - iat <= 600).then_some(Who::App)
}

pub fn handle(state: &mut State, asked: &Asked) -> Option<Reply> {
    let Some(who) = who(state, asked) else { return refuse(401, "Bad credentials") };
    let parts = asked.parts();
    let method = asked.method.as_str();
    match (method, parts.as_slice()) {
        ("GET", ["user"]) if who == Who::User => {
            let reply = Reply::json(200, user(who.login()));
            return Some(match &state.scopes {
                Some(scopes) => reply.header("x-oauth-scopes", scopes.join(", ")),
                None => reply.header("x-oauth-scopes", "repo, read:org"),
            });
        }
        ("GET", ["app"]) if who == Who::App => {
            return Some(Reply::json(200, json!({"id": 4711, "slug": "trueup", "permissions": permissions(state)})));
        }
        ("GET", ["repos", owner, name, "installation"]) if who == Who::App => {
            if !state.repositories.contains_key(&format!("{owner}/{name}")) {
                return refuse(404, "Not Found");
            }
            return Some(Reply::json(
                200,
                json!({"id": INSTALLATION, "permissions": permissions(state), "suspended_at": null}),
            ));
        }
        ("POST", ["app", "installations", id, "access_tokens"]) if who == Who::App => {
            if *id != INSTALLATION.to_string() {
                return refuse(404, "Not Found");
            }
            let token = format!("ghs_{}", state.next_id());
            let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(state.token_life.unwrap_or(3600));
            state.tokens.push(token.clone());
            return Some(Reply::json(201, json!({"token": token, "expires_at": expires.to_string()})));
        }
        _ => {}
    }
    if let ("GET", ["users", login]) = (method, parts.as_slice()) {
        return match state.knows(login) {
            true if who != Who::App => Some(Reply::json(200, user(login))),
            true => refuse(401, "A JSON web token could not be decoded"),
            false => refuse(404, "Not Found"),
        };
    }
    let ["repos", owner, name, rest @ ..] = parts.as_slice() else { return None };
    if who == Who::App {
        return refuse(401, "A JSON web token could not be decoded");
    }
    let full = format!("{owner}/{name}");
    let Some(mut repository) = state.repositories.remove(&full) else { return refuse(404, "Not Found") };
    let reply = in_repository(state, &mut repository, who, asked, &full, rest);
    state.repositories.insert(full, repository);
    reply
}

fn permissions(state: &State) -> Value {
    let all = [
        "contents:read",
        "checks:write",
        "pull_requests:write",
        "statuses:write",
        "issues:write",
        "repository_hooks:write",
    ];
    let granted = all.into_iter().filter(|scope| state.has(scope)).map(|scope| scope.split_once(':').unwrap());
    granted.map(|(name, level)| (name.to_owned(), Value::from(level))).collect::<serde_json::Map<_, _>>().into()
}

fn in_repository(
    state: &mut State,
    repository: &mut Repository,
    who: Who,
    asked: &Asked,
    full: &str,
    rest: &[&str],
) -> Option<Reply> {
    let me = who.login();
    let missing = || refuse(404, "Not Found");
    match (asked.method.as_str(), rest) {
        ("GET", ["issues", number, "comments"]) => {
            let comments = repository.comments(number.parse().ok()?);
            Some(Reply::page(comments.into_iter().map(comment).collect(), asked, "per_page"))
        }
        ("POST", ["issues", number, "comments"]) => {
            let number = number.parse().ok()?;
            if !repository.pulls.contains_key(&number) {
                return missing();
            }
            let body = asked.text("body");
            if body.chars().count() > 65_536 {
                return refuse(422, "Body is too long (maximum is 65536 characters)");
            }
            let text = repository.write(state.next_id(), Some(number), me, String::new(), body);
            Some(Reply::json(201, comment(text)))
        }
        ("PATCH", ["issues", "comments", id]) => {
            let Some(text) = repository.text(id).filter(|text| text.pull.is_some()) else { return missing() };
            if text.author != me {
                // Whoever may write may edit others' comments; nobody here ever should.
                return None;
            }
            text.body = asked.text("body");
            Some(Reply::json(200, comment(text)))
        }
        ("GET", ["issues", "comments", id]) => match repository.text(id).filter(|text| text.pull.is_some()) {
            Some(text) => Some(Reply::json(200, comment(text))),
            None => missing(),
        },
        ("GET", ["issues"]) => {
            let creator = asked.query("creator");
            let open = asked.query("state") != Some("all");
            let issues = repository
                .issues()
                .into_iter()
                .filter(|issue| (!open || issue.open) && creator.is_none_or(|creator| creator == issue.author));
            Some(Reply::page(issues.map(issue).collect(), asked, "per_page"))
        }
        ("POST", ["issues"]) => {
            let text = repository.write(state.next_id(), None, me, asked.text("title"), asked.text("body"));
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
            Some(Reply::json(200, issue(text)))
        }
        ("POST", ["statuses", commit]) => {
            if asked.text("description").chars().count() > 140 {
                return refuse(422, "description is too long (maximum is 140 characters)");
            }
            repository.set_status(Status {
                commit: (*commit).into(),
                context: asked.text("context"),
                state: asked.text("state"),
                description: asked.text("description"),
                url: asked.text("target_url"),
            });
            Some(Reply::json(201, json!({ "state": asked.body["state"], "context": asked.body["context"] })))
        }
        ("GET", ["commits", commit, "check-runs"]) if who == Who::Installation => {
            let mut latest: Vec<&Check> = Vec::new();
            for check in repository.checks.iter().rev().filter(|check| check.commit == *commit) {
                let wanted = asked.query("check_name").is_none_or(|name| name == check.name);
                if wanted && latest.iter().all(|one| one.name != check.name) {
                    latest.push(check);
                }
            }
            let runs: Vec<Value> = latest.into_iter().map(check).collect();
            Some(Reply::json(200, json!({ "total_count": runs.len(), "check_runs": runs })))
        }
        ("POST", ["check-runs"]) if who == Who::Installation => {
            let id = state.next_id();
            repository.checks.push(Check {
                id,
                commit: asked.text("head_sha"),
                name: asked.text("name"),
                external_id: asked.text("external_id"),
                status: String::new(),
                conclusion: String::new(),
                annotations: Vec::new(),
            });
            write_check(repository.checks.last_mut().unwrap(), asked, 201)
        }
        ("PATCH", ["check-runs", id]) if who == Who::Installation => {
            let id: u64 = id.parse().ok()?;
            let Some(check) = repository.checks.iter_mut().find(|check| check.id == id) else { return missing() };
            write_check(check, asked, 200)
        }
        (_, ["check-runs", ..] | ["commits", _, "check-runs"]) => {
            refuse(403, "You must authenticate via a GitHub App.")
        }
        ("GET", ["pulls"]) => {
            let open = repository.pulls.values().rev().filter(|pull| pull.open);
            Some(Reply::page(open.map(|one| pull(one, full)).collect(), asked, "per_page"))
        }
        ("GET", ["pulls", number]) => match repository.pulls.get(&number.parse().ok()?) {
            Some(one) => Some(Reply::json(200, pull(one, full))),
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
        (_, ["hooks", ..]) if !state.has("repository_hooks:write") => {
            refuse(403, "Resource not accessible by integration")
        }
        (_, ["hooks", hooks @ ..]) => in_hooks(state, repository, asked, hooks),
        ("GET", []) => Some(Reply::json(200, json!({ "full_name": full, "permissions": { "push": true } }))),
        _ => None,
    }
}

fn in_hooks(state: &mut State, repository: &mut Repository, asked: &Asked, rest: &[&str]) -> Option<Reply> {
    let events = || asked.body["events"].as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned());
    let config = |field: &str| asked.body["config"][field].as_str().unwrap_or_default().to_owned();
    match (asked.method.as_str(), rest) {
        ("GET", []) => Some(Reply::page(repository.hooks.iter().map(hook).collect(), asked, "per_page")),
        ("POST", []) => {
            if repository.hooks.iter().any(|hook| hook.url == config("url")) {
                return refuse(422, "Hook already exists on this repository");
            }
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
        ("GET", [id, "deliveries"]) => {
            let id: u64 = id.parse().ok()?;
            let last = repository.hooks.iter().find(|hook| hook.id == id)?.last;
            let deliveries: Vec<Value> = last
                .map(|code| json!({"id": 1, "delivered_at": "2026-11-21T12:00:00Z", "status": "OK", "status_code": code}))
                .into_iter()
                .collect();
            Some(Reply::json(200, Value::Array(deliveries)))
        }
        _ => None,
    }
}

fn hook(hook: &Hook) -> Value {
    let config = json!({ "url": hook.url, "content_type": "json", "secret": "********", "insecure_ssl": "0" });
    json!({ "id": hook.id, "active": hook.active, "events": hook.events, "config": config,
        "last_response": { "code": hook.last, "status": "active", "message": null } })
}

fn write_check(check_run: &mut Check, asked: &Asked, status: u16) -> Option<Reply> {
    let annotations = asked.body["output"]["annotations"].as_array().cloned().unwrap_or_default();
    if annotations.len() > 50 {
        return refuse(422, "No more than 50 annotations per request");
    }
    check_run.annotations.extend(annotations);
    check_run.status = asked.text("status");
    check_run.conclusion = asked.text("conclusion");
    Some(Reply::json(status, check(check_run)))
}

fn check(check: &Check) -> Value {
    json!({ "id": check.id, "name": check.name, "head_sha": check.commit, "external_id": check.external_id,
        "status": check.status, "html_url": format!("https://forge/runs/{}", check.id),
        "output": { "annotations_count": check.annotations.len() } })
}

/// GitHub and Gitea tell times to the second.
pub fn seconds(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn comment(text: &Text) -> Value {
    json!({ "id": text.id, "body": text.body, "user": user(&text.author), "html_url": format!("https://forge/c/{}", text.id),
        "created_at": seconds(text.created), "updated_at": seconds(text.updated),
        "issue_url": text.pull.map(|number| format!("https://forge/issues/{number}")) })
}

fn issue(text: &Text) -> Value {
    json!({ "id": text.id + 500_000, "number": text.id, "title": text.title, "body": text.body, "user": user(&text.author),
        "state": if text.open { "open" } else { "closed" }, "html_url": format!("https://forge/i/{}", text.id) })
}

pub fn pull(pull: &Pull, full: &str) -> Value {
    let repo = |name: &str| json!({ "full_name": name, "id": 1 });
    json!({
        "number": pull.number,
        "state": if pull.open { "open" } else { "closed" },
        "merged_at": pull.merged.as_ref().map(|_| "2026-11-21T12:00:00Z"),
        // Of an open one this is a trial merge, which nobody may take for the merge.
        "merge_commit_sha": pull.merged.clone().unwrap_or_else(|| "f".repeat(40)),
        "html_url": format!("https://forge/{full}/pull/{}", pull.number),
        "user": user(&pull.author),
        "head": { "ref": pull.branch, "sha": pull.head, "repo": pull.from.as_deref().map(repo) },
        "base": { "ref": pull.base_branch, "sha": pull.base, "repo": repo(full) },
    })
}
