//! Entries of docs/museum.md that no scenario file can tell: what only servers of another kind send, and what clients of
//! the simulator never ask for. The test plays the other servers.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::*;
use zoetrope_core::*;

fn txn_bytes(counter: i64, txn: &Txn) -> Vec<u8> {
    let (session, cxid) = (SessionId(77), Xid(counter as i32));
    let header = TxnHeader { session, cxid, zxid: zxid(counter), time_ms: 1 };
    let mut bytes = Vec::new();
    encode_txn(&header, txn, None, &mut bytes);
    bytes
}

/// ZOOKEEPER-4394: Java leaders propose before NEWLEADER what they commit behind it.
#[test]
fn what_is_committed_between_newleader_and_uptodate_is_applied() {
    let mut bench = Bench::start(Files::new(), config());
    elect(&mut bench);
    greeted(&mut bench);
    propose(&mut bench, 1, &Txn::CreateSession { timeout_ms: 10_000 });
    propose(&mut bench, 2, &znode("/a", 1));
    packet(&mut bench, PacketKind::NewLeader, zxid(0), None);
    packet(&mut bench, PacketKind::Commit, zxid(1), None);
    packet(&mut bench, PacketKind::UpToDate, zxid(0), None);
    assert_eq!(bench.server.phase(), Phase::Following);
    assert_eq!(bench.server.zxid_applied(), zxid(1), "the other one is not committed");
    packet(&mut bench, PacketKind::Commit, zxid(2), None);
    propose(&mut bench, 3, &znode("/b", 2));
    packet(&mut bench, PacketKind::Commit, zxid(3), None);
    assert_eq!(bench.server.zxid_applied(), zxid(3));
}

/// ZOOKEEPER-1551: an observer hears of commits that come before it may serve.
#[test]
fn an_observer_keeps_what_comes_between_newleader_and_uptodate() {
    let mut config = config();
    let ensemble = config.ensemble.as_mut().unwrap();
    ensemble.members.get_mut(&Sid(1)).unwrap().observer = true;
    let mut bench = Bench::start(Files::new(), config);
    elect(&mut bench);
    greeted(&mut bench);
    packet(&mut bench, PacketKind::NewLeader, zxid(0), None);
    let session = txn_bytes(1, &Txn::CreateSession { timeout_ms: 10_000 });
    packet(&mut bench, PacketKind::Inform, zxid(1), Some(&session));
    packet(&mut bench, PacketKind::UpToDate, zxid(0), None);
    packet(&mut bench, PacketKind::Inform, zxid(2), Some(&txn_bytes(2, &znode("/a", 1))));
    assert_eq!(bench.server.phase(), Phase::Observing);
    assert_eq!(bench.server.zxid_applied(), zxid(2));
}

/// ZOOKEEPER-769: who votes is what the list of servers says, not what a server says of itself.
#[test]
fn an_observer_that_calls_itself_a_follower_is_not_counted() {
    let joined_by = |sid: Sid| {
        let mut config = config();
        let member = Member { addresses: Vec::new(), observer: true, client: None };
        config.ensemble.as_mut().unwrap().members.insert(Sid(4), member);
        let mut bench = Bench::start(Files::new(), config);
        let link = Link::Election;
        bench.tell(&Input::PeerUp { sid: Some(Sid(3)), chan: VOTES, link, addr: addr() });
        vote(&mut bench, VOTES, Sid(1));
        let link = Link::Quorum;
        bench.tell(&Input::PeerUp { sid: None, chan: STREAM, link, addr: addr() });
        let mut info = Vec::new();
        let (protocol_version, config_version) = (QUORUM_PROTOCOL, 0);
        LearnerInfo { sid, protocol_version, config_version }.encode(&mut info);
        packet(&mut bench, PacketKind::FollowerInfo, Zxid::ZERO, Some(&info));
        let mut current = Vec::new();
        encode_ack_epoch(Some(Epoch(0)), &mut current);
        packet(&mut bench, PacketKind::AckEpoch, Zxid::ZERO, Some(&current));
        packet(&mut bench, PacketKind::Ack, zxid(0), None);
        bench.milestones.iter().any(|m| matches!(m, Milestone::Serving { .. }))
    };
    assert!(joined_by(Sid(3)));
    assert!(!joined_by(Sid(4)));
}

/// A server without weight can never lead, so its newer history, which no quorum has, must not keep others from leading.
#[test]
fn a_follower_without_weight_does_not_end_an_election() {
    let mut config = config();
    let ensemble = config.ensemble.as_mut().unwrap();
    let member = Member { addresses: Vec::new(), observer: false, client: None };
    ensemble.members.insert(Sid(4), member);
    ensemble.groups.insert(1, ensemble.members.keys().copied().collect());
    ensemble.weights.insert(Sid(4), 0);
    let mut bench = Bench::start(Files::new(), config);
    let (sid, link) = (Some(Sid(3)), Link::Election);
    bench.tell(&Input::PeerUp { sid, chan: VOTES, link, addr: addr() });
    vote(&mut bench, VOTES, Sid(1));
    let say = |bench: &mut Bench, chan, kind, zxid, data: &[u8]| {
        let mut bytes = Vec::new();
        encode_packet(kind, zxid, Some(data), &mut bytes);
        bench.tell(&Input::PeerFrames { chan, bytes: &bytes });
    };
    let mut current = Vec::new();
    encode_ack_epoch(Some(Epoch(0)), &mut current);
    let (light, heavy) = (ChanId(20), STREAM);
    for (sid, chan) in [(Sid(4), light), (Sid(3), heavy)] {
        bench.tell(&Input::PeerUp { sid: None, chan, link: Link::Quorum, addr: addr() });
        let mut info = Vec::new();
        let (protocol_version, config_version) = (QUORUM_PROTOCOL, 0);
        LearnerInfo { sid, protocol_version, config_version }.encode(&mut info);
        say(&mut bench, chan, PacketKind::FollowerInfo, Zxid::ZERO, &info);
    }
    say(&mut bench, light, PacketKind::AckEpoch, Zxid(1), &current);
    assert!(bench.given_up.contains(&light), "it comes again when there is a leader");
    say(&mut bench, heavy, PacketKind::AckEpoch, Zxid::ZERO, &current);
    say(&mut bench, heavy, PacketKind::Ack, zxid(0), &[]);
    assert_eq!(bench.server.phase(), Phase::Leading);
}

/// Nobody may be led by a server whose list of servers is older.
#[test]
fn a_learner_of_a_newer_configuration_is_refused() {
    let mut bench = Bench::start(Files::new(), config());
    follow(&mut bench);
    let (chan, link) = (ChanId(5), Link::Quorum);
    for (version, refused) in [(0, false), (0x1_0000_0001, true)] {
        let chan = ChanId(chan.0 + version as u64);
        bench.tell(&Input::PeerUp { sid: None, chan, link, addr: addr() });
        let mut info = Vec::new();
        let protocol_version = QUORUM_PROTOCOL;
        LearnerInfo { sid: LEADER, protocol_version, config_version: version }.encode(&mut info);
        let mut bytes = Vec::new();
        encode_packet(PacketKind::FollowerInfo, Zxid::ZERO, Some(&info), &mut bytes);
        bench.tell(&Input::PeerFrames { chan, bytes: &bytes });
        assert_eq!(bench.given_up.contains(&chan), refused);
    }
}

/// ZOOKEEPER-3769, 4787: a notification that cannot be read, or whose text cannot, costs no other one.
#[test]
fn an_unreadable_notification_keeps_nobody_from_being_heard() {
    let mut bench = Bench::start(Files::new(), config());
    let (sid, link) = (Some(Sid(3)), Link::Election);
    bench.tell(&Input::PeerUp { sid, chan: VOTES, link, addr: addr() });
    bench.tell(&Input::PeerFrames { chan: VOTES, bytes: &[0, 0, 0, 3, 1, 2, 3] });
    let vote = Notification {
        state: PeerState::Looking,
        leader: Sid(3),
        zxid: Zxid::ZERO,
        round: 1,
        epoch: 0,
        version: 2,
        config: Some("?".to_owned()),
    };
    let mut bytes = Vec::new();
    encode_notification(&vote, &mut bytes);
    // Not a text in any charset.
    *bytes.last_mut().unwrap() = 0xff;
    bench.tell(&Input::PeerFrames { chan: VOTES, bytes: &bytes });
    let follows = Milestone::RoleChanged { state: PeerState::Following };
    assert!(bench.milestones.contains(&follows), "{:?}", bench.milestones);
}

fn create(path: String, flags: i32) -> Request<'static> {
    let all =
        AclSpec { perms: Perms::ALL, scheme: Some("world".into()), id: Some("anyone".into()) };
    let path = Some(path.into());
    Request::Create(Create {
        op: OpCode::Create,
        path,
        data: None,
        acl: vec![all],
        flags,
        ttl_ms: -1,
    })
}

/// ZOOKEEPER-4306: the end of a session with very many ephemerals fits into a record that can be read again.
#[test]
fn a_session_with_very_many_ephemerals_ends_in_a_record_of_bearable_length() {
    let mut config = Config::default();
    (config.limits.frame_max, config.limits.frame_extra) = (16 << 10, 0);
    let most = config.record_max() as usize;
    let mut bench = Bench::start(Files::new(), config.clone());
    bench.connect();
    let name = "n".repeat(1000);
    for n in 0..2 * most / name.len() {
        bench.ask(&create(format!("/{n}{name}"), 1));
    }
    let zxid = bench.server.zxid_applied();
    bench.ask_all(&[Request::CloseSession]);
    assert_eq!(bench.server.zxid_applied(), zxid.next());
    let again = Bench::start(bench.files, config);
    assert_eq!(again.halted, None);
    assert_eq!(again.server.zxid_applied(), zxid.next());
    assert_eq!(again.server.status().ephemerals_count, 0);
    assert_eq!(again.server.sessions().count(), 0);
}

/// ZOOKEEPER-2623: `check` is an operation of a multi, and no txn of its own.
#[test]
fn a_check_outside_of_a_multi_becomes_no_txn() {
    let mut bench = Bench::start(Files::new(), Config::default());
    bench.connect();
    let zxid = bench.server.zxid_applied();
    let mut body = 1i32.to_be_bytes().to_vec();
    body.extend(13i32.to_be_bytes());
    body.extend([0, 0, 0, 1, b'/', 0, 0, 0, 0]);
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend(body);
    bench.send_on(ConnId(1), &frame);
    assert_eq!(bench.server.zxid_applied(), zxid);
    assert!(bench.closed, "as in Java");
}

/// What a quota says it has counted is a znode that anybody may write.
#[test]
fn figures_of_a_quota_beyond_all_numbers_are_borne() {
    let mut bench = Bench::start(Files::new(), Config { enforce_quota: true, ..Config::default() });
    bench.connect();
    for path in ["/a", "/zookeeper/quota/a", "/zookeeper/quota/a/zookeeper_limits"] {
        bench.ask(&create(path.to_owned(), 0));
    }
    bench.ask(&create("/zookeeper/quota/a/zookeeper_stats".to_owned(), 0));
    let set = |path: &str, data: &'static [u8]| {
        let path = Some(format!("/zookeeper/quota/a/{path}").into());
        Request::SetData { path, data: Some(data), version: -1 }
    };
    let limits = b"count=1,bytes=1,countHardLimit=9223372036854775807,byteHardLimit=9";
    bench.ask(&set("zookeeper_limits", limits));
    bench.ask(&set("zookeeper_stats", b"count=9223372036854775807,bytes=-9223372036854775808"));
    assert_eq!(bench.try_ask(&create("/a/b".to_owned(), 0)), 0);
}
