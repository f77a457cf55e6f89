//! Is a delivery taken exactly when it is signed with the webhook's secret?

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use ring::hmac::{HMAC_SHA256, Key, sign};
use secrecy::SecretString;
use trueup::forge::signature::{TIMESTAMP_WINDOW, verify};
use trueup::forge::{ForgeKind, Headers};

use crate::world::backend;

const BODY: &[u8] = br#"{"ref":"refs/heads/main"}"#;

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn hex(secret: &str, body: &[u8]) -> String {
    let tag = sign(&Key::new(HMAC_SHA256, secret.as_bytes()), body);
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn taken(forge: ForgeKind, secret: &str, headers: &[(&str, &str)], body: &[u8]) -> bool {
    let headers = Headers::of(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    verify(forge, &SecretString::from(secret), &headers, body, now()).is_ok()
}

#[test]
fn published_vectors_are_accepted_and_refused_as_stated() {
    let Some(folder) = backend::conformance() else { return };
    let text = std::fs::read_to_string(folder.join("webhooks/hmac_vectors.json")).unwrap();
    let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(vectors.len() >= 18, "{}", vectors.len());
    for vector in &vectors {
        let field = |name: &str| vector[name].as_str().unwrap();
        let forge = field("scheme").parse().unwrap();
        let headers = [(field("header"), field("value"))];
        let accepted = taken(forge, field("secret"), &headers, field("body").as_bytes());
        assert_eq!(accepted, vector["accept"].as_bool().unwrap(), "{}", field("name"));
    }
}

#[test]
fn each_forge_has_its_header_and_form() {
    let right = hex("s3cret", BODY);
    let with_prefix = format!("sha256={right}");
    let table = [
        (ForgeKind::Github, "X-Hub-Signature-256", &with_prefix, true),
        (ForgeKind::Github, "X-Hub-Signature-256", &right, false),
        (ForgeKind::Github, "X-Hub-Signature", &with_prefix, false),
        (ForgeKind::Gitea, "X-Gitea-Signature", &right, true),
        (ForgeKind::Gitea, "X-Gitea-Signature", &with_prefix, false),
        (ForgeKind::Gitea, "X-Hub-Signature-256", &with_prefix, true),
        (ForgeKind::Forgejo, "X-Forgejo-Signature", &right, true),
        (ForgeKind::Forgejo, "X-Gitea-Signature", &right, true),
        (ForgeKind::Bitbucket, "X-Hub-Signature", &with_prefix, true),
        (ForgeKind::Bitbucket, "X-Hub-Signature", &right, false),
        (ForgeKind::Bitbucket, "X-Hub-Signature-256", &with_prefix, false),
        (ForgeKind::BitbucketServer, "X-Hub-Signature", &with_prefix, true),
        (ForgeKind::Gitlab, "X-Hub-Signature-256", &with_prefix, false),
    ];
    for (forge, header, value, expected) in table {
        assert_eq!(taken(forge, "s3cret", &[(header, value)], BODY), expected, "{forge} {header}: {value}");
        assert!(!taken(forge, "other", &[(header, value)], BODY), "{forge} {header} with another secret");
        assert!(!taken(forge, "s3cret", &[(header, value)], b"{}"), "{forge} {header} with another body");
    }
    for forge in ForgeKind::ALL {
        assert!(!taken(forge, "s3cret", &[], BODY), "{forge} without any signature");
    }
}

#[test]
fn a_sha1_signature_alone_is_none() {
    // HMAC-SHA-1 of "Hello, World!" with the documented secret.
    let value = "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59";
    for forge in ForgeKind::ALL {
        let secret = "It's a Secret to Everybody";
        assert!(!taken(forge, secret, &[("X-Hub-Signature", value)], b"Hello, World!"), "{forge}");
    }
}

#[test]
fn hexadecimal_digits_are_read_strictly() {
    let right = hex("s3cret", BODY);
    let odd = [right.to_uppercase(), format!(" 0{}", &right[1..]), format!("+{}", &right[1..]), right[..62].to_owned()];
    for value in odd {
        assert!(!taken(ForgeKind::Gitea, "s3cret", &[("X-Gitea-Signature", &value)], BODY), "{value}");
    }
}

#[test]
fn of_several_signatures_none_may_be_wrong() {
    let right = hex("s3cret", BODY);
    let wrong = hex("other", BODY);
    let both = |second: &str| {
        taken(ForgeKind::Gitea, "s3cret", &[("X-Gitea-Signature", &right), ("X-Forgejo-Signature", second)], BODY)
    };
    assert!(both(&right));
    assert!(!both(&wrong));
    let twice = [("X-Gitea-Signature", right.as_str()), ("X-Gitea-Signature", wrong.as_str())];
    assert!(!taken(ForgeKind::Gitea, "s3cret", &twice, BODY), "one header twice");
}

#[test]
fn gitlabs_token_is_the_whole_secret() {
    let token = |value: &str| taken(ForgeKind::Gitlab, "s3cret", &[("X-Gitlab-Token", value)], BODY);
    assert!(token("s3cret"));
    for wrong in ["", "s3cre", "s3crets", "S3CRET", "s3cret\u{e9}"] {
        assert!(!token(wrong), "{wrong}");
    }
    assert!(!taken(ForgeKind::Gitlab, "", &[("X-Gitlab-Token", "")], BODY), "an empty secret proves nothing");
}

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

fn signed(id: &str, at: i64, body: &[u8]) -> String {
    let content = [id.as_bytes(), b".", at.to_string().as_bytes(), b".", body].concat();
    format!("v1,{}", STANDARD.encode(sign(&Key::new(HMAC_SHA256, KEY), &content)))
}

fn taken_signed(id: &str, at: &str, signatures: &str, body: &[u8]) -> bool {
    let secret = format!("whsec_{}", STANDARD.encode(KEY));
    let headers = [("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", signatures)];
    taken(ForgeKind::Gitlab, &secret, &headers, body)
}

#[test]
fn gitlabs_signing_token_covers_id_time_and_body() {
    let at = now().as_second();
    let right = signed("a", at, BODY);
    let text = at.to_string();
    assert!(taken_signed("a", &text, &right, BODY));
    assert!(!taken_signed("b", &text, &right, BODY), "another id");
    assert!(!taken_signed("a", &(at + 1).to_string(), &right, BODY), "another time");
    assert!(!taken_signed("a", &text, &right, b"{}"), "another body");
    let older = signed("a", at, b"other");
    assert!(taken_signed("a", &text, &format!("{older} {right}"), BODY), "one of several");
    assert!(!taken_signed("a", &text, &format!("{older} {older}"), BODY));
    for odd in ["", "v1,", "v1,!!!", &right[3..], &right.replace("v1,", "v2,"), &right.replace("v1,", "v1a,")] {
        assert!(!taken_signed("a", &text, odd, BODY), "{odd}");
    }
    assert!(!taken_signed("", &text, &signed("", at, BODY), BODY), "no id");
}

#[test]
fn gitlabs_signature_ages() {
    let window = TIMESTAMP_WINDOW.as_secs();
    for (offset, expected) in [(-window, true), (window, true), (-window - 1, false), (window + 1, false)] {
        let at = (now() + SignedDuration::from_secs(offset)).as_second();
        assert_eq!(taken_signed("a", &at.to_string(), &signed("a", at, BODY), BODY), expected, "{offset}");
    }
    for odd in ["", "-1", "+1790000000", " 1790000000x", "99999999999999999999", "1e9"] {
        assert!(!taken_signed("a", odd, &signed("a", now().as_second(), BODY), BODY), "{odd}");
    }
}

#[test]
fn a_signing_token_is_never_taken_as_a_plain_one() {
    let secret = format!("whsec_{}", STANDARD.encode(KEY));
    assert!(!taken(ForgeKind::Gitlab, &secret, &[("X-Gitlab-Token", &secret)], BODY));
    assert!(!taken(ForgeKind::Gitlab, "whsec_", &[("X-Gitlab-Token", "whsec_")], BODY));
}
