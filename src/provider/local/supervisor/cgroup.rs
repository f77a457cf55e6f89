//! The control groups (v2) of replicas, below a directory that was delegated to the supervisor
//! (kernel: Documentation/admin-guide/cgroup-v2.rst; systemd: CGROUP_DELEGATION).

use std::io;
use std::path::{Path, PathBuf};

use crate::live::quantity::{Bytes, NanoCpus};

/// The child in which the supervisor itself lives: a cgroup that has controllers for its children may hold no process
/// of its own. The unit's `DelegateSubgroup=` says the same.
pub const OWN_CHILD: &str = "supervisor";

/// The period of a CPU limit in microseconds, the kernel's default.
const PERIOD: u64 = 100_000;

/// A delegated directory, and what can be limited below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegated {
    /// The directory.
    pub directory: PathBuf,
    /// Whether memory can be limited.
    pub memory: bool,
    /// Whether CPU can be limited.
    pub cpu: bool,
}

/// Which cgroup the supervisor uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The one that its unit was given (`Delegate=yes` with `DelegateSubgroup=supervisor`), else none.
    #[default]
    Detect,
    /// This directory of the unified hierarchy, which it may write to.
    At(PathBuf),
    /// None.
    Off,
}

/// Finds the delegated directory and switches on its controllers.
///
/// # Errors
/// Why there is none, for people.
pub fn delegated(choice: &Choice) -> Result<Delegated, String> {
    let directory = match choice {
        Choice::Off => return Err("cgroups were switched off".into()),
        Choice::At(directory) => directory.clone(),
        Choice::Detect => detect()?,
    };
    let of = |file: &str| {
        std::fs::read_to_string(directory.join(file))
            .map_err(|error| format!("{}: {error}", directory.join(file).display()))
    };
    let controllers = of("cgroup.controllers")?;
    let has = |wanted: &str| controllers.split_ascii_whitespace().any(|controller| controller == wanted);
    let (memory, cpu) = (has("memory"), has("cpu"));
    for (there, word) in [(memory, "+memory"), (cpu, "+cpu")] {
        if there {
            write(&directory.join("cgroup.subtree_control"), word).map_err(|error| error.to_string())?;
        }
    }
    // Proves that children can be made here, before a replica depends on it.
    let trial = directory.join("trueup-trial");
    make(&trial).and_then(|()| remove(&trial)).map_err(|error| error.to_string())?;
    Ok(Delegated { directory, memory, cpu })
}

fn detect() -> Result<PathBuf, String> {
    let own = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
    let path = own
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .ok_or("this kernel has no unified cgroup hierarchy (v2)")?
        .to_owned();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").map_err(|error| format!("mountinfo: {error}"))?;
    let mount = mounts
        .lines()
        .find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            right.starts_with("cgroup2 ").then(|| left.split(' ').nth(4))?
        })
        .ok_or("no cgroup v2 hierarchy is mounted")?;
    let parent = path.strip_suffix(&format!("/{OWN_CHILD}")).filter(|parent| !parent.is_empty()).ok_or_else(|| {
        format!(
            "the supervisor was not given a cgroup of its own (it runs in `{path}`): run it from its systemd unit \
             (Delegate=yes, DelegateSubgroup={OWN_CHILD}, systemd 254 or later), or name a directory with --cgroup"
        )
    })?;
    Ok(Path::new(mount).join(parent.trim_start_matches('/')))
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    std::fs::write(file, text)
        .map_err(|error| io::Error::new(error.kind(), format!("writing {text:?} to {}: {error}", file.display())))
}

/// Makes a replica's cgroup; one that is there already stays.
///
/// # Errors
/// The kernel refused.
pub fn make(directory: &Path) -> io::Result<()> {
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("making {}: {error}", directory.display()))),
        Ok(()) => Ok(()),
    }
}

/// Removes a replica's cgroup, which must be empty; one that is gone is fine.
///
/// # Errors
/// The kernel refused: something still runs in it.
pub fn remove(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("removing {}: {error}", directory.display()))),
        Ok(()) => Ok(()),
    }
}

/// The processes in a replica's cgroup; none where there is no such cgroup.
///
/// # Errors
/// It cannot be read.
pub fn processes(directory: &Path) -> io::Result<Vec<i32>> {
    match std::fs::read_to_string(directory.join("cgroup.procs")) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.trim().parse().ok()).filter(|pid| *pid > 0).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Kills all that is in a replica's cgroup (`cgroup.kill`, Linux 5.14); an older kernel's members are killed one by one
/// by the caller.
///
/// # Errors
/// The kernel refused.
pub fn kill(directory: &Path) -> io::Result<()> {
    match std::fs::OpenOptions::new().write(true).open(directory.join("cgroup.kill")) {
        Ok(mut file) => io::Write::write_all(&mut file, b"1"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Sets a replica's memory limit, swap included: what does not fit is not swapped but ends the replica.
///
/// # Errors
/// The kernel refused.
pub fn set_memory(directory: &Path, limit: Option<Bytes>) -> io::Result<()> {
    let text = limit.map_or_else(|| "max".to_owned(), |limit| limit.0.to_string());
    write(&directory.join("memory.max"), &text)?;
    let swap = directory.join("memory.swap.max");
    // Absent where the kernel counts no swap.
    if swap.exists() { write(&swap, if limit.is_some() { "0" } else { "max" }) } else { Ok(()) }
}

/// Sets a replica's CPU limit.
///
/// # Errors
/// The kernel refused.
pub fn set_cpu(directory: &Path, limit: Option<NanoCpus>) -> io::Result<()> {
    write(&directory.join("cpu.max"), &cpu_max(limit))
}

fn cpu_max(limit: Option<NanoCpus>) -> String {
    match limit {
        // The kernel takes no quota below a millisecond.
        Some(NanoCpus(nanos)) => format!("{} {PERIOD}", (nanos / (1_000_000_000 / PERIOD)).max(1_000)),
        None => format!("max {PERIOD}"),
    }
}

/// The memory limit in force. One that is what `wanted` comes to after the kernel's rounding to pages reads as it.
///
/// # Errors
/// It cannot be read.
pub fn memory(directory: &Path, wanted: Option<Bytes>) -> io::Result<Option<Bytes>> {
    let text = std::fs::read_to_string(directory.join("memory.max"))?;
    parse_memory(text.trim(), wanted, page_size()?)
}

// AT_PAGESZ of the auxiliary vector (getauxval(3)): pairs of words, key and value.
fn page_size() -> io::Result<u64> {
    const AT_PAGESZ: usize = 6;
    let auxv = std::fs::read("/proc/self/auxv")?;
    let words: Vec<usize> = auxv
        .chunks_exact(size_of::<usize>())
        .filter_map(|word| word.try_into().ok().map(usize::from_ne_bytes))
        .collect();
    let size = words.chunks_exact(2).find_map(|pair| (pair[0] == AT_PAGESZ).then_some(pair[1] as u64));
    size.filter(|size| *size > 0).ok_or_else(|| io::Error::other("the kernel does not tell its page size"))
}

fn parse_memory(text: &str, wanted: Option<Bytes>, page: u64) -> io::Result<Option<Bytes>> {
    if text == "max" {
        return Ok(None);
    }
    let bytes: u64 = text.parse().map_err(|_| unexpected("memory.max", text))?;
    Ok(Some(
        wanted.filter(|wanted| wanted.0 / page == bytes / page && bytes.is_multiple_of(page)).unwrap_or(Bytes(bytes)),
    ))
}

/// The CPU limit in force. One that is what `wanted` comes to after rounding reads as it.
///
/// # Errors
/// It cannot be read.
pub fn cpu(directory: &Path, wanted: Option<NanoCpus>) -> io::Result<Option<NanoCpus>> {
    let text = std::fs::read_to_string(directory.join("cpu.max"))?;
    parse_cpu(text.trim(), wanted)
}

fn parse_cpu(text: &str, wanted: Option<NanoCpus>) -> io::Result<Option<NanoCpus>> {
    if wanted.is_some() && text == cpu_max(wanted) {
        return Ok(wanted);
    }
    let (quota, period) = text.split_once(' ').ok_or_else(|| unexpected("cpu.max", text))?;
    if quota == "max" {
        return Ok(None);
    }
    let number = |part: &str| part.parse::<u128>().map_err(|_| unexpected("cpu.max", text));
    let (quota, period) = (number(quota)?, number(period)?);
    if period == 0 {
        return Err(unexpected("cpu.max", text));
    }
    let nanos = u64::try_from(quota * 1_000_000_000 / period).map_err(|_| unexpected("cpu.max", text))?;
    Ok(Some(NanoCpus(nanos)))
}

/// How often the kernel killed something in a replica's cgroup for want of memory.
///
/// # Errors
/// It cannot be read.
pub fn out_of_memory(directory: &Path) -> io::Result<u64> {
    let text = std::fs::read_to_string(directory.join("memory.events"))?;
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap_or("0");
    count.trim().parse().map_err(|_| unexpected("memory.events", count))
}

fn unexpected(file: &str, text: &str) -> io::Error {
    let shown: String = text.chars().take(60).collect();
    io::Error::new(io::ErrorKind::InvalidData, format!("{file} says {shown:?}"))
}

#[cfg(test)]
mod tests {
    use super::{cpu_max, parse_cpu, parse_memory};
    use crate::live::quantity::{Bytes, NanoCpus};

    #[test]
    fn a_limit_reads_back_as_it_was_written_despite_rounding() {
        for nanos in [500_000_000, 333_333_333, 1, 4_096_000_000_000] {
            let wanted = Some(NanoCpus(nanos));
            assert_eq!(parse_cpu(&cpu_max(wanted), wanted).expect("valid"), wanted);
        }
        let odd = Some(Bytes(10_000_001));
        let rounded = (10_000_001u64 / 4096 * 4096).to_string();
        assert_eq!(parse_memory(&rounded, odd, 4096).expect("valid"), odd);
    }

    #[test]
    fn a_limit_changed_by_hand_reads_as_it_is() {
        let wanted = Some(NanoCpus(500_000_000));
        assert_eq!(parse_cpu("25000 50000", wanted).expect("valid"), Some(NanoCpus(500_000_000)));
        assert_eq!(parse_cpu("20000 100000", wanted).expect("valid"), Some(NanoCpus(200_000_000)));
        assert_eq!(parse_cpu("max 100000", wanted).expect("valid"), None);
        assert_eq!(parse_memory("max", Some(Bytes(1)), 4096).expect("valid"), None);
        assert_eq!(parse_memory("8192", Some(Bytes(4096)), 4096).expect("valid"), Some(Bytes(8192)));
    }

    #[test]
    fn nonsense_is_an_error_and_no_limit() {
        for text in ["", "max", "1 0", "a b", "-1 100000"] {
            assert!(parse_cpu(text, None).is_err(), "{text}");
        }
        assert!(parse_memory("", None, 4096).is_err());
    }
}
