//! Does the supervisor do as the settings file says, unless its command line says otherwise?

use std::path::PathBuf;

use trueup::provider::Provider;

use crate::world::local::{Code, Machine, Wanted, pid, shop, until};
use crate::world::permit::Gate;

/// A settings file that says what the machine's command line would say.
fn settings(machine: &Machine, ports: &str, more: &str) -> PathBuf {
    let file = machine.folder().join(format!("trueup-{ports}.toml"));
    let text = format!(
        "supervisor_socket = {:?}\n[supervise]\nstate_dir = {:?}\nport_range = {ports:?}\ncgroup = \"off\"\n{more}",
        machine.socket(),
        machine.state()
    );
    std::fs::write(&file, text).unwrap();
    file
}

/// What `env test` says of the ports.
async fn ports(machine: &Machine) -> String {
    let report = machine.provider(&Code::default()).test_connection().await;
    report.findings.into_iter().map(|finding| finding.message + "\n").filter(|line| line.contains("port")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervisor_reads_its_table_of_the_settings_file() {
    let (mut machine, code) = (Machine::new().await, Code::default());
    machine.terminate();
    std::fs::remove_dir_all(machine.state()).unwrap();
    let (first, _) = machine.range().split_once('-').unwrap();
    let narrow = format!("{first}-{}", first.parse::<u16>().unwrap() + 2);
    let file = settings(&machine, &narrow, "log_limit = \"1Ki\"\n");
    let mut command = machine.bare_command();
    command.arg("--config").arg(&file);
    machine.start_as(command).await;
    assert!(machine.state().join("replicas").is_dir(), "its folder is the one that the settings name");
    assert!(ports(&machine).await.contains(&narrow), "{}", ports(&machine).await);
    let gate = Gate::open(&shop(), "local").await;
    let permit = gate.permit().await;
    let script = "while :; do echo a line that fills the log little by little; sleep 0.01; done";
    let replica = Wanted::shell(&code, script).run(&machine.provider(&code), &permit).await;
    assert!(pid(&machine, &replica) > 0);
    let aside = machine.replica(&replica).join("log.1");
    until("a log above the limit is cut back", || async { aside.exists() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_line_says_goes_before_the_settings_file() {
    let mut machine = Machine::new().await;
    machine.terminate();
    let range = machine.range().to_owned();
    let file = settings(&machine, "1024-1030", "");
    let mut command = machine.bare_command();
    command.arg("--config").arg(&file).args(["--port-range", &range]);
    machine.start_as(command).await;
    assert!(ports(&machine).await.contains(&range), "{}", ports(&machine).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settings_file_that_is_wrong_or_missing_keeps_the_supervisor_from_starting() {
    let mut machine = Machine::new().await;
    machine.terminate();
    for (file, says) in [
        (settings(&machine, "9-8", ""), "is not valid"),
        (machine.folder().join("none.toml"), "cannot be read"),
        (settings(&machine, "21000-21999", "peers = [\"no-such-user-here\"]\n"), "no-such-user-here"),
    ] {
        let text = std::fs::read_to_string(&file);
        let ended = machine.bare_command().arg("--config").arg(&file).status().unwrap();
        assert_eq!(ended.code(), Some(1), "{text:?}");
        assert!(machine.log().contains(says), "{says}: {}", machine.log());
    }
}
