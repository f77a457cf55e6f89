//! What a replica's process finds: its variables, its directory, its user. And what it made of the variables.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use crate::live::Observed;
use crate::provider::local::supervisor::process;
use crate::provider::local::supervisor::record::{self, Layout, Spec};
use crate::provider::local::supervisor::replica::{Blueprint, EnvValues, RunAs};
use crate::provider::local::supervisor::session::MARK;
use crate::provider::local::supervisor::user::{self, User};

/// The search path that a replica gets unless its file says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables that the supervisor sets and no file may.
pub(in crate::provider::local) const RESERVED: [&str; 2] = ["PORT", MARK];

/// The user to become; `None` to stay the supervisor's own.
///
/// # Errors
/// Why replicas cannot run as that user, with what to do.
pub(super) fn user(run_as: &RunAs) -> Result<Option<User>, String> {
    let name = match run_as {
        RunAs::Own => return Ok(None),
        RunAs::User(name) => name,
    };
    let user = user::by_name(name)
        .map_err(|error| format!("looking up the user `{name}`: {error}"))?
        .ok_or_else(|| format!("the user `{name}` is not in /etc/passwd: create it, or set another `run_as`"))?;
    let own = rustix::process::geteuid();
    if user.uid == own.as_raw() {
        return Err(format!(
            "`{name}` is the supervisor's own user: set the environment's `allow_own_user` to true if that is meant"
        ));
    }
    if !own.is_root() {
        return Err(format!(
            "the supervisor cannot become `{name}`, as it does not run as root (uid {}): run it from its systemd unit",
            own.as_raw()
        ));
    }
    Ok(Some(user))
}

/// Where the program starts.
pub(super) fn directory(layout: &Layout, id: &str, blueprint: &Blueprint) -> PathBuf {
    let checkout = layout.checkout(id);
    match &blueprint.working_dir {
        // An absolute path replaces the checkout's.
        Some(directory) => checkout.join(directory),
        None => checkout,
    }
}

/// The variables of a replica's process.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    /// All of them.
    pub(super) values: EnvValues,
    /// Those that the supervisor supplies by itself.
    pub(super) supplied: BTreeSet<String>,
}

/// The variables of a replica's process: what its file gives, and what the supervisor supplies beside.
///
/// # Errors
/// The values or the list of users cannot be read.
pub(super) fn given(layout: &Layout, id: &str, spec: &Spec) -> io::Result<Given> {
    let mut values: EnvValues = record::read_json(&layout.values(id))?;
    let mut supplied = BTreeSet::new();
    let user = match &spec.blueprint.user {
        RunAs::Own => user::by_uid(rustix::process::geteuid().as_raw())?.map(|user| user.name),
        RunAs::User(name) => Some(name.clone()),
    };
    let user = user.unwrap_or_else(|| rustix::process::geteuid().as_raw().to_string());
    let may_override = [
        ("PATH", PATH.to_owned()),
        ("HOME", layout.home(id).display().to_string()),
        ("USER", user.clone()),
        ("LOGNAME", user),
    ];
    let fixed = [("PORT", spec.port.to_string()), (MARK, id.to_owned())];
    for (name, value) in may_override.into_iter().filter(|(name, _)| !values.0.contains_key(*name)).chain(fixed) {
        supplied.insert((name.to_owned(), value));
    }
    for (name, value) in &supplied {
        values.0.insert(name.clone(), value.clone().into());
    }
    Ok(Given { values, supplied: supplied.into_iter().map(|(name, _)| name).collect() })
}

/// The variables that were given, at the values that the process has now: a start script may have changed one, or a
/// restart may have brought one that was edited by hand. A program may also overwrite that memory with its title; then
/// what it was given counts, which nothing outside it can have changed.
pub(super) fn now(pid: i32, given: &EnvValues) -> Observed<EnvValues> {
    let bytes = match std::fs::read(format!("/proc/{pid}/environ")) {
        Ok(bytes) => zeroize::Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied || process::is_gone(&error) => {
            return Observed::Known(given.clone());
        }
        Err(error) => return Observed::Unknown(format!("its environment: {error}")),
    };
    Observed::Known(parse(&bytes, given).unwrap_or_else(|| given.clone()))
}

fn parse(bytes: &[u8], given: &EnvValues) -> Option<EnvValues> {
    let mut found = std::collections::BTreeMap::new();
    for entry in bytes.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        let name = String::from_utf8_lossy(&entry[..at]).into_owned();
        found.entry(name).or_insert_with(|| String::from_utf8_lossy(&entry[at + 1..]).into_owned());
    }
    // A title overwrites from the front: where the first variable or the mark is gone, so may be any.
    let intact = |name: &String| found.contains_key(name);
    if !given.0.keys().next().is_none_or(intact) || !found.contains_key(MARK) {
        return None;
    }
    let seen = given.0.keys().filter_map(|name| found.remove_entry(name));
    Some(EnvValues::from_texts(seen.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::parse;
    use crate::provider::local::supervisor::replica::EnvValues;

    fn given() -> EnvValues {
        EnvValues::from_texts(
            [("A", "1"), ("LEVEL", "info"), ("TRUEUP_REPLICA", "x")].map(|(name, value)| (name.into(), value.into())),
        )
    }

    #[test]
    fn what_a_start_script_changed_is_seen_and_what_it_added_is_not() {
        let seen = parse(b"A=1\0LEVEL=debug\0TRUEUP_REPLICA=x\0SHLVL=1\0", &given()).expect("intact");
        let texts: Vec<_> = seen.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        assert_eq!(texts, [("A", "1"), ("LEVEL", "debug"), ("TRUEUP_REPLICA", "x")]);
    }

    #[test]
    fn an_overwritten_environment_is_not_believed() {
        for title in [&b"nginx: master process\0"[..], b"", b"title of a program\0LEVEL=info\0TRUEUP_REPLICA=x\0"] {
            assert!(parse(title, &given()).is_none());
        }
    }
}
