//! `trueup integration user`: which accounts on a forge have which role here.

use clap::{Args, Subcommand};
use reqwest::Method;

use crate::cli::args::Context;
use crate::cli::client::ClientError;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::Tone;
use crate::cli::token::RoleWord;
use crate::cli::when::Viewpoint;
use crate::cli::{Outcome, missing};
use crate::http::dto::{ForgeUserView, NewForgeUser};
use crate::ids::IntegrationName;

/// Accounts on a forge whose comments on pull requests may ask for something
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(super) enum User {
    Add(Add),
    List(List),
    Remove(Remove),
}

/// Give an account a role, in place of the one that it had
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  trueup integration user add github alice --role operator

The role goes to the account that has the name now. It stays with the account when that is renamed, and never
passes to whoever takes the name.")]
pub(super) struct Add {
    /// The forge, as an integration
    integration: IntegrationName,
    /// What the account is called there; on Bitbucket Cloud its account id, or its UUID in braces
    login: String,
    /// What its comments may ask for
    #[arg(long, value_enum)]
    role: RoleWord,
}

/// All accounts with a role
#[derive(Debug, Args)]
pub(super) struct List {
    /// The forge, as an integration
    integration: IntegrationName,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Take an account's role away
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The forge, as an integration
    integration: IntegrationName,
    /// What the account was called when it got the role, or its id
    login: String,
}

fn path(integration: &IntegrationName) -> String {
    format!("/integrations/{integration}/users")
}

/// Carries out an `integration user` verb.
pub(super) async fn run(verb: &User, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    match verb {
        User::Add(verb) => {
            let body = NewForgeUser { login: verb.login.clone(), role: verb.role.into() };
            let reply: Result<ForgeUserView, ClientError> =
                client.send(Method::POST, &path(&verb.integration), &body).await;
            let user = match reply {
                Ok(user) => user,
                Err(error) => return Err(missing::explain_integration(&client, &verb.integration, error).await),
            };
            let (name, id, role) = (&user.login, &user.id, user.role.word());
            terminal
                .line(&format!("{name} (id {id}) has the role {role} in comments through {}.", verb.integration))?;
            let next = "next: trueup env set PROJECT/ENVIRONMENT --comment-commands sync";
            terminal.note(Tone::Dim, next)?;
        }
        User::List(verb) => {
            let reply: Result<Vec<ForgeUserView>, ClientError> = client.get(&path(&verb.integration)).await;
            let users = match reply {
                Ok(users) => users,
                Err(error) => return Err(missing::explain_integration(&client, &verb.integration, error).await),
            };
            if verb.json {
                terminal.json(&users)?;
            } else if users.is_empty() {
                let name = &verb.integration;
                terminal
                    .line(&format!("No account has a role: trueup integration user add {name} LOGIN --role viewer"))?;
            } else {
                let view = Viewpoint::of_process();
                let mut table = Table::new(&["ACCOUNT", "ID", "ROLE", "SINCE"]);
                for user in &users {
                    let (since, role) = (view.both(user.created_at), user.role.word());
                    let cells = [user.login.as_str(), &user.id, role, &since];
                    table.row(cells.into_iter().map(Cell::plain).collect());
                }
                terminal.text(&table.render(terminal.colour()))?;
            }
        }
        User::Remove(verb) => {
            let reply: Result<Vec<ForgeUserView>, ClientError> = client.get(&path(&verb.integration)).await;
            let users = match reply {
                Ok(users) => users,
                Err(error) => return Err(missing::explain_integration(&client, &verb.integration, error).await),
            };
            let wanted: Vec<&ForgeUserView> =
                users.iter().filter(|user| user.id == verb.login || user.login == verb.login).collect();
            let user = match wanted.as_slice() {
                [user] => user,
                [] => anyhow::bail!(
                    "no account {} has a role; `trueup integration user list {}` shows who has",
                    verb.login,
                    verb.integration
                ),
                _ => anyhow::bail!("several accounts were called {}; name the one by its id", verb.login),
            };
            let id: String = percent(&user.id);
            client.tell(Method::DELETE, &format!("{}/{id}", path(&verb.integration))).await?;
            terminal.line(&format!("{} (id {}) has no role any more.", user.login, user.id))?;
        }
    }
    Ok(Outcome::Done)
}

/// An id as a part of a path: braces and colons occur in Bitbucket's.
fn percent(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    id.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
