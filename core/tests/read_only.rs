//! A server that has lost its quorum. The test plays its leader.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::{
    AclSpec, ConnectRequest, Create, OpCode, PacketKind, Perms, Reader, Request, Txn,
};
use zoetrope_core::*;

fn willing() -> Config {
    Config { read_only_mode: true, ..config() }
}

/// A follower with a session and `/a`, that has logged `/b` as well and does not know whether it is committed.
fn follower() -> Bench {
    let mut bench = Bench::start(Files::new(), willing());
    loses_track(&mut bench);
    bench
}

fn loses_track(bench: &mut Bench) {
    lead(bench);
    propose(bench, 1, &Txn::CreateSession { timeout_ms: 10_000 });
    packet(bench, PacketKind::Commit, zxid(1), None);
    propose(bench, 2, &znode("/a", 1));
    packet(bench, PacketKind::Commit, zxid(2), None);
    propose(bench, 3, &znode("/b", 2));
    assert_eq!(bench.server.zxid_applied(), zxid(2));
}

/// The leader is gone, and everybody else.
fn lose_quorum(bench: &mut Bench) {
    for chan in [STREAM, VOTES, ChanId(9)] {
        bench.tell(&Input::PeerDown { chan });
    }
    assert_eq!(bench.server.phase(), Phase::Looking);
}

fn alone() -> Bench {
    let mut bench = follower();
    lose_quorum(&mut bench);
    bench.ring_after(1_999, Timer::Election);
    assert_eq!(bench.server.phase(), Phase::Looking);
    bench.ring_after(1, Timer::Election);
    assert_eq!(bench.server.phase(), Phase::ReadOnly);
    bench
}

fn hello(session: SessionId, password: &[u8; 16], read_only: Option<bool>) -> ConnectRequest<'_> {
    let (last_zxid_seen, timeout_ms) = (zxid(2), 10_000);
    ConnectRequest { last_zxid_seen, timeout_ms, session, password, read_only }
}

fn new(read_only: Option<bool>) -> ConnectRequest<'static> {
    hello(SessionId::NONE, &[0; 16], read_only)
}

/// Error and zxid of each answer.
fn ask(bench: &mut Bench, conn: ConnId, requests: &[Request<'_>]) -> Vec<(i32, Zxid)> {
    let mut bytes = Vec::new();
    for (n, request) in requests.iter().enumerate() {
        request.encode(Xid(n as i32 + 1), &mut bytes);
    }
    let replies = bench.send_on(conn, &bytes);
    let mut r = Reader::new(&replies);
    let mut answers = Vec::new();
    while let Ok(Some(frame)) = r.buffer() {
        let mut r = Reader::new(frame);
        let (_, zxid, err) = (r.int().unwrap(), r.long().unwrap(), r.int().unwrap());
        answers.push((err, Zxid(zxid)));
    }
    answers
}

fn get(path: &str) -> Request<'_> {
    Request::GetData { path: Some(path.into()), watch: false }
}

const CONN: ConnId = ConnId(1);

#[test]
fn what_is_committed_is_read_and_nothing_is_written() {
    let mut bench = alone();
    let (session, _, timeout_ms, read_only) = bench.greet(CONN, &new(Some(true))).unwrap();
    assert_eq!((timeout_ms, read_only), (10_000, Some(true)));
    assert_ne!(session, SessionId::NONE);
    let open =
        AclSpec { perms: Perms::ALL, scheme: Some("world".into()), id: Some("anyone".into()) };
    let (path, data) = (Some("/c".into()), None);
    let (op, acl, flags, ttl_ms) = (OpCode::Create, vec![open], 0, -1);
    let create = Request::Create(Create { op, path, data, acl, flags, ttl_ms });
    let sync = Request::Sync { path: Some("/a".into()) };
    let delete = Request::Delete { path: Some("/a".into()), version: -1 };
    let requests = [get("/a"), create, sync, delete, get("/b"), get("/c"), Request::Ping];
    let answers = ask(&mut bench, CONN, &requests);
    let at = zxid(2);
    let expected = [0, -119, -119, -119, -101, -101, 0].map(|err| (err, at));
    assert_eq!(answers, expected);
    // Whoever closes its session gets an answer, and nothing is written for that either.
    assert_eq!(ask(&mut bench, CONN, &[Request::CloseSession]), [(0, at)]);
    assert!(bench.closed);
    assert_eq!(bench.server.status().zxid_proposed, zxid(3));
}

#[test]
fn who_wants_to_write_or_has_seen_more_is_sent_away() {
    let mut bench = alone();
    let right = SessionId(77).password();
    let requests = [
        new(Some(false)),
        new(None),
        ConnectRequest { last_zxid_seen: zxid(3), ..new(Some(true)) },
        // That this server was offered the epoch does not mean that it has what its leader began with.
        ConnectRequest { last_zxid_seen: Zxid(2 << 32), ..new(Some(true)) },
        // A session of the ensemble: a quorum has to say whether it lives.
        hello(SessionId(77), &right, Some(true)),
    ];
    for (n, request) in requests.iter().enumerate() {
        assert_eq!(bench.greet(ConnId(n as u64), request), None, "{request:?}");
        assert!(bench.closed, "{request:?}");
    }
    let refused = Some((SessionId::NONE, [0; 16], 0, Some(true)));
    for (conn, password) in [(ConnId(90), SessionId(78).password()), (ConnId(91), [0; 16])] {
        let unknown = hello(SessionId(78), &password, Some(true));
        assert_eq!(bench.greet(conn, &unknown), refused);
    }
}

#[test]
fn a_session_made_without_a_quorum_ends_with_that() {
    let mut bench = alone();
    let (session, password, ..) = bench.greet(CONN, &new(Some(true))).unwrap();
    let again = hello(session, &password, Some(true));
    let two = ConnId(2);
    assert_eq!(bench.greet(two, &again), Some((session, password, 10_000, Some(true))));
    elect(&mut bench);
    assert_eq!(bench.server.phase(), Phase::Looking);
    assert!(bench.closed);
    let (sid, link) = (Some(LEADER), Link::Quorum);
    bench.tell(&Input::PeerUp { sid, chan: STREAM, link, addr: addr() });
    lose_quorum(&mut bench);
    bench.ring_after(2_000, Timer::Election);
    assert_eq!(bench.server.phase(), Phase::ReadOnly);
    let refused = Some((SessionId::NONE, [0; 16], 0, Some(true)));
    assert_eq!(bench.greet(ConnId(3), &again), refused);
}

#[test]
fn a_silent_session_expires() {
    let mut bench = alone();
    bench.greet(CONN, &new(Some(true))).unwrap();
    bench.closed = false;
    for _ in 0..50 {
        bench.ring_after(250, Timer::Tick);
    }
    assert!(bench.closed);
    assert_eq!(bench.server.status().local_sessions, 0);
}

#[test]
fn after_a_start_nobody_knows_what_was_committed() {
    let mut bench = Bench::start(follower().files, willing());
    bench.ring_after(60_000, Timer::Election);
    assert_eq!(bench.server.phase(), Phase::Looking);
    assert_eq!(bench.greet(CONN, &new(Some(true))), None);
    assert!(bench.closed);
}

#[test]
fn nobody_is_served_where_it_was_not_asked_for() {
    let mut bench = Bench::start(Files::new(), config());
    loses_track(&mut bench);
    lose_quorum(&mut bench);
    bench.ring_after(60_000, Timer::Election);
    assert_eq!(bench.server.phase(), Phase::Looking);
}

/// An id may come again when a server starts anew and its clock has been set back. Sessions of the ensemble are not
/// tracked where there is no quorum, and still own what they have created.
#[test]
fn a_session_made_without_a_quorum_has_an_id_of_its_own() {
    let mut bench = Bench::start(Files::new(), willing());
    let first = SessionId::seed(Sid(1), bench.now.wall_ms);
    lead(&mut bench);
    let opens = Txn::CreateSession { timeout_ms: 10_000 };
    propose_for(&mut bench, (first, Xid(0)), 1, &opens);
    packet(&mut bench, PacketKind::Commit, zxid(1), None);
    lose_quorum(&mut bench);
    bench.ring_after(2_000, Timer::Election);
    assert_eq!(bench.server.phase(), Phase::ReadOnly);
    let hello = ConnectRequest { last_zxid_seen: zxid(1), ..new(Some(true)) };
    let (session, ..) = bench.greet(CONN, &hello).unwrap();
    assert_eq!(session, first.next());
}
