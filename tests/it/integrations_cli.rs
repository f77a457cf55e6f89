//! Does the command line do with outside services what a user would expect, against a real daemon?

use crate::world::backend;
use crate::world::installation::{Installation, until};

#[test]
fn a_catalog_from_the_command_line() {
    if !backend::git() {
        return;
    }
    let here = Installation::new();
    assert!(here.expect(0, &["integration", "list"]).contains("No integration is registered yet"));
    let added = here.expect(
        0,
        &["integration", "add", "fake", "--provider", "memory", "--set", "health=degraded", "--owner", "web"],
    );
    assert!(added.contains("Integration fake is registered: memory at memory:"), "{added}");
    // The daemon looks at it by itself.
    until("it was looked at", || here.expect(0, &["integration", "list"]).contains("degraded"));
    let shown = here.expect(0, &["integration", "show", "fake"]);
    for says in [
        "health       degraded, since ",
        "because      its settings say",
        "owner        web",
        "used by      no project",
    ] {
        assert!(shown.contains(says), "{says}\n{shown}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&here.expect(0, &["integration", "show", "fake", "--json"])).unwrap();
    assert_eq!((&json["provider"], &json["type"]), (&"memory".into(), &"scm".into()));

    let tested = here.expect(0, &["integration", "test", "fake"]);
    assert!(
        tested.contains("look  its settings say that it is degraded") && tested.contains("fake is degraded"),
        "{tested}"
    );
    here.expect(0, &["integration", "set", "fake", "--set", "health=unhealthy"]);
    here.expect(1, &["integration", "test", "fake"]);
    here.expect(1, &["integration", "set", "fake"]);
    let wrong = here.say(&["integration", "show", "fakee"]);
    assert!(wrong.code == 1 && wrong.err.contains("did you mean `fake`?"), "{}", wrong.err);
    let wrong = here.say(&["integration", "set", "fake", "--set", "helth=x"]);
    assert!(wrong.code == 1 && wrong.err.contains("did you mean `health`?"), "{}", wrong.err);

    here.expect(0, &["integration", "remove", "fake"]);
    let events = here.expect(0, &["events"]);
    for says in [
        "integration.created  integrations/fake",
        "integration.health_changed  integrations/fake  before=unknown",
        "integration.removed",
    ] {
        assert!(events.contains(says), "{says}\n{events}");
    }
    let lines = here.expect(0, &["events", "--json", "--last", "1"]);
    let last: serde_json::Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(last["type"], "integration.removed");
    let log = here.log();
    assert!(log.contains("integrationId=fake") && log.contains("operation=\"test_connection\""), "{log}");
}
