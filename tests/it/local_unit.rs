//! Does systemd take the units, and do they fit each other?

use std::process::Command;

use trueup::settings::Settings;

use crate::world::backend::{available, runs};
use crate::world::local::TRUEUP;

fn unit(name: &str) -> String {
    std::fs::read_to_string(format!("{}/systemd/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The values of a key of a unit, each word of each line.
fn words<'a>(unit: &'a str, key: &'a str) -> Vec<&'a str> {
    let values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.flat_map(str::split_whitespace).collect()
}

#[test]
fn systemd_takes_the_units() {
    if !available("systemd-analyze", runs("systemd-analyze", &["--version"])) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["trueup.service", "trueup-supervise.service"] {
        let text = unit(name);
        // The program is not installed where the unit expects it, which systemd would complain of.
        assert!(text.contains("ExecStart=/usr/local/bin/trueup "), "{name}");
        let file = folder.path().join(name);
        std::fs::write(&file, text.replace("/usr/local/bin/trueup", TRUEUP)).unwrap();
        let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success(), "{name}: {said}");
        // A key that it does not know is only warned of; older versions do not know this one, and go on without it.
        let of_ours = |line: &&str| line.contains("trueup") && !line.contains("DelegateSubgroup");
        assert_eq!(said.lines().filter(of_ours).collect::<Vec<_>>(), [""; 0]);
    }
}

/// A restart of either unit leaves what runs alone, and what runs has limits of its own.
#[test]
fn the_supervisor_is_given_its_own_groups_and_takes_nothing_down_with_it() {
    let (daemon, supervisor) = (unit("trueup.service"), unit("trueup-supervise.service"));
    assert_eq!(words(&supervisor, "Delegate"), ["yes"]);
    assert_eq!(words(&supervisor, "KillMode"), ["process"]);
    for unit in [&daemon, &supervisor] {
        assert_eq!(words(unit, "Type"), ["notify"]);
    }
    let ties = ["PartOf", "BindsTo", "Requires", "StopPropagatedFrom"];
    assert!(ties.iter().all(|tie| words(&supervisor, tie).is_empty()), "a restart of the daemon would end what runs");
}

#[test]
fn the_daemon_may_write_where_the_supervisor_takes_checkouts_over() {
    let (daemon, supervisor) = (unit("trueup.service"), unit("trueup-supervise.service"));
    let arguments = words(&supervisor, "ExecStart");
    let after = |option: &str| arguments[arguments.iter().position(|word| *word == option).unwrap() + 1];
    // What the unit does not say are the defaults, which the settings file may change.
    assert_eq!(arguments[1..], ["supervise", "--peer", "trueup"]);
    let state = Settings::default().supervise_state_dir();
    assert_eq!(words(&supervisor, "StateDirectory"), [state.strip_prefix("/var/lib").unwrap().to_str().unwrap()]);
    let staging = format!("{}/staging", state.display());
    assert_eq!(after("--peer"), words(&daemon, "User")[0], "the staging folder is given to the daemon's user");
    assert_eq!(words(&daemon, "ProtectSystem"), ["strict"], "else nothing has to be said of paths");
    let writable = words(&daemon, "ReadWritePaths");
    let fits = |path: &&str| path.trim_start_matches('-') == staging;
    assert!(writable.iter().any(fits), "{staging} is not among {writable:?}");
    assert_eq!(words(&supervisor, "Before"), ["trueup.service"], "the folder is there before it is made writable");
}
