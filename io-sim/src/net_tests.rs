//! The network alone: a tiny world of two or three hosts that only write down what they are told.

use super::*;
use crate::schedule::{Class, Schedule};

struct Stub {
    net: Net,
    now: u64,
    schedule: Schedule<NetEvent>,
    told: Vec<(usize, Told)>,
}

impl Stub {
    fn new(seed: u64, hosts: usize) -> Self {
        let mut net = Net::new(Rng::new(seed, "peers"));
        (0..hosts).for_each(|host| net.host_up(host));
        Self { net, now: 0, schedule: Schedule::new(), told: Vec::new() }
    }

    fn plan(&mut self, plans: Vec<Plan>) {
        for plan in plans {
            self.schedule.plan(plan.at, Class::Fact, plan.event);
        }
    }

    /// Lets everything happen that is planned until then.
    fn run(&mut self, ms: u64) {
        let until = self.now + ms * 1000;
        while let Some((at, class, event)) = self.schedule.next() {
            if at > until {
                self.schedule.plan(at, class, event);
                break;
            }
            self.now = self.now.max(at);
            let out = self.net.happen(self.now, &event);
            self.told.extend(out.told);
            self.plan(out.plans);
        }
        self.now = until;
    }

    fn connect(&mut self, from: usize, to: usize, link: Link) -> (ChanId, ChanId) {
        let plans = self.net.connect(self.now, from, to, link);
        self.plan(plans);
        self.run(20);
        let up = |host: usize, told: &[(usize, Told)]| {
            let ups = told.iter().rev().filter_map(|(h, told)| match told {
                Told::Up { chan, .. } if *h == host => Some(*chan),
                _ => None,
            });
            ups.max_by_key(|chan| chan.0).expect("the link is up")
        };
        (up(from, &self.told), up(to, &self.told))
    }

    fn send(&mut self, chan: ChanId, bytes: &[u8]) {
        let plans = self.net.send(self.now, chan, bytes);
        self.plan(plans);
    }

    fn heard(&self, host: usize) -> Vec<u8> {
        let bytes = self.told.iter().filter_map(|(h, told)| match told {
            Told::Bytes { bytes, .. } if *h == host => Some(bytes.clone()),
            _ => None,
        });
        bytes.flatten().collect()
    }

    fn downs(&self, host: usize) -> usize {
        let down = |(h, told): &&(usize, Told)| *h == host && matches!(told, Told::Down { .. });
        self.told.iter().filter(down).count()
    }
}

#[test]
fn bytes_arrive_in_order_and_are_credited() {
    for seed in 0..50 {
        let mut stub = Stub::new(seed, 2);
        let (a, _) = stub.connect(0, 1, Link::Quorum);
        let all: Vec<u8> = (0..200).collect();
        for part in all.chunks(7) {
            stub.send(a, part);
        }
        stub.run(100);
        assert_eq!(stub.heard(1), all);
        let credit = stub.told.iter().filter_map(|(h, told)| match told {
            Told::Sent { upto, .. } if *h == 0 => Some(*upto),
            _ => None,
        });
        assert_eq!(credit.max(), Some(200));
    }
}

#[test]
fn election_frames_stay_whole() {
    let mut stub = Stub::new(1, 2);
    let (a, _) = stub.connect(0, 1, Link::Election);
    stub.send(a, &[0, 0, 0, 1, 7, 0, 0, 0, 2, 8, 9]);
    stub.run(10);
    let whole =
        |(_, told): &&(usize, Told)| matches!(told, Told::Bytes { bytes, .. } if bytes.len() == 5);
    assert_eq!(stub.told.iter().filter(whole).count(), 1);
    assert_eq!(stub.heard(1).len(), 11);
}

#[test]
fn what_a_partition_holds_up_arrives_when_it_heals() {
    let mut stub = Stub::new(2, 2);
    let (a, b) = stub.connect(0, 1, Link::Quorum);
    stub.net.cut(0, 1);
    stub.send(a, b"held");
    stub.send(b, b"free");
    stub.run(100);
    assert_eq!((stub.heard(1), stub.heard(0)), (Vec::new(), b"free".to_vec()));
    let plans = stub.net.disconnect(stub.now, a);
    stub.plan(plans);
    stub.run(100);
    assert_eq!(stub.downs(1), 0, "nobody can have told it");
    let plans = stub.net.heal(stub.now);
    stub.plan(plans);
    stub.run(100);
    assert_eq!(stub.heard(1), b"held");
    assert_eq!(stub.downs(1), 1);
}

#[test]
fn a_black_hole_and_a_dead_host_are_unreachable_in_time() {
    for seed in 0..20 {
        let mut stub = Stub::new(seed, 2);
        stub.net.cut(1, 0);
        let plans = stub.net.connect(0, 0, 1, Link::Election);
        stub.plan(plans);
        stub.run(6_000);
        let expected = (0, Told::Unreachable { other: 1, link: Link::Election });
        assert_eq!(stub.told, std::slice::from_ref(&expected));
        stub.net.heal(stub.now);
        let plans = stub.net.host_down(stub.now, 1, Death::Told);
        stub.plan(plans);
        let plans = stub.net.connect(stub.now, 0, 1, Link::Election);
        stub.plan(plans);
        stub.run(6_000);
        assert_eq!(stub.told, [expected.clone(), expected]);
    }
}

#[test]
fn a_newer_election_link_replaces_the_older_one_at_both_ends() {
    let mut stub = Stub::new(3, 2);
    let plans = [(0, 1), (1, 0)].map(|(from, to)| stub.net.connect(0, from, to, Link::Election));
    plans.into_iter().for_each(|plans| stub.plan(plans));
    stub.run(100);
    let last_up = |host: usize| {
        let mut up = None;
        for (_, told) in stub.told.iter().filter(|(h, _)| *h == host) {
            match told {
                Told::Up { chan, far, .. } => up = Some((*chan, *far)),
                Told::Down { chan } if up.is_some_and(|(c, _)| c == *chan) => up = None,
                _ => {}
            }
        }
        up.expect("one link is left")
    };
    let ((a, far_a), (b, far_b)) = (last_up(0), last_up(1));
    assert_eq!((far_a, far_b), (b, a), "both keep the same link");
    // And nobody opens another one while it is there.
    assert!(stub.net.connect(stub.now, 0, 1, Link::Election).is_empty());
}

#[test]
fn crossing_links_leave_one_whatever_the_order() {
    for seed in 0..200 {
        let mut stub = Stub::new(seed, 2);
        for (from, to) in [(0, 1), (1, 0)] {
            let plans = stub.net.connect(0, from, to, Link::Election);
            stub.plan(plans);
        }
        stub.run(100);
        let up: Vec<usize> = stub.net.ends.values().filter(|e| e.up).map(|e| e.host).collect();
        assert_eq!(up.len(), 2, "seed {seed}: {:?}", stub.told);
    }
}

#[test]
fn a_half_open_end_learns_only_when_it_writes() {
    let mut stub = Stub::new(4, 2);
    let (a, _) = stub.connect(0, 1, Link::Quorum);
    let plans = stub.net.host_down(stub.now, 1, Death::Silent);
    stub.plan(plans);
    stub.run(60_000);
    assert_eq!(stub.downs(0), 0);
    stub.send(a, b"anybody?");
    stub.run(100);
    assert_eq!(stub.downs(0), 1);
}

#[test]
fn a_clogged_link_delivers_everything_once_unclogged() {
    let mut stub = Stub::new(5, 3);
    let (a, _) = stub.connect(0, 1, Link::Quorum);
    stub.net.clog(0, 1);
    stub.send(a, b"one ");
    stub.send(a, b"two");
    stub.run(5_000);
    assert!(stub.heard(1).is_empty());
    let plans = stub.net.unclog(stub.now, 0, 1);
    stub.plan(plans);
    stub.run(1);
    assert_eq!(stub.heard(1), b"one two");
}

#[test]
fn an_end_that_does_not_read_gets_it_all_later() {
    let mut stub = Stub::new(6, 2);
    let (a, b) = stub.connect(0, 1, Link::Quorum);
    stub.net.pause(stub.now, b, true);
    stub.send(a, b"later");
    stub.run(100);
    assert!(stub.heard(1).is_empty());
    let plans = stub.net.pause(stub.now, b, false);
    stub.plan(plans);
    stub.run(1);
    assert_eq!(stub.heard(1), b"later");
}

#[test]
fn a_garbled_byte_costs_the_connection_and_a_prefix_stays() {
    for seed in 0..50 {
        let mut stub = Stub::new(seed, 2);
        let (a, _) = stub.connect(0, 1, Link::Quorum);
        stub.send(a, b"0123456789");
        let plans = stub.net.corrupt(stub.now, 0, 1);
        stub.plan(plans);
        stub.run(100);
        assert!(b"0123456789".starts_with(&stub.heard(1)[..]));
        assert_eq!((stub.downs(0), stub.downs(1)), (1, 1));
    }
}

#[test]
fn an_old_vote_can_come_again_and_say_another_round() {
    let mut stub = Stub::new(7, 2);
    let (a, _) = stub.connect(0, 1, Link::Election);
    // The state, the leader and the zxid, and behind the round the epoch.
    let vote = |round: i64| [&[0, 0, 0, 36][..], &[1; 20], &round.to_be_bytes(), &[2; 8]].concat();
    stub.send(a, &vote(5));
    stub.run(10);
    for round in [None, Some(i64::MAX)] {
        let plans = stub.net.repeat_vote(stub.now, (0, 1), round);
        stub.plan(plans);
        stub.run(10);
    }
    assert_eq!(stub.heard(1), [vote(5), vote(5), vote(i64::MAX)].concat());
}

#[test]
fn what_is_too_short_for_a_round_comes_again_as_it_is() {
    let mut stub = Stub::new(7, 2);
    let (a, _) = stub.connect(0, 1, Link::Election);
    stub.send(a, &[0, 0, 0, 1, 7]);
    stub.run(10);
    let plans = stub.net.repeat_vote(stub.now, (0, 1), Some(1));
    stub.plan(plans);
    stub.run(10);
    assert_eq!(stub.heard(1), [0, 0, 0, 1, 7, 0, 0, 0, 1, 7]);
}
