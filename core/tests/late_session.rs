//! A session whose beginning takes long to become durable.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::*;
use zoetrope_core::*;

const CONN: ConnId = ConnId(1);

fn request() -> ConnectRequest<'static> {
    ConnectRequest {
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 10_000,
        session: SessionId::NONE,
        password: &[0; 16],
        read_only: None,
    }
}

fn expired(bench: &Bench) -> bool {
    bench.milestones.iter().any(|one| matches!(one, Milestone::SessionExpired { .. }))
}

/// Its client can say nothing before it is told that the session is there.
#[test]
fn a_session_lives_from_the_moment_its_client_is_told() {
    for wait_ms in [9_000, 15_000] {
        let mut bench = Bench::start(Files::new(), Config::default());
        bench.slow_log = true;
        assert_eq!(bench.greet(CONN, &request()), None);
        for _ in 0..wait_ms / 500 {
            bench.ring_after(500, Timer::Tick);
        }
        bench.sync_log();
        for _ in 0..19 {
            bench.ring_after(500, Timer::Tick);
        }
        bench.sync_log();
        assert!(!expired(&bench), "after {wait_ms} ms");
        for _ in 0..6 {
            bench.ring_after(500, Timer::Tick);
        }
        bench.sync_log();
        assert!(expired(&bench), "after {wait_ms} ms");
    }
}

/// Its leader hears of it with the next ping.
#[test]
fn a_leader_is_told_of_a_session_that_begins_at_a_follower() {
    let mut bench = Bench::start(Files::new(), config());
    lead(&mut bench);
    assert_eq!(bench.greet(CONN, &request()), None);
    packet(&mut bench, PacketKind::Ping, zxid(0), None);
    let sent = bench.sent_on(STREAM);
    let (mut at, mut asked) = (0, None);
    while let Ok(Some((packet, len))) = decode_packet(&sent[at..], 1 << 20) {
        at += len;
        if packet.kind == PacketKind::Request {
            asked = ForwardedRequest::decode(packet.data.unwrap()).ok().map(|r| r.session);
        }
    }
    let session = asked.expect("it was forwarded");
    let opens = Txn::CreateSession { timeout_ms: 10_000 };
    propose_for(&mut bench, (session, Xid(0)), 1, &opens);
    packet(&mut bench, PacketKind::Commit, zxid(1), None);
    bench.sent.clear();
    packet(&mut bench, PacketKind::Ping, zxid(1), None);
    let sent = bench.sent_on(STREAM);
    let (ping, _) = decode_packet(&sent, 1 << 20).unwrap().unwrap();
    assert_eq!(decode_touches(ping.data.unwrap()).unwrap(), [(session, 10_000)]);
}

/// Nothing else may come afterwards that would bring the answer along.
#[test]
fn a_sync_is_answered_as_soon_as_the_leader_has_answered_it() {
    let mut bench = Bench::start(Files::new(), config());
    lead(&mut bench);
    assert_eq!(bench.greet(CONN, &request()), None);
    let session = bench.server.connections().next().expect("it waits for its session").session;
    let opens = Txn::CreateSession { timeout_ms: 10_000 };
    propose_for(&mut bench, (session, Xid(0)), 1, &opens);
    packet(&mut bench, PacketKind::Commit, zxid(1), None);
    bench.replies.clear();
    let mut bytes = Vec::new();
    Request::Sync { path: Some("/".into()) }.encode(Xid(7), &mut bytes);
    assert_eq!(bench.send_on(CONN, &bytes), []);
    packet(&mut bench, PacketKind::Sync, Zxid::ZERO, None);
    let mut r = Reader::new(&bench.replies[4..]);
    assert_eq!((r.int(), r.long(), r.int()), (Ok(7), Ok(zxid(1).0), Ok(0)));
}
