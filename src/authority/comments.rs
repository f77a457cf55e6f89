//! What comments on pull requests may ask of an environment. The operator says so, per environment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which commands in comments an environment takes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CommentCommands {
    /// None: comments are not even read.
    #[default]
    Off,
    /// `/trueup plan`: having the report on the request made again.
    Plan,
    /// `/trueup sync` too.
    Sync,
}

impl CommentCommands {
    /// Every word with its value.
    pub const ALL: [(&'static str, CommentCommands); 3] =
        [("off", CommentCommands::Off), ("plan", CommentCommands::Plan), ("sync", CommentCommands::Sync)];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            CommentCommands::Off => "off",
            CommentCommands::Plan => "plan",
            CommentCommands::Sync => "sync",
        }
    }
}

impl fmt::Display for CommentCommands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The text is no word for the commands that an environment takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not say which commands in comments are taken: write off, plan or sync")]
pub struct UnknownCommands(pub String);

impl FromStr for CommentCommands {
    type Err = UnknownCommands;

    fn from_str(text: &str) -> Result<Self, UnknownCommands> {
        let found = CommentCommands::ALL.iter().find(|(word, _)| *word == text);
        found.map(|(_, commands)| *commands).ok_or_else(|| UnknownCommands(text.chars().take(40).collect()))
    }
}
