//! Whether a real backend is here. A test whose backend is missing says so and passes over, unless
//! `TRUEUP_TEST_REQUIRE` (a comma-separated list, or `all`) names it: then its absence fails.
//!
//! `all` is everything that `.ci/run` can install. What only a machine's owner can give has to be named.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether the test may go on. `name` is what `TRUEUP_TEST_REQUIRE` calls the backend.
pub fn available(name: &str, here: bool) -> bool {
    if here {
        return true;
    }
    let required = std::env::var("TRUEUP_TEST_REQUIRE").unwrap_or_default();
    let told = |variable: &str| std::env::var_os(variable).is_some();
    assert!(!requires(&required, name, told), "TRUEUP_TEST_REQUIRE names `{name}`, and it is not here");
    println!("passed over: `{name}` is not here (TRUEUP_TEST_REQUIRE={name} makes this a failure)");
    false
}

/// Whether `required` names the backend. `told` says whether a variable is set.
fn requires(required: &str, name: &str, told: impl Fn(&str) -> bool) -> bool {
    let all = match name {
        // Delegation is the machine's to give.
        "cgroup" => false,
        // A clone has no such folder; who says where it is wants it used.
        "conformance" => told("TRUEUP_CONFORMANCE_DIR"),
        _ => true,
    };
    required.split(',').map(str::trim).any(|entry| entry == name || entry == "all" && all)
}

#[test]
fn all_asks_for_nothing_that_a_clone_cannot_have() {
    let (told, untold) = (|_: &str| true, |_: &str| false);
    assert!(requires("all", "docker", untold) && requires("git, docker", "docker", untold));
    assert!(!requires("", "docker", told) && !requires("git", "docker", told));
    assert!(!requires("all", "conformance", untold) && requires("all", "conformance", told));
    assert!(requires("conformance", "conformance", untold));
    assert!(!requires("all", "cgroup", told) && requires("all,cgroup", "cgroup", untold));
}

/// Docker Engine on its usual socket.
pub fn docker() -> bool {
    available("docker", Path::new("/var/run/docker.sock").exists() && runs("docker", &["version"]))
}

/// The git command line.
pub fn git() -> bool {
    available("git", runs("git", &["--version"]))
}

/// The folder of conformance data: others' payloads, signatures and descriptions.
pub fn conformance() -> Option<PathBuf> {
    let folder = std::env::var_os("TRUEUP_CONFORMANCE_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    available("conformance", folder.is_some()).then_some(folder).flatten()
}

/// Whether a command is here and exits 0.
pub fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
