//! `trueup token`: bearer tokens for the API over TCP.

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;

use crate::authority::Role;
use crate::cli::Outcome;
use crate::cli::args::Context;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::Tone;
use crate::cli::when::Viewpoint;
use crate::http::dto::{MintedToken, NewToken, TokenView};

/// Bearer tokens for the API over TCP
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(super) enum Token {
    Add(Add),
    List(List),
    Remove(Remove),
}

/// Make a token; it is shown once and kept nowhere
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  trueup token add ci --role viewer
  TRUEUP_URL=https://trueup.acme.dev TRUEUP_TOKEN=… trueup status")]
pub(super) struct Add {
    /// A name for it, as the audit log shows it
    name: String,
    /// What it allows
    #[arg(long, value_enum)]
    role: RoleWord,
}

/// All tokens, without the tokens themselves
#[derive(Debug, Args)]
pub(super) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Revoke a token at once
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Its name
    name: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RoleWord {
    /// Reads everything but secrets
    Viewer,
    /// Also plans, refreshes, syncs and rolls back
    Operator,
    /// Also says where things are deployed and with which credentials
    Admin,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Role {
        match word {
            RoleWord::Viewer => Role::Viewer,
            RoleWord::Operator => Role::Operator,
            RoleWord::Admin => Role::Admin,
        }
    }
}

/// Carries out a `token` verb.
pub(super) async fn run(verb: &Token, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Context { client, terminal } = context;
    match verb {
        Token::Add(verb) => {
            let role = Role::from(verb.role);
            let body = NewToken { name: verb.name.clone(), role };
            let made: MintedToken = client.send(Method::POST, "/tokens", &body).await?;
            terminal.note(Tone::Dim, "This is the token. It is shown once and kept nowhere:")?;
            terminal.line(&made.token)?;
        }
        Token::List(verb) => {
            let tokens: Vec<TokenView> = client.get("/tokens").await?;
            if verb.json {
                terminal.json(&tokens)?;
            } else if tokens.is_empty() {
                terminal.line("There are no tokens: trueup token add NAME --role viewer")?;
            } else {
                let view = Viewpoint::of_process();
                let mut table = Table::new(&["TOKEN", "ROLE", "MADE"]);
                for token in &tokens {
                    let made = view.both(token.created_at);
                    table.row(vec![Cell::plain(&token.name), Cell::plain(token.role.word()), Cell::plain(made)]);
                }
                terminal.text(&table.render(terminal.colour()))?;
            }
        }
        Token::Remove(verb) => {
            anyhow::ensure!(
                verb.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
                "a token's name is letters, digits, `-`, `_` and `.`"
            );
            client.tell(Method::DELETE, &format!("/tokens/{}", verb.name)).await?;
            terminal.line(&format!("The token {} is revoked.", verb.name))?;
        }
    }
    Ok(Outcome::Done)
}
