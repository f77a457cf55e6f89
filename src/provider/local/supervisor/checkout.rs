//! The files of a replica's checkout: as they were laid down, and whether they still are. Files that the program adds
//! are its own business; a file of the commit that changed or went is a change of what runs.

use std::ffi::{CStr, OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, chownat, fchmod, fchown, fstat, openat, statat};
use serde::{Deserialize, Serialize};

use crate::ids::SourceHash;
use crate::provider::local::supervisor::user::User;

/// `source.json`: the files of a checkout, ordered by path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Snapshot {
    files: Vec<Entry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    // Bytes, as a path need not be text; kept as text where it is.
    path: PathText,
    mark: Mark,
    content: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum PathText {
    Text(String),
    Bytes(Vec<u8>),
}

/// What a look at a file's inode says. Equal marks mean that nothing was written: unlike `mtime`, `ctime` cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    size: u64,
    inode: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Files that differ from the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    /// Path and what is there now: a content hash, or `None` where it is gone.
    pub(super) files: Vec<(PathBuf, Option<String>)>,
}

impl PathText {
    fn of(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => PathText::Text(text.to_owned()),
            None => PathText::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            PathText::Text(text) => PathBuf::from(text),
            PathText::Bytes(bytes) => PathBuf::from(OsString::from_vec(bytes.clone())),
        }
    }
}

impl Snapshot {
    /// Reads a checkout.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn take(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in walk(root)? {
            let full = root.join(&path);
            files.push(Entry {
                path: PathText::of(&path),
                mark: mark(&full)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?,
                content: content(&full)?,
            });
        }
        Ok(Snapshot { files })
    }

    /// What differs now. Only files whose inode was touched are read. Remembers what it read, so that a file that was
    /// touched without being changed is read once.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub(super) fn differences(&mut self, root: &Path) -> io::Result<Differences> {
        let mut found = Differences::default();
        for entry in &mut self.files {
            let path = entry.path.path();
            let full = root.join(&path);
            match mark(&full)? {
                Some(now) if now == entry.mark => {}
                Some(now) => {
                    let content = content(&full)?;
                    if content == entry.content {
                        entry.mark = now;
                    } else {
                        found.files.push((path, Some(content)));
                    }
                }
                None => found.files.push((path, None)),
            }
        }
        Ok(found)
    }
}

/// The hash of a checkout in which files differ from those that `prepared` stands for: another for every difference.
pub(super) fn source_now(prepared: &SourceHash, differences: &Differences) -> SourceHash {
    if differences.files.is_empty() {
        return prepared.clone();
    }
    let mut context = Context::new(&SHA256);
    let mut feed = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    feed(b"trueup: checkout changed by hand");
    feed(prepared.as_str().as_bytes());
    for (path, content) in &differences.files {
        feed(path.as_os_str().as_bytes());
        feed(content.as_deref().unwrap_or_default().as_bytes());
    }
    hex(context.finish().as_ref()).parse().expect("64 hexadecimal digits are a source hash")
}

/// How deep folders may nest; Linux's longest path holds no more.
const DEPTH: usize = 2_048;

/// Opens a checkout, which must be a folder itself and no link to one.
///
/// # Errors
/// It is none, or the file system refused.
pub(super) fn open_root(root: &Path) -> io::Result<OwnedFd> {
    let opened = rustix::fs::open(root, FOLDER, Mode::empty());
    opened.map_err(|error| refused(root, "is no folder of its own", error.into()))
}

/// Gives a checkout to a user to read and not to write: owned by the supervisor, of the user's group, closed to others.
///
/// Whoever laid the files down may still be at work on them and is not trusted with the supervisor's rights. So nothing
/// is reached by its path: each folder is taken over before it is read, each entry through the folder it lies in, and no
/// link is followed. What has a second name, which may lie anywhere, is refused.
///
/// # Errors
/// The file system refused, or something is neither file, folder nor link.
pub(super) fn hand_over(root: &Path, user: &User) -> io::Result<()> {
    hand_over_folder(&open_root(root)?, root, Gid::from_raw(user.gid), DEPTH)
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
// A pipe in a file's place must not hold the supervisor up.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

fn hand_over_folder(folder: &OwnedFd, path: &Path, group: Gid, depth: usize) -> io::Result<()> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(io::Error::other(format!("{} nests too deep", path.display())));
    };
    give(folder, group, Mode::from_raw_mode(0o750))?;
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    for name in names {
        let path = path.join(OsStr::from_bytes(name.to_bytes()));
        let given = match FileType::from_raw_mode(statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode) {
            FileType::Directory => {
                let inner = openat(folder, &name, FOLDER, Mode::empty())?;
                hand_over_folder(&inner, &path, group, depth)
            }
            FileType::RegularFile => hand_over_file(folder, &name, group),
            FileType::Symlink => {
                let owner = Some(rustix::process::geteuid());
                chownat(folder, &name, owner, Some(group), AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)
            }
            _ => Err(io::Error::other("neither file, folder nor link")),
        };
        given.map_err(|error| refused(&path, "cannot be handed over", error))?;
    }
    Ok(())
}

fn hand_over_file(folder: &OwnedFd, name: &CStr, group: Gid) -> io::Result<()> {
    let file = openat(folder, name, FILE, Mode::empty())?;
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
        return Err(io::Error::other("it is no file of this checkout alone"));
    }
    let mode = if stat.st_mode & 0o100 != 0 { 0o750 } else { 0o640 };
    give(&file, group, Mode::from_raw_mode(mode))
}

fn give(file: &OwnedFd, group: Gid, mode: Mode) -> io::Result<()> {
    fchown(file, Some(rustix::process::geteuid()), Some(group))?;
    Ok(fchmod(file, mode)?)
}

fn refused(path: &Path, what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error}", path.display()))
}

fn walk(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

fn mark(path: &Path) -> io::Result<Option<Mark>> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(Mark {
            size: meta.size(),
            inode: meta.ino(),
            mode: meta.mode(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })),
        // A folder that became a file has taken its files with it.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

// Kind, executable bit (as Git has it) and bytes.
fn content(path: &Path) -> io::Result<String> {
    let meta = std::fs::symlink_metadata(path)?;
    let mut context = Context::new(&SHA256);
    if meta.is_symlink() {
        context.update(b"link ");
        context.update(std::fs::read_link(path)?.as_os_str().as_bytes());
    } else if meta.is_file() {
        context.update(if meta.mode() & 0o100 != 0 { b"program " } else { b"file " });
        let mut file = std::fs::File::open(path)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            context.update(&buffer[..count]);
        }
    } else {
        // A pipe or a device in a file's place: never opened.
        context.update(b"special");
    }
    Ok(hex(context.finish().as_ref()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    use super::{Snapshot, hand_over, source_now};
    use crate::provider::local::supervisor::user::User;

    /// A checkout as someone lays it down, beside a folder that is none of it.
    fn laid_down() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, other) = (folder.path().join("checkout"), folder.path().join("other"));
        for made in [&root, &root.join("lib"), &other] {
            fs::create_dir(made).expect("made");
        }
        for file in [root.join("run.sh"), root.join("lib/a"), other.join("key")] {
            fs::write(&file, "text").expect("written");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("set");
        }
        fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o700)).expect("set");
        (folder, root, other)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").mode() & 0o7777
    }

    /// Whoever runs the tests may give files to themselves.
    fn someone() -> User {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        User { name: "someone".into(), uid, gid, groups: vec![gid], home: "/".into() }
    }

    #[test]
    fn a_checkout_is_handed_over_and_what_its_links_name_is_not() {
        let (_folder, root, other) = laid_down();
        symlink(&other, root.join("lib/out")).expect("linked");
        symlink("run.sh", root.join("start")).expect("linked");
        hand_over(&root, &someone()).expect("handed over");
        assert_eq!([mode(&root), mode(&root.join("lib")), mode(&root.join("run.sh"))], [0o750; 3]);
        assert_eq!(mode(&root.join("lib/a")), 0o640);
        assert_eq!(mode(&other.join("key")), 0o600);
    }

    #[test]
    fn a_link_in_the_place_of_a_checkout_is_refused() {
        let (_folder, root, other) = laid_down();
        fs::remove_dir_all(&root).expect("gone");
        symlink(&other, &root).expect("linked");
        hand_over(&root, &someone()).expect_err("a link is no checkout");
        assert_eq!(mode(&other.join("key")), 0o600);
    }

    #[test]
    fn a_file_with_a_second_name_is_refused() {
        let (_folder, root, other) = laid_down();
        fs::hard_link(other.join("key"), root.join("lib/key")).expect("linked");
        let error = hand_over(&root, &someone()).expect_err("it is not the checkout's alone");
        assert!(error.to_string().contains("lib/key"), "{error}");
        assert_eq!(mode(&other.join("key")), 0o600);
    }

    #[test]
    fn only_what_changes_the_commits_files_is_a_difference() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir(root.join("lib")).expect("made");
        for (file, text) in [("run.sh", "one"), ("lib/a", "two"), ("lib/b", "three")] {
            fs::write(root.join(file), text).expect("written");
        }
        let prepared = "a".repeat(64).parse().expect("a hash");
        let mut snapshot = Snapshot::take(root).expect("read");
        assert_eq!(source_now(&prepared, &snapshot.differences(root).expect("read")), prepared);

        fs::write(root.join("cache"), "the program's own").expect("written");
        fs::write(root.join("lib/a"), "two").expect("written again, the same");
        assert_eq!(snapshot.differences(root).expect("read").files, []);

        fs::write(root.join("lib/a"), "TWO").expect("changed");
        let changed = snapshot.differences(root).expect("read");
        assert_eq!(changed.files.len(), 1);
        let first = source_now(&prepared, &changed);
        assert_ne!(first, prepared);
        assert_eq!(source_now(&prepared, &snapshot.differences(root).expect("read")), first, "stable");

        fs::remove_dir_all(root.join("lib")).expect("gone");
        let gone = snapshot.differences(root).expect("read");
        assert_eq!(gone.files.iter().filter(|(_, content)| content.is_none()).count(), 2);
        assert_ne!(source_now(&prepared, &gone), first);
    }
}
