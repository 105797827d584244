//! Seed → scenario: each seed leaves some kinds of operations and faults out, so that those that are left meet more
//! often. Runs nothing.

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
        peers: None,
        observers: 0,
        observer_masters: false,
        groups: Vec::new(),
        force_snapshot_sync: false,
        syncs: None,
        link_budget: None,
        old_votes: Vec::new(),
        read_only: false,
        local_sessions: LocalSessions::Off,
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
    let requests = rng.between(550, 1_000);
    let rounds = rng.between(5, 9);
    for round in 0..rounds {
        steps.push(Step::Requests(requests / rounds + 1));
        // Every run loses power with bytes under way and a leader at least once; what else happens is chance.
        steps.push(match round {
            1 => crash_at(Target::Role(RoleName::Leader), "append", &mut rng),
            3 => take_the_leader(&mut rng),
            _ => ensemble_fault(&off, servers, &mut rng, &mut harms),
        });
    }
    let read_only = Rng::new(seed, "read-only").one_in(3);
    steps.extend(moments::together(seed, servers, observers > 0, read_only));
    // Most learners are brought level by DIFF, unless that is forbidden.
    let of_tree = |step: &Step| matches!(step, Step::FaultWhen { moment: Moment::LearnerTree, .. });
    let by_tree = steps.iter().any(of_tree);
    steps.extend(short_reign(seed, servers));
    steps.extend(slow_snapshot(seed));
    steps.extend(former_reign(seed, peers));
    steps.extend(far_round(seed, peers));
    steps.extend(restless(seed, servers));
    let parts = parts_of_a_tree(seed, peers, servers);
    let tight = !parts.is_empty() || Rng::new(seed, "link budget").one_in(4);
    let memory = if parts.is_empty() { &[20, 60, 200, 1_000] } else { &[20; 4] };
    steps.extend(parts);
    steps.push(Step::Run(rng.between(1, 8_000)));
    if rng.one_in(3) {
        steps.push(Step::Idle(rng.between(1_000, 60_000)));
    }
    steps.push(Step::ExpectService(SERVICE_MS));
    if rng.one_in(2) {
        steps.push(Step::ExpectAgreement);
    }
    if groups.is_empty() {
        steps.extend(calm_changes(seed));
        steps.extend(without_some(seed, peers));
    }
    Scenario {
        story: format!("Seed {seed} of the swarm of ensembles."),
        guards: String::new(),
        retells: String::new(),
        seed,
        clients: rng.between(2, 6) as u32,
        timeout_ms: *rng.pick(&[6_000, 10_000, 10_000, 30_000]),
        pipeline: *rng.pick(&[1, 4, 8, 16]),
        snap_count: *rng.pick(memory),
        peers: Some(peers),
        observers,
        groups,
        force_snapshot_sync: by_tree || Rng::new(seed, "settings of servers").one_in(20),
        // These are drawn from streams of their own.
        old_votes: old_votes(seed, servers),
        observer_masters: observers > 0 && Rng::new(seed, "observer masters").below(3) > 0,
        syncs: (observers > 0 && Rng::new(seed, "syncs").one_in(2)).then_some(1),
        link_budget: tight.then_some(2 << 10),
        read_only,
        local_sessions: local_sessions(seed),
        without,
        steps,
    }
}

/// In some runs a leader is lost before anything, or much, of its epoch has reached the others. Drawn from a stream of its
/// own.
fn short_reign(seed: u64, servers: u32) -> Vec<Step> {
    let mut rng = Rng::new(seed, "short reign");
    let leader = Target::Role(RoleName::Leader);
    let lose = || at(leader, Fault::Kill { down: 300 });
    match rng.below(8) {
        // What it proposed first is on its own disk alone, and the others go on without it.
        0 => vec![
            lose(),
            Step::UntilLeader(20_000),
            at(leader, Fault::Isolate(12_000)),
            Step::Run(rng.between(500, 4_500)),
            at(leader, Fault::Crash { keep: Keep::All, down: rng.between(3_000, 15_000) }),
            Step::Requests(rng.between(1, 60)),
        ],
        // A server is given a tree of an epoch in which nothing is proposed, and is away when the next one begins.
        1 => {
            let young = Target::Sid(rng.between(1, u64::from(servers)) as u32);
            vec![
                Step::Rest,
                Step::Run(2_000),
                lose(),
                Step::UntilLeader(20_000),
                Step::Run(1_000),
                at(young, Fault::Wipe { down: 100 }),
                at(young, Fault::Kill { down: rng.between(2_000, 9_000) }),
                lose(),
                Step::UntilLeader(20_000),
                Step::Run(rng.between(1_000, 9_000)),
                Step::Work,
            ]
        }
        _ => Vec::new(),
    }
}

/// In some runs two followers and the leader come back at once to others that have not noticed, and the leader does not
/// hear of one. Drawn from a stream of its own.
fn former_reign(seed: u64, peers: u32) -> Vec<Step> {
    let mut rng = Rng::new(seed, "former reign");
    if peers < 5 || !rng.one_in(3) {
        return Vec::new();
    }
    let leader = Target::Role(RoleName::Leader);
    let unheard = rng.between(1, u64::from(peers)) as u32;
    let back = || Fault::Crash { keep: Keep::All, down: 1 };
    vec![
        Step::UntilLeader(20_000),
        Step::Rest,
        Step::Run(1_000),
        Step::Fault(Fault::OneWay { from: Target::Sid(unheard), to: leader, ms: 3_000 }),
        at(Target::Sid(unheard), back()),
        at(Target::Sid(unheard % peers + 1), back()),
        at(leader, back()),
        Step::Run(rng.between(500, 3_000)),
        Step::Work,
    ]
}

/// In some runs an election hears of a round that none has come to, and there are elections after it. Drawn from a stream
/// of its own.
fn far_round(seed: u64, peers: u32) -> Vec<Step> {
    let mut rng = Rng::new(seed, "far round");
    if !rng.one_in(8) {
        return Vec::new();
    }
    let round = Some(i64::MAX - rng.below(3) as i64);
    let mut steps = vec![Step::UntilLeader(20_000), take_the_leader(&mut rng)];
    for to in 1..=peers {
        let from = (to + rng.below(u64::from(peers) - 1) as u32) % peers + 1;
        let (from, to) = (Target::Sid(from), Target::Sid(to));
        let fault = Fault::StaleVotes { from, to, frames: rng.between(1, 8) as u32, round };
        steps.push(Step::FaultWhen { moment: Moment::Election, fault, within: 10_000 });
    }
    for _ in 0..rng.between(1, 5) {
        // Who is restarted begins with the first round.
        let again = match rng.below(3) {
            0 => take_the_leader(&mut rng),
            _ => Step::Fault(Fault::Churn),
        };
        steps.extend([Step::UntilLeader(20_000), again, Step::Requests(rng.between(1, 60))]);
    }
    steps
}

/// In some runs elections follow each other so closely that they meet, and little is written between them. Drawn from a
/// stream of its own.
fn restless(seed: u64, servers: u32) -> Vec<Step> {
    let mut rng = Rng::new(seed, "restless");
    if !rng.one_in(3) {
        return Vec::new();
    }
    let mut steps = vec![Step::Rest];
    for _ in 0..rng.between(6, 24) {
        let (from, to) = (someone(servers, &mut rng), someone(servers, &mut rng));
        let ms = rng.between(20, 3_000);
        steps.push(match rng.below(9) {
            0 | 1 => at(from, Fault::Kill { down: rng.between(1, 500) }),
            2 => at(from, Fault::Crash { keep: Keep::All, down: rng.between(1, 500) }),
            3 => at(from, Fault::Isolate(ms)),
            4 => at(from, Fault::Stall(ms)),
            5 => Step::Fault(Fault::OneWay { from, to, ms }),
            6 => Step::Fault(Fault::Partition { groups: split(servers, &mut rng), ms }),
            7 => Step::Fault(Fault::StaleVotes { from, to, frames: 4, round: None }),
            _ => Step::Fault(Fault::Churn),
        });
        match rng.below(4) {
            0 => steps.push(Step::UntilLeader(5_000)),
            1 => steps.extend([Step::Work, Step::Requests(rng.between(1, 8)), Step::Rest]),
            _ => steps.push(Step::Run(rng.between(1, 1_000))),
        }
    }
    steps.push(Step::Work);
    steps
}

/// In some runs a server is away until it needs the whole tree, gets it while much is written, and loses power when it has
/// it. Drawn from a stream of its own.
fn parts_of_a_tree(seed: u64, peers: u32, servers: u32) -> Vec<Step> {
    let mut rng = Rng::new(seed, "parts of a tree");
    if !rng.one_in(6) {
        return Vec::new();
    }
    let away = rng.between(1, u64::from(servers)) as u32;
    let (keep, down) = (*rng.pick(&KEEPS), rng.between(1, 500));
    let mut steps = vec![
        Step::UntilLeader(20_000),
        at(Target::Sid(away), Fault::Kill { down: rng.between(600, 1_500) }),
        Step::Requests(rng.between(100, 300)),
    ];
    let others = (1..=peers).filter(|sid| *sid != away);
    steps.extend(others.map(|sid| at(Target::Sid(sid), Fault::Kill { down: 10 })));
    let at = Some(Target::Sid(away));
    steps.push(Step::UntilLeader(20_000));
    // The tree takes its time; and somebody may hear late of what is committed.
    for from in 1..=peers {
        let (to, late) = if rng.one_in(2) { (away, 5) } else { (from % peers + 1, 300) };
        let (from, to) = (Target::Sid(from), Target::Sid(to));
        let (delay, jitter) = (rng.below(late), late / 10);
        steps.push(Step::Fault(Fault::SlowLink { from, to, delay, jitter, ms: 5_000 }));
    }
    steps.extend([
        Step::CrashAfter { op: "finish".to_owned(), skip: 0, keep, down, at },
        Step::Requests(rng.between(200, 500)),
    ]);
    steps
}

/// Time in which another leader serves when one is lost, and nothing else is wrong, ms. Less than whatever limit somebody
/// may wait for in vain.
const CALM_CHANGE_MS: u64 = 3_500;

/// In some runs leaders are lost when all is well, and nobody has to wait long for the next one. Drawn from a stream of its
/// own.
fn calm_changes(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed, "calm changes");
    if !rng.one_in(2) {
        return Vec::new();
    }
    let mut steps = vec![Step::Rest];
    for _ in 0..rng.between(1, 4) {
        let leader = Target::Role(RoleName::Leader);
        steps.extend([
            Step::Run(5_000),
            at(leader, Fault::Kill { down: rng.between(1, 1_500) }),
            Step::AwaitLeader(CALM_CHANGE_MS),
            Step::Work,
            Step::Requests(rng.between(1, 40)),
            Step::Rest,
        ]);
    }
    steps.push(Step::Work);
    steps
}

/// In some runs some servers stay away in the end. The others are a quorum and must do without them, whatever happens to
/// their leader or their links. Drawn from a stream of its own.
fn without_some(seed: u64, peers: u32) -> Vec<Step> {
    let mut rng = Rng::new(seed, "without some");
    if !rng.one_in(3) {
        return Vec::new();
    }
    let away = rng.between(1, u64::from(peers - 1) / 2) as u32;
    let first = rng.below(u64::from(peers)) as u32;
    let away = (0..away).map(|n| (first + n) % peers + 1);
    let mut steps: Vec<Step> =
        away.map(|sid| at(Target::Sid(sid), Fault::Kill { down: 300_000 })).collect();
    steps.push(match rng.below(3) {
        0 => Step::Fault(Fault::Churn),
        1 => at(Target::Role(RoleName::Leader), Fault::Kill { down: rng.between(10, 3_000) }),
        _ => Step::Fault(Fault::RestartAll { keep: *rng.pick(&KEEPS), down: 300 }),
    });
    steps.push(Step::ExpectWrites(60_000));
    steps
}

/// In some runs the tree changes a lot while a snapshot walks over it, and whoever took it starts from it. Drawn from a
/// stream of its own.
fn slow_snapshot(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed, "slow snapshot");
    if !rng.one_in(4) {
        return Vec::new();
    }
    let sid = Target::Sid(rng.between(1, 3) as u32);
    let (keep, down) = (*rng.pick(&KEEPS), rng.between(10, 2_000));
    vec![
        at(sid, Fault::SnapshotStall(rng.between(5, 800))),
        at(sid, Fault::Snapshot),
        Step::CrashAfter { op: "finish".to_owned(), skip: 0, keep, down, at: Some(sid) },
        Step::Requests(rng.between(1, 100)),
    ]
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
