//! What can a file do to the one who reads it? Nothing: an answer in time, whatever the bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use trueup::declared::file::{self, MAX_BYTES};
use trueup::declared::{Declared, InvalidFile, snippet};

use crate::declared::declare;
use crate::world::cases::cases;

#[test]
fn too_large_a_file_is_refused_before_it_is_read() {
    let text = vec![b'#'; MAX_BYTES + 1];
    let invalid = file::parse("f.yml", &text).unwrap_err();
    assert!(invalid.to_string().starts_with("f.yml:1:1: the file is larger than 262144 bytes"), "{invalid}");
    let mut text = b"version: 1\n#".to_vec();
    text.resize(MAX_BYTES, b'x');
    assert!(file::parse("f.yml", &text).is_ok());
}

/// The most processor time that any file may take; a debug build is ten times slower.
const TIME: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 100 });

/// The time that this thread has spent on a processor: other tests on the same machine do not count.
fn spent() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

fn timed(what: &str, text: &[u8]) -> Result<Declared, InvalidFile> {
    let began = spent();
    let declared = declare("f.yml", text);
    let took = spent() - began;
    assert!(took < TIME, "{what} took {took:?}");
    declared
}

#[test]
fn hostile_files_are_refused_in_time() {
    let fill = |piece: &str| piece.repeat(MAX_BYTES / piece.len()).into_bytes();
    let bomb = (1..30).fold("a0: &a0 [x, x, x]\n".to_owned(), |text, i| {
        let alias = format!("*a{}", i - 1);
        text + &format!("a{i}: &a{i} [{alias}, {alias}, {alias}, {alias}]\n")
    });
    let merge_bomb = (1..200).fold("a0: &a0 {x: 1}\n".to_owned(), |text, i| {
        let all: Vec<String> = (0..i).map(|j| format!("*a{j}")).collect();
        text + &format!("a{i}: &a{i} {{<<: [{}], k{i}: 1}}\n", all.join(", "))
    });
    let deep_aliases =
        (1..200).fold("a0: &a0 [x]\n".to_owned(), |text, i| text + &format!("a{i}: &a{i} [*a{}]\n", i - 1));
    let block: String = (0..500).map(|depth| " ".repeat(depth) + "a:\n").collect();
    let many_keys: String = (0..20_000).map(|i| format!("k{i}: 1\n")).collect();
    let services: String = (0..7_000).map(|i| format!("      s{i}: {{image: a}}\n")).collect();
    let services = format!("version: 1\nenvironments:\n  production:\n    services:\n{services}");
    let ports: String =
        (0..6_000).map(|i| format!("      s{i}: {{ports: ['1.1.{}.{}:80:80']}}\n", i / 250, i % 250)).collect();
    let ports = format!("version: 1\nenvironments:\n  production:\n    services:\n{ports}");
    let chain: String = (0..4_000).map(|i| format!("      s{i}: {{depends_on: [s{}]}}\n", i + 1)).collect();
    let chain = format!("version: 1\nenvironments:\n  production:\n    services:\n{chain}      s4000: {{}}\n");
    let fat = format!("a: &a {}\nb: [{}]\n", "x".repeat(200_000), "*a, ".repeat(10_000));
    let names: String = (0..8_000).map(|i| format!("- &n{i} x\n- *m{i}\n")).collect();
    let unknown: String = (0..5_000).map(|i| format!("      s{i}: {{depends_on: [t{i}]}}\n")).collect();
    let unknown = format!("version: 1\nenvironments:\n  production:\n    services:\n{unknown}");
    for (what, text, valid) in [
        ("a fat alias", fat.into_bytes(), false),
        ("many anchors and unknown aliases", names.into_bytes(), false),
        ("many unknown dependencies", unknown.into_bytes(), false),
        ("many keys that are lists", fill("? [a]\n: b\n"), false),
        ("many keys that are maps", fill("? {a: b}\n: c\n"), false),
        ("many templates without quotes", fill("- {{ .A }}\n"), false),
        (
            "many words",
            [
                b"version: 1\nenvironments: {production: {services: {a: {command: ".as_slice(),
                &b"a ".repeat(120_000),
                b"}}}}",
            ]
            .concat(),
            true,
        ),
        (
            "many template words",
            [
                b"version: 1\nenvironments: {production: {services: {a: {command: '".as_slice(),
                &b"{{tag}} ".repeat(30_000),
                b"'}}}}",
            ]
            .concat(),
            false,
        ),
        (
            "many URLs",
            [
                b"version: 1\nenvironments: {production: {services: {a: {env: {A: '".as_slice(),
                &b"://".repeat(80_000),
                b"'}}}}}",
            ]
            .concat(),
            true,
        ),
        (
            "many globs",
            [
                b"version: 1\nenvironments: {production: {services: {a: {source: [".as_slice(),
                &b"'{a,b}',".repeat(256),
                b"]}}}}",
            ]
            .concat(),
            false,
        ),
        ("20,000 brackets", vec![b'['; 20_000], false),
        ("20,000 braces", "{a: ".repeat(20_000).into_bytes(), false),
        ("20,000 dashes", "- ".repeat(20_000).into_bytes(), false),
        ("20,000 question marks", "? ".repeat(20_000).into_bytes(), false),
        ("deep blocks", block.into_bytes(), false),
        ("an alias bomb", bomb.into_bytes(), false),
        ("a merge bomb", merge_bomb.into_bytes(), false),
        ("deep aliases", deep_aliases.into_bytes(), false),
        ("many keys", many_keys.into_bytes(), false),
        ("many commas", fill("[a,a],"), false),
        ("many anchors", fill("- &a x\n"), false),
        ("many unknown aliases", fill("- *a\n"), false),
        ("many tags", fill("- !a x\n"), false),
        ("many quotes", fill("\"\n"), false),
        ("many template openings", fill("{{"), false),
        ("many colons", fill("a: "), false),
        ("only colons", fill(":"), false),
        ("only ampersands", fill("&"), false),
        ("many documents", fill("---\n"), false),
        ("one long line", fill("a"), false),
        ("many block scalars", fill("a: |\n b\n"), false),
        ("many services", services.into_bytes(), true),
        ("many host ports", ports.into_bytes(), true),
        ("a long chain of dependencies", chain.into_bytes(), true),
    ] {
        let result = timed(what, &text);
        assert_eq!(result.is_ok(), valid, "{what}: {:?}", result.as_ref().map(|_| ()).map_err(ToString::to_string));
        // However bad it is, each mistake has its place and a way out.
        for diagnostic in result.err().into_iter().flat_map(|invalid| invalid.diagnostics) {
            let summary = diagnostic.message.contains("more problems were found");
            assert!(
                diagnostic.at.as_ref().is_some_and(|at| at.line >= 1 && at.column >= 1) || summary,
                "{what}: {diagnostic:?}"
            );
            assert!(diagnostic.help.is_some() || summary, "{what}: {diagnostic:?}");
        }
    }
}

/// Pieces of files, so that what is generated gets past the parser.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "version: 1\n",
        "environments:\n",
        "  production:\n",
        "    services:\n",
        "      web:\n",
        "        image: nginx\n",
        "        env: {A: b}\n",
        "        env:\n",
        "          PASSWORD: x\n",
        "          A: { secret: a }\n",
        "        ports: ['80:80', 90]\n",
        "        volumes: [a:/b]\n",
        "        replicas: 2\n",
        "        command: a 'b c'\n",
        "deploy: {port: 80}\n",
        "{{ .Source }}",
        "{{",
        "}}",
        "&a ",
        "*a",
        "<<: *a\n",
        "- ",
        "? ",
        ": ",
        "\n",
        "  ",
        "\t",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "'",
        "|\n",
        ">\n",
        "#",
        "!x ",
        "---\n",
        "%YAML 1.2\n",
        "~",
        "on",
        "null",
        "\u{feff}",
        "\u{0}",
        "é",
        "𝕏",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check_any(&bytes)?;
    }

    #[test]
    fn no_text_panics(text in pieces()) {
        check_any(text.as_bytes())?;
    }

    #[test]
    fn no_mutation_of_a_valid_file_panics(case in 0usize..1000, cuts in prop::collection::vec((0usize..4000, pieces()), 1..4)) {
        let cases = cases("valid");
        let mut text = String::from_utf8(cases[case % cases.len()].1.clone()).unwrap();
        for (at, piece) in cuts {
            let mut at = at % (text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            text.insert_str(at, &piece[..piece.char_indices().nth(12).map_or(piece.len(), |(end, _)| end)]);
        }
        check_any(text.as_bytes())?;
    }
}

/// Whatever the bytes: an answer in time, with positions that exist, and a rendering.
fn check_any(bytes: &[u8]) -> Result<(), TestCaseError> {
    let began = spent();
    let result = declare("f.yml", bytes);
    prop_assert!(spent() - began < TIME);
    let Err(invalid) = result else { return Ok(()) };
    prop_assert!(!invalid.diagnostics.is_empty());
    let text = String::from_utf8_lossy(bytes).into_owned();
    for diagnostic in &invalid.diagnostics {
        if let Some(at) = &diagnostic.at {
            prop_assert!(at.line >= 1 && at.column >= 1 && diagnostic.width >= 1, "{diagnostic:?}");
        }
    }
    let rendered = snippet::render(&invalid, &BTreeMap::from([("f.yml".to_owned(), text)]), false);
    prop_assert!(!rendered.is_empty());
    Ok(())
}
