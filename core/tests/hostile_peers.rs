//! Servers that say what no server says. This one may leave them; it must not fall, and it must start again.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::{
    AclSpec, ConnectRequest, Create, ErrorCode, LearnerInfo, Notification, OpCode, PacketKind,
    PeerState, Perms, QUORUM_PROTOCOL, Request, Txn, TxnHeader, decode_packet, encode_ack_epoch,
    encode_leader_info, encode_notification, encode_packet, encode_txn,
};
use zoetrope_core::*;

/// A proposal with everything in it chosen.
fn proposal(bench: &mut Bench, zxid: Zxid, txn: &Txn) {
    let header = TxnHeader { session: SessionId(77), cxid: Xid(1), zxid, time_ms: 1 };
    let mut bytes = Vec::new();
    encode_txn(&header, txn, None, &mut bytes);
    packet(bench, PacketKind::Proposal, zxid, Some(&bytes));
}

#[test]
fn a_leader_proposes_in_its_own_epoch_only() {
    for zxid in [2 << 32 | 1, i64::MAX, i64::MIN | 1, 0x7fff_ffff << 32 | 1] {
        for serving in [false, true] {
            let mut bench = Bench::start(Files::new(), config());
            match serving {
                true => lead(&mut bench),
                false => {
                    elect(&mut bench);
                    greeted(&mut bench);
                }
            }
            proposal(&mut bench, Zxid(zxid), &znode("/a", 1));
            assert_eq!(bench.server.zxid_applied(), Zxid::ZERO, "{zxid:x}");
            let logged = bench
                .files
                .iter()
                .any(|(_, bytes)| bytes.windows(8).any(|w| w == zxid.to_be_bytes()));
            assert!(!logged, "{zxid:x} was logged, serving: {serving}");
            if zxid > 0 || serving {
                assert!(bench.given_up.contains(&STREAM), "{zxid:x}, serving: {serving}");
            }
        }
    }
}

#[test]
fn the_root_stays_whatever_a_leader_deletes() {
    let mut bench = Bench::start(Files::new(), config());
    lead(&mut bench);
    let paths = ["/zookeeper/config", "/zookeeper/quota", "/zookeeper", "/", ""];
    for (counter, path) in (1..).zip(paths) {
        propose(&mut bench, counter, &Txn::Delete { path: path.into(), by_server: false });
        packet(&mut bench, PacketKind::Commit, zxid(counter), None);
    }
    propose(&mut bench, 6, &znode("/a", 1));
    packet(&mut bench, PacketKind::Commit, zxid(6), None);
    assert_eq!(bench.server.zxid_applied(), zxid(6));
    let again = Bench::start(bench.files.clone(), config());
    assert_eq!(again.halted, None);
}

#[test]
fn a_leader_may_refuse_what_makes_a_session_global() {
    let local = Config { local_sessions: true, local_sessions_upgrading: true, ..config() };
    let mut bench = Bench::start(Files::new(), local);
    lead(&mut bench);
    let hello = ConnectRequest {
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 10_000,
        session: SessionId::NONE,
        password: &[0; 16],
        read_only: Some(false),
    };
    let session = bench.greet(ConnId(1), &hello).expect("it is let in at once").0;
    let all =
        AclSpec { perms: Perms::ALL, scheme: Some("world".into()), id: Some("anyone".into()) };
    let (op, path, data, acl) = (OpCode::Create, Some("/e".into()), None, vec![all]);
    let create = Request::Create(Create { op, path, data, acl, flags: 1, ttl_ms: -1 });
    let mut bytes = Vec::new();
    create.encode(Xid(1), &mut bytes);
    bench.send_on(ConnId(1), &bytes);
    let refused = Txn::Error { code: ErrorCode::SystemError.number() };
    propose_for(&mut bench, (session, Xid(0)), 1, &refused);
    packet(&mut bench, PacketKind::Commit, zxid(1), None);
    assert_eq!(bench.server.zxid_applied(), zxid(1));
    propose_for(&mut bench, (session, Xid(1)), 2, &refused);
    packet(&mut bench, PacketKind::Commit, zxid(2), None);
    assert_eq!(bench.server.zxid_applied(), zxid(2));
}

#[test]
fn a_leader_cuts_and_sends_trees_in_its_own_history_only() {
    for kind in [PacketKind::Trunc, PacketKind::Snap] {
        for zxid in [-1, i64::MIN, i64::MAX, 2 << 32] {
            let mut bench = Bench::start(Files::new(), config());
            elect(&mut bench);
            offered(&mut bench);
            let before = bench.files.clone();
            packet(&mut bench, kind, Zxid(zxid), None);
            assert!(bench.given_up.contains(&STREAM), "{kind:?} {zxid:x}");
            assert!(bench.files == before, "{kind:?} {zxid:x}");
        }
    }
}

#[test]
fn nobody_is_kept_waiting_with_more_than_a_greeting() {
    let chan = ChanId(5);
    for looks in [true, false] {
        let mut bench = Bench::start(Files::new(), config());
        if !looks {
            follow(&mut bench);
        }
        let link = Link::Quorum;
        bench.tell(&Input::PeerUp { sid: None, chan, link, addr: addr() });
        // A greeting with a megabyte in it.
        let mut bytes = Vec::new();
        encode_packet(PacketKind::FollowerInfo, Zxid::ZERO, Some(&[0; 1 << 20]), &mut bytes);
        bench.tell(&Input::PeerFrames { chan, bytes: &bytes[..100] });
        assert!(bench.given_up.contains(&chan), "looks: {looks}");
    }
    // Whoever comes early may be heard later, but says no more than who he is.
    let mut bench = Bench::start(Files::new(), config());
    bench.tell(&Input::PeerUp { sid: None, chan, link: Link::Quorum, addr: addr() });
    let mut bytes = Vec::new();
    for _ in 0..200 {
        encode_packet(PacketKind::FollowerInfo, Zxid::ZERO, Some(&[0; 20]), &mut bytes);
    }
    bench.tell(&Input::PeerFrames { chan, bytes: &bytes });
    assert!(bench.paused.contains(&chan));
}

/// A stranger, who comes before anybody else does, has promised an epoch of his own. One that nobody could follow, or from
/// which a few more leaps lead there, must not become the ensemble's.
#[test]
fn a_stranger_does_not_use_up_the_epochs() {
    for (claimed, offered) in [
        (0x7fff_ffff, 1),
        (0x7fff_fffe, 1),
        (1 << 25, 1),
        (-1, 1),
        (7, 8),
        (1 << 24, (1 << 24) + 1),
    ] {
        let mut bench = Bench::start(Files::new(), config());
        let (sid, link) = (Some(Sid(3)), Link::Election);
        bench.tell(&Input::PeerUp { sid, chan: VOTES, link, addr: addr() });
        vote(&mut bench, VOTES, Sid(1));
        let (chan, link) = (ChanId(5), Link::Quorum);
        for (chan, sid, epoch) in [(chan, 99, claimed), (STREAM, 3, 0)] {
            bench.tell(&Input::PeerUp { sid: None, chan, link, addr: addr() });
            let (mut info, mut bytes) = (Vec::new(), Vec::new());
            let (protocol_version, config_version) = (QUORUM_PROTOCOL, 0);
            LearnerInfo { sid: Sid(sid), protocol_version, config_version }.encode(&mut info);
            let zxid = Zxid(epoch << 32);
            encode_packet(PacketKind::FollowerInfo, zxid, Some(&info), &mut bytes);
            bench.tell(&Input::PeerFrames { chan, bytes: &bytes });
        }
        let sent = bench.sent_on(STREAM);
        let (told, _) = decode_packet(&sent, 100).unwrap().expect("it is told");
        assert_eq!((told.kind, told.zxid), (PacketKind::LeaderInfo, Zxid(offered << 32)));
    }
}

/// And who has promised an epoch to a leader of ill will is not lost.
#[test]
fn a_leader_that_offers_what_cannot_be_is_left() {
    for (first, then, believed) in
        [(0, 0x7fff_fffe, true), (0, 0x7fff_ffff, false), (5, 1 << 26, false), (5, 1 << 25, true)]
    {
        let mut bench = Bench::start(Files::new(), config());
        bench.server = {
            let accepted_epoch = Some(Epoch(first)).filter(|epoch| *epoch != Epoch(0));
            let listing = Listing { accepted_epoch, ..Listing::default() };
            Server::new(config(), 7, bench.now, listing)
        };
        bench.files.clear();
        bench.ring_after(0, Timer::Tick);
        elect(&mut bench);
        let (sid, link) = (Some(LEADER), Link::Quorum);
        bench.tell(&Input::PeerUp { sid, chan: STREAM, link, addr: addr() });
        let mut version = Vec::new();
        encode_leader_info(&mut version);
        packet(&mut bench, PacketKind::LeaderInfo, Zxid(then << 32), Some(&version));
        assert_eq!(!bench.given_up.contains(&STREAM), believed, "{first} {then:x}");
    }
}

#[test]
fn strangers_do_not_fill_the_log() {
    let mut bench = Bench::start(Files::new(), config());
    follow(&mut bench);
    let mut lines = Vec::new();
    for second in 0..3 {
        for n in 0..100 {
            let (chan, link) = (ChanId(100 + 100 * second + n), Link::Quorum);
            bench.tell(&Input::PeerUp { sid: None, chan, link, addr: addr() });
            bench.tell(&Input::PeerFrames { chan, bytes: b"GET / HTTP/1.1" });
            assert!(bench.given_up.contains(&chan));
        }
        lines.push(
            bench.milestones.iter().filter(|m| matches!(m, Milestone::PeerFault { .. })).count(),
        );
        bench.now.mono = bench.now.mono.plus_ms(1_000);
    }
    assert_eq!(lines, [1, 2, 3]);
}

/// Java's digest of a name that is not ASCII depends on the locale of its server (storage §2.8): there, and only there,
/// this server goes on, and an operator can see that nothing is compared any more.
#[test]
fn another_digest_is_told_where_names_are_not_ascii_and_ends_the_server_elsewhere() {
    for (path, goes_on) in [("/é", true), ("/e", false)] {
        let mut bench = Bench::start(Files::new(), config());
        lead(&mut bench);
        let at = zxid(1);
        let header = TxnHeader { session: SessionId(77), cxid: Xid(1), zxid: at, time_ms: 1 };
        let mut bytes = Vec::new();
        encode_txn(&header, &znode(path, 1), Some(12345), &mut bytes);
        packet(&mut bench, PacketKind::Proposal, at, Some(&bytes));
        packet(&mut bench, PacketKind::Commit, at, None);
        assert_eq!(bench.halted.is_none(), goes_on, "{path}");
        let told = bench.milestones.contains(&Milestone::DigestMismatch { zxid: at });
        let counted = bench.server.status().digest_mismatches;
        assert_eq!((told, counted), (goes_on, u64::from(goes_on)), "{path}");
    }
}

/// Only what voters have promised to their disks is promised by a quorum, and only a history that can be trusted counts.
#[test]
fn who_only_observes_or_has_lost_its_history_promises_no_epoch() {
    for (kind, last, counts) in [
        (PacketKind::FollowerInfo, 0, true),
        (PacketKind::FollowerInfo, -1, false),
        (PacketKind::ObserverInfo, 0, false),
    ] {
        let mut bench = Bench::start(Files::new(), config());
        let (sid, link) = (Some(Sid(3)), Link::Election);
        bench.tell(&Input::PeerUp { sid, chan: VOTES, link, addr: addr() });
        vote(&mut bench, VOTES, Sid(1));
        // Server 3 follows, so that an epoch is offered; then the same server, or what says it is, comes on another link.
        let chan = ChanId(5);
        for (chan, kind) in [(chan, PacketKind::FollowerInfo), (STREAM, kind)] {
            let link = Link::Quorum;
            bench.tell(&Input::PeerUp { sid: None, chan, link, addr: addr() });
            let (mut info, mut bytes) = (Vec::new(), Vec::new());
            let (protocol_version, config_version) = (QUORUM_PROTOCOL, 0);
            LearnerInfo { sid: Sid(3), protocol_version, config_version }.encode(&mut info);
            encode_packet(kind, Zxid::ZERO, Some(&info), &mut bytes);
            bench.tell(&Input::PeerFrames { chan, bytes: &bytes });
        }
        let mut current = Vec::new();
        encode_ack_epoch(Some(Epoch(0)), &mut current);
        bench.sent.clear();
        packet(&mut bench, PacketKind::AckEpoch, Zxid(last), Some(&current));
        assert!(!bench.given_up.contains(&STREAM), "{kind:?}, {last}");
        assert_eq!(!bench.sent_on(STREAM).is_empty(), counts, "{kind:?}, {last}");
    }
}

#[test]
fn whatever_round_somebody_names_there_are_elections_after_it() {
    for named in [i64::MIN, 0, i64::MAX / 2, i64::MAX - 1, i64::MAX] {
        let mut bench = Bench::start(Files::new(), config());
        let (sid, link) = (Some(LEADER), Link::Election);
        bench.tell(&Input::PeerUp { sid, chan: VOTES, link, addr: addr() });
        let mut round = named.max(1);
        for election in 1..=3 {
            for round in [named, round] {
                vote_in(&mut bench, VOTES, LEADER, round);
            }
            let connects = bench.asked_for.iter().filter(|of| **of == (LEADER, Link::Quorum));
            assert_eq!(connects.count(), election, "round {named}");
            let (sid, link) = (Some(LEADER), Link::Quorum);
            bench.tell(&Input::PeerUp { sid, chan: STREAM, link, addr: addr() });
            bench.tell(&Input::PeerDown { chan: STREAM });
            round = round.saturating_add(1);
        }
    }
}

/// Answers to what `from` says, to a server that is looking: state, leader and round of each of its notifications.
fn answers(observer: bool, from: Sid, said: &[(PeerState, Sid, i64)]) -> Vec<usize> {
    let mut config = config();
    let members = &mut config.ensemble.as_mut().unwrap().members;
    let member = |observer| Member { addresses: Vec::new(), observer, client: None };
    members.extend([(Sid(4), member(false)), (Sid(5), member(false)), (Sid(6), member(true))]);
    members.get_mut(&Sid(1)).unwrap().observer = observer;
    let mut bench = Bench::start(Files::new(), config);
    let link = Link::Election;
    bench.tell(&Input::PeerUp { sid: Some(from), chan: VOTES, link, addr: addr() });
    let answer = |(state, leader, round): &(PeerState, Sid, i64)| {
        bench.sent.clear();
        let (state, leader, round, zxid) = (*state, *leader, *round, Zxid::ZERO);
        let vote = Notification { state, leader, zxid, round, epoch: 0, version: 2, config: None };
        let mut bytes = Vec::new();
        encode_notification(&vote, &mut bytes);
        bench.tell(&Input::PeerFrames { chan: VOTES, bytes: &bytes });
        bench.sent.iter().filter(|(chan, _)| *chan == VOTES).count()
    };
    said.iter().map(answer).collect()
}

#[test]
fn a_vote_is_answered_where_that_helps_and_no_answer_is() {
    use PeerState::{Following, Looking, Observing};
    // A better vote is adopted, and everybody is told.
    assert_eq!(answers(false, Sid(3), &[(Looking, Sid(3), 1)]), [1]);
    let same_and_worse = [(Looking, Sid(3), 1), (Looking, Sid(3), 1), (Looking, Sid(2), 1)];
    assert_eq!(answers(false, Sid(3), &same_and_worse), [1, 0, 1]);
    // Of an earlier round, and of one that begins with this vote.
    assert_eq!(answers(false, Sid(3), &[(Looking, Sid(3), 0), (Looking, Sid(3), 2)]), [1, 1]);
    assert_eq!(answers(false, Sid(3), &[(Following, Sid(2), 1)]), [0]);
    // Nobody elects a server that has no vote.
    assert_eq!(answers(false, Sid(3), &[(Looking, Sid(6), 1), (Looking, Sid(3), 1)]), [0, 1]);
    // Whoever has no vote is told when it asks, and only then.
    let nobody = Sid(i64::MIN);
    let by_observer = [(Looking, nobody, 1), (Observing, Sid(2), 1), (Looking, Sid(1), 1)];
    assert_eq!(answers(false, Sid(6), &by_observer), [1, 0, 1]);
    // A Java server would answer a vote of a round before its own, be it an observer's.
    assert_eq!(answers(false, Sid(6), &[(Looking, nobody, 9), (Looking, Sid(3), 1)]), [0, 0]);
    // Nobody counts what an observer says, so that it answers nobody.
    let to_observer = [(Looking, Sid(3), 1), (Looking, Sid(2), 1), (Looking, Sid(2), 0)];
    assert_eq!(answers(true, Sid(3), &to_observer)[1..], [0, 0]);
}
