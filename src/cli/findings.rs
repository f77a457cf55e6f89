//! Findings of a check, one line each, with what to do about them.

use crate::cli::terminal::{Terminal, Tone};
use crate::provider::{Finding, FindingLevel};

/// Shows findings in their order.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn show(findings: &[Finding], terminal: &mut Terminal) -> std::io::Result<()> {
    for finding in findings {
        let (tone, word) = match finding.level {
            FindingLevel::Ok => (Tone::Good, "ok  "),
            FindingLevel::Warning => (Tone::Warn, "look"),
            FindingLevel::Error => (Tone::Bad, "FAIL"),
        };
        terminal.line(&format!("{}  {}", terminal.paint(tone, word), finding.message))?;
        for line in finding.help.iter().flat_map(|help| help.lines()) {
            terminal.line(&format!("      → {line}"))?;
        }
    }
    Ok(())
}
