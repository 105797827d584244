//! A follower loses its leader for a moment, and comes back with proposals that are not committed yet.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::*;
use zoetrope_core::*;

fn say(bench: &mut Bench, chan: ChanId, kind: PacketKind, zxid: Zxid, data: &[u8]) {
    let mut bytes = Vec::new();
    encode_packet(kind, zxid, Some(data), &mut bytes);
    bench.tell(&Input::PeerFrames { chan, bytes: &bytes });
}

/// A follower introduces itself.
fn come(bench: &mut Bench, sid: i64, chan: ChanId, accepted: Zxid) {
    bench.tell(&Input::PeerUp { sid: None, chan, link: Link::Quorum, addr: addr() });
    let mut info = Vec::new();
    let (sid, protocol_version, config_version) = (Sid(sid), QUORUM_PROTOCOL, 0);
    LearnerInfo { sid, protocol_version, config_version }.encode(&mut info);
    say(bench, chan, PacketKind::FollowerInfo, accepted, &info);
}

/// Its history ends there.
fn accept(bench: &mut Bench, chan: ChanId, current: Option<Epoch>, last: Zxid) {
    let mut data = Vec::new();
    encode_ack_epoch(current, &mut data);
    say(bench, chan, PacketKind::AckEpoch, last, &data);
}

/// Server 1 leads so many, and the first half of the others follow. A client's session is proposed, nobody has it yet.
fn leader(servers: i64) -> Bench {
    let mut config = config();
    let ensemble = config.ensemble.as_mut().unwrap();
    for sid in 1..=servers {
        let member = Member { addresses: Vec::new(), observer: false, client: None };
        ensemble.members.insert(Sid(sid), member);
    }
    let mut bench = Bench::start(Files::new(), config);
    let followers = 2..2 + servers / 2;
    for sid in followers.clone() {
        let chan = ChanId(sid as u64);
        let (link, sid) = (Link::Election, Some(Sid(sid)));
        bench.tell(&Input::PeerUp { sid, chan, link, addr: addr() });
        vote(&mut bench, chan, Sid(1));
    }
    for sid in followers.clone() {
        come(&mut bench, sid, ChanId(10 + sid as u64), Zxid::ZERO);
    }
    for sid in followers.clone() {
        accept(&mut bench, ChanId(10 + sid as u64), Some(Epoch(0)), Zxid::ZERO);
    }
    for sid in followers {
        say(&mut bench, ChanId(10 + sid as u64), PacketKind::Ack, zxid(0), &[]);
    }
    assert_eq!(bench.server.phase(), Phase::Leading);
    assert_eq!(bench.greet(ConnId(1), &NEWCOMER), None);
    assert_eq!(bench.server.zxid_applied(), Zxid::ZERO);
    bench
}

/// Server 2 comes back; it had logged the proposal, and its acknowledgement was lost.
fn back(bench: &mut Bench) -> ChanId {
    let again = ChanId(20);
    bench.tell(&Input::PeerDown { chan: ChanId(12) });
    come(bench, 2, again, zxid(0));
    accept(bench, again, None, zxid(1));
    say(bench, again, PacketKind::Ack, zxid(0), &[]);
    again
}

fn kinds(bench: &Bench, chan: ChanId) -> Vec<PacketKind> {
    let (sent, mut all, mut at) = (bench.sent_on(chan), Vec::new(), 0);
    while let Ok(Some((packet, len))) = decode_packet(&sent[at..], 1 << 20) {
        all.push(packet.kind);
        at += len;
    }
    all
}

#[test]
fn what_it_has_counts_when_it_has_said_that_it_is_on_its_disk() {
    let mut bench = leader(3);
    let again = back(&mut bench);
    assert_eq!(bench.server.zxid_applied(), zxid(1), "it is on two disks of three");
    assert!(kinds(&bench, again).contains(&PacketKind::UpToDate));
}

#[test]
fn what_it_said_on_another_link_counts_no_more() {
    let mut bench = leader(5);
    say(&mut bench, ChanId(12), PacketKind::Ack, zxid(1), &[]);
    // Nobody has noticed that the link is dead.
    let again = ChanId(20);
    come(&mut bench, 2, again, zxid(0));
    accept(&mut bench, again, None, zxid(1));
    assert!(bench.given_up.contains(&ChanId(12)));
    say(&mut bench, ChanId(13), PacketKind::Ack, zxid(1), &[]);
    assert_eq!(bench.server.zxid_applied(), Zxid::ZERO, "it is on two disks of five");
    say(&mut bench, again, PacketKind::Ack, zxid(0), &[]);
    assert_eq!(bench.server.zxid_applied(), zxid(1), "now it is on three");
}

#[test]
fn it_is_not_told_that_all_it_has_is_committed() {
    let mut bench = leader(5);
    let again = back(&mut bench);
    assert_eq!(bench.server.zxid_applied(), Zxid::ZERO, "it is on two disks of five");
    assert!(!kinds(&bench, again).contains(&PacketKind::UpToDate));
    say(&mut bench, ChanId(13), PacketKind::Ack, zxid(1), &[]);
    assert_eq!(bench.server.zxid_applied(), zxid(1));
    assert!(kinds(&bench, again).contains(&PacketKind::UpToDate));
}
