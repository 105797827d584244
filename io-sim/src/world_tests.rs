//! Several hosts in one world: clients wander, hosts die by themselves, time ends faults.

use super::*;
use crate::scenario::{Fault, Target};
use crate::swarm_ensemble;
use zoetrope_core::Server;

/// Counts what it is told.
#[derive(Clone, Default)]
struct Counter {
    booted: BTreeMap<Sid, u32>,
    opened: BTreeMap<Sid, u32>,
    crashed: BTreeMap<Sid, u32>,
}

impl Judge for Counter {
    fn appended(&mut self, _: At, _: &[u8]) -> Verdict {
        Ok(())
    }
    fn opened(&mut self, at: At, _: ConnId, _: std::net::IpAddr) {
        *self.opened.entry(at.sid).or_default() += 1;
    }
    fn heard(&mut self, _: At, _: ConnId, _: &[u8]) -> Verdict {
        Ok(())
    }
    fn answered(&mut self, _: At, _: &[(ConnId, Vec<u8>)]) -> Verdict {
        Ok(())
    }
    fn closed(&mut self, _: At, _: ConnId, _: bool) -> Verdict {
        Ok(())
    }
    fn crashed(&mut self, at: At) {
        *self.crashed.entry(at.sid).or_default() += 1;
    }
    fn serving(&mut self, _: At, _: &Server) -> Verdict {
        Ok(())
    }
    fn stalled(&mut self, _: At, _: u64) {}
    fn passed(&mut self, _: At, _: &Server) -> Verdict {
        Ok(())
    }
    fn room(&mut self, _: At, _: bool) {}
    fn booted(&mut self, at: At) -> Verdict {
        *self.booted.entry(at.sid).or_default() += 1;
        Ok(())
    }
}

fn world(seed: u64) -> World<Counter> {
    let mut scenario = swarm_ensemble(seed);
    (scenario.peers, scenario.observers, scenario.groups) = (Some(3), 0, Vec::new());
    World::new(&scenario, Counter::default(), Mistake::None)
}

#[test]
fn each_host_lives_and_dies_by_itself_and_clients_wander() {
    let mut world = world(3);
    let crash = Fault::Crash { keep: crate::Keep::Some, down: 300 };
    let steps = [
        Step::Requests(200),
        Step::FaultAt { at: Target::Sid(2), fault: crash },
        Step::Requests(200),
        Step::FaultAt { at: Target::Sid(3), fault: Fault::Stall(30_000) },
        Step::Run(40_000),
        Step::Fault(Fault::RollingRestart { down: 20 }),
        Step::ExpectService(18_000),
    ];
    let outcome = world.play(&steps);
    assert_eq!(outcome.violation, None);
    let count = |of: &BTreeMap<Sid, u32>| of.values().copied().collect::<Vec<_>>();
    assert_eq!(count(&world.judge.booted), [2, 3, 2]);
    assert_eq!(count(&world.judge.crashed), [1, 2, 1]);
    assert!(world.judge.opened.len() == 3, "{:?}", world.judge.opened);
}

#[test]
fn a_wiped_disk_is_empty_and_its_server_comes_back() {
    let mut world = world(5);
    let wipe = Step::FaultAt { at: Target::Sid(1), fault: Fault::Wipe { down: 50 } };
    let outcome = world.play(&[Step::Requests(300), wipe, Step::Run(20_000)]);
    assert_eq!(outcome.violation, None);
    assert!(world.hosts[0].serving && !world.hosts[0].forgot);
    // The others have brought it level.
    assert!(world.hosts[0].server.as_ref().is_some_and(|s| s.zxid_applied().0 > 0));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..5 {
        let scenario = swarm_ensemble(seed);
        let run = || {
            let mut world = World::new(&scenario, Counter::default(), Mistake::None);
            world.play(&scenario.steps).trace
        };
        assert_eq!(run(), run(), "seed {seed}");
    }
}

#[test]
fn epoch_files_survive_when_they_are_durable_and_perhaps_when_they_are_under_way() {
    use crate::device::{Op, Queue};
    let mut rng = crate::Rng::new(9, "disk");
    let put = |accepted, current| Op::Epochs { generation: 1, accepted, current };
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let mut host = Host::new(Sid(1), Mistake::None);
        host.carry_out(&put(1, 1));
        host.queues.entry(Queue::Epochs).or_default().extend([put(2, 2), put(9, 9)]);
        host.lose_power(crate::Keep::Some, &mut rng);
        seen.insert(host.epochs.durable);
    }
    let expected = [Some((1, 1)), Some((2, 1)), Some((2, 2))];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_clone_goes_on_as_it_would_have() {
    let steps = swarm_ensemble(5).steps;
    let (first, rest) = steps.split_at(steps.len() / 2);
    let mut world = world(5);
    world.play(first);
    let mut clone = world.clone();
    let (one, two) = (world.play(rest), clone.play(rest));
    assert_eq!((one.trace, one.figures.inputs), (two.trace, two.figures.inputs));
}

#[test]
fn power_is_lost_right_behind_the_effect_that_was_named() {
    let mut world = world(6);
    world.play(&[Step::Requests(20)]);
    for n in [1, 2, 7] {
        let mut clone = world.clone();
        let crashes = clone.figures.crashes;
        clone.crash_behind(n, crate::Keep::Nothing, 5);
        while clone.has_crash_ahead() {
            clone.happen().unwrap();
        }
        assert_eq!((clone.effects(), clone.figures.crashes), (world.effects() + n, crashes + 1));
    }
}
