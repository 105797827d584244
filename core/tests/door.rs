//! A server through its public door, with a disk in memory that never fails.

mod support;

use support::{Bench, Files};
use zoetrope_core::wire::{Reader, Request, Stat};
use zoetrope_core::*;

fn create(path: &str) -> Request<'_> {
    use zoetrope_core::wire::{AclSpec, Create, OpCode, Perms};
    let open =
        AclSpec { perms: Perms::ALL, scheme: Some("world".into()), id: Some("anyone".into()) };
    Request::Create(Create {
        op: OpCode::Create,
        path: Some(path.into()),
        data: Some(b"x"),
        acl: vec![open],
        flags: 0,
        ttl_ms: -1,
    })
}

fn get(path: &str) -> Request<'_> {
    Request::GetData { path: Some(path.into()), watch: false }
}

#[test]
fn pipelined_writes_and_reads_are_answered_in_order() {
    let mut bench = Bench::start(Files::new(), Config::default());
    bench.connect();
    let replies =
        bench.ask_all(&[create("/a"), create("/a/b"), get("/a/b"), create("/a"), get("/nope")]);
    let errors: Vec<i32> = replies.iter().map(|(err, _)| *err).collect();
    assert_eq!(errors, [0, 0, 0, -110, -101]);
    let mut r = Reader::new(&replies[2].1);
    assert_eq!(r.buffer(), Ok(Some(&b"x"[..])));
    assert_eq!(Stat::decode(&mut r).unwrap().czxid, Zxid(3));
}

#[test]
fn a_restart_finds_everything_that_was_acknowledged() {
    let mut bench = Bench::start(Files::new(), Config::default());
    let session = bench.connect();
    let many: Vec<String> = (0..300).map(|n| format!("/n{n}")).collect();
    let requests: Vec<Request<'_>> = many.iter().map(|path| create(path)).collect();
    assert!(bench.ask_all(&requests).iter().all(|(err, _)| *err == 0));
    let before = bench.server.status();
    let again = Bench::start(bench.files, Config::default());
    let after = again.server.status();
    assert_eq!((after.zxid_applied, after.digest), (before.zxid_applied, before.digest));
    assert_eq!(after.digest_mismatches, 0);
    assert_eq!(again.server.sessions().map(|s| s.session).collect::<Vec<_>>(), [session]);
}

#[test]
fn logs_roll_snapshots_are_taken_and_old_files_go() {
    let mut config = Config::default();
    config.storage.snap_count = 20;
    let mut bench = Bench::start(Files::new(), config.clone());
    bench.connect();
    for n in 0..30 {
        let paths: Vec<String> = (0..10).map(|k| format!("/n{n}-{k}")).collect();
        let requests: Vec<Request<'_>> = paths.iter().map(|path| create(path)).collect();
        assert!(bench.ask_all(&requests).iter().all(|(err, _)| *err == 0));
    }
    let snapshots = bench.files.keys().filter(|name| name.starts_with("snapshot.")).count();
    assert_eq!(snapshots, 3, "{:?}", bench.files.keys());
    assert!(bench.milestones.iter().any(|m| matches!(m, Milestone::Purged { .. })));
    let before = bench.server.status().digest;
    let again = Bench::start(bench.files, config);
    assert_eq!(again.server.status().digest, before);
}

#[test]
fn a_short_request_cannot_ask_for_an_endless_answer() {
    use zoetrope_core::wire::ReadOp;
    let mut bench = Bench::start(Files::new(), Config::default());
    bench.connect();
    let data = vec![7; 500_000];
    bench.ask_all(&[create("/a")]);
    bench.ask_all(&[Request::SetData { path: Some("/a".into()), data: Some(&data), version: -1 }]);
    let many = |n| {
        Request::MultiRead((0..n).map(|_| ReadOp::GetData { path: Some("/a".into()) }).collect())
    };
    let replies = bench.ask_all(&[many(8), many(30_000), get("/a")]);
    let seen: Vec<(i32, usize)> = replies.iter().map(|(err, body)| (*err, body.len())).collect();
    assert_eq!(seen, [(0, 8 * 500_081 + 9), (-8, 0), (0, 500_072)]);
}

#[test]
fn a_connection_proves_no_endless_number_of_identities() {
    let mut bench = Bench::start(Files::new(), Config::default());
    bench.connect();
    let secrets: Vec<String> = (0..100).map(|n| format!("{n}{}:p", "u".repeat(1000))).collect();
    let auth = |n: usize| {
        let auth = Some(secrets[n].as_bytes());
        Request::Auth { scheme: Some("digest".into()), auth }
    };
    // The same identity again is none more.
    for n in 0..120 {
        assert_eq!(bench.try_ask(&auth(n % 60)), 0);
    }
    let refused = (60..100).find(|n| bench.try_ask(&auth(*n)) != 0);
    assert_eq!((refused, bench.closed), (Some(61), true));
}

/// Authentication is answered out of turn, but not without end to a client that reads nothing.
#[test]
fn who_authenticates_without_reading_is_not_answered_for_ever() {
    for request in [
        Request::Auth { scheme: Some("ip".into()), auth: None },
        Request::Sasl { token: Some(b"token") },
    ] {
        let mut config = Config::default();
        config.limits.output_budget = 10_000;
        let mut bench = Bench::start(Files::new(), config);
        bench.connect();
        let mut bytes = Vec::new();
        request.encode(Xid(1), &mut bytes);
        let many = bytes.repeat(100);
        let answered: usize = (0..100).map(|_| bench.send_on(ConnId(1), &many).len()).sum();
        assert!((9_900..11_000).contains(&answered), "{answered} bytes wait");
    }
}

/// Sessions go on: their clients are to find another server, or this one when it is back.
#[test]
fn a_server_that_is_shutting_down_lets_nobody_in() {
    let mut bench = Bench::start(Files::new(), Config::default());
    bench.connect();
    bench.command(Command::Drain);
    assert!(bench.closed);
    assert_eq!(bench.greet(ConnId(2), &support::play::NEWCOMER), None);
    assert!(bench.closed);
    assert_eq!(bench.server.sessions().count(), 1);
}

/// `srst`: what is counted of packets and latencies begins again, what the server holds and has done does not.
#[test]
fn statistics_begin_again_when_they_are_reset() {
    let mut bench = Bench::start(Files::new(), Config::default());
    bench.connect();
    bench.ask(&create("/a"));
    bench.ask(&get("/a"));
    let counted = |status: Status| {
        let (read, updated) = (status.read_latency_ms.summary, status.update_latency_ms.summary);
        let packets = [status.packets_received, status.packets_sent, status.bytes_received];
        let latencies = [status.latency_ms.count, read.count, updated.count];
        (packets, latencies, status.reply_size)
    };
    let before = bench.server.status();
    let (znodes, commits) = (before.znode_count, before.commit_count);
    let (packets, latencies, _) = counted(before);
    assert!(!packets.contains(&0) && !latencies.contains(&0), "{packets:?}, {latencies:?}");
    bench.command(Command::ResetStats);
    let after = bench.server.status();
    assert_eq!((after.znode_count, after.commit_count), (znodes, commits));
    assert_eq!(counted(after), ([0; 3], [0; 3], Default::default()));
}

/// `enforce.auth.enabled`: whoever has not proven who he is is told so, and must come again.
#[test]
fn who_has_not_authenticated_is_refused_where_that_is_enforced() {
    let mut config = Config::default();
    config.auth.enforced_schemes = vec!["digest".into()];
    let secret = Request::Auth { scheme: Some("digest".into()), auth: Some(b"me:secret") };
    let mut bench = Bench::start(Files::new(), config);
    for request in [get("/"), create("/a"), Request::Ping] {
        bench.connect();
        assert_eq!((bench.try_ask(&request), bench.closed), (-124, true), "{request:?}");
        bench.tell(&Input::Closed { conn: ConnId(1) });
        bench.closed = false;
    }
    bench.connect();
    let replies = bench.ask_all(&[secret, create("/a"), get("/a")]);
    assert_eq!(replies.iter().map(|(err, _)| *err).collect::<Vec<_>>(), [0, 0, 0]);
    assert!(!bench.closed);
}

#[test]
fn a_frame_too_short_for_a_request_ends_its_connection() {
    for len in [0, 4, 7] {
        let mut bench = Bench::start(Files::new(), Config::default());
        bench.connect();
        let mut bytes = vec![0, 0, 0, len];
        bytes.resize(4 + usize::from(len), 1);
        assert!(bench.send_on(ConnId(1), &bytes).is_empty(), "no number says what is answered");
        assert!(bench.closed, "{len} bytes");
    }
}

#[test]
fn failed_authentications_are_counted() {
    let mut bench = Bench::start(Files::new(), Config::default());
    for failed in 1..=2 {
        bench.connect();
        assert_eq!(bench.try_ask(&Request::Auth { scheme: Some("none".into()), auth: None }), -115);
        assert_eq!(bench.server.status().auth_failed_count, failed);
        bench.tell(&Input::Closed { conn: ConnId(1) });
    }
}

/// As in Java: only a multi that cannot be decoded has a place among the txns, and not even that where an ACL is null.
#[test]
fn what_cannot_be_decoded_becomes_no_txn_unless_it_is_a_multi() {
    use zoetrope_core::wire::{OpCode, Writer};
    let mut bench = Bench::start(Files::new(), Config::default());
    bench.connect();
    let mut null_acl = Vec::new();
    let mut w = Writer::new(&mut null_acl);
    w.int(OpCode::Create.number());
    w.bool(false);
    w.int(-1);
    w.buffer(Some(b"/a"));
    w.buffer(None);
    w.int(-1);
    w.int(0);
    let cases =
        [(OpCode::Create, &[][..], 0), (OpCode::Multi, &null_acl, 0), (OpCode::Multi, &[], 1)];
    for (op, body, txns) in cases {
        let before = bench.server.zxid_applied();
        let mut request = Vec::new();
        let mut w = Writer::new(&mut request);
        w.int(1);
        w.int(op.number());
        request.extend_from_slice(body);
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).buffer(Some(&request));
        let reply = bench.send_on(ConnId(1), &bytes);
        assert_eq!(reply[16..20], (-5_i32).to_be_bytes(), "{op:?}");
        assert_eq!(bench.server.zxid_applied().0 - before.0, txns, "{op:?}");
    }
}

#[test]
fn who_am_i_shows_an_identity_only_where_a_provider_knows_its_scheme() {
    for known in [true, false] {
        let mut config = Config::default();
        (config.auth.sasl, config.auth.x509) = (known, known);
        let mut bench = Bench::start(Files::new(), config);
        let (conn, addr) = (ConnId(1), "127.0.0.1".parse().unwrap());
        let identities = vec![("sasl", "me"), ("x509", "CN=me")];
        bench.tell(&Input::Opened { conn, addr, port: 1, secure: true, identities });
        let mut bytes = Vec::new();
        support::play::NEWCOMER.encode(&mut bytes);
        bench.send_on(conn, &bytes);
        let body = bench.ask(&Request::WhoAmI);
        let mut r = Reader::new(&body);
        let count = r.count().unwrap().unwrap();
        let mut shown = Vec::new();
        for _ in 0..count {
            shown
                .push((r.some_string().unwrap().to_string(), r.some_string().unwrap().to_string()));
        }
        let id = |id: &'static str| if known { id } else { "" };
        for (scheme, id) in [("sasl", id("me")), ("x509", id("CN=me"))] {
            assert!(shown.contains(&(scheme.into(), id.into())), "{known}: {shown:?}");
        }
    }
}

/// Servers that once paused together would always do so again if each waited equally long every time.
#[test]
fn a_server_waits_differently_long_from_snapshot_to_snapshot() {
    let mut config = Config::default();
    config.storage.snap_count = 100;
    let mut bench = Bench::start(Files::new(), config);
    bench.connect();
    for n in 0..500 {
        bench.ask(&create(&format!("/n{n}")));
    }
    let started = bench.milestones.iter().filter_map(|milestone| match milestone {
        Milestone::SnapshotStarted { zxid } => Some(zxid.0),
        _ => None,
    });
    let started: Vec<i64> = started.collect();
    let waits: Vec<i64> = started.windows(2).skip(1).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() >= 3 && waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
}
