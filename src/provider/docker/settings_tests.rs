use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Address, DockerSettings};

fn parse(pairs: &[(&str, &str)]) -> Result<DockerSettings, String> {
    let map: BTreeMap<String, String> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    DockerSettings::parse(&map).map_err(|e| e.to_string())
}

#[test]
fn hosts() {
    assert_eq!(parse(&[]).expect("default").address, Address::Unix(PathBuf::from("/var/run/docker.sock")));
    assert_eq!(
        parse(&[("host", "ssh://ops@build-1.acme.dev:2222")]).expect("ssh").address.to_string(),
        "ssh://ops@build-1.acme.dev:2222"
    );
    assert_eq!(parse(&[("host", "tcp://10.0.0.7:2375")]).expect("tcp").address.to_string(), "tcp://10.0.0.7:2375");
    for bad in ["unix://relative", "tcp://host", "tcp://:2375", "ssh://-oProxyCommand=x", "ssh://", "http://a:1"] {
        assert!(parse(&[("host", bad)]).expect_err(bad).contains("expected"), "{bad}");
    }
}

#[test]
fn unknown_settings_are_refused_with_a_suggestion() {
    let error = parse(&[("probe_imag", "busybox")]).expect_err("unknown");
    assert!(error.contains("did you mean `probe_image`?"), "{error}");
    assert!(parse(&[("registry.acme.dev.token", "x")]).is_err());
}

#[test]
fn logins_need_both_halves_and_never_print_a_password() {
    let half = parse(&[("registry.registry.acme.dev:5000.username", "ci")]).expect_err("half");
    assert!(half.contains("registry.registry.acme.dev:5000.password"), "{half}");
    let plain = parse(&[("registry.acme.dev.username", "ci"), ("registry.acme.dev.password", "hunter2")]);
    let error = plain.expect_err("a plain password");
    assert!(!error.contains("hunter2"), "{error}");
    let both = parse(&[
        ("registry.index.docker.io.username", "ci"),
        ("registry.index.docker.io.password", "env://HUB_PASSWORD"),
    ])
    .expect("both");
    assert!(both.logins.contains_key("docker.io"));
}

#[test]
fn tls_files_go_together() {
    let error = parse(&[("host", "tcp://a:2376"), ("tls_ca", "/ca.pem"), ("tls_key", "/k")]).expect_err("partial");
    assert!(error.contains("tls_cert"), "{error}");
    assert!(parse(&[("tls_ca", "/a"), ("tls_cert", "/b"), ("tls_key", "/c")]).is_err(), "TLS over a Unix socket");
}
