//! A service's code as one value: the hash of what its `source` globs match in the repository's tree.

/// One file of the repository at a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Its path from the repository's root, with forward slashes.
    pub path: String,
    /// Git's file mode (`0o100644`, `0o100755`, `0o120000`, `0o160000`).
    pub mode: u32,
    /// The blob's object id (of a submodule: the commit's).
    pub blob: String,
}
