//! Sessions that only their server knows (client protocol §4.9). The test plays the other servers.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::{
    AclSpec, ConnectRequest, Create, ForwardedRequest, OpCode, PacketKind, Perms, Request, Txn,
    decode_packet,
};
use zoetrope_core::*;

const CONN: ConnId = ConnId(1);

fn follower(upgrading: bool) -> Bench {
    let local = Config { local_sessions: true, local_sessions_upgrading: upgrading, ..config() };
    let mut bench = Bench::start(Files::new(), local);
    lead(&mut bench);
    bench
}

fn hello(session: SessionId, password: &[u8; 16]) -> ConnectRequest<'_> {
    let (last_zxid_seen, timeout_ms, read_only) = (Zxid::ZERO, 10_000, Some(false));
    ConnectRequest { last_zxid_seen, timeout_ms, session, password, read_only }
}

fn open(bench: &mut Bench) -> SessionId {
    bench.greet(CONN, &hello(SessionId::NONE, &[0; 16])).expect("it is let in at once").0
}

fn create(path: &str, flags: i32) -> Request<'static> {
    let all =
        AclSpec { perms: Perms::ALL, scheme: Some("world".into()), id: Some("anyone".into()) };
    let (path, data) = (Some(path.to_owned().into()), None);
    Request::Create(Create { op: OpCode::Create, path, data, acl: vec![all], flags, ttl_ms: -1 })
}

fn send(bench: &mut Bench, requests: &[Request<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (n, request) in requests.iter().enumerate() {
        request.encode(Xid(n as i32 + 1), &mut bytes);
    }
    bench.send_on(CONN, &bytes)
}

/// What the follower has asked its leader for: session and operation.
fn asked(bench: &Bench) -> Vec<(SessionId, OpCode)> {
    let (bytes, mut at, mut all) = (bench.sent_on(STREAM), 0, Vec::new());
    while let Ok(Some((packet, len))) = decode_packet(&bytes[at..], 1 << 20) {
        at += len;
        if packet.kind == PacketKind::Request {
            let request = ForwardedRequest::decode(packet.data.unwrap()).unwrap();
            all.push((request.session, request.op().unwrap()));
        }
    }
    all
}

#[test]
fn nobody_hears_of_a_session_that_only_reads_and_writes() {
    let mut bench = follower(true);
    let session = open(&mut bench);
    assert_eq!(asked(&bench), []);
    send(&mut bench, &[create("/a", 0)]);
    assert_eq!(asked(&bench), [(session, OpCode::Create)]);
    propose_for(&mut bench, (session, Xid(1)), 1, &znode("/a", 1));
    packet(&mut bench, PacketKind::Commit, zxid(1), None);
    let answer = send(&mut bench, &[Request::CloseSession]);
    assert!(!answer.is_empty() && bench.closed);
    assert_eq!(asked(&bench), [(session, OpCode::Create)], "its end is no txn");
}

#[test]
fn the_first_ephemeral_is_preceded_by_its_session() {
    let mut bench = follower(true);
    let session = open(&mut bench);
    let requests = [create("/a", 0), create("/e", 1), create("/f", 1)];
    send(&mut bench, &requests);
    let expected = [OpCode::Create, OpCode::CreateSession, OpCode::Create, OpCode::Create];
    assert_eq!(asked(&bench), expected.map(|op| (session, op)));
    // It is a session like any other from here on, also at its end.
    let (created, none) = (Txn::CreateSession { timeout_ms: 10_000 }, Xid(0));
    propose_for(&mut bench, (session, Xid(1)), 1, &znode("/a", 1));
    propose_for(&mut bench, (session, none), 2, &created);
    for counter in 1..=2 {
        packet(&mut bench, PacketKind::Commit, zxid(counter), None);
    }
    send(&mut bench, &[Request::CloseSession]);
    assert_eq!(asked(&bench).last(), Some(&(session, OpCode::CloseSession)));
}

#[test]
fn without_upgrades_a_session_stays_local() {
    let mut bench = follower(false);
    let session = open(&mut bench);
    send(&mut bench, &[create("/e", 1)]);
    let created = |(_, op): &(SessionId, OpCode)| *op == OpCode::CreateSession;
    assert!(!asked(&bench).iter().any(created));
    assert_eq!(bench.server.status().local_sessions, 1);
    assert!(bench.server.sessions().all(|one| one.local && one.session == session));
}

#[test]
fn it_comes_back_to_its_own_server_while_it_lives() {
    let mut bench = follower(true);
    let session = open(&mut bench);
    let password = session.password();
    let again = bench.greet(ConnId(2), &hello(session, &password));
    assert_eq!(again, Some((session, password, 10_000, Some(false))));
    assert!(bench.closed, "its former connection is cut off");
    assert_eq!(asked(&bench), []);
    for _ in 0..130 {
        bench.ring_after(100, Timer::Tick);
    }
    assert_eq!(bench.server.status().local_sessions, 0);
    assert_eq!(asked(&bench), [], "its end is no txn");
}

/// Java numbers no operation 0, but other clients may; txns of the servers' own all have that number.
#[test]
fn a_write_numbered_0_is_not_answered_by_the_end_of_its_session() {
    let mut bench = Bench::start(Files::new(), config());
    lead(&mut bench);
    assert_eq!(bench.greet(CONN, &hello(SessionId::NONE, &[0; 16])), None);
    let session = asked(&bench)[0].0;
    let opens = Txn::CreateSession { timeout_ms: 10_000 };
    propose_for(&mut bench, (session, Xid(0)), 1, &opens);
    packet(&mut bench, PacketKind::Commit, zxid(1), None);
    bench.send_on(CONN, &[]);
    let mut bytes = Vec::new();
    create("/a", 0).encode(Xid(0), &mut bytes);
    bench.send_on(CONN, &bytes);
    propose_for(&mut bench, (session, Xid(0)), 2, &Txn::CloseSession { paths: None });
    packet(&mut bench, PacketKind::Commit, zxid(2), None);
    assert!(bench.closed);
    assert_eq!(bench.send_on(CONN, &[]), [], "it was not created");
}

/// What makes no sense is the leader's mistake: clients of this server that asked for something else go on.
#[test]
fn a_refused_upgrade_is_nobodys_answer() {
    let mut bench = follower(true);
    let session = open(&mut bench);
    send(&mut bench, &[create("/e", 1)]);
    assert_eq!(asked(&bench), [(session, OpCode::CreateSession), (session, OpCode::Create)]);
    let refused = Txn::Error { code: -112 };
    for (counter, cxid) in [(1, Xid(0)), (2, Xid(1))] {
        propose_for(&mut bench, (session, cxid), counter, &refused);
        packet(&mut bench, PacketKind::Commit, zxid(counter), None);
    }
    let answer = bench.send_on(CONN, &[]);
    assert_eq!(answer[4..8], [0, 0, 0, 1]);
    assert_eq!(answer[16..20], (-112i32).to_be_bytes());
}
