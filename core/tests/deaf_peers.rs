//! Servers that send and do not read: what they cost is bounded.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::{
    ConnectRequest, ForwardedRequest, OpCode, PacketKind, Request, Txn, decode_packet,
    encode_packet, encode_request, encode_revalidate,
};
use zoetrope_core::*;

const BUDGET: usize = 64 << 10;
/// Bytes that wait at most where everything waits that can: two budgets and a record.
const FED: usize = 2 * BUDGET + 2 * (64 << 10);

fn small() -> Config {
    let mut config = config();
    config.limits.peer_budget = BUDGET as u64;
    (config.limits.frame_max, config.limits.frame_extra) = (64 << 10, 64 << 10);
    config
}

/// Asks that many times whether a session lives.
fn revalidate(bench: &mut Bench, times: usize) {
    let mut data = Vec::new();
    encode_revalidate(SessionId(5), 4_000, &mut data);
    let mut bytes = Vec::new();
    for _ in 0..times {
        encode_packet(PacketKind::Revalidate, Zxid(-1), Some(&data), &mut bytes);
    }
    bench.tell(&Input::PeerFrames { chan: STREAM, bytes: &bytes });
}

fn count(bytes: &[u8], kind: PacketKind) -> usize {
    let (mut at, mut found) = (0, 0);
    while let Ok(Some((packet, len))) = decode_packet(&bytes[at..], 1 << 20) {
        found += usize::from(packet.kind == kind);
        at += len;
    }
    assert_eq!(at, bytes.len(), "no whole packets were sent");
    found
}

#[test]
fn a_learner_that_does_not_read_is_not_answered_without_end() {
    let mut bench = Bench::start(Files::new(), small());
    follow(&mut bench);
    let mut asked = 0;
    while !bench.paused.contains(&STREAM) {
        revalidate(&mut bench, 1_000);
        asked += 1_000;
        assert!(asked <= 200_000, "it is listened to for ever");
    }
    let waiting = bench.sent_on(STREAM).len();
    assert!((BUDGET..FED + 100).contains(&waiting), "{waiting} bytes wait for it");
    // As soon as it reads, it is answered: everything, in order.
    for _ in 0..asked {
        bench.read_all(STREAM);
        if count(&bench.sent_on(STREAM), PacketKind::Revalidate) == asked {
            break;
        }
    }
    assert_eq!(count(&bench.sent_on(STREAM), PacketKind::Revalidate), asked);
    assert!(!bench.paused.contains(&STREAM));
}

#[test]
fn a_learner_that_only_asks_for_sync_is_given_up() {
    let mut bench = Bench::start(Files::new(), small());
    follow(&mut bench);
    // What it is to be told of syncs waits behind this.
    revalidate(&mut bench, 4_000);
    let mut sync = Vec::new();
    for _ in 0..1_000 {
        let kind = OpCode::Sync.number();
        let request = ForwardedRequest { session: SessionId(5), xid: Xid(1), kind, body: b"" };
        encode_request(&request, None, &mut sync);
    }
    for asked in 0..8 {
        bench.tell(&Input::PeerFrames { chan: STREAM, bytes: &sync });
        assert!(!bench.given_up.contains(&STREAM), "after {asked}000");
    }
    bench.tell(&Input::PeerFrames { chan: STREAM, bytes: &sync });
    assert!(bench.given_up.contains(&STREAM));
}

#[test]
fn only_the_last_vote_waits_for_who_does_not_read() {
    let mut bench = Bench::start(Files::new(), small());
    let (sid, link) = (Some(Sid(3)), Link::Election);
    bench.tell(&Input::PeerUp { sid, chan: VOTES, link, addr: addr() });
    let one = bench.sent_on(VOTES).len();
    assert!(one > 0);
    // It could be led by a better server, and does not learn of that.
    bench.tell(&Input::PeerUp { sid: Some(LEADER), chan: ChanId(9), link, addr: addr() });
    vote(&mut bench, ChanId(9), LEADER);
    for _ in 0..5_000 {
        vote(&mut bench, VOTES, Sid(1));
    }
    let waiting = bench.sent_on(VOTES).len();
    assert!(waiting <= BUDGET / 64 + one, "{waiting} bytes wait for it");
    bench.read_all(VOTES);
    assert_eq!(bench.sent_on(VOTES).len(), waiting + one, "the last vote is still owed");
    bench.read_all(VOTES);
    assert_eq!(bench.sent_on(VOTES).len(), waiting + one);
    // Whoever reads nothing for seconds gets a new link.
    for _ in 0..100 {
        vote(&mut bench, VOTES, Sid(1));
    }
    assert!(!bench.given_up.contains(&VOTES));
    bench.now.mono = bench.now.mono.plus_ms(4_001);
    vote(&mut bench, VOTES, Sid(1));
    assert!(bench.given_up.contains(&VOTES));
}

#[test]
fn requests_wait_for_a_leader_that_does_not_read() {
    let mut bench = Bench::start(Files::new(), small());
    lead(&mut bench);
    bench.read_all(STREAM);
    let (session, password) = (SessionId::NONE, &[0; 16]);
    let (last_zxid_seen, timeout_ms, read_only) = (Zxid::ZERO, 10_000, None);
    let hello = ConnectRequest { last_zxid_seen, timeout_ms, session, password, read_only };
    assert_eq!(bench.greet(ConnId(1), &hello), None);
    let session = bench.server.connections().next().expect("it waits for its session").session;
    propose_for(&mut bench, (session, Xid(0)), 1, &Txn::CreateSession { timeout_ms });
    packet(&mut bench, PacketKind::Commit, zxid(1), None);
    let before = bench.sent_on(STREAM).len();
    let data = vec![7; 20_000];
    for xid in 1..=10 {
        let path = Some("/a".into());
        let set = Request::SetData { path, data: Some(&data), version: -1 };
        let mut bytes = Vec::new();
        set.encode(Xid(xid), &mut bytes);
        bench.send_on(ConnId(1), &bytes);
    }
    let waiting = bench.sent_on(STREAM).len() - before;
    assert!((BUDGET..BUDGET + 21_000).contains(&waiting), "{waiting} bytes wait for the leader");
    for _ in 0..5 {
        bench.read_all(STREAM);
    }
    assert_eq!(count(&bench.sent_on(STREAM)[before..], PacketKind::Request), 10);
}
