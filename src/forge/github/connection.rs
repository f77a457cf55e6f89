//! What a credential is good for: an App's permissions by its installation, a classic token's scopes by a header; of a
//! fine-grained token GitHub tells nothing but what it refuses.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::wire::{App, Repository, User};
use crate::forge::api::Connection;
use crate::forge::session::{Api, Ask, Session};
use crate::forge::{ForgeError, RepositoryPath};

/// What an App needs.
const NEEDED: &[(&str, &str)] =
    &[("contents", "read"), ("checks", "write"), ("pull_requests", "write"), ("statuses", "write")];
/// What an App needs for drift issues and for setting webhooks up.
const OPTIONAL: &[(&str, &str)] = &[("issues", "write"), ("repository_hooks", "write")];

#[derive(Deserialize)]
struct Installation {
    #[serde(default)]
    permissions: BTreeMap<String, String>,
}

/// An App: what it may do where it is installed, or by its registration where no repository is named.
pub(super) async fn of_app(app: &Api, repository: Option<&RepositoryPath>) -> Result<Connection, ForgeError> {
    let session = app.begin(repository, "test the connection").await?;
    let about: App = session.ask(Ask::get(&["app"])).await?.json()?;
    let granted = match repository {
        None => about.permissions,
        Some(repository) => {
            let path = ["repos", repository.owner(), repository.name(), "installation"];
            session.ask(Ask::get(&path)).await?.json::<Installation>()?.permissions
        }
    };
    let lacks = |needed: &&(&str, &str)| {
        let has = granted.get(needed.0).map(String::as_str);
        !(has == Some(needed.1) || matches!(has, Some("write" | "admin")))
    };
    let named = |needed: &(&str, &str)| format!("{}:{}", needed.0, needed.1);
    Ok(Connection {
        account: format!("{}[bot]", about.slug),
        missing: NEEDED.iter().filter(lacks).map(named).collect(),
        missing_optional: OPTIONAL.iter().filter(lacks).map(named).collect(),
    })
}

/// A token.
pub(super) async fn of_token(api: &Api, repository: Option<&RepositoryPath>) -> Result<Connection, ForgeError> {
    let session = api.begin(repository, "test the connection").await?;
    let answer = session.ask(Ask::get(&["user"])).await?;
    let user: User = answer.json()?;
    let mut connection = Connection { account: user.login, missing: Vec::new(), missing_optional: Vec::new() };
    match answer.header("x-oauth-scopes") {
        Some(scopes) => {
            let scopes: Vec<&str> = scopes.split(',').map(str::trim).collect();
            if !scopes.contains(&"repo") {
                connection.missing.push("repo".into());
                if !scopes.iter().any(|scope| matches!(*scope, "admin:repo_hook" | "write:repo_hook")) {
                    connection.missing_optional.push("admin:repo_hook".into());
                }
            }
        }
        None => {
            if let Some(repository) = repository {
                fine_grained(&session, repository, &mut connection).await?;
            }
        }
    }
    Ok(connection)
}

/// Asks for what can be read: writing is not tried out, so a permission to write shows only where the repository's own
/// answer tells.
async fn fine_grained(
    session: &Session<'_>,
    repository: &RepositoryPath,
    connection: &mut Connection,
) -> Result<(), ForgeError> {
    let place = ["repos", repository.owner(), repository.name()];
    let Some(answer) = session.find(Ask::get(&place)).await? else {
        connection.missing.push("access to the repository".into());
        return Ok(());
    };
    if answer.json::<Repository>()?.permissions.get("push") == Some(&false) {
        connection.missing.push("write access to the repository".into());
    }
    for (part, scope) in [("pulls", "pull_requests:write"), ("hooks", "repository_hooks:write")] {
        let path = [&place[..], &[part]].concat();
        match session.find(Ask::get(&path).query("per_page", 1)).await {
            Ok(Some(_)) => {}
            Ok(None) | Err(ForgeError::Forbidden { .. }) if part == "hooks" => {
                connection.missing_optional.push(scope.into());
            }
            Ok(None) | Err(ForgeError::Forbidden { .. }) => connection.missing.push(scope.into()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
