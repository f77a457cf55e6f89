//! `trueup schema`: the JSON Schema of the repository's file.

use clap::Args;

use crate::cli::Outcome;
use crate::cli::terminal::Terminal;

/// The file's JSON Schema, for editors
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup schema > trueup.schema.json
Then, as the first line of .trueup.yml, for editors that speak to the YAML language server:
  # yaml-language-server: $schema=trueup.schema.json")]
pub(super) struct Schema {}

/// Writes the schema to standard output.
pub(super) fn run(_verb: &Schema, terminal: &mut Terminal) -> anyhow::Result<Outcome> {
    terminal.json(&crate::declared::schema::json_schema())?;
    Ok(Outcome::Done)
}
