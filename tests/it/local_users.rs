//! Does a replica run as the environment's user, with that user's rights and no more?

use std::collections::BTreeMap;

use trueup::provider::{Provider, StepError};

use crate::world::backend::available;
use crate::world::local::{Code, Machine, Wanted, pid, shop, until};
use crate::world::permit::Gate;

fn root() -> bool {
    available("root", rustix::process::geteuid().is_root())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_gives_up_the_supervisors_rights() {
    if !root() {
        return;
    }
    let (machine, code) = (Machine::new().await, Code::default());
    let provider = machine.provider_with(&code, &BTreeMap::new(), Some("nobody"));
    assert!(provider.test_connection().await.ok);
    let gate = Gate::open(&shop(), "local").await;
    let permit = gate.permit().await;
    let secrets = machine.state().join("secrets");
    let script = format!(
        "echo user=$(id -un) uid=$(id -u) groups=$(id -G) HOME=$HOME\n\
         cat run.sh > /dev/null && echo reads its code\n\
         (echo x >> run.sh) 2> /dev/null || echo cannot change its code\n\
         (echo x > $HOME/file) && echo has a home\n\
         ls {} > /dev/null 2>&1 || echo sees no secrets\n\
         exec sleep 600",
        secrets.display()
    );
    let replica = Wanted::shell(&code, &script).run(&provider, &permit).await;
    until("it said all", || async { provider.logs(&replica, 9).await.unwrap().len() == 5 }).await;
    let said = provider.logs(&replica, 9).await.unwrap();
    let home = machine.replica(&replica).join("home");
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let nobody: Vec<&str> = passwd.lines().find(|line| line.starts_with("nobody:")).unwrap().split(':').collect();
    assert_eq!(said[0], format!("user=nobody uid={} groups={} HOME={}", nobody[2], nobody[3], home.display()));
    assert_eq!(said[1..], ["reads its code", "cannot change its code", "has a home", "sees no secrets"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid(&machine, &replica))).unwrap();
    for set in ["CapEff", "CapPrm", "CapAmb"] {
        let line = status.lines().find(|line| line.starts_with(set)).unwrap();
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
    assert!(provider.observe().await.services.known().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_is_not_there_is_refused_before_anything_is_changed() {
    let (machine, code) = (Machine::new().await, Code::default());
    let provider = machine.provider_with(&code, &BTreeMap::new(), Some("trueup-no-such-user"));
    let report = provider.test_connection().await;
    assert!(!report.ok && report.findings.iter().any(|finding| finding.message.contains("not in /etc/passwd")));
    let gate = Gate::open(&shop(), "local").await;
    let permit = gate.permit().await;
    let refused = Wanted::shell(&code, "exec sleep 600").prepare(&provider, &permit).await.unwrap_err();
    assert!(matches!(&refused, StepError::Refused(why) if why.contains("trueup-no-such-user")), "{refused}");
    assert_eq!(machine.processes(), [0; 0]);
}

/// The socket that [`ask_as_another_user`] is to ask, and whether as the daemon's own user.
const SOCKET: &str = "TRUEUP_TEST_ASK_SOCKET";
const OWN_USER: &str = "TRUEUP_TEST_ASK_OWN_USER";

/// Nothing by itself: what [`only_named_users_are_heard`] runs as another user.
#[tokio::test(flavor = "multi_thread")]
async fn ask_as_another_user() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let own = std::env::var_os(OWN_USER).is_some();
    let settings = BTreeMap::from([("allow_own_user".to_owned(), own.to_string())]);
    let run_as = (!own).then_some("daemon");
    let code = std::sync::Arc::new(Code::default());
    let provider =
        trueup::provider::local::LocalProvider::connect(shop(), &settings, run_as, socket.as_ref(), code).unwrap();
    let report = provider.test_connection().await;
    println!("ok={} {:?}", report.ok, report.findings);
}

/// What `nobody` is told by a connection test.
async fn told_to_nobody(machine: &Machine, own: bool) -> String {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    // Copied to where anyone may run it from.
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("it");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut asking = std::process::Command::new(&program);
    asking.args(["--exact", "local_users::ask_as_another_user", "--nocapture"]).env(SOCKET, machine.socket());
    if own {
        asking.env(OWN_USER, "");
    }
    asking.uid(65534).gid(65534).current_dir("/").env("TMPDIR", "/tmp");
    let said = tokio::task::spawn_blocking(move || asking.output()).await.unwrap().unwrap();
    String::from_utf8(said.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_named_users_are_heard() {
    use std::os::unix::fs::PermissionsExt;
    if !root() {
        return;
    }
    let closed = Machine::new().await;
    // Whatever its mode: the kernel says who is at the other end.
    std::fs::set_permissions(closed.socket(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let said = told_to_nobody(&closed, false).await;
    assert!(said.contains("ok=false") && said.contains("does not listen to uid 65534"), "{said}");

    let open = Machine::with(&["--cgroup", "off", "--peer", "nobody"]).await;
    let said = told_to_nobody(&open, false).await;
    assert!(said.contains("ok=true") && said.contains("checkouts can be laid down"), "{said}");
    // The supervisor's own user is root: nobody does not become it by way of `allow_own_user`.
    let said = told_to_nobody(&open, true).await;
    assert!(said.contains("ok=false") && said.contains("different users"), "{said}");
}
