//! Does a role go to the account that has a name now, stay with it, and leave at once when it is taken away?

use reqwest::Method;
use serde_json::json;
use trueup::forge::ForgeKind;
use trueup::forge::api::Permission;

use crate::world::backend;
use crate::world::door::Door;
use crate::world::forge::ForgeWorld;
use crate::world::house::House;
use crate::world::reporting::register;

const AT: &str = "/api/v1/integrations/forge/users";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_gets_a_role_by_its_id_and_loses_it() {
    if !backend::git() {
        return;
    }
    for kind in [ForgeKind::Gitea, ForgeKind::Bitbucket] {
        let world = ForgeWorld::start(kind);
        world.create("acme/shop", &[("README.md", "shop\n")]);
        let house = House::new("web:\n  image: acme/web:1\n").await;
        register(&house, &world, "acme/shop").await;
        let door = Door::open(house, "no-such-group").await;
        let alice = world.user("alice");
        let name = if kind == ForgeKind::Bitbucket { alice.id.clone() } else { "alice".to_owned() };
        let (status, made) = door.post(AT, json!({"login": name, "role": "viewer"})).await;
        assert_eq!((status.as_u16(), &made["id"], &made["login"]), (201, &json!(alice.id), &json!("alice")), "{made}");
        // Again: another role, not another row.
        let (status, made) = door.post(AT, json!({"login": name, "role": "operator"})).await;
        assert_eq!((status.as_u16(), &made["role"]), (201, &json!("operator")), "{made}");
        let listed = door.get(AT).await.1;
        assert_eq!(listed, json!([made]));

        world.permit("acme/shop", "bob", Permission::Read);
        for (login, why) in
            [("mallory", "has no account of that name"), ("a b", "without the @"), ("", "without the @")]
        {
            let (status, answer) = door.post(AT, json!({"login": login, "role": "admin"})).await;
            let detail = answer["detail"].as_str().unwrap_or_default();
            assert!(status.as_u16() == 422 && detail.contains(why), "{login:?}: {status} {answer}");
        }

        let id = alice.id.replace('{', "%7B").replace('}', "%7D");
        assert_eq!(door.ask(Method::DELETE, &format!("{AT}/{id}"), None).await.0.as_u16(), 204);
        assert_eq!(door.ask(Method::DELETE, &format!("{AT}/{id}"), None).await.0.as_u16(), 404);
        assert_eq!(door.get(AT).await.1, json!([]));
        let audit = format!("{:?}", door.house.store.audit(100).await.unwrap());
        assert!(audit.contains("integration user add") && audit.contains("integration user remove"), "{audit}");
    }
}

#[tokio::test]
async fn what_is_no_forge_has_no_accounts_and_reports_that_are_off_answer_none() {
    if !backend::git() {
        return;
    }
    let door = Door::open(House::new("web:\n  image: acme/web:1\n").await, "no-such-group").await;
    let new = json!({"name": "forge", "provider": "oci", "endpoint": "https://registry.acme.dev", "owner": "us"});
    assert_eq!(door.post("/api/v1/integrations", new).await.0.as_u16(), 201);
    let (status, answer) = door.post(AT, json!({"login": "alice", "role": "viewer"})).await;
    assert!(status.as_u16() == 422 && answer["detail"].as_str().unwrap().contains("is no forge"), "{answer}");

    let at = "/api/v1/projects/shop/environments/production";
    let (status, made) = door.ask(Method::PATCH, at, Some(json!({"comment_commands": "sync"}))).await;
    assert_eq!((status.as_u16(), &made["comment_commands"]), (200, &json!("sync")), "{made}");
    let (status, answer) = door.ask(Method::PATCH, at, Some(json!({"report_detail": "off"}))).await;
    assert!(status.as_u16() == 422 && answer["detail"].as_str().unwrap().contains("answers no comments"), "{answer}");
    let (status, _) = door.ask(Method::PATCH, at, Some(json!({"comment_commands": "everything"}))).await;
    assert_eq!(status.as_u16(), 400);
}
