//! The YAML parser's errors in the reader's words. They never repeat the file's content.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use crate::declared::problem::Wrong;
use crate::declared::tree::MAX_DEPTH;

/// What a syntax error means, and what to do.
pub(crate) fn explain(error: &ScanError) -> Wrong {
    match error.kind() {
        ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabAtBlockScalarStart => {
            Wrong::new("a tab stands where YAML wants spaces").help("indent with spaces, two a level")
        }
        ErrorKind::RecursionLimitExceeded => Wrong::new("values nest too deep here")
            .help(format!("write it flatter: at most {MAX_DEPTH} levels are read")),
        ErrorKind::DirectiveDisallowed => Wrong::new("YAML directives (`%…`) are not supported")
            .help("remove this line; quote text that begins with `%`"),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            Wrong::new("the quotation mark that opens here is never closed").help("close it on the same line")
        }
        ErrorKind::UnclosedFlowCollection { open } => Wrong::new(format!("the `{open}` is never closed"))
            .help("close it, or write one entry a line without brackets"),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            Wrong::new(format!("a `{close}` stands where the `{open}` should be closed"))
                .help("close each bracket with its own kind, the last opened first")
        }
        ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator => Wrong::new("a `,` or a closing bracket is missing before this")
            .help("quote text that holds brackets, braces or commas"),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey | ErrorKind::ExpectedBlockMappingKey => Wrong::new(
            "expected `key: value` here",
        )
        .help("is the `:` and the space after it missing, or is this line indented differently than its neighbours?"),
        ErrorKind::InvalidIndentation | ErrorKind::InvalidBlockScalarIndent => {
            Wrong::new("this line's indentation fits nothing above it")
                .help("align it with its neighbours, with spaces")
        }
        ErrorKind::BlockSequenceEntryNotAllowed | ErrorKind::BlockEntryInFlowCollection => {
            Wrong::new("a `- ` list item cannot stand here").help("begin the list on the line after its key")
        }
        ErrorKind::UnexpectedCharacter { .. } => {
            Wrong::new("a value cannot begin with this character").help("quote the value")
        }
        ErrorKind::UnknownQuotedScalarEscape => Wrong::new("this `\\` escape does not exist in double quotes")
            .help("write `\\\\` for a backslash, or use single quotes"),
        ErrorKind::MappingValueNotAllowed => Wrong::new("this `:` makes no sense here")
            .help("is a `:` missing on the line before, or must this value be quoted?"),
        ErrorKind::InvalidTrailingDoubleQuotedScalar | ErrorKind::InvalidTrailingSingleQuotedScalar => {
            Wrong::new("more text follows a closing quotation mark")
                .help("is a quotation mark missing before this, or one too many?")
        }
        ErrorKind::BomInsideDocument => Wrong::new("a byte-order mark stands inside the file").help("remove it"),
        _ => Wrong::new(format!("not YAML: {}", error.info()))
            .help("quote what is meant as text, and compare this line with its neighbours"),
    }
}
