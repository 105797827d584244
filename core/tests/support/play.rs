//! The test plays the other servers of an ensemble of three.

use super::Bench;
use std::net::IpAddr;
use zoetrope_core::wire::*;
use zoetrope_core::*;

pub(crate) const LEADER: Sid = Sid(2);
pub(crate) const VOTES: ChanId = ChanId(1);
pub(crate) const STREAM: ChanId = ChanId(2);

/// A client without a session asks for one.
pub(crate) const NEWCOMER: ConnectRequest<'static> = ConnectRequest {
    last_zxid_seen: Zxid::ZERO,
    timeout_ms: 10_000,
    session: SessionId::NONE,
    password: &[0; 16],
    read_only: None,
};

/// The settings of server 1.
pub(crate) fn config() -> Config {
    let mut ensemble = Ensemble::default();
    for sid in [Sid(1), LEADER, Sid(3)] {
        let member = Member { addresses: Vec::new(), observer: false, client: None };
        ensemble.members.insert(sid, member);
    }
    Config { ensemble: Some(ensemble), tick_ms: 500, ..Config::default() }
}

pub(crate) fn addr() -> IpAddr {
    "127.0.0.1".parse().unwrap()
}

/// Server 2 says that it leads, and server 3 that it follows.
pub(crate) fn elect(bench: &mut Bench) {
    for (sid, chan, state) in
        [(LEADER, VOTES, PeerState::Leading), (Sid(3), ChanId(9), PeerState::Following)]
    {
        let (sid, link) = (Some(sid), Link::Election);
        bench.tell(&Input::PeerUp { sid, chan, link, addr: addr() });
        let vote = Notification {
            state,
            leader: LEADER,
            zxid: Zxid::ZERO,
            round: 1,
            epoch: 1,
            version: 2,
            config: None,
        };
        let mut bytes = Vec::new();
        encode_notification(&vote, &mut bytes);
        bench.tell(&Input::PeerFrames { chan, bytes: &bytes });
    }
}

pub(crate) fn packet(bench: &mut Bench, kind: PacketKind, zxid: Zxid, data: Option<&[u8]>) {
    let mut bytes = Vec::new();
    encode_packet(kind, zxid, data, &mut bytes);
    bench.tell(&Input::PeerFrames { chan: STREAM, bytes: &bytes });
}

pub(crate) fn zxid(counter: i64) -> Zxid {
    Zxid(1 << 32 | counter)
}

pub(crate) fn propose(bench: &mut Bench, counter: i64, txn: &Txn) {
    propose_for(bench, (SessionId(77), Xid(counter as i32)), counter, txn);
}

/// A txn that a session asked for, with its number for it.
pub(crate) fn propose_for(
    bench: &mut Bench,
    (session, cxid): (SessionId, Xid),
    counter: i64,
    txn: &Txn,
) {
    let header = TxnHeader { session, cxid, zxid: zxid(counter), time_ms: 1 };
    let mut bytes = Vec::new();
    encode_txn(&header, txn, None, &mut bytes);
    packet(bench, PacketKind::Proposal, zxid(counter), Some(&bytes));
}

pub(crate) fn znode(path: &str, parent_cversion: i32) -> Txn {
    Txn::Create {
        path: path.into(),
        data: Some((*b"x").into()),
        acl: vec![Acl { perms: Perms::ALL, scheme: "world".into(), id: "anyone".into() }].into(),
        kind: CreateKind::Plain { ephemeral: false, with_stat: false },
        parent_cversion,
    }
}

/// The link to server 2 is up, which leads epoch 1.
pub(crate) fn offered(bench: &mut Bench) {
    let (sid, link) = (Some(LEADER), Link::Quorum);
    bench.tell(&Input::PeerUp { sid, chan: STREAM, link, addr: addr() });
    let mut version = Vec::new();
    encode_leader_info(&mut version);
    packet(bench, PacketKind::LeaderInfo, zxid(0), Some(&version));
}

/// The same, and it has nothing that this one lacks.
pub(crate) fn greeted(bench: &mut Bench) {
    offered(bench);
    packet(bench, PacketKind::Diff, Zxid::ZERO, None);
}

/// Server 2 leads, and this one follows.
pub(crate) fn lead(bench: &mut Bench) {
    elect(bench);
    greeted(bench);
    packet(bench, PacketKind::NewLeader, zxid(0), None);
    packet(bench, PacketKind::UpToDate, zxid(0), None);
    assert_eq!(bench.server.phase(), Phase::Following);
}

/// A vote of a server that is looking, in the first round.
pub(crate) fn vote(bench: &mut Bench, chan: ChanId, leader: Sid) {
    vote_in(bench, chan, leader, 1);
}

/// A vote of a server that is looking.
pub(crate) fn vote_in(bench: &mut Bench, chan: ChanId, leader: Sid, round: i64) {
    let state = PeerState::Looking;
    let (zxid, epoch, version, config) = (Zxid::ZERO, 0, 2, None);
    let vote = Notification { state, leader, zxid, round, epoch, version, config };
    let mut bytes = Vec::new();
    encode_notification(&vote, &mut bytes);
    bench.tell(&Input::PeerFrames { chan, bytes: &bytes });
}

/// This server leads, and server 3 follows.
pub(crate) fn follow(bench: &mut Bench) {
    let (sid, link) = (Some(Sid(3)), Link::Election);
    bench.tell(&Input::PeerUp { sid, chan: VOTES, link, addr: addr() });
    vote(bench, VOTES, Sid(1));
    let link = Link::Quorum;
    bench.tell(&Input::PeerUp { sid: None, chan: STREAM, link, addr: addr() });
    let mut info = Vec::new();
    let (protocol_version, config_version) = (QUORUM_PROTOCOL, 0);
    LearnerInfo { sid: Sid(3), protocol_version, config_version }.encode(&mut info);
    packet(bench, PacketKind::FollowerInfo, Zxid::ZERO, Some(&info));
    let mut current = Vec::new();
    encode_ack_epoch(Some(Epoch(0)), &mut current);
    packet(bench, PacketKind::AckEpoch, Zxid::ZERO, Some(&current));
    packet(bench, PacketKind::Ack, zxid(0), None);
    assert_eq!(bench.server.phase(), Phase::Leading);
}
