//! Servers that say what no server says. This one may leave them; it must not fall, and it must start again.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::{
    AclSpec, ConnectRequest, Create, ErrorCode, OpCode, PacketKind, Perms, Request, Txn, TxnHeader,
    encode_packet, encode_txn,
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
