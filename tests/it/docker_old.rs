//! Is an Engine that is too old left alone, and is that said?

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use trueup::ids::EnvironmentRef;
use trueup::live::Observed;
use trueup::live::field::FieldPath;
use trueup::live::image::ImageValue;
use trueup::live::value::Value;
use trueup::provider::{Provider, ReplicaSpec, StepError};

use crate::world::docker::{Lines, connect};
use crate::world::engine::{Engine, replica_labels};
use crate::world::permit::Gate;

const IMAGE: &str = "registry.acme.dev/shop/web:1";

/// What an Engine older than API 1.41 leaves out of its answers would look like what is not set.
#[tokio::test]
async fn an_engine_that_is_too_old_is_unknown_and_nothing_is_made_on_it() {
    let shop: EnvironmentRef = "shop/production".parse().unwrap();
    let engine = Engine::start();
    let image = engine.with(|state| {
        state.version["ApiVersion"] = json!("1.40");
        state.add_image(IMAGE, json!({"Cmd": ["serve"]}), &[])
    });
    let labels = replica_labels("shop", "production", "web", 1);
    engine.with(|state| state.run("web", &json!({"Image": IMAGE, "Labels": labels})));
    let provider = connect(&shop, &[("host", &engine.host())]);

    let Observed::Unknown(why) = provider.observe().await.services else { panic!("it was looked at all the same") };
    assert!(why.contains("speaks API 1.40") && why.contains("Docker Engine 20.10 or later"), "{why}");

    let gate = Gate::open(&shop, "docker").await;
    let permit = gate.permit().await;
    let content = ImageValue { reference: Some(IMAGE.parse().unwrap()), content: [image.parse().unwrap()].into() };
    let leaves = BTreeMap::from([(FieldPath::Image, Value::Image(content.into()))]);
    let spec = ReplicaSpec {
        service: &"web".parse().unwrap(),
        index: 2,
        release: permit.run(),
        commit: None,
        leaves: &leaves,
        withdrawn: &BTreeSet::new(),
        secrets: &BTreeMap::new(),
        from: None,
    };
    let refused = provider.prepare(&permit, &spec, &Lines::default()).await;
    assert!(matches!(&refused, Err(StepError::Refused(why)) if why.contains("too old")), "{refused:?}");
    assert!(engine.calls().iter().all(|call| call == "GET /version"), "{:?}", engine.calls());

    let report = provider.test_connection().await;
    assert!(!report.ok && report.findings.iter().any(|finding| finding.message.contains("too old")), "{report:?}");

    // Exchanged for a newer one, it is looked at again.
    engine.with(|state| state.version["ApiVersion"] = json!("1.41"));
    crate::world::docker::eventually("it is seen", || async {
        matches!(provider.observe().await.services, Observed::Known(services) if services.len() == 1)
    })
    .await;
}
