//! Anything at all, as a delivery of each forge: read, and checked against a secret that it cannot know.
//!
//! The first byte says how much of the input is the headers (lines of `name: value`); the rest is the body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trueup::forge::webhook::parse;
use trueup::forge::{ForgeKind, Headers, signature};

fuzz_target!(|input: &[u8]| {
    let Some((length, rest)) = input.split_first() else { return };
    let (head, body) = rest.split_at(rest.len().min(usize::from(*length)));
    let lines = head.split(|byte| *byte == b'\n');
    let pairs = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]))
    });
    let headers = Headers::of(pairs);
    let secret = secrecy::SecretString::from("79d2cf4fd1cc5ebdb2b9a1d0bcb4d4b3");
    for forge in ForgeKind::ALL {
        if let Ok(event) = parse(forge, &headers, body) {
            assert!(!event.name.is_empty());
        }
        assert!(signature::verify(forge, &secret, &headers, body, jiff::Timestamp::UNIX_EPOCH).is_err());
        let kept = names_of(&headers);
        assert!(!kept.contains("signature") && !kept.contains("token"));
    }
});

/// The names of what would be kept.
fn names_of(headers: &Headers) -> String {
    format!("{:?}", headers.describing())
}
