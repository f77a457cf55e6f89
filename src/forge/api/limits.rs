//! What a forge takes, as data for those who write texts.

/// How a comment may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommentForm {
    /// Markdown with HTML: `<details>` folds, an HTML comment hides the marker.
    Html,
    /// Markdown whose HTML is shown as text: headings instead of folds, the marker in a link-reference definition.
    Plain,
}

/// What a forge takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForgeLimits {
    /// The longest comment or issue, in bytes of UTF-8. Where the forge counts characters, this is on the safe side.
    pub comment_bytes: usize,
    /// How a comment may be written.
    pub comment_form: CommentForm,
    /// The longest description of a status, in characters; longer ones are cut.
    pub status_description: usize,
    /// Whether check runs can be written, as the forge and this way to sign in stand.
    pub check_runs: bool,
    /// Whether notes can be put on lines of a diff.
    pub line_notes: bool,
    /// Whether issues can be written.
    pub issues: bool,
    /// The ref of a request's head, `{}` standing for its number; `None` where the API has to be asked.
    pub pull_ref: Option<&'static str>,
}

/// A text cut to so many characters, with an ellipsis where something is missing.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(std::iter::once('…')).collect()
}
