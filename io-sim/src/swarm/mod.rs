//! Seed → scenario: each seed leaves some kinds of operations and faults out, so that those that are left meet more
//! often. Runs nothing.

mod episodes;
mod moments;

use crate::coverage::Moment;
use crate::disk::Keep;
use crate::rng::Rng;
use crate::scenario::{Fault, Harm, LocalSessions, Operation, RoleName, Scenario, Step, Target};

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
    steps.extend(moments::alone(seed));
    steps.extend(episodes::slow_snapshots(seed, 1));
    steps.push(Step::Run(rng.between(1, 4000)));
    if rng.one_in(3) {
        steps.push(Step::Idle(rng.between(1000, 90_000)));
    }
    steps.push(Step::ExpectService(20_000));
    Scenario {
        story: format!("Seed {seed} of the swarm."),
        clients: rng.between(2, 5) as u32,
        timeout_ms: *rng.pick(&[4_000, 6_000, 10_000, 30_000]),
        pipeline: *rng.pick(&[1, 4, 8, 16]),
        snap_count: *rng.pick(&[20, 60, 200, 1_000]),
        without,
        steps,
        ..settings(seed)
    }
}

/// What servers of both swarms are told alike, and nothing else: a scenario without steps. Drawn from streams of their own.
fn settings(seed: u64) -> Scenario {
    let mut room = Rng::new(seed, "room");
    // A tree that is written in many slices changes while it is; who may leave little unread has to wait more often.
    let slice = room.one_in(2).then(|| room.between(100, 2_000) as u32);
    let client_budget = room.one_in(3).then(|| *room.pick(&[100, 400, 2_000]));
    Scenario {
        story: String::new(),
        guards: String::new(),
        retells: String::new(),
        seed,
        clients: 0,
        timeout_ms: 0,
        pipeline: 0,
        snap_count: 0,
        peers: None,
        observers: 0,
        observer_masters: false,
        groups: Vec::new(),
        force_snapshot_sync: false,
        syncs: None,
        link_budget: None,
        client_budget,
        slice,
        old_votes: Vec::new(),
        read_only: false,
        quotas: Rng::new(seed, "quotas").one_in(4),
        reap_every: reap_every(seed),
        local_sessions: LocalSessions::Off,
        without: Vec::new(),
        rounds: 1,
        steps: Vec::new(),
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

/// In half of the runs there are many looks at containers and TTL znodes. Drawn from a stream of its own.
fn reap_every(seed: u64) -> Option<u32> {
    let mut rng = Rng::new(seed, "reap every");
    rng.one_in(2).then(|| rng.between(300, 5_000) as u32)
}

fn crash(rng: &mut Rng) -> Step {
    let (keep, down) = (*rng.pick(&KEEPS), rng.between(10, 2_000));
    if rng.one_in(4) {
        return Step::Fault(Fault::Crash { keep, down });
    }
    let op = (*rng.pick(&OPS)).to_owned();
    let skip = if op == "append" || op == "fsync" { rng.below(12) } else { rng.below(2) };
    Step::CrashAfter { op, skip, keep, down, at: None }
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

// Ensembles.

/// Time within which a healed ensemble has to serve, ms; (initLimit + 2 × syncLimit) × tickTime of its settings.
const SERVICE_MS: u64 = 18_000;
/// Time a first leader may take, ms: every server boots, and every link is opened.
const LEADER_MS: u64 = 30_000;

/// The scenario of a seed for an ensemble: mostly of three servers, sometimes with observers or groups.
pub fn swarm_ensemble(seed: u64) -> Scenario {
    let mut rng = Rng::new(seed, "swarm of servers");
    let without = OPERATIONS.iter().copied().filter(|_| rng.one_in(4)).collect();
    let off: Vec<bool> = (0..ENSEMBLE_FAULTS).map(|_| rng.one_in(4)).collect();
    let mut harms = Rng::new(seed, "harms");
    let peers = *rng.pick(&[3, 3, 3, 3, 3, 5, 5, 7]);
    let observers = if rng.one_in(4) { rng.between(1, 2) as u32 } else { 0 };
    let groups = groups(peers, seed, &mut rng);
    let servers = peers + observers;
    let mut steps = vec![Step::AwaitLeader(LEADER_MS)];
    let slow = episodes::slow_tree(seed, servers).filter(|_| groups.is_empty());
    let slow_tree = slow.is_some();
    steps.extend(slow.into_iter().flatten());
    // Nobody agrees soon beside a disk that is still slow.
    if !slow_tree {
        steps.extend(episodes::harmed_disk(seed, servers));
    }
    steps.extend(rounds(&off, servers, &mut rng, &mut harms));
    let masters = observers > 0 && Rng::new(seed, "observer masters").below(3) > 0;
    let parts = episodes::parts_of_a_tree(seed, masters);
    let is_left_alone = parts == Some(episodes::Parts::Alone);
    let read_only = is_left_alone || Rng::new(seed, "read-only").one_in(3);
    steps.extend(moments::together(seed, servers, observers > 0, read_only));
    // Most learners are brought level by DIFF, unless that is forbidden.
    let of_tree = |step: &Step| matches!(step, Step::FaultWhen { moment: Moment::LearnerTree, .. });
    let by_tree = is_left_alone
        || slow_tree
        || steps.iter().any(of_tree)
        || Rng::new(seed, "settings of servers").one_in(20);
    steps.extend(episodes::short_reign(seed, peers, servers));
    steps.extend(episodes::slow_snapshots(seed, servers));
    steps.extend(episodes::lingering(seed));
    steps.extend(episodes::former_reign(seed, peers));
    steps.extend(episodes::far_round(seed, peers));
    let restless = episodes::restless(seed, servers);
    let is_restless = !restless.is_empty();
    steps.extend(restless);
    let tight = slow_tree || parts.is_some() || Rng::new(seed, "link budget").one_in(4);
    let memory = if parts.is_none() { &[20, 60, 200, 1_000] } else { &[20; 4] };
    steps.extend(parts.into_iter().flat_map(|parts| parts.steps(seed, peers, servers)));
    if !slow_tree {
        steps.extend(episodes::forgotten_acks(seed, peers));
    }
    steps.push(Step::Run(rng.between(1, 8_000)));
    if rng.one_in(3) {
        steps.push(Step::Idle(rng.between(1_000, 60_000)));
    }
    steps.push(Step::ExpectService(SERVICE_MS));
    if rng.one_in(2) || is_restless {
        steps.push(Step::ExpectAgreement);
    }
    if groups.is_empty() {
        steps.extend(episodes::calm_changes(seed));
    }
    steps.extend(episodes::without_some(seed, peers, &groups, tight || by_tree));
    Scenario {
        story: format!("Seed {seed} of the swarm of ensembles."),
        clients: rng.between(2, 6) as u32,
        timeout_ms: *rng.pick(&[6_000, 10_000, 10_000, 30_000]),
        pipeline: *rng.pick(&[1, 4, 8, 16]),
        snap_count: *rng.pick(memory),
        peers: Some(peers),
        observers,
        groups,
        force_snapshot_sync: by_tree,
        // These are drawn from streams of their own.
        old_votes: old_votes(seed, servers),
        observer_masters: masters,
        syncs: (observers > 0 && Rng::new(seed, "syncs").one_in(2)).then_some(1),
        link_budget: tight.then_some(2 << 10),
        read_only,
        local_sessions: local_sessions(seed),
        without,
        steps,
        ..settings(seed)
    }
}

/// Work, and a fault, again and again.
fn rounds(off: &[bool], servers: u32, rng: &mut Rng, harms: &mut Rng) -> Vec<Step> {
    let requests = rng.between(550, 1_000);
    let rounds = rng.between(5, 9);
    let mut steps = Vec::new();
    for round in 0..rounds {
        steps.push(Step::Requests(requests / rounds + 1));
        // Every run loses power with bytes under way and a leader at least once; what else happens is chance.
        steps.push(match round {
            1 => crash_at(Target::Role(RoleName::Leader), "append", rng),
            3 => take_the_leader(rng),
            _ => ensemble_fault(off, servers, rng, harms),
        });
    }
    steps
}

/// Some servers speak like older ones, in one ensemble of eight. Drawn from a stream of its own.
fn old_votes(seed: u64, servers: u32) -> Vec<u32> {
    let mut rng = Rng::new(seed, "old votes");
    match rng.one_in(8) {
        true => (1..=servers).filter(|_| rng.one_in(2)).collect(),
        false => Vec::new(),
    }
}

/// Local sessions, for one ensemble in three. Drawn from a stream of its own.
fn local_sessions(seed: u64) -> LocalSessions {
    let mut rng = Rng::new(seed, "local sessions");
    match rng.below(9) {
        0 | 1 => LocalSessions::Upgraded,
        2 => LocalSessions::Kept,
        _ => LocalSessions::Off,
    }
}

/// Groups of at least two, for some ensembles of five and more.
fn groups(peers: u32, seed: u64, rng: &mut Rng) -> Vec<Vec<u32>> {
    if peers < 5 || !rng.one_in(2) {
        return Vec::new();
    }
    let first = rng.between(2, u64::from(peers) - 2) as u32;
    // Drawn from a stream of its own.
    if peers > 6 && Rng::new(seed, "three groups").below(3) > 0 {
        return vec![vec![1, 2], vec![3, 4], (5..=peers).collect()];
    }
    vec![(1..=first).collect(), (first + 1..=peers).collect()]
}

fn at(at: Target, fault: Fault) -> Step {
    Step::FaultAt { at, fault }
}

/// Any server, more often one that matters.
fn someone(servers: u32, rng: &mut Rng) -> Target {
    match rng.below(4) {
        0 => Target::Role(RoleName::Leader),
        1 => Target::Role(RoleName::Follower),
        _ => Target::Sid(rng.between(1, u64::from(servers)) as u32),
    }
}

/// Short most of the time, and sometimes longer than anybody waits.
fn down(rng: &mut Rng) -> u64 {
    match rng.one_in(4) {
        true => rng.between(5_000, 20_000),
        false => rng.between(10, 3_000),
    }
}

fn crash_at(target: Target, op: &str, rng: &mut Rng) -> Step {
    let (keep, down, skip) = (*rng.pick(&KEEPS), down(rng), rng.below(8));
    Step::CrashAfter { op: op.to_owned(), skip, keep, down, at: Some(target) }
}

fn take_the_leader(rng: &mut Rng) -> Step {
    let fault = match rng.below(5) {
        0 => Fault::Kill { down: down(rng) },
        1 => Fault::Isolate(rng.between(5_000, 15_000)),
        2 => Fault::Stall(rng.between(10_000, 20_000)),
        _ => Fault::Crash { keep: *rng.pick(&KEEPS), down: down(rng) },
    };
    at(Target::Role(RoleName::Leader), fault)
}

const ENSEMBLE_FAULTS: u64 = 21;

fn ensemble_fault(off: &[bool], servers: u32, rng: &mut Rng, harms: &mut Rng) -> Step {
    let kind = rng.below(ENSEMBLE_FAULTS);
    let (from, to) = (someone(servers, rng), someone(servers, rng));
    if off[kind as usize] {
        let op = *rng.pick(&["append", "fsync", "epochs", "finish", "fsync-dir", "slice"]);
        return crash_at(from, op, rng);
    }
    let fault = match kind {
        0 | 1 => return take_the_leader(rng),
        2..=11 => return at(from, one_server(kind, rng)),
        12 => Fault::Partition { groups: split(servers, rng), ms: rng.between(500, 12_000) },
        13 => Fault::OneWay { from, to, ms: rng.between(500, 12_000) },
        14 => {
            let (delay, jitter) = (rng.between(1, 400), rng.between(0, 400));
            Fault::SlowLink { from, to, delay, jitter, ms: rng.between(500, 20_000) }
        }
        15 => Fault::Clog { from, to, ms: rng.between(100, 8_000) },
        16 => Fault::Churn,
        17 => Fault::HalfOpen { gone: from, stays: to },
        18 => Fault::StaleVotes { from, to, frames: rng.between(1, 6) as u32, round: None },
        19 => Fault::Corrupt { from, to },
        _ => match rng.below(3) {
            0 => Fault::RestartAll { keep: *rng.pick(&KEEPS), down: down(rng) },
            1 => Fault::RollingRestart { down: rng.between(10, 3_000) },
            _ => return at(from, forget(rng.between(10, 3_000), harms)),
        },
    };
    Step::Fault(fault)
}

const HARMS: [Harm; 6] = [
    Harm::BitRot,
    Harm::LostWrite,
    Harm::MisdirectedWrite,
    Harm::NoEpochs,
    Harm::OldEpochs,
    Harm::OldCopy,
];

/// A disk that comes back with less than it had, or with something else.
fn forget(down: u64, rng: &mut Rng) -> Fault {
    match rng.below(10) {
        0..=1 => Fault::Wipe { down },
        2 => Fault::LyingFsync { ms: rng.between(100, 4_000), down },
        _ => Fault::Damage { what: *rng.pick(&HARMS), down },
    }
}

fn one_server(kind: u64, rng: &mut Rng) -> Fault {
    match kind {
        2 => Fault::Stall(rng.between(100, 20_000)),
        3 => Fault::WallJump(rng.between(0, 7_200_000) as i64 - 3_600_000),
        4 => Fault::Drift(rng.between(0, 100) as i64 - 50),
        5 => Fault::DiskFull(rng.between(500, 8_000)),
        6 if rng.one_in(3) => {
            Fault::SlowDisk { delay: rng.between(1, 400), ms: rng.between(500, 20_000) }
        }
        6 => Fault::DiskStall(rng.between(10, 6_000)),
        7 => Fault::FsyncError,
        8 => Fault::ReadError,
        9 => Fault::Kill { down: down(rng) },
        10 => Fault::Isolate(rng.between(500, 12_000)),
        _ => Fault::Snapshot,
    }
}

/// Two groups, each of at least one server.
fn split(servers: u32, rng: &mut Rng) -> Vec<Vec<u32>> {
    let mut groups = vec![Vec::new(), Vec::new()];
    for sid in 1..=servers {
        groups[rng.below(2) as usize].push(sid);
    }
    if let Some(empty) = groups.iter().position(Vec::is_empty)
        && let Some(sid) = groups[1 - empty].pop()
    {
        groups[empty].push(sid);
    }
    groups
}
