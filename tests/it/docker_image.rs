//! Does the docker provider know what a reference means, pull exactly that, and tell the image's own settings apart?
//! Against a real registry on loopback.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use trueup::live::field::FieldPath;
use trueup::live::image::{ImageRef, ImageValue};
use trueup::live::value::{PullPolicy, Value};
use trueup::live::{LiveReplica, Observed};
use trueup::provider::{Provider, StepError};

use crate::world::backend;
use crate::world::docker::{World, available, docker, eventually, text, try_docker, words};

/// A registry of its own, ended and emptied with the test.
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: String,
    _directory: TempDir,
}

impl Registry {
    /// `login` is the line of an htpasswd file (bcrypt), or nothing for an open registry.
    pub(crate) async fn start(login: Option<&str>) -> Registry {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let root = directory.path().join("data");
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp: {{addr: '{address}'}}\n",
            root.display()
        );
        if let Some(line) = login {
            let file = directory.path().join("htpasswd");
            std::fs::write(&file, format!("{line}\n")).unwrap();
            config.push_str(&format!("auth:\n  htpasswd: {{realm: test, path: {}}}\n", file.display()));
        }
        let file = directory.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Registry { child, address, _directory: directory };
        eventually("the registry answers", || async {
            tokio::net::TcpStream::connect(&registry.address).await.is_ok()
        })
        .await;
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the registry could not be ended: {error}");
        }
    }
}

pub(crate) fn here() -> bool {
    available() && backend::available("registry", Path::new("/usr/bin/docker-registry").exists())
}

async fn resolve(world: &World, image: &str, pull: Option<PullPolicy>) -> Result<ImageValue, String> {
    match world.provider.resolve_image(&image.parse().unwrap(), pull).await {
        Observed::Known(value) => Ok(value),
        Observed::Unknown(why) => Err(why),
    }
}

/// Every digest of an image.
fn digests(image: &ImageValue) -> String {
    image.content.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn image_of(replica: &LiveReplica) -> ImageValue {
    match &replica.leaves[&FieldPath::Image].known().unwrap().value {
        Value::Image(image) => (**image).clone(),
        other => panic!("{other:?}"),
    }
}

/// Tags, pushes and forgets an image here; returns its digest at the registry.
pub(crate) fn push(id: &str, tag: &str) -> String {
    docker(&["tag", id, tag]);
    docker(&["push", "--quiet", tag]);
    let digests = docker(&["inspect", "--format", "{{json .RepoDigests}}", tag]);
    let name = tag.rsplit_once(':').unwrap().0;
    let digest = digests.split('"').find(|text| text.starts_with(name)).unwrap().rsplit_once('@').unwrap().1.to_owned();
    docker(&["rmi", "--force", tag]);
    digest
}

#[tokio::test]
async fn a_tag_resolves_at_its_registry_and_is_pulled_by_digest() {
    if !here() {
        return;
    }
    let registry = Registry::start(None).await;
    let world = World::new().await;
    let tag = format!("{}/shop/web:1", registry.address);
    let first = push(&world.import(&tag, &[]), &tag);
    let resolved = resolve(&world, &tag, None).await.unwrap();
    assert_eq!(digests(&resolved), first);

    let leaves = world.leaves(vec![(FieldPath::Image, Value::Image(resolved.clone().into())), keeps_running()]).await;
    let old = world.deploy("web", &leaves).await;
    world.adopt_image(&docker(&["inspect", "--format", "{{.Image}}", &old.0]));
    let replica = world.replica("web").await;
    assert!(image_of(&replica).same(&resolved));
    assert_eq!(docker(&["inspect", "--format", "{{.Config.Image}}", &old.0]), format!("{tag}@{first}"));
    assert!(try_docker(&["image", "inspect", &tag]).0, "the free tag is set, for `if-not-present`");

    // Somebody pushes other content under the same tag.
    let second = push(&world.import(&tag, &[]), &tag);
    assert_ne!(first, second);
    let fresh = crate::world::docker::connect(&world.environment, &[]);
    let Observed::Known(moved) = fresh.resolve_image(&tag.parse().unwrap(), Some(PullPolicy::Always)).await else {
        panic!("it resolves");
    };
    assert!(moved.same_reference(&image_of(&replica)) && !moved.same_content(&image_of(&replica)));
    assert!(resolve(&world, &tag, None).await.unwrap().same(&resolved), "a digest is remembered for five minutes");

    // The old digest can still be had: what a rollback needs.
    docker(&["rm", "-f", &old.0]);
    let permit = world.gate.permit().await;
    let back = world.prepare(&permit, "web", &leaves, &BTreeSet::new(), None).await.unwrap();
    assert!(image_of(&world.replica("web").await).same(&resolved), "{back}");
}

fn keeps_running() -> (FieldPath, Value) {
    (FieldPath::Command, words(&["/bin/sleep", "1000"]))
}

#[tokio::test]
async fn pull_policies_ask_who_they_should() {
    if !here() {
        return;
    }
    let registry = Registry::start(None).await;
    let world = World::new().await;
    let tag = format!("{}/shop/web:1", registry.address);
    let pushed = push(&world.import(&tag, &[]), &tag);
    let never = resolve(&world, &tag, Some(PullPolicy::Never)).await.unwrap_err();
    assert!(never.contains("never"), "{never}");
    let absent = resolve(&world, &tag, Some(PullPolicy::IfNotPresent)).await.unwrap();
    assert!(absent.content.iter().any(|digest| digest.as_str() == pushed), "what would be pulled");
    let local = world.import(&tag, &[]);
    for policy in [PullPolicy::Never, PullPolicy::IfNotPresent] {
        let here = resolve(&world, &tag, Some(policy)).await.unwrap();
        assert_eq!(digests(&here), local, "{policy}");
    }
    let unwritten = resolve(&world, &tag, None).await.unwrap();
    assert_eq!(digests(&unwritten), local, "built here");
    let always = resolve(&world, &tag, Some(PullPolicy::Always)).await.unwrap();
    assert!(always.content.iter().any(|digest| digest.as_str() == pushed));
    let pinned: ImageRef = format!("{tag}@{pushed}").parse().unwrap();
    let Observed::Known(value) = world.provider.resolve_image(&pinned, None).await else { panic!("as it is") };
    assert_eq!(digests(&value), pushed);
}

#[tokio::test]
async fn what_cannot_be_had_is_said_and_nothing_is_left() {
    if !here() {
        return;
    }
    let registry = Registry::start(None).await;
    let world = World::new().await;
    let missing = format!("{}/shop/missing:1", registry.address);
    let why = resolve(&world, &missing, None).await.unwrap_err();
    assert!(why.contains("has no") && why.contains("shop/missing:1"), "{why}");
    let digest = format!("sha256:{}", "0".repeat(64));
    let value = ImageValue { reference: Some(missing.parse().unwrap()), content: [digest.parse().unwrap()].into() };
    let leaves = world.leaves(vec![(FieldPath::Image, Value::Image(value.into()))]).await;
    let permit = world.gate.permit().await;
    let error = world.prepare(&permit, "web", &leaves, &BTreeSet::new(), None).await.unwrap_err();
    assert!(matches!(&error, StepError::Refused(why) if why.contains("could not be pulled")), "{error}");
    assert!(world.services().await.is_empty());
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let why = resolve(&world, &format!("{gone}/shop/web:1"), None).await.unwrap_err();
    assert!(why.contains("cannot be reached"), "{why}");
}

#[tokio::test]
async fn a_registry_that_wants_a_login_gets_the_operators() {
    if !here() {
        return;
    }
    // `trueup` with the password `hunter2` (bcrypt, cost 5).
    let login = "trueup:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.";
    let registry = Registry::start(Some(login)).await;
    let user = format!("registry.{}.username", registry.address);
    let password = format!("registry.{}.password", registry.address);
    let world = World::with(&[(&user, "trueup"), (&password, "env://hunter2")]).await;
    let tag = format!("{}/shop/web:1", registry.address);
    let id = world.import(&tag, &[]);
    let config = tempfile::tempdir().unwrap();
    std::fs::write(
        config.path().join("config.json"),
        format!("{{\"auths\":{{\"{}\":{{\"auth\":\"dHJ1ZXVwOmh1bnRlcjI=\"}}}}}}", registry.address),
    )
    .unwrap();
    docker(&["--config", config.path().to_str().unwrap(), "push", "--quiet", &tag]);
    docker(&["rmi", "--force", &id]);
    let stranger = crate::world::docker::connect(&world.environment, &[]);
    let Observed::Unknown(why) = stranger.resolve_image(&tag.parse().unwrap(), None).await else { panic!("refused") };
    assert!(why.contains(&user), "{why}");
    let wrong = crate::world::docker::connect(&world.environment, &[(&user, "trueup"), (&password, "env://wrong")]);
    let Observed::Unknown(why) = wrong.resolve_image(&tag.parse().unwrap(), None).await else { panic!("refused") };
    assert!(!why.contains("wrong"), "{why}");
    let resolved = resolve(&world, &tag, None).await.unwrap();
    let leaves = world.leaves(vec![(FieldPath::Image, Value::Image(resolved.into())), keeps_running()]).await;
    let replica = world.deploy("web", &leaves).await;
    world.adopt_image(&docker(&["inspect", "--format", "{{.Image}}", &replica.0]));
}

#[tokio::test]
async fn what_an_image_supplies_is_subtracted_and_returned_to() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let tag = format!("{}.localhost/rich:1", world.project());
    world.import(
        &tag,
        &[
            "ENV MODE=a",
            "ENV PATH=/bin",
            "LABEL maker=acme",
            "USER 1000",
            "WORKDIR /srv",
            "VOLUME /data",
            "EXPOSE 8080",
            "ENTRYPOINT [\"/bin/busybox\"]",
            "CMD [\"sleep\",\"1000\"]",
        ],
    );
    let image = world.image_leaf(&tag).await;
    let bare = world.leaves(vec![image.clone()]).await;
    let old = world.deploy("web", &bare).await;
    let supplied = |replica: &LiveReplica| -> BTreeSet<FieldPath> {
        let of = |(field, leaf): (&FieldPath, &Observed<trueup::live::LiveLeaf>)| {
            leaf.known().filter(|leaf| leaf.supplied).map(|_| field.clone())
        };
        replica.leaves.iter().filter_map(of).collect()
    };
    let everything: BTreeSet<FieldPath> = [
        FieldPath::Entrypoint,
        FieldPath::Command,
        FieldPath::User,
        FieldPath::WorkingDir,
        FieldPath::Env("MODE".into()),
        FieldPath::Env("PATH".into()),
        FieldPath::Labels("maker".into()),
        FieldPath::Volumes("/data".into()),
        FieldPath::Restart,
        FieldPath::StopGracePeriod,
    ]
    .into();
    assert_eq!(supplied(&world.replica("web").await), everything);

    let own: BTreeSet<FieldPath> =
        [FieldPath::Env("MODE".into()), FieldPath::User, FieldPath::Command, FieldPath::Labels("maker".into())].into();
    let mut leaves = bare.clone();
    leaves.insert(FieldPath::Env("MODE".into()), text("b"));
    leaves.insert(FieldPath::Labels("maker".into()), text("shop"));
    leaves.insert(FieldPath::User, text("1001"));
    leaves.insert(FieldPath::Command, words(&["sleep", "2000"]));
    let second = world.replace("web", &leaves, &BTreeSet::new(), &old).await;
    assert_eq!(supplied(&world.replica("web").await), &everything - &own);
    world.replace("web", &bare, &own, &second).await;
    assert_eq!(supplied(&world.replica("web").await), everything, "what was withdrawn is the image's again");
}

#[tokio::test]
async fn an_image_that_the_engine_lost_leaves_its_part_unknown() {
    if !available() {
        return;
    }
    let world = World::new().await;
    let permit = world.gate.permit().await;
    let leaves = world.leaves(vec![(FieldPath::Env("A".into()), text("1"))]).await;
    let id = world.prepare(&permit, "web", &leaves, &BTreeSet::new(), None).await.unwrap();
    docker(&["rmi", "--force", &docker(&["inspect", "--format", "{{.Image}}", &id.0])]);
    let replica = crate::world::docker::known(crate::world::docker::connect(&world.environment, &[]).observe().await)
        .remove(&"web".parse().unwrap())
        .unwrap()
        .replicas
        .remove(0);
    assert!(matches!(replica.leaves[&FieldPath::Env("A".into())], Observed::Unknown(_)));
    assert!(matches!(replica.leaves[&FieldPath::Image], Observed::Known(_)));
}
