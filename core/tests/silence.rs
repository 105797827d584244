//! Servers that say nothing, and how often this one speaks.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::*;
use zoetrope_core::*;

fn pings(bench: &Bench) -> usize {
    let (sent, mut at, mut found) = (bench.sent_on(STREAM), 0, 0);
    while let Ok(Some((packet, len))) = decode_packet(&sent[at..], 1 << 20) {
        found += usize::from(packet.kind == PacketKind::Ping);
        at += len;
    }
    found
}

/// A follower goes when it hears nothing for syncLimit, and its clients' sessions live by its answers.
#[test]
fn a_leader_pings_every_half_tick() {
    let mut bench = Bench::start(Files::new(), config());
    follow(&mut bench);
    bench.ring_after(250, Timer::Peers);
    let before = pings(&bench);
    for more in 1..=8 {
        packet(&mut bench, PacketKind::Ping, zxid(0), Some(&[]));
        bench.ring_after(250, Timer::Peers);
        assert_eq!(pings(&bench), before + more);
    }
}

/// Whoever finds the quorum port may open as many links as he likes.
#[test]
fn a_link_whose_other_end_does_not_say_who_it_is_is_given_up() {
    let mut bench = Bench::start(Files::new(), config());
    follow(&mut bench);
    let (chan, link) = (ChanId(30), Link::Quorum);
    bench.tell(&Input::PeerUp { sid: None, chan, link, addr: addr() });
    for _ in 0..40 {
        packet(&mut bench, PacketKind::Ping, zxid(0), Some(&[]));
        bench.ring_after(250, Timer::Peers);
    }
    assert!(bench.given_up.is_empty(), "it has ten seconds");
    bench.ring_after(250, Timer::Peers);
    assert!(bench.given_up.contains(&chan) && !bench.given_up.contains(&STREAM));
    assert_eq!(bench.server.phase(), Phase::Leading);
}

/// A leader that was elected may need a while until it opens its door, and has all its time to speak from then on.
#[test]
fn a_leaders_silence_begins_when_the_link_to_it_is_up() {
    let mut bench = Bench::start(Files::new(), config());
    elect(&mut bench);
    bench.ring_after(4_000, Timer::Peers);
    let (sid, link) = (Some(LEADER), Link::Quorum);
    bench.tell(&Input::PeerUp { sid, chan: STREAM, link, addr: addr() });
    bench.ring_after(5_000, Timer::Peers);
    assert!(!bench.given_up.contains(&STREAM), "it has initLimit");
    bench.ring_after(1, Timer::Peers);
    assert!(bench.given_up.contains(&STREAM));
}

#[test]
fn a_leader_is_not_asked_for_a_second_link_while_the_first_is_under_way() {
    let mut bench = Bench::start(Files::new(), config());
    elect(&mut bench);
    let link = Link::Quorum;
    bench.asked_for.clear();
    bench.tell(&Input::Unreachable { sid: LEADER, link });
    for _ in 0..3 {
        bench.ring_after(50, Timer::Peers);
    }
    assert_eq!(bench.asked_for, [(LEADER, link)]);
}
