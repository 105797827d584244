//! A client leaves a follower and comes back to it.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::*;
use zoetrope_core::*;

const FORMER: ConnId = ConnId(1);
const AGAIN: ConnId = ConnId(2);

/// A session at this follower.
fn session(bench: &mut Bench) -> SessionId {
    lead(bench);
    assert_eq!(bench.greet(FORMER, &NEWCOMER), None);
    let session = bench.server.connections().next().expect("it waits for its session").session;
    let opens = Txn::CreateSession { timeout_ms: 10_000 };
    propose_for(bench, (session, Xid(0)), 1, &opens);
    packet(bench, PacketKind::Commit, zxid(1), None);
    assert_eq!(bench.server.connections().next().map(|conn| conn.session), Some(session));
    session
}

/// The client comes back on another connection.
fn come_back(bench: &mut Bench, session: SessionId, password: &[u8; 16]) {
    bench.replies.clear();
    let request = ConnectRequest { session, password, ..NEWCOMER };
    bench.greet(AGAIN, &request);
}

/// What still comes through the former connection. Is the leader asked to do it?
fn is_passed_on(bench: &mut Bench) -> bool {
    bench.sent.clear();
    let mut bytes = Vec::new();
    let late = Request::SetData { path: Some("/a".into()), data: Some(b"late"), version: -1 };
    late.encode(Xid(1), &mut bytes);
    bench.send_on(FORMER, &bytes);
    let sent = bench.sent_on(STREAM);
    let packet = decode_packet(&sent, 1 << 20).expect("it is a packet");
    packet.is_some_and(|(packet, _)| packet.kind == PacketKind::Request)
}

/// Until the leader answers, it takes the server for the session's home again: it would do what the client asked here
/// before it was elsewhere.
#[test]
fn its_former_connection_is_heard_no_more_while_the_leader_is_asked() {
    let mut bench = Bench::start(Files::new(), config());
    let session = session(&mut bench);
    come_back(&mut bench, session, &session.password());
    assert!(bench.closed);
    assert!(!is_passed_on(&mut bench));
}

#[test]
fn who_does_not_know_its_password_cuts_nobody_off() {
    let mut bench = Bench::start(Files::new(), config());
    let session = session(&mut bench);
    come_back(&mut bench, session, &[7; 16]);
    assert!(is_passed_on(&mut bench));
}
