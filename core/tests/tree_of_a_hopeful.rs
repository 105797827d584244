//! A tree from a leader that no quorum has followed yet: it may hold what never comes to be committed. And one from a
//! leader of an epoch in which nothing was proposed before: whatever comes behind it, the tree itself is committed.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::*;
use zoetrope_core::*;

/// A tree of nothing but its root, as a leader sends it.
fn tree() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut w = Writer::new(&mut bytes);
    w.long(0);
    w.string("");
    w.string("");
    w.long(-1);
    w.raw(&[0; 60]);
    w.string("/");
    w.string("BenWasHere");
    bytes
}

/// Server 2 was elected again, and offers an epoch.
fn offered(bench: &mut Bench, epoch: u32) {
    for (chan, state) in [(VOTES, PeerState::Leading), (ChanId(9), PeerState::Following)] {
        let (zxid, round, epoch) = (zxid(2), i64::from(epoch), i64::from(epoch));
        let (leader, version, config) = (LEADER, 2, None);
        let vote = Notification { state, leader, zxid, round, epoch, version, config };
        let mut bytes = Vec::new();
        encode_notification(&vote, &mut bytes);
        bench.tell(&Input::PeerFrames { chan, bytes: &bytes });
    }
    let (sid, link) = (Some(LEADER), Link::Quorum);
    bench.tell(&Input::PeerUp { sid, chan: STREAM, link, addr: addr() });
    let mut version = Vec::new();
    encode_leader_info(&mut version);
    packet(bench, PacketKind::LeaderInfo, Zxid::of_epoch(Epoch(epoch)), Some(&version));
}

/// It was level with a leader, and then took the tree of one that did not make it.
fn given_up_by_a_hopeful() -> Bench {
    let mut bench = Bench::start(Files::new(), Config { read_only_mode: true, ..config() });
    lead(&mut bench);
    for (counter, path) in [(1, "/a"), (2, "/b")] {
        propose(&mut bench, counter, &znode(path, counter as i32));
        packet(&mut bench, PacketKind::Commit, zxid(counter), None);
    }
    bench.tell(&Input::PeerDown { chan: STREAM });
    offered(&mut bench, 2);
    packet(&mut bench, PacketKind::Snap, zxid(9), None);
    bench.tell(&Input::PeerFrames { chan: STREAM, bytes: &tree() });
    let taken = Milestone::SnapshotTaken { zxid: zxid(9), bytes: 0 };
    let is_it = |one: &Milestone| std::mem::discriminant(one) == std::mem::discriminant(&taken);
    assert!(bench.milestones.iter().any(is_it));
    bench.tell(&Input::PeerDown { chan: STREAM });
    bench
}

#[test]
fn nobody_is_shown_it() {
    let mut bench = given_up_by_a_hopeful();
    for _ in 0..20 {
        bench.ring_after(500, Timer::Election);
    }
    let shown = |one: &Milestone| matches!(one, Milestone::ServingReadOnly { .. });
    assert!(!bench.milestones.iter().any(shown));
}

#[test]
fn it_is_given_up_when_a_leader_says_so() {
    let mut bench = given_up_by_a_hopeful();
    offered(&mut bench, 3);
    packet(&mut bench, PacketKind::Trunc, zxid(2), None);
    let cut = Milestone::SyncBegun { kind: PacketKind::Trunc.number(), zxid: zxid(2) };
    assert!(bench.milestones.contains(&cut));
}

#[test]
fn a_tree_is_on_its_way_until_it_is_on_the_disk() {
    let mut bench = Bench::start(Files::new(), config());
    lead(&mut bench);
    assert!(!bench.server.takes_tree(), "it lacked nothing");
    bench.tell(&Input::PeerDown { chan: STREAM });
    offered(&mut bench, 2);
    assert!(!bench.server.takes_tree());
    packet(&mut bench, PacketKind::Snap, zxid(9), None);
    assert!(bench.server.takes_tree(), "it is announced");
    bench.slow_snapshot = true;
    bench.tell(&Input::PeerFrames { chan: STREAM, bytes: &tree() });
    assert!(bench.server.takes_tree(), "it is being written");
    while bench.write_slice() {}
    assert!(!bench.server.takes_tree());
}

/// S19: the leader of the next epoch names what both have by the last txn before the tree's epoch, which this server holds
/// as that tree only.
#[test]
fn a_young_tree_stays_when_what_came_behind_it_is_cut_off() {
    let young = Zxid::of_epoch(Epoch(3));
    let mut bench = Bench::start(Files::new(), config());
    lead(&mut bench);
    bench.tell(&Input::PeerDown { chan: STREAM });
    offered(&mut bench, 3);
    packet(&mut bench, PacketKind::Snap, young, None);
    bench.tell(&Input::PeerFrames { chan: STREAM, bytes: &tree() });
    packet(&mut bench, PacketKind::NewLeader, young, None);
    packet(&mut bench, PacketKind::UpToDate, young, None);
    assert_eq!(bench.server.phase(), Phase::Following);
    let (session, cxid, zxid) = (SessionId(77), Xid(1), Zxid(young.0 + 1));
    let header = TxnHeader { session, cxid, zxid, time_ms: 1 };
    let mut bytes = Vec::new();
    encode_txn(&header, &znode("/a", 1), None, &mut bytes);
    packet(&mut bench, PacketKind::Proposal, zxid, Some(&bytes));
    assert!(bench.files.contains_key("log.300000001"));
    bench.tell(&Input::PeerDown { chan: STREAM });

    offered(&mut bench, 4);
    packet(&mut bench, PacketKind::Trunc, self::zxid(7), None);
    let ends = bench.milestones.iter().rev().find_map(|milestone| match milestone {
        Milestone::Recovered { zxid, .. } => Some(*zxid),
        _ => None,
    });
    assert_eq!(ends, Some(young));
    assert!(bench.files.contains_key("snapshot.300000000"), "{:?}", bench.files.keys());
    assert_eq!(bench.server.phase(), Phase::Looking, "it asks again, and says where it ends now");
}
