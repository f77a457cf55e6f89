//! Making a replica's folder from a checkout, and unmaking it. A crash in the middle leaves a folder whose name says
//! that it counts for nothing.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::Duration;

use crate::provider::local::supervisor::checkout::{Snapshot, hand_over, open_root};
use crate::provider::local::supervisor::environment::{self, RESERVED};
use crate::provider::local::supervisor::keeper::{Ground, Keeper};
use crate::provider::local::supervisor::protocol::Fault;
use crate::provider::local::supervisor::record::{self, FORMAT, Layout, Spec, State};
use crate::provider::local::supervisor::replica::{Blueprint, EnvValues};
use crate::provider::local::supervisor::user::User;
use crate::settings::PortRange;

/// Ends the name of a folder that is being made.
pub(super) const UNFINISHED: &str = ".new";
/// Ends the name of a folder that is being deleted.
pub(super) const GONE: &str = ".gone";

/// Age from which a checkout that became no replica is swept away.
const STAGED_FOR: Duration = Duration::from_secs(3600);

/// The range that ports are taken from.
///
/// # Errors
/// The environment's range is not within the supervisor's.
pub(super) fn allowed_range(asked: Option<PortRange>, own: PortRange) -> Result<PortRange, Fault> {
    match asked {
        None => Ok(own),
        Some(range) if range.within(own) => Ok(range),
        Some(range) => Err(Fault::refused(format!(
            "the environment's port_range {range} is not within the supervisor's {own}: change either \
             (`trueup supervise --port-range`)"
        ))),
    }
}

/// A port that no replica has and nobody listens on, the next after the one given out last.
///
/// # Errors
/// There is none.
pub(super) fn free_port(range: PortRange, taken: &BTreeSet<u16>, last: Option<u16>) -> Result<u16, Fault> {
    let after = range.ports().filter(|port| last.is_some_and(|last| *port > last));
    let before = range.ports().filter(|port| last.is_none_or(|last| *port <= last));
    after
        .chain(before)
        .filter(|port| !taken.contains(port))
        .find(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok())
        .ok_or_else(|| {
            Fault::refused(format!(
                "no free port is left in {range} ({} are replicas'; others listen on the rest): widen `port_range`, \
                 or prune what is no longer needed",
                range.ports().filter(|port| taken.contains(port)).count()
            ))
        })
}

/// Makes a replica.
///
/// # Errors
/// Why not; nothing is left of it.
pub(super) fn prepare(ground: &Arc<Ground>, blueprint: Blueprint, env: &EnvValues, port: u16) -> Result<Keeper, Fault> {
    let user = check(ground, &blueprint, env)?;
    let id = blueprint.id();
    let folder = ground.layout.replicas().join(format!("{id}{UNFINISHED}"));
    let made = lay_out(ground, &folder, Spec { format: FORMAT, port, blueprint }, env, user.as_ref());
    made.and_then(|()| Keeper::open(Arc::clone(ground), &id)).map_err(|error| {
        let why = format!("{id} could not be prepared: {error}");
        match record::delete_folder(&folder).and_then(|()| delete(&ground.layout, &id)) {
            Ok(()) => Fault::refused(why),
            Err(left) => Fault::failed(format!("{why}; and cleaning up: {left}")),
        }
    })
}

fn check(ground: &Ground, blueprint: &Blueprint, env: &EnvValues) -> Result<Option<User>, Fault> {
    if blueprint.argv().first().is_none_or(String::is_empty) {
        return Err(Fault::refused("there is nothing to run: write `command` (the local provider runs no images)"));
    }
    let directory = Path::new(blueprint.working_dir.as_deref().unwrap_or_default());
    if directory.components().any(|component| component == Component::ParentDir) {
        return Err(Fault::refused("`working_dir` may not lead out of the checkout with `..`"));
    }
    for name in env.0.keys() {
        if name.is_empty() || name.contains(['=', '\0']) || RESERVED.contains(&name.as_str()) {
            return Err(Fault::refused(format!("`{name}` cannot be set: it is no name, or the supervisor's own")));
        }
    }
    let nul = |words: &[String]| words.iter().any(|word| word.contains('\0'));
    if nul(&blueprint.argv()) || env.0.values().any(|value| secrecy::ExposeSecret::expose_secret(value).contains('\0'))
    {
        return Err(Fault::refused("a NUL character cannot stand in a command or a variable"));
    }
    if let Some(objection) = ground.limits.objection(blueprint.cpu) {
        return Err(Fault::refused(objection));
    }
    environment::user(&blueprint.user).map_err(Fault::refused)
}

fn lay_out(ground: &Ground, folder: &Path, spec: Spec, env: &EnvValues, user: Option<&User>) -> io::Result<()> {
    let layout = &ground.layout;
    let id = spec.blueprint.id();
    record::delete_folder(folder)?;
    record::make_folder(folder, 0o711)?;
    let checkout = folder.join("checkout");
    std::fs::rename(layout.staging().join(&id), &checkout).map_err(|error| {
        io::Error::new(error.kind(), format!("taking its checkout over from {}: {error}", layout.staging().display()))
    })?;
    let home = folder.join("home");
    record::make_folder(&home, 0o700)?;
    if let Some(user) = user {
        hand_over(&checkout, user)?;
        std::os::unix::fs::chown(&home, Some(user.uid), Some(user.gid))?;
    } else {
        rustix::fs::fchmod(open_root(&checkout)?, rustix::fs::Mode::RWXU)?;
    }
    record::write_json(&folder.join("source.json"), &Snapshot::take(&checkout)?)?;
    record::write_json(&folder.join("spec.json"), &spec)?;
    record::write_json(&folder.join("state.json"), &State::prepared())?;
    record::write_json(&layout.values(&id), env)?;
    std::fs::rename(folder, layout.replica(&id))?;
    record::sync_folder(&layout.replicas())
}

/// Deletes a replica's files.
///
/// # Errors
/// The file system refused; what is left counts for nothing and goes at the next start.
pub(super) fn delete(layout: &Layout, id: &str) -> io::Result<()> {
    let gone = layout.replicas().join(format!("{id}{GONE}"));
    record::delete_folder(&gone)?;
    match std::fs::rename(layout.replica(id), &gone) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => record::sync_folder(&layout.replicas())?,
    }
    record::delete_file(&layout.values(id))?;
    record::delete_folder(&gone)
}

/// Sweeps away values of replicas that are no more, and old checkouts that became none.
///
/// # Errors
/// The file system refused.
pub(super) fn sweep(layout: &Layout, is_kept: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in std::fs::read_dir(layout.secrets())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.strip_suffix(".json").is_some_and(&is_kept) {
            record::delete_file(&entry.path())?;
        }
    }
    for entry in std::fs::read_dir(layout.staging())? {
        let entry = entry?;
        // A clock that was set back makes it look young: it is swept another time.
        if entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > STAGED_FOR) {
            record::delete_folder(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    use super::{allowed_range, free_port};
    use crate::settings::PortRange;

    #[test]
    fn ports_go_round_and_run_out() {
        // A listener of our own makes one port of the range taken by somebody else.
        let other = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = other.local_addr().expect("bound").port();
        let range: PortRange = format!("{port}-{port}").parse().expect("a range");
        let refused = free_port(range, &BTreeSet::new(), None).expect_err("none is free");
        assert!(refused.message.contains("no free port"), "{refused}");
        drop(other);
        assert_eq!(free_port(range, &BTreeSet::new(), Some(port)).expect("free"), port, "goes round");
        assert!(free_port(range, &BTreeSet::from([port]), None).is_err());
    }

    #[test]
    fn a_range_lies_within_the_supervisors() {
        let range = |text: &str| text.parse::<PortRange>().expect("a range");
        assert!(allowed_range(Some(range("20000-20010")), range("20000-29999")).is_ok());
        assert!(allowed_range(Some(range("19999-20010")), range("20000-29999")).is_err());
        assert_eq!(allowed_range(None, range("20000-29999")).expect("own"), range("20000-29999"));
    }
}
