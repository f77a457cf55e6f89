//! Why a leaf differs: the table of causes, and nothing else.

use crate::declared::DeclaredLeaf;
use crate::drift::{BaseLeaf, Cause};

/// What [`DeclaredLeaf::written`] says of a leaf that the operator registered.
const OPERATOR: &str = "(operator)";

/// What the cause of one differing leaf is told from.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// Whether base holds the service at all.
    pub applied: bool,
    /// What is declared; `None` where the leaf is withdrawn.
    pub declared: Option<&'a DeclaredLeaf>,
    /// What was last applied; `None` where the leaf was not managed until now.
    pub base: Option<&'a BaseLeaf>,
    /// Whether the declared value is incomplete (an image that does not resolve, a secret without a value): what the
    /// file says then stands for it.
    pub gap: bool,
    /// Whether every replica that differs still has what was last applied.
    pub live_is_base: bool,
}

/// The cause, given that declared and live differ.
pub fn cause(sides: &Sides<'_>) -> Cause {
    let Sides { applied, declared, base, gap, live_is_base } = *sides;
    if !applied {
        return Cause::New;
    }
    let declared_is_base = match (declared, base) {
        (Some(declared), Some(base)) if gap => declared.written == base.written,
        (Some(declared), Some(base)) => declared.value.same(&base.value),
        (Some(_), None) | (None, Some(_) | None) => false,
    };
    if declared_is_base {
        return Cause::Live;
    }
    // A leaf that was not managed until now has no base to have moved away from: whatever runs is where it starts.
    if base.is_some() && !live_is_base {
        return Cause::Both;
    }
    if file_stood_still(declared, base) { Cause::Input } else { Cause::Repo }
}

/// Whether what the repo wrote is what it wrote then. Where the operator registered the leaf, the file never said
/// anything of it: that it came or went is the operator's doing.
fn file_stood_still(declared: Option<&DeclaredLeaf>, base: Option<&BaseLeaf>) -> bool {
    match (declared, base) {
        (Some(declared), Some(base)) => declared.written == base.written,
        (Some(declared), None) => declared.written == OPERATOR,
        (None, Some(base)) => base.written == OPERATOR,
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{OPERATOR, Sides, cause};
    use crate::declared::{DeclaredLeaf, Position};
    use crate::drift::{BaseLeaf, Cause};
    use crate::live::value::Value;

    fn declared(value: &str, written: &str) -> DeclaredLeaf {
        let value = Value::Text(value.into());
        DeclaredLeaf { value, written: written.into(), uses_commit: false, at: Position::default() }
    }

    fn base(value: &str, written: &str) -> BaseLeaf {
        BaseLeaf { value: Value::Text(value.into()), written: written.into() }
    }

    fn of(declared: Option<&DeclaredLeaf>, base: Option<&BaseLeaf>, gap: bool, live_is_base: bool) -> Cause {
        cause(&Sides { applied: true, declared, base, gap, live_is_base })
    }

    #[test]
    fn the_table() {
        let (a, b) = (declared("a", "a"), base("a", "a"));
        assert_eq!(
            cause(&Sides { applied: false, declared: Some(&a), base: None, gap: false, live_is_base: false }),
            Cause::New
        );
        assert_eq!(of(Some(&a), Some(&b), false, false), Cause::Live);
        assert_eq!(of(Some(&declared("c", "c")), Some(&b), false, true), Cause::Repo);
        assert_eq!(of(Some(&declared("c", "c")), Some(&b), false, false), Cause::Both);
        assert_eq!(of(Some(&declared("c", "a")), Some(&b), false, true), Cause::Input);
    }

    #[test]
    fn withdrawn_leaves_come_from_the_file_or_from_the_operator() {
        assert_eq!(of(None, Some(&base("a", "a")), false, true), Cause::Repo);
        assert_eq!(of(None, Some(&base("a", "a")), false, false), Cause::Both);
        assert_eq!(of(None, Some(&base("a", OPERATOR)), false, true), Cause::Input);
    }

    #[test]
    fn newly_managed_leaves_have_no_base_to_differ_from() {
        assert_eq!(of(Some(&declared("a", "a")), None, false, false), Cause::Repo);
        assert_eq!(of(Some(&declared("a", OPERATOR)), None, false, false), Cause::Input);
    }

    #[test]
    fn where_the_value_is_not_complete_the_file_decides() {
        assert_eq!(of(Some(&declared("", "a")), Some(&base("a", "a")), true, false), Cause::Live);
        assert_eq!(of(Some(&declared("", "c")), Some(&base("a", "a")), true, true), Cause::Repo);
    }
}
