//! Followers with observers of their own (quorum protocol §10.2). The test plays the leader, and the observers.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::*;
use zoetrope_core::*;

/// Links of two observers.
const ONE: ChanId = ChanId(20);
const TWO: ChanId = ChanId(21);

fn follower() -> Bench {
    let mut bench = Bench::start(Files::new(), Config { observer_masters: true, ..config() });
    lead(&mut bench);
    bench
}

fn say(bench: &mut Bench, chan: ChanId, kind: PacketKind, zxid: Zxid, data: Option<&[u8]>) {
    let mut bytes = Vec::new();
    encode_packet(kind, zxid, data, &mut bytes);
    bench.tell(&Input::PeerFrames { chan, bytes: &bytes });
}

fn introduce(bench: &mut Bench, chan: ChanId, kind: PacketKind, accepted: u32) {
    let (sid, link) = (None, Link::ObserverMaster);
    bench.tell(&Input::PeerUp { sid, chan, link, addr: addr() });
    let (protocol_version, config_version) = (QUORUM_PROTOCOL, 0);
    let mut info = Vec::new();
    LearnerInfo { sid: Sid(4), protocol_version, config_version }.encode(&mut info);
    say(bench, chan, kind, Zxid::of_epoch(Epoch(accepted)), Some(&info));
}

/// An observer comes, whose history ends there.
fn observe(bench: &mut Bench, chan: ChanId, last: Zxid) {
    introduce(bench, chan, PacketKind::ObserverInfo, 1);
    let mut current = Vec::new();
    encode_ack_epoch(None, &mut current);
    say(bench, chan, PacketKind::AckEpoch, last, Some(&current));
    say(bench, chan, PacketKind::Ack, zxid(0), None);
}

/// Kind and zxid of what was sent on a link since the last look.
fn told(bench: &mut Bench, chan: ChanId) -> Vec<(PacketKind, Zxid)> {
    let (bytes, mut at, mut all) = (bench.sent_on(chan), 0, Vec::new());
    bench.sent.retain(|(of, _)| *of != chan);
    while let Ok(Some((packet, len))) = decode_packet(&bytes[at..], 1 << 20) {
        at += len;
        all.push((packet.kind, packet.zxid));
    }
    all
}

fn write(bench: &mut Bench, counter: i64, path: &str) {
    propose(bench, counter, &znode(path, counter as i32));
    packet(bench, PacketKind::Commit, zxid(counter), None);
}

fn ask(bench: &mut Bench, chan: ChanId, session: SessionId, op: OpCode) {
    let request = ForwardedRequest { session, xid: Xid(5), kind: op.number(), body: b"body" };
    let mut bytes = Vec::new();
    encode_request(&request, Some(&[("digest", "a:b")]), &mut bytes);
    bench.tell(&Input::PeerFrames { chan, bytes: &bytes });
}

fn revalidate(bench: &mut Bench, chan: ChanId, session: SessionId) {
    let mut data = Vec::new();
    encode_revalidate(session, 9000, &mut data);
    say(bench, chan, PacketKind::Revalidate, Zxid(-1), Some(&data));
}

fn answer(bench: &mut Bench, session: SessionId, valid: bool) {
    let mut data = Vec::new();
    encode_revalidated(session, valid, &mut data);
    packet(bench, PacketKind::Revalidate, Zxid(-1), Some(&data));
}

#[test]
fn an_observer_is_fed_what_is_committed_and_on_this_disk() {
    use PacketKind::*;
    let mut bench = follower();
    write(&mut bench, 1, "/a");
    observe(&mut bench, ONE, zxid(0));
    let expected = [
        (LeaderInfo, zxid(0)),
        (Diff, zxid(1)),
        (Proposal, zxid(1)),
        (Commit, zxid(1)),
        (NewLeader, zxid(0)),
        (UpToDate, Zxid(-1)),
    ];
    assert_eq!(told(&mut bench, ONE), expected);
    bench.slow_log = true;
    propose(&mut bench, 2, &znode("/b", 2));
    assert_eq!(told(&mut bench, ONE), [], "it is not committed");
    packet(&mut bench, Commit, zxid(2), None);
    assert_eq!(told(&mut bench, ONE), [], "it is not on this server's disk");
    bench.sync_log();
    assert_eq!(told(&mut bench, ONE), [(Inform, zxid(2))]);
    bench.slow_log = false;
    propose(&mut bench, 3, &znode("/c", 3));
    assert_eq!(told(&mut bench, ONE), [], "it is on disk, but not committed");
    packet(&mut bench, Commit, zxid(3), None);
    assert_eq!(told(&mut bench, ONE), [(Inform, zxid(3))]);
    bench.ring_after(250, Timer::Peers);
    assert_eq!(told(&mut bench, ONE), [(Ping, zxid(3))]);
}

#[test]
fn an_observer_that_is_ahead_waits_and_loses_nothing() {
    use PacketKind::*;
    let mut bench = follower();
    write(&mut bench, 1, "/a");
    observe(&mut bench, ONE, zxid(3));
    assert_eq!(told(&mut bench, ONE), [(LeaderInfo, zxid(0))]);
    write(&mut bench, 2, "/b");
    propose(&mut bench, 3, &znode("/c", 3));
    assert_eq!(told(&mut bench, ONE), []);
    packet(&mut bench, Commit, zxid(3), None);
    bench.ring_after(0, Timer::Peers);
    assert_eq!(told(&mut bench, ONE), [(Diff, zxid(3)), (NewLeader, zxid(0))]);
}

#[test]
fn who_may_not_follow_a_follower_is_sent_away() {
    for (kind, accepted) in [(PacketKind::FollowerInfo, 1), (PacketKind::ObserverInfo, 2)] {
        let mut bench = follower();
        introduce(&mut bench, ONE, kind, accepted);
        assert!(bench.given_up.contains(&ONE), "{kind:?}, epoch {accepted}");
    }
    for counter in [0, 1] {
        let mut bench = follower();
        observe(&mut bench, ONE, Zxid(2 << 32 | counter));
        assert!(bench.given_up.contains(&ONE), "its history is of a later epoch");
    }
    // Neither does a follower without the setting, nor one that does not follow.
    for observer_masters in [false, true] {
        let mut bench = Bench::start(Files::new(), Config { observer_masters, ..config() });
        if !observer_masters {
            lead(&mut bench);
        }
        introduce(&mut bench, ONE, PacketKind::ObserverInfo, 1);
        assert!(bench.given_up.contains(&ONE));
    }
}

#[test]
fn an_observer_acknowledges_no_txn() {
    let mut bench = follower();
    write(&mut bench, 1, "/a");
    observe(&mut bench, ONE, Zxid::ZERO);
    say(&mut bench, ONE, PacketKind::Ack, zxid(0), None);
    assert!(!bench.given_up.contains(&ONE), "it answers UPTODATE");
    say(&mut bench, ONE, PacketKind::Ack, zxid(1), None);
    assert!(bench.given_up.contains(&ONE));
    assert_eq!(bench.server.phase(), Phase::Following);
}

#[test]
fn requests_go_to_the_leader_as_they_came() {
    let mut bench = follower();
    observe(&mut bench, ONE, Zxid::ZERO);
    told(&mut bench, STREAM);
    ask(&mut bench, ONE, SessionId(77), OpCode::Create);
    let bytes = bench.sent_on(STREAM);
    let (packet, len) = decode_packet(&bytes, 1 << 20).unwrap().unwrap();
    assert_eq!((packet.kind, len), (PacketKind::Request, bytes.len()));
    let request = ForwardedRequest::decode(packet.data.unwrap()).unwrap();
    assert_eq!((request.session, request.xid, request.body), (SessionId(77), Xid(5), &b"body"[..]));
    assert_eq!(packet.identities, Some(vec![("digest".into(), "a:b".into())]));
}

#[test]
fn answers_to_sync_come_behind_what_is_committed() {
    use PacketKind::*;
    let mut bench = follower();
    observe(&mut bench, ONE, Zxid::ZERO);
    observe(&mut bench, TWO, Zxid::ZERO);
    told(&mut bench, ONE);
    told(&mut bench, TWO);
    ask(&mut bench, TWO, SessionId(8), OpCode::Sync);
    ask(&mut bench, ONE, SessionId(7), OpCode::Sync);
    bench.slow_log = true;
    write(&mut bench, 1, "/a");
    packet(&mut bench, Sync, Zxid::ZERO, None);
    assert_eq!(told(&mut bench, TWO), [], "what was committed before it is not on disk yet");
    bench.sync_log();
    assert_eq!(told(&mut bench, TWO), [(Inform, zxid(1)), (Sync, Zxid::ZERO)]);
    assert_eq!(told(&mut bench, ONE), [(Inform, zxid(1))]);
    packet(&mut bench, Sync, Zxid::ZERO, None);
    assert_eq!(told(&mut bench, ONE), [(Sync, Zxid::ZERO)]);
}

#[test]
fn answers_about_sessions_go_to_who_has_asked() {
    let mut bench = follower();
    observe(&mut bench, ONE, Zxid::ZERO);
    observe(&mut bench, TWO, Zxid::ZERO);
    told(&mut bench, ONE);
    told(&mut bench, TWO);
    for (chan, session) in [(ONE, 7), (TWO, 8), (TWO, 7)] {
        revalidate(&mut bench, chan, SessionId(session));
    }
    let asked = |kind: &&(PacketKind, Zxid)| kind.0 == PacketKind::Revalidate;
    assert_eq!(told(&mut bench, STREAM).iter().filter(asked).count(), 3);
    let reply = [(PacketKind::Revalidate, Zxid(-1))];
    answer(&mut bench, SessionId(7), true);
    assert_eq!((told(&mut bench, ONE), told(&mut bench, TWO)), (reply.to_vec(), vec![]));
    answer(&mut bench, SessionId(8), false);
    assert_eq!((told(&mut bench, ONE), told(&mut bench, TWO)), (vec![], reply.to_vec()));
    answer(&mut bench, SessionId(7), true);
    assert_eq!((told(&mut bench, ONE), told(&mut bench, TWO)), (vec![], reply.to_vec()));
}

#[test]
fn what_a_session_sent_before_it_went_elsewhere_is_not_done_behind_what_it_sends_there() {
    let mut bench = follower();
    observe(&mut bench, ONE, Zxid::ZERO);
    observe(&mut bench, TWO, Zxid::ZERO);
    revalidate(&mut bench, ONE, SessionId(7));
    answer(&mut bench, SessionId(7), true);
    revalidate(&mut bench, TWO, SessionId(7));
    ask(&mut bench, ONE, SessionId(7), OpCode::Create);
    answer(&mut bench, SessionId(7), true);
    ask(&mut bench, TWO, SessionId(7), OpCode::Create);
    assert!(bench.given_up.is_empty());
    told(&mut bench, STREAM);
    ask(&mut bench, ONE, SessionId(7), OpCode::Delete);
    assert_eq!(told(&mut bench, STREAM), []);
    assert!(bench.given_up.contains(&ONE) && !bench.given_up.contains(&TWO));
}

#[test]
fn the_leader_hears_of_an_observers_sessions_with_the_next_ping() {
    let mut bench = follower();
    let session = SessionId(0x77);
    propose_for(&mut bench, (session, Xid(0)), 1, &Txn::CreateSession { timeout_ms: 9000 });
    packet(&mut bench, PacketKind::Commit, zxid(1), None);
    observe(&mut bench, ONE, Zxid::ZERO);
    let mut data = Vec::new();
    // Nobody knows the second one.
    encode_touches(&[(session, 9000), (SessionId(0x78), 9000)], &mut data);
    say(&mut bench, ONE, PacketKind::Ping, zxid(1), Some(&data));
    bench.sent.clear();
    packet(&mut bench, PacketKind::Ping, zxid(1), None);
    let bytes = bench.sent_on(STREAM);
    let (reply, _) = decode_packet(&bytes, 1 << 20).unwrap().unwrap();
    assert_eq!(decode_touches(reply.data.unwrap()).unwrap(), [(session, 9000)]);
}

#[test]
fn observers_go_when_the_follower_follows_no_longer() {
    let mut bench = follower();
    observe(&mut bench, ONE, Zxid::ZERO);
    bench.tell(&Input::PeerDown { chan: STREAM });
    assert!(bench.given_up.contains(&ONE));
}

#[test]
fn a_silent_observer_is_given_up() {
    let mut bench = follower();
    observe(&mut bench, ONE, Zxid::ZERO);
    for _ in 0..12 {
        packet(&mut bench, PacketKind::Ping, zxid(0), None);
        bench.ring_after(250, Timer::Peers);
    }
    assert!(bench.given_up.contains(&ONE));
    assert_eq!(bench.server.phase(), Phase::Following);
}

#[test]
fn an_observer_goes_on_to_another_follower_when_one_cannot_be_reached() {
    let mut config = Config { observer_masters: true, ..config() };
    let members = &mut config.ensemble.as_mut().unwrap().members;
    for (sid, observer) in [(1, true), (4, false)] {
        members.insert(Sid(sid), Member { addresses: Vec::new(), observer, client: None });
    }
    let mut bench = Bench::start(Files::new(), config);
    elect(&mut bench);
    let link = Link::ObserverMaster;
    let mut tried = Vec::new();
    for _ in 0..3 {
        let &(sid, via) = bench.asked_for.last().expect("it observes somebody");
        assert_eq!(via, link);
        tried.push(sid);
        bench.tell(&Input::Unreachable { sid, link });
        bench.ring_after(50, Timer::Peers);
    }
    // Not the leader, which has enough to do.
    let (one, other) = (tried[0], if tried[0] == Sid(3) { Sid(4) } else { Sid(3) });
    assert_eq!(tried, [one, other, one]);
}
