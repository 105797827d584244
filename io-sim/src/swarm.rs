//! Seed → scenario: each seed leaves some kinds of operations and faults out, so that those that are left meet more
//! often. Runs nothing.

use crate::disk::Keep;
use crate::rng::Rng;
use crate::scenario::{Fault, Operation, Scenario, Step};

const OPERATIONS: [Operation; 7] = [
    Operation::Multi,
    Operation::Watches,
    Operation::Ephemerals,
    Operation::Acls,
    Operation::Malformed,
    Operation::SessionChurn,
    Operation::Containers,
];

const KEEPS: [Keep; 5] = [Keep::Nothing, Keep::All, Keep::Some, Keep::Torn, Keep::Garbage];
const OPS: [&str; 7] = ["append", "append", "fsync", "rename", "fsync-dir", "slice", "finish"];

/// The scenario of a seed.
pub fn swarm(seed: u64) -> Scenario {
    let mut rng = Rng::new(seed, "swarm");
    let without = OPERATIONS.iter().copied().filter(|_| rng.one_in(4)).collect();
    let off: Vec<bool> = (0..FAULTS).map(|_| rng.one_in(4)).collect();
    let mut steps = birth(seed);
    let requests = rng.between(500, 900);
    let rounds = rng.between(4, 8);
    for round in 0..rounds {
        steps.push(Step::Requests(requests / rounds + 1));
        // Every run loses power at least twice; what else happens is chance.
        let step = if round == 1 || round == 3 { crash(&mut rng) } else { fault(&off, &mut rng) };
        steps.push(step);
    }
    steps.push(Step::Run(rng.between(1, 4000)));
    if rng.one_in(3) {
        steps.push(Step::Idle(rng.between(1000, 90_000)));
    }
    steps.push(Step::ExpectService(20_000));
    Scenario {
        story: format!("Seed {seed} of the swarm."),
        guards: String::new(),
        retells: String::new(),
        seed,
        clients: rng.between(2, 5) as u32,
        timeout_ms: *rng.pick(&[4_000, 6_000, 10_000, 30_000]),
        pipeline: *rng.pick(&[1, 4, 8, 16]),
        snap_count: *rng.pick(&[20, 60, 200, 1_000]),
        without,
        steps,
    }
}

/// Some servers lose their power while they are young: before, while or right after their first files come to be.
/// Drawn from a stream of its own.
fn birth(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed, "birth");
    let mut steps = Vec::new();
    if rng.one_in(3) {
        if rng.one_in(2) {
            steps.push(Step::Fault(Fault::SnapshotStall(rng.between(1, 3_000))));
        }
        if rng.one_in(2) {
            steps.push(Step::Requests(rng.between(1, 20)));
        }
        steps.push(crash(&mut rng));
    }
    steps
}

fn crash(rng: &mut Rng) -> Step {
    let (keep, down) = (*rng.pick(&KEEPS), rng.between(10, 2_000));
    if rng.one_in(4) {
        return Step::Fault(Fault::Crash { keep, down });
    }
    let op = (*rng.pick(&OPS)).to_owned();
    let skip = if op == "append" || op == "fsync" { rng.below(12) } else { rng.below(2) };
    Step::CrashAfter { op, skip, keep, down }
}

const FAULTS: u64 = 12;

fn fault(off: &[bool], rng: &mut Rng) -> Step {
    let kind = rng.below(FAULTS);
    if off[kind as usize] {
        return crash(rng);
    }
    Step::Fault(match kind {
        0 => Fault::Stall(rng.between(100, 40_000)),
        1 => Fault::WallJump(rng.between(0, 7_200_000) as i64 - 3_600_000),
        2 => Fault::Drift(rng.between(0, 100) as i64 - 50),
        3 => Fault::DiskFull(rng.between(500, 8_000)),
        4 => Fault::DiskStall(rng.between(10, 4_000)),
        5 => Fault::FsyncError,
        6 => Fault::ReadError,
        7 => Fault::Disconnect,
        8 => Fault::SlowReader { client: rng.below(2) as u32, ms: rng.between(100, 5_000) },
        9 => Fault::Silence { client: rng.below(2) as u32, ms: rng.between(1_000, 60_000) },
        10 => Fault::Kill { down: rng.between(10, 500) },
        _ => Fault::Snapshot,
    })
}
