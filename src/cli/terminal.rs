//! Where verbs write: results to standard output, everything about the work itself to standard error.
//!
//! Colour appears only on a terminal and never with `NO_COLOR`. A reader that goes away (`trueup status | head -1`) is
//! no error: what follows is dropped and the verb's exit code stays the truth.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::plan::Plan;
use crate::report::text::{self, Style};

/// What a piece of text means; the terminal decides how that looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it is.
    Plain,
    /// As it should be.
    Good,
    /// Look at it.
    Warn,
    /// Wrong.
    Bad,
    /// Secondary.
    Dim,
    /// A heading.
    Strong,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Tone::Plain => None,
            Tone::Good => Some("32"),
            Tone::Warn => Some("33"),
            Tone::Bad => Some("31"),
            Tone::Dim => Some("2"),
            Tone::Strong => Some("1"),
        }
    }
}

/// Text in a tone, where colour is wanted.
pub(super) fn paint(colour: bool, tone: Tone, text: &str) -> String {
    match tone.code() {
        Some(code) if colour && !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        _ => text.to_owned(),
    }
}

/// Others' text (what a container printed, what a server said) as a terminal may be shown it: whatever would steer the
/// terminal (escape sequences, a carriage return, text that runs backwards) is written out. Tabs stay.
pub(super) fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() && c != '\t'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// The two streams of a verb.
#[derive(Debug)]
pub(super) struct Terminal {
    colour: bool,
    colour_errors: bool,
    gone: bool,
}

impl Terminal {
    /// The process's own streams.
    pub(super) fn of_process() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Terminal {
            colour: wanted && io::stdout().is_terminal(),
            colour_errors: wanted && io::stderr().is_terminal(),
            gone: false,
        }
    }

    /// Whether standard output takes colour.
    pub(super) fn colour(&self) -> bool {
        self.colour
    }

    /// Whether the reader of standard output has gone: a verb that would go on for ever ends then.
    pub(super) fn gone(&self) -> bool {
        self.gone
    }

    /// Whether someone sits there who can be asked.
    pub(super) fn interactive(&self) -> bool {
        io::stdin().is_terminal() && (io::stdout().is_terminal() || io::stderr().is_terminal())
    }

    /// Text in a tone, for standard output.
    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        paint(self.colour, tone, text)
    }

    /// A plan in words, as standard output takes it.
    pub(super) fn plan(&self, plan: &Plan) -> String {
        text::plan(plan, if self.colour { Style::Colour } else { Style::Plain })
    }

    /// Writes text to standard output as it is.
    ///
    /// # Errors
    /// Whatever writing meets (a full disk), but for a reader that has gone.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.unless_gone(written)
    }

    /// Writes one line to standard output.
    ///
    /// # Errors
    /// As [`Terminal::text`].
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        self.text(&format!("{line}\n"))
    }

    /// Writes a value as indented JSON to standard output.
    ///
    /// # Errors
    /// As [`Terminal::text`].
    pub(super) fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.line(&text)
    }

    /// Writes one line about the work itself to standard error.
    ///
    /// # Errors
    /// As [`Terminal::text`].
    pub(super) fn note(&mut self, tone: Tone, line: &str) -> io::Result<()> {
        let painted = format!("{}\n", paint(self.colour_errors, tone, line));
        match io::stderr().lock().write_all(painted.as_bytes()) {
            // Nobody is left to read remarks; the results may still have a reader.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    fn unless_gone(&mut self, written: io::Result<()>) -> io::Result<()> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tone, paint, printable};

    #[test]
    fn what_would_steer_the_terminal_is_written_out() {
        assert_eq!(printable("\u{1b}]0;owned\u{7}\u{1b}[2J"), "\\u{1b}]0;owned\\u{7}\\u{1b}[2J");
        assert_eq!(printable("50%\r100%\u{9b}31m\u{202e}"), "50%\\r100%\\u{9b}31m\\u{202e}");
        assert_eq!(printable("a\tb → ü ✓"), "a\tb → ü ✓");
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        assert_eq!(paint(false, Tone::Bad, "drift"), "drift");
        assert_eq!(paint(true, Tone::Bad, "drift"), "\u{1b}[31mdrift\u{1b}[0m");
        assert_eq!(paint(true, Tone::Plain, "drift"), "drift");
        assert_eq!(paint(true, Tone::Bad, ""), "");
    }
}
