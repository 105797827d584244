//! Logs that lack what a leader's tree brought. Java keeps them beside that tree, and so does a server that lost power
//! before it could remove them.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::*;
use zoetrope_core::*;

/// `(epoch, counter)`.
fn at(epoch: i64, counter: i64) -> Zxid {
    Zxid(epoch << 32 | counter)
}

/// A log with a znode by each of these txns.
fn log(zxids: &[Zxid]) -> Vec<u8> {
    let mut bytes = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
    for zxid in zxids {
        let header = TxnHeader { session: SessionId(77), cxid: Xid(1), zxid: *zxid, time_ms: 1 };
        let mut payload = Vec::new();
        encode_txn(&header, &znode(&format!("/{}", zxid.0), -1), None, &mut payload);
        bytes.extend(u64::from(simd_adler32::adler32(&&payload[..])).to_be_bytes());
        bytes.extend((payload.len() as u32).to_be_bytes());
        bytes.extend(payload);
        bytes.push(b'B');
    }
    bytes
}

/// Five txns of epoch 1. What was committed behind them came in the tree at `(3,0)`.
fn directory() -> Files {
    let mut bench = Bench::start(Files::new(), Config::default());
    bench.connect();
    let empty = bench.files.remove("snapshot.0").unwrap();
    let first: Vec<Zxid> = (1..=5).map(|counter| at(1, counter)).collect();
    let files = [
        ("snapshot.0", empty.clone()),
        ("log.100000001", log(&first)),
        ("snapshot.300000000", empty),
        ("log.300000001", log(&[at(3, 1), at(3, 2)])),
    ];
    files.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}

#[test]
fn a_damaged_tree_is_not_skipped_over_a_hole() {
    let whole = Bench::start(directory(), config());
    assert_eq!((whole.halted, whole.server.zxid_applied()), (None, at(3, 2)));
    let mut files = directory();
    files.get_mut("snapshot.300000000").unwrap()[60] ^= 1;
    let refused = Bench::start(files, config()).halted.expect("what lies between is missing");
    assert!(refused.contains("snapshot.300000000, which cannot be read"), "{refused}");
}

#[test]
fn a_learner_is_not_brought_level_over_a_hole() {
    let mut bench = Bench::start(directory(), config());
    elected(&mut bench, at(3, 2));
    let first = come(&mut bench, ChanId(20));
    let beyond =
        |(kind, zxid): &(PacketKind, Zxid)| *kind == PacketKind::Proposal && *zxid > at(1, 5);
    assert!(!first.iter().any(beyond), "{first:?}");
    assert!(bench.given_up.contains(&ChanId(20)));
    let again = come(&mut bench, ChanId(21));
    assert_eq!(again[..2], [(PacketKind::LeaderInfo, at(4, 0)), (PacketKind::Snap, at(3, 2))]);
}

/// A log that ends before memory begins is followed by another one.
#[test]
fn a_learner_is_brought_level_from_several_logs() {
    let mut files = directory();
    let tree = files.remove("snapshot.300000000").unwrap();
    files.remove("log.300000001");
    files.insert("snapshot.100000008".to_owned(), tree);
    for counters in [6..=8, 9..=10] {
        let zxids: Vec<Zxid> = counters.map(|counter| at(1, counter)).collect();
        files.insert(format!("log.{:x}", zxids[0].0), log(&zxids));
    }
    let mut bench = Bench::start(files, config());
    elected(&mut bench, at(1, 10));
    let told = come(&mut bench, ChanId(20));
    let txn =
        |counter| [PacketKind::Proposal, PacketKind::Commit].map(|kind| (kind, at(1, counter)));
    let mut expected = vec![(PacketKind::LeaderInfo, at(4, 0)), (PacketKind::Diff, at(1, 10))];
    expected.extend((5..=10).flat_map(txn));
    expected.push((PacketKind::NewLeader, at(4, 0)));
    assert_eq!(told, expected);
}

/// Server 3 finds that this one, whose history ends there, shall lead.
fn elected(bench: &mut Bench, zxid: Zxid) {
    let (sid, link) = (Some(Sid(3)), Link::Election);
    bench.tell(&Input::PeerUp { sid, chan: VOTES, link, addr: addr() });
    let (state, leader, round, epoch) = (PeerState::Looking, Sid(1), 1, zxid.0 >> 32);
    let (version, config) = (2, None);
    let vote = Notification { state, leader, zxid, round, epoch, version, config };
    let mut bytes = Vec::new();
    encode_notification(&vote, &mut bytes);
    bench.tell(&Input::PeerFrames { chan: VOTES, bytes: &bytes });
}

/// Server 3 comes, whose history ends in epoch 1. Kind and zxid of what it is sent.
fn come(bench: &mut Bench, chan: ChanId) -> Vec<(PacketKind, Zxid)> {
    bench.tell(&Input::PeerUp { sid: None, chan, link: Link::Quorum, addr: addr() });
    let mut bytes = Vec::new();
    let (protocol_version, config_version) = (QUORUM_PROTOCOL, 0);
    LearnerInfo { sid: Sid(3), protocol_version, config_version }.encode(&mut bytes);
    let mut current = Vec::new();
    encode_ack_epoch(Some(Epoch(1)), &mut current);
    let mut packets = Vec::new();
    encode_packet(PacketKind::FollowerInfo, at(3, 0), Some(&bytes), &mut packets);
    bench.tell(&Input::PeerFrames { chan, bytes: &packets });
    packets.clear();
    encode_packet(PacketKind::AckEpoch, at(1, 4), Some(&current), &mut packets);
    bench.tell(&Input::PeerFrames { chan, bytes: &packets });
    let (sent, mut all, mut from) = (bench.sent_on(chan), Vec::new(), 0);
    while let Ok(Some((packet, len))) = decode_packet(&sent[from..], 1 << 20) {
        all.push((packet.kind, packet.zxid));
        from += len;
    }
    all
}
