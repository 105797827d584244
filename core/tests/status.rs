//! What a server says of itself, and of whom it waits for.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::*;
use zoetrope_core::*;

/// The link of server 2, which follows like server 3.
const SECOND: ChanId = ChanId(20);
const CONN: ConnId = ConnId(1);

fn create(path: &str) -> Request<'_> {
    let world =
        AclSpec { perms: Perms::ALL, scheme: Some("world".into()), id: Some("anyone".into()) };
    Request::Create(Create {
        op: OpCode::Create,
        path: Some(path.into()),
        data: Some(&[7; 100]),
        acl: vec![world],
        flags: 2,
        ttl_ms: -1,
    })
}

#[test]
fn requests_are_outstanding_until_they_are_answered() {
    let mut bench = Bench::start(Files::new(), Config::default());
    bench.connect();
    bench.slow_log = true;
    assert_eq!(bench.ask_all(&[create("/a"), create("/b")]), []);
    assert_eq!(bench.server.status().outstanding, 2);
    bench.sync_log();
    assert_eq!(bench.server.status().outstanding, 0);
    assert_eq!(bench.server.status().commit_count, 3, "with the session");
}

#[test]
fn every_128th_zxid_has_its_digest() {
    let mut bench = Bench::start(Files::new(), Config::default());
    bench.connect();
    while bench.server.status().zxid_applied < Zxid(256) {
        bench.ask(&create("/a"));
    }
    let all: Vec<(Zxid, u64)> = bench.server.digests().collect();
    assert_eq!(all.iter().map(|(zxid, _)| *zxid).collect::<Vec<_>>(), [Zxid(128), Zxid(256)]);
    assert_eq!(all[1].1, bench.server.status().digest);
    assert_ne!(all[0].1, all[1].1);
}

#[test]
fn large_requests_that_are_rejected_are_counted() {
    let mut config = Config::default();
    config.limits.large_request_threshold = Some(100);
    config.limits.large_request_max_bytes = 100;
    let mut bench = Bench::start(Files::new(), config);
    bench.connect();
    assert_eq!(bench.server.peer(CONN), Some((addr(), 1)));
    bench.closed = false;
    assert_eq!(bench.ask_all(&[create("/a")]), []);
    assert!(bench.closed);
    assert_eq!(bench.server.status().large_requests_rejected, 1);
    assert_eq!(bench.server.peer(ConnId(2)), None);
}

fn say(bench: &mut Bench, kind: PacketKind, zxid: Zxid, data: Option<&[u8]>) {
    let mut bytes = Vec::new();
    encode_packet(kind, zxid, data, &mut bytes);
    bench.tell(&Input::PeerFrames { chan: SECOND, bytes: &bytes });
}

/// This server leads, and both others follow.
fn lead_both() -> Bench {
    let mut bench = Bench::start(Files::new(), config());
    follow(&mut bench);
    let link = Link::Quorum;
    bench.tell(&Input::PeerUp { sid: None, chan: SECOND, link, addr: addr() });
    let (protocol_version, config_version) = (QUORUM_PROTOCOL, 0);
    let mut info = Vec::new();
    LearnerInfo { sid: Sid(2), protocol_version, config_version }.encode(&mut info);
    say(&mut bench, PacketKind::FollowerInfo, Zxid::ZERO, Some(&info));
    let mut current = Vec::new();
    encode_ack_epoch(Some(Epoch(0)), &mut current);
    say(&mut bench, PacketKind::AckEpoch, Zxid::ZERO, Some(&current));
    say(&mut bench, PacketKind::Ack, zxid(0), None);
    for sid in [Sid(3), Sid(2)] {
        assert!(bench.milestones.contains(&Milestone::LearnerServes { sid }), "{sid:?}");
    }
    bench
}

/// Whoever has the highest id may be the slowest.
#[test]
fn two_of_three_commit_whoever_they_are() {
    let mut bench = lead_both();
    assert_eq!(bench.greet(CONN, &NEWCOMER), None, "nobody else has it");
    say(&mut bench, PacketKind::Ack, zxid(1), None);
    assert_eq!(bench.server.status().zxid_applied, zxid(1));
}

#[test]
fn a_follower_whose_disk_stands_still_is_given_up() {
    let mut bench = lead_both();
    bench.greet(CONN, &NEWCOMER);
    say(&mut bench, PacketKind::Ack, zxid(1), None);
    // Both live, which is what pings say.
    for _ in 0..12 {
        bench.ring_after(250, Timer::Peers);
        packet(&mut bench, PacketKind::Ping, zxid(1), Some(&[]));
        say(&mut bench, PacketKind::Ping, zxid(1), Some(&[]));
    }
    assert!(bench.given_up.contains(&STREAM) && !bench.given_up.contains(&SECOND));
    assert_eq!(bench.server.phase(), Phase::Leading);
}
