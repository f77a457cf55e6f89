//! Does systemd take the supervisor's unit?

use std::process::Command;

use crate::world::backend::{available, runs};
use crate::world::local::TRUEUP;

#[test]
fn systemd_takes_the_supervisors_unit() {
    if !available("systemd-analyze", runs("systemd-analyze", &["--version"])) {
        return;
    }
    let unit =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/trueup-supervise.service")).unwrap();
    // The program is not installed where the unit expects it, which systemd would complain of.
    assert!(unit.contains("ExecStart=/usr/local/bin/trueup supervise "));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trueup-supervise.service");
    std::fs::write(&file, unit.replace("/usr/local/bin/trueup", TRUEUP)).unwrap();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success(), "{said}");
    // Older versions name the one key that they do not know, and go on without it.
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("trueup-supervise.service") && !line.contains("DelegateSubgroup"))
        .collect();
    assert_eq!(complaints, [""; 0]);
}
