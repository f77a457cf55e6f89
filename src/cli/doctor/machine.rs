//! What `trueup doctor` sees of this machine by itself: the settings file and the places that it names.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::cli::config::Config;
use crate::cli::doctor::{error, ok, warning};
use crate::provider::Finding;
use crate::settings::Settings;

/// How long the daemon's address may take to answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// What can be seen from here of the machine that this command runs on, at the places that the settings name.
pub(super) fn look(told: Finding, settings: &Settings) -> Vec<Finding> {
    let mut found = vec![told, state_dir(settings), permissions(settings), git(), docker_socket(), clock()];
    found.extend(known_hosts(settings));
    found.extend(listen(settings));
    found.push(supervisor(&settings.supervisor_socket()));
    found.push(systemd());
    found
}

/// What is to be said of the settings file, and the settings: the defaults where it cannot be used.
pub(super) fn settings(config: &Config) -> (Finding, Settings) {
    let path = config.path().display();
    let found = match std::fs::read_to_string(config.path()) {
        Ok(text) => match Settings::parse(&text) {
            Ok(settings) => return (ok(format!("{path} is valid")), settings),
            Err(invalid) => error(format!("{path}: {invalid}"), "the daemon does not start with it: mend it"),
        },
        Err(problem) if problem.kind() == ErrorKind::NotFound && config.is_named() => {
            error(format!("there is no {path}"), "name the file that the daemon is started with")
        }
        Err(problem) if problem.kind() == ErrorKind::NotFound => ok(format!("no {path}: every default holds")),
        Err(problem) => warning(
            format!("{path} cannot be read, so the usual places are looked at: {problem}"),
            "run this with sudo to check it",
        ),
    };
    (found, Settings::default())
}

/// The directory in which the daemon keeps everything.
fn state_dir(settings: &Settings) -> Finding {
    let path = settings.state_dir.display();
    match std::fs::metadata(&settings.state_dir) {
        Ok(found) if found.is_dir() => ok(format!("the state directory {path} is there")),
        Ok(_) => error(
            format!("the state directory {path} is no directory"),
            "move what is there aside, or name another `state_dir` in the settings",
        ),
        Err(problem) if problem.kind() == ErrorKind::NotFound => warning(
            format!("there is no state directory {path}"),
            "the first start of `trueup serve` makes it; if that was, it has other settings: name them with --config",
        ),
        Err(problem) => {
            warning(format!("the state directory {path} cannot be looked at: {problem}"), "run this with sudo")
        }
    }
}

/// The hosts that `ssh://` knows, where the settings name a file of them.
fn known_hosts(settings: &Settings) -> Option<Finding> {
    let path = settings.git.known_hosts.as_ref()?;
    Some(match std::fs::File::open(path) {
        Ok(_) => ok(format!("git.known_hosts: {} can be read", path.display())),
        Err(problem) => error(
            format!("git.known_hosts: {} cannot be read: {problem}", path.display()),
            "repositories over ssh:// are refused without it: write it (ssh-keyscan HOST) or name another in the settings",
        ),
    })
}

/// The address on which the daemon serves tokens and takes webhooks, where the settings name one.
fn listen(settings: &Settings) -> Option<Finding> {
    let address = settings.listen?;
    // One that stands for all of them is reached on this machine's own.
    let reached = match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(_) => (Ipv6Addr::LOCALHOST, address.port()).into(),
    };
    Some(match std::net::TcpStream::connect_timeout(&reached, CONNECT_WITHIN) {
        Ok(_) => ok(format!("listen: {address} takes connections")),
        Err(problem) => warning(
            format!("listen: nothing answers at {address}: {problem}"),
            "the daemon listens there once it is started with these settings: systemctl restart trueup",
        ),
    })
}

/// Who is asking, and what that means at the daemon's socket.
fn permissions(settings: &Settings) -> Finding {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return ok("you are root: an admin at the daemon's socket");
    }
    let groups = match std::fs::read_to_string("/etc/group") {
        Ok(groups) => groups,
        Err(problem) => return warning(format!("/etc/group cannot be read: {problem}"), "run this with sudo"),
    };
    let group = settings.socket_group.as_str();
    let gid = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)?.parse::<u32>().ok())?
    });
    let own = match rustix::process::getgroups() {
        Ok(own) => own,
        Err(problem) => return warning(format!("your groups cannot be read: {problem}"), "run this with sudo"),
    };
    match gid {
        None => ok(format!("there is no group `{group}` here: only root and the daemon's own user may talk to it")),
        Some(gid) if own.iter().any(|group| group.as_raw() == gid) => {
            ok(format!("you are in the group `{group}`: an operator at the daemon's socket"))
        }
        Some(_) => warning(
            format!("you are not in the group `{group}`, whose members may talk to the daemon"),
            &format!("sudo usermod -aG {group} $USER, then log in again"),
        ),
    }
}

/// Trueup reads Git itself; only `ssh://` takes a program of the machine.
fn git() -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("ssh").is_file()) {
        ok("Git needs nothing here; for ssh:// repositories there is ssh")
    } else {
        warning(
            "there is no ssh here, which repositories over ssh:// need",
            "fine for https:// and local ones; else apt install openssh-client",
        )
    }
}

fn docker_socket() -> Finding {
    let path = Path::new("/var/run/docker.sock");
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => ok("the Docker Engine's socket answers"),
        Err(problem) if problem.kind() == ErrorKind::NotFound => warning(
            "there is no Docker Engine here (/var/run/docker.sock)",
            "fine where no environment uses it; else install docker.io, or name another with `trueup env set … --set host=…`",
        ),
        Err(problem) if problem.kind() == ErrorKind::PermissionDenied => warning(
            "the Docker Engine's socket is not open to you",
            "fine for you: the daemon must be in the group `docker` (its unit sees to that)",
        ),
        Err(problem) => {
            warning(format!("the Docker Engine's socket does not answer: {problem}"), "systemctl start docker")
        }
    }
}

/// Whether the clock may be trusted: durations, "since when" and TLS certificates all hang on it.
fn clock() -> Finding {
    let built: Option<Timestamp> = "2025-01-01T00:00:00Z".parse().ok();
    let now = Timestamp::now();
    if built.is_some_and(|built| now < built) {
        return error(format!("the clock says {now}, which cannot be"), "timedatectl set-ntp true");
    }
    if Path::new("/run/systemd/timesync").exists() && !Path::new("/run/systemd/timesync/synchronized").exists() {
        return warning("the clock is not synchronised yet", "timedatectl status shows why");
    }
    ok(format!("the clock says {now}"))
}

fn supervisor(socket: &Path) -> Finding {
    let path = socket.display();
    match std::os::unix::net::UnixStream::connect(socket) {
        Ok(_) => ok(format!("the supervisor of the `local` provider answers at {path}")),
        Err(problem) if problem.kind() == ErrorKind::NotFound => ok(format!(
            "no supervisor runs here ({path}); only environments of the provider `local` need one (systemctl enable --now trueup-supervise)"
        )),
        Err(problem) if problem.kind() == ErrorKind::PermissionDenied => {
            ok(format!("a supervisor runs here ({path}); it speaks to the daemon only"))
        }
        Err(problem) => warning(
            format!("the supervisor at {path} does not answer: {problem}"),
            "systemctl restart trueup-supervise",
        ),
    }
}

fn systemd() -> Finding {
    if !Path::new("/run/systemd/system").exists() {
        return ok("systemd does not run this machine; something else has to start the daemon");
    }
    let places =
        ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    match places.iter().find(|place| Path::new(place).join("trueup.service").exists()) {
        Some(place) => ok(format!("the unit is {place}/trueup.service")),
        None => warning(
            "trueup.service is not installed",
            "docs/install.md shows how; until then the daemon ends with its terminal",
        ),
    }
}
