//! A disk that was full, and is not any more.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::*;
use zoetrope_core::*;

fn count(bench: &Bench, milestone: Milestone) -> usize {
    bench.milestones.iter().filter(|one| **one == milestone).count()
}

/// A leader whose disk is full hands over. One whose disk was full once must not do so for ever.
#[test]
fn a_leader_that_has_found_room_goes_on_leading() {
    let mut bench = Bench::start(Files::new(), config());
    follow(&mut bench);
    // The first write takes the log that was prepared, and the next one finds no room.
    bench.full = true;
    assert_eq!(bench.greet(ConnId(1), &NEWCOMER), None);
    packet(&mut bench, PacketKind::Ack, zxid(1), None);
    for _ in 0..3 {
        bench.ring_after(1000, Timer::Room);
        packet(&mut bench, PacketKind::Ping, zxid(1), Some(&[]));
    }
    assert_eq!(count(&bench, Milestone::RoomLost), 1, "it is lost once");
    assert_eq!(count(&bench, Milestone::RoomFound), 0);
    bench.full = false;
    bench.ring_after(1000, Timer::Room);
    assert_eq!(count(&bench, Milestone::RoomFound), 1);
    for _ in 0..100 {
        packet(&mut bench, PacketKind::Ping, zxid(1), Some(&[]));
        bench.ring_after(250, Timer::Peers);
    }
    assert_eq!(bench.server.phase(), Phase::Leading);
}
