//! Does the command line set a repository's webhook up, say what it did, and say how it stands?

use serde_json::Value;
use trueup::forge::ForgeKind;

use crate::world::backend;
use crate::world::forge::ForgeWorld;
use crate::world::installation::Installation;
use crate::world::office::{REPOSITORY, web};

/// An installation that knows a forge.
fn installation(world: &ForgeWorld, settings: &str) -> Installation {
    world.create(REPOSITORY, &[(".trueup.yml", &web("info"))]);
    let here = Installation::with_settings(settings);
    let (endpoint, auth) = (world.endpoint(), world.auth_ref("token").to_string());
    here.expect(0, &["integration", "add", "forge", "--provider", "gitea", "--endpoint", &endpoint, "--auth", &auth]);
    here
}

#[test]
fn a_webhook_from_the_command_line() {
    if !backend::git() {
        return;
    }
    let world = ForgeWorld::start(ForgeKind::Gitea);
    let here = installation(&world, "public_url = \"https://trueup.acme.dev\"\n");
    let url = world.clone_url(REPOSITORY);
    let add = ["project", "add", "shop", &url, "--integration", "forge", "--repository", REPOSITORY];
    let wrong = here.say(&["project", "add", "shop", &url, "--webhook"]);
    assert!(wrong.code != 0 && wrong.err.contains("--integration"), "{}", wrong.err);
    let added = here.expect(0, &[&add[..], &["--webhook"]].concat());
    for says in [
        "Project shop is watched",
        "The webhook of acme/shop is created: it delivers to https://trueup.acme.dev/hooks/gitea/shop",
        "Its secret is file:///",
    ] {
        assert!(added.contains(says), "{says}\n{added}");
    }
    let secret = world.inner().state.repositories[REPOSITORY].hooks[0].secret.clone();
    assert!(!added.contains(&secret) && !here.log().contains(&secret));

    let checked = here.expect(0, &["project", "check", "shop"]);
    assert!(checked.contains("ok    the webhook is there and active"), "{checked}");
    world.inner().state.repositories.get_mut(REPOSITORY).unwrap().hooks[0].active = false;
    let checked = here.expect(1, &["project", "check", "shop"]);
    assert!(checked.contains("FAIL  the webhook is switched off") && checked.contains("project set shop --webhook"));
    let again = here.expect(0, &["project", "set", "shop", "--webhook"]);
    assert!(again.contains("is put right"), "{again}");
    let json: Value = serde_json::from_str(&here.expect(0, &["project", "check", "shop", "--json"])).unwrap();
    assert_eq!((&json["state"], &json["project"]), (&"active".into(), &"shop".into()), "{json}");
}

#[test]
fn without_an_address_it_says_what_to_set() {
    if !backend::git() {
        return;
    }
    let world = ForgeWorld::start(ForgeKind::Gitea);
    let here = installation(&world, "");
    let url = world.clone_url(REPOSITORY);
    let said =
        here.say(&["project", "add", "shop", &url, "--integration", "forge", "--repository", REPOSITORY, "--webhook"]);
    assert!(said.code == 1 && said.err.contains("public_url is not set"), "{} {}", said.out, said.err);
    here.expect(0, &["project", "show", "shop"]);
    let checked = here.expect(1, &["project", "check", "shop"]);
    assert!(checked.contains("public_url"), "{checked}");
}
