//! Do both ends of the supervisor's socket stand garbage, and does no secret lie where it should not?

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use trueup::live::Observed;
use trueup::provider::local::LocalProvider;
use trueup::provider::local::supervisor::protocol::{Envelope, PROTOCOL, Request};
use trueup::provider::{Provider, StepError};

use crate::world::local::{Code, Machine, Wanted, pid, shop};
use crate::world::permit::Gate;

/// What the supervisor answers to these bytes, until it hangs up.
async fn answer(machine: &Machine, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(machine.socket()).await.unwrap();
    // It may hang up before it has read all of it.
    let sent = stream.write_all(bytes).await.is_ok();
    let mut said = String::new();
    if sent {
        stream.shutdown().await.ok();
    }
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut said)).await.unwrap().ok();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervisor_stands_garbage() {
    let (machine, code) = (Machine::new().await, Code::default());
    let too_long = [b"{\"version\":2,\"body\":\"".as_slice(), &vec![b'a'; 3 << 20], b"\"}\n"].concat();
    let deep = [&b"{\"version\":2,\"body\":"[..], &vec![b'['; 100_000], b"\n"].concat();
    let garbage: [(&[u8], &str); 9] = [
        (b"hello\n", "one line of JSON"),
        (b"\x00\xff\xfe\n", ""),
        (b"{}\n", "one line of JSON"),
        (b"{\"version\":1,\"body\":\"hello\"}\n", "speaks version 2"),
        (b"{\"version\":2,\"body\":\"hello\",\"more\":1}\n", "not understood"),
        (b"{\"version\":2,\"body\":{\"look\":{\"id\":\"../../etc/passwd\"}}}\n", "no replica"),
        (b"{\"version\":2,\"body\":{\"remove\":{\"run\":1,\"id\":\"\"}}}\n", "no replica"),
        (&deep, "one line of JSON"),
        (&too_long, ""),
    ];
    for (bytes, reason) in garbage {
        let said = answer(&machine, bytes).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert!(said.contains(reason) && !said.contains("\"done\""), "{shown}: {said}");
    }
    // A request may hold a secret: what was not understood is not repeated.
    let said = answer(&machine, b"{\"version\":2,\"body\":{\"hunter2\":1}}\n").await;
    assert!(said.contains("not understood") && !said.contains("hunter2"), "{said}");
    let said = answer(&machine, b"{\"version\":2,\"body\":\"hello\"}\n{\"version\":2,\"body\":\"hello\"}\n").await;
    assert_eq!(said.lines().count(), 2, "one conversation may hold several questions: {said}");
    assert!(machine.provider(&code).test_connection().await.ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_stands_garbage() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("supervise.sock");
    let settings = [("allow_own_user".to_owned(), "true".to_owned())].into();
    let provider = LocalProvider::connect(shop(), &settings, None, &socket, Arc::new(Code::default())).unwrap();
    let gate = Gate::open(&shop(), "local").await;
    let permit = gate.permit().await;
    let replica = trueup::live::ReplicaId("shop.production.web.1.1".into());
    for reply in [
        &b""[..],
        b"hello\n",
        b"\xff\n",
        b"{\"version\":7,\"body\":\"done\"}\n",
        b"{\"version\":2,\"body\":\"done\"}\n",
        b"{\"version\":2,\"body\":{\"replicas\":{\"seen\":[{}],\"unseen\":[]}}}\n",
        b"{\"version\":2,\"body\":\"hunter2\"}\n",
    ] {
        let listener = UnixListener::bind(&socket).unwrap();
        let fake = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(reply).await.ok();
                // Hangs up once the question was read.
                let mut question = [0; 4096];
                if !stream.read(&mut question).await.is_ok_and(|count| count > 0) {
                    println!("asked nothing");
                }
            }
        });
        let Observed::Unknown(why) = provider.observe().await.services else { panic!("{reply:?} was believed") };
        assert!(!why.contains("hunter2"), "{why}");
        assert!(!provider.test_connection().await.ok);
        // Whether it was done is not known, so it is not said to have been refused.
        if let Err(error) = provider.start(&permit, &replica).await {
            assert!(matches!(error, StepError::Unreachable(_)), "{error}");
        } else {
            panic!("{reply:?} was believed");
        }
        fake.abort();
        std::fs::remove_file(&socket).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_another_environment_is_out_of_reach() {
    let (machine, code) = (Machine::new().await, Code::default());
    let provider = machine.provider(&code);
    let gate = Gate::open(&"shop/staging".parse().unwrap(), "local").await;
    let staging = gate.permit().await;
    let refused = Wanted::shell(&code, "exit").prepare(&provider, &staging).await.unwrap_err();
    assert!(matches!(&refused, StepError::Refused(why) if why.contains("shop/staging")), "{refused}");
    let own = Gate::open(&shop(), "local").await;
    let permit = own.permit().await;
    let other = trueup::live::ReplicaId("shop.staging.web.1.1".into());
    assert!(matches!(provider.remove(&permit, &other).await, Err(StepError::Refused(_))));
    assert!(matches!(provider.state(&other).await, Err(StepError::Refused(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_the_process_and_in_one_closed_file_only() {
    let (machine, code) = (Machine::new().await, Code::default());
    let (provider, gate) = (machine.provider(&code), Gate::open(&shop(), "local").await);
    let permit = gate.permit().await;
    let replica =
        Wanted::shell(&code, "exec sleep 600").secret("TOKEN", "hunter2hunter2").run(&provider, &permit).await;
    let main = pid(&machine, &replica);
    let environment = std::fs::read_to_string(format!("/proc/{main}/environ")).unwrap();
    assert!(environment.split('\0').any(|entry| entry == "TOKEN=hunter2hunter2"));
    assert!(!std::fs::read_to_string(format!("/proc/{main}/cmdline")).unwrap().contains("hunter2"));

    let mut holding = Vec::new();
    let mut folders = vec![machine.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() && String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("hunter2") {
                holding.push(path);
            }
        }
    }
    let kept = machine.state().join("secrets").join(format!("{replica}.json"));
    assert_eq!(holding, std::slice::from_ref(&kept), "not in the state, the log or anywhere else");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&kept), mode(kept.parent().unwrap())), (0o600, 0o700));
    assert_eq!(mode(&machine.socket()), 0o600);
    provider.remove(&permit, &replica).await.unwrap();
    assert!(!kept.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_was_taken_away_is_made_again() {
    let (machine, code) = (Machine::new().await, Code::default());
    std::fs::remove_file(machine.socket()).unwrap();
    crate::world::local::until("it is there again", || async { machine.socket().exists() }).await;
    assert!(machine.provider(&code).test_connection().await.ok);
}

/// Those who only listen are many where there are many environments; they keep nobody from being answered.
#[tokio::test(flavor = "multi_thread")]
async fn listeners_have_places_of_their_own() {
    let machine = Machine::new().await;
    let ask = |request: Request| serde_json::to_string(&Envelope { version: PROTOCOL, body: request }).unwrap() + "\n";
    let watch = ask(Request::Watch { environment: shop() });
    // The first line of an answer, and the conversation, which goes on while it is held.
    let listen = async || {
        let mut stream = UnixStream::connect(machine.socket()).await.unwrap();
        stream.write_all(watch.as_bytes()).await.unwrap();
        let mut stream = tokio::io::BufReader::new(stream);
        let mut line = String::new();
        let read = tokio::io::AsyncBufReadExt::read_line(&mut stream, &mut line);
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("an answer").unwrap();
        (stream, line)
    };
    let mut held = Vec::new();
    // More than there are conversations.
    for count in 1..=512 {
        let (stream, line) = listen().await;
        assert!(line.contains("changed"), "listener {count}: {line}");
        held.push(stream);
    }
    let said = answer(&machine, ask(Request::Hello).as_bytes()).await;
    assert!(said.contains("staging"), "nobody is answered beside the listeners: {said}");
    let (_, line) = listen().await;
    assert!(line.contains("512 listen to the supervisor already") && line.contains("ask again instead"), "{line}");
    // A place is free again once its listener goes.
    held.pop();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !listen().await.1.contains("changed") {
        assert!(tokio::time::Instant::now() < deadline, "the place of a listener that went stays taken");
    }
}
