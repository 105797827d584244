//! Episodes: what some ensembles live through in addition, each a few steps that belong together. All drawn from streams
//! of their own.

use super::{KEEPS, at, forget, someone, split, take_the_leader};
use crate::coverage::Moment;
use crate::disk::Keep;
use crate::rng::Rng;
use crate::scenario::{Fault, Harm, RoleName, Step, Target};

/// In some runs a leader is lost before anything, or much, of its epoch has reached the others.
pub(super) fn short_reign(seed: u64, peers: u32, servers: u32) -> Vec<Step> {
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
        // What it proposed first is on its own disk and on that of one whose tree is of this epoch.
        2 if peers > 3 => {
            let young = rng.between(1, u64::from(peers)) as u32;
            let mut steps = vec![
                Step::Rest,
                Step::Run(2_000),
                lose(),
                Step::UntilLeader(20_000),
                Step::Run(1_000),
                at(Target::Sid(young), Fault::Wipe { down: 100 }),
                Step::Run(rng.between(1_000, 3_000)),
            ];
            let deaf = (1..=peers).filter(|sid| *sid != young).map(Target::Sid);
            steps
                .extend(deaf.map(|to| Step::Fault(Fault::OneWay { from: leader, to, ms: 12_000 })));
            steps.extend([
                Step::Work,
                Step::Run(rng.between(500, 4_000)),
                at(Target::Sid(young), Fault::Kill { down: rng.between(3_000, 15_000) }),
                at(leader, Fault::Crash { keep: Keep::All, down: rng.between(3_000, 15_000) }),
                Step::Requests(rng.between(1, 60)),
            ]);
            steps
        }
        // What it has logged alone makes it win again, and it is cut off before others have it.
        3 => {
            let moment = Moment::LeaderSynchronization;
            vec![
                Step::UntilLeader(20_000),
                Step::Rest,
                Step::Run(1_000),
                at(leader, Fault::Isolate(2_000)),
                Step::Work,
                Step::Run(rng.between(200, 1_500)),
                Step::Rest,
                Step::Fault(Fault::RestartAll { keep: Keep::All, down: 300 }),
                Step::FaultWhen { moment, fault: Fault::Isolate(12_000), within: 15_000 },
                Step::Run(rng.between(1, 1_000)),
                at(leader, Fault::Crash { keep: Keep::All, down: rng.between(3_000, 15_000) }),
                Step::Work,
                Step::Requests(rng.between(1, 60)),
            ]
        }
        _ => Vec::new(),
    }
}

/// In some runs two followers and the leader come back at once to others that have not noticed, and the leader does not
/// hear of one.
pub(super) fn former_reign(seed: u64, peers: u32) -> Vec<Step> {
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

/// In some runs an election hears of a round that none has come to, and there are elections after it.
pub(super) fn far_round(seed: u64, peers: u32) -> Vec<Step> {
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

/// In some runs elections follow each other so closely that they meet, and little is written between them.
pub(super) fn restless(seed: u64, servers: u32) -> Vec<Step> {
    let mut rng = Rng::new(seed, "restless");
    if !rng.one_in(3) {
        return Vec::new();
    }
    let mut steps = vec![Step::Rest];
    for _ in 0..rng.between(6, 24) {
        let (from, to) = (someone(servers, &mut rng), someone(servers, &mut rng));
        let ms = rng.between(20, 3_000);
        let step = match rng.below(10) {
            0 | 1 => at(from, Fault::Kill { down: rng.between(1, 500) }),
            2 => at(from, Fault::Crash { keep: Keep::All, down: rng.between(1, 500) }),
            3 => at(from, Fault::Isolate(ms)),
            4 => at(from, Fault::Stall(ms)),
            5 => Step::Fault(Fault::OneWay { from, to, ms }),
            6 => Step::Fault(Fault::Partition { groups: split(servers, &mut rng), ms }),
            7 => Step::Fault(Fault::StaleVotes { from, to, frames: 4, round: None }),
            // Each time it has promised something, and then it is away while others go on.
            8 => {
                let one = Target::Sid(rng.between(1, u64::from(servers)) as u32);
                let lose = |down| {
                    let op = "epochs".to_owned();
                    Step::CrashAfter { op, skip: 0, keep: Keep::All, down, at: Some(one) }
                };
                steps.push(take_the_leader(&mut rng));
                steps.extend((0..rng.between(0, 2)).map(|_| lose(100)));
                lose(rng.between(1_000, 9_000))
            }
            _ => Step::Fault(Fault::Churn),
        };
        steps.push(step);
        match rng.below(4) {
            0 => steps.push(Step::UntilLeader(5_000)),
            1 => steps.extend([Step::Work, Step::Requests(rng.between(1, 8)), Step::Rest]),
            _ => steps.push(Step::Run(rng.between(1, 1_000))),
        }
    }
    steps.push(Step::Work);
    steps
}

/// How a server that was away comes by parts of txns that it never hears of in whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    /// It loses power when it has the tree.
    Crashed,
    /// It was cut off, and is again before it has what comes behind the tree.
    Alone,
    /// It observes, and turns to another follower, which hears late of what is committed.
    ElsewhereBehind,
}

/// In some runs a server is away until it needs the whole tree, and gets it while much is written.
pub(super) fn parts_of_a_tree(seed: u64, masters: bool) -> Option<Parts> {
    let mut rng = Rng::new(seed, "parts of a tree");
    if masters && rng.below(4) > 0 {
        return Some(Parts::ElsewhereBehind);
    }
    match rng.below(16) {
        0 | 1 => Some(Parts::Crashed),
        2 | 3 => Some(Parts::Alone),
        _ => None,
    }
}

impl Parts {
    /// What happens, where that many of the servers vote.
    pub(super) fn steps(self, seed: u64, peers: u32, servers: u32) -> Vec<Step> {
        let mut rng = Rng::new(seed, "steps of parts");
        let mut steps = vec![Step::UntilLeader(20_000)];
        if self == Self::Alone {
            Self::alone(&mut steps, peers, &mut rng);
            return steps;
        }
        let first = if self == Self::ElsewhereBehind { peers + 1 } else { 1 };
        let away = rng.between(u64::from(first), u64::from(servers)) as u32;
        self.killed(&mut steps, away, peers, &mut rng);
        steps
    }

    /// It is killed, and comes back when the others remember little.
    fn killed(self, steps: &mut Vec<Step>, away: u32, peers: u32, rng: &mut Rng) {
        let (me, leader) = (Target::Sid(away), Target::Role(RoleName::Leader));
        let others = (1..=peers).filter(|sid| *sid != away).map(Target::Sid);
        steps.push(at(me, Fault::Kill { down: rng.between(300, 1_500) }));
        steps.push(Step::Requests(rng.between(100, 500)));
        steps.extend(others.map(|sid| at(sid, Fault::Kill { down: 10 })));
        steps.push(Step::UntilLeader(20_000));
        // The tree takes its time.
        for from in (1..=peers).map(Target::Sid) {
            let (delay, jitter) = (rng.between(1, 60), rng.below(10));
            steps.push(Step::Fault(Fault::SlowLink { from, to: me, delay, jitter, ms: 5_000 }));
        }
        // Somebody may hear late of what is committed.
        let behind = self == Self::ElsewhereBehind;
        let late = Target::Sid(rng.between(1, u64::from(peers)) as u32);
        let fault = Fault::Clog { from: leader, to: late, ms: rng.between(2_000, 3_500) };
        if behind || rng.one_in(2) {
            steps.push(Step::FaultWhen { moment: Moment::LearnerTree, fault, within: 3_000 });
        }
        if !behind && rng.one_in(3) {
            steps.push(at(me, Fault::ReadError));
        }
        let keep = *rng.pick(&KEEPS);
        let down = if behind || rng.one_in(2) { 1 } else { rng.between(1, 500) };
        let (op, at) = ("finish".to_owned(), Some(me));
        steps.push(Step::CrashAfter { op, skip: 0, keep, down, at });
        steps.push(Step::Run(rng.between(300, 1_200)));
    }

    fn alone(steps: &mut Vec<Step>, peers: u32, rng: &mut Rng) {
        let cut_off = rng.between(5_000, 8_000);
        steps.extend([
            Step::Requests(rng.between(50, 300)),
            Step::Rest,
            Step::Run(2_000),
            at(Target::Role(RoleName::Follower), Fault::Isolate(cut_off)),
            Step::Run(cut_off + 1),
        ]);
        let (from, delay) = (Target::Role(RoleName::Leader), rng.between(20, 100));
        steps.extend((1..=peers).map(|to| {
            let to = Target::Sid(to);
            Step::Fault(Fault::SlowLink { from, to, delay, jitter: 1, ms: 20_000 })
        }));
        let when = |moment, fault, within| Step::FaultWhen { moment, fault, within };
        let left_alone = Fault::Isolate(rng.between(13_000, 20_000));
        steps.extend([
            when(Moment::LearnerTree, Fault::Snapshot, 20_000),
            Step::Work,
            when(Moment::LearnerSynchronization, left_alone, 3_000),
            Step::Rest,
            Step::Run(16_000),
            Step::Work,
        ]);
    }
}

/// In some runs clients go from one server to another, and the one they leave does not hear of it.
pub(super) fn lingering(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed, "lingering");
    if !rng.one_in(4) {
        return Vec::new();
    }
    let mut steps = Vec::new();
    for _ in 0..rng.between(2, 5) {
        let (client, ms) = (rng.below(6) as u32, rng.between(10, 1_000));
        steps.push(Step::Fault(Fault::Linger { client, ms }));
        steps.push(Step::Requests(rng.between(1, 40)));
    }
    steps
}

/// In some runs a disk forgets what its server has just acknowledged, while most others take their time.
pub(super) fn forgotten_acks(seed: u64, peers: u32) -> Vec<Step> {
    let mut rng = Rng::new(seed, "forgotten acks");
    if peers < 5 || !rng.one_in(2) {
        return Vec::new();
    }
    let quick = rng.between(1, u64::from(peers)) as u32;
    let mut steps = vec![Step::ExpectAgreement, Step::Rest];
    for sid in (1..=peers).filter(|sid| *sid != quick) {
        let fault = Fault::SlowDisk { delay: rng.between(50, 900), ms: 6_000 };
        steps.push(at(Target::Sid(sid), fault));
    }
    let down = rng.between(1, 300);
    let forgets = match rng.below(3) {
        0 => Fault::LyingFsync { ms: rng.between(100, 1_000), down },
        1 => Fault::Damage { what: Harm::OldCopy, down },
        _ => Fault::Wipe { down },
    };
    steps.extend([
        Step::Work,
        Step::Run(rng.between(50, 1_000)),
        at(Target::Sid(quick), forgets),
        Step::Run(rng.between(300, 1_500)),
    ]);
    steps
}

/// Time in which another leader serves when one is lost, and nothing else is wrong, ms. Less than whatever limit somebody
/// may wait for in vain.
const CALM_CHANGE_MS: u64 = 3_500;

/// In some runs leaders are lost when all is well, and nobody has to wait long for the next one.
pub(super) fn calm_changes(seed: u64) -> Vec<Step> {
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

/// In some runs a server is sent a tree while all is well, and it takes its time. Nobody else waits for it, and it comes
/// level in the end.
pub(super) fn slow_tree(seed: u64, servers: u32) -> Option<Vec<Step>> {
    let mut rng = Rng::new(seed, "slow tree");
    if !rng.one_in(6) {
        return None;
    }
    let sid = rng.between(1, u64::from(servers)) as u32;
    let to = Target::Sid(sid);
    // The tree is still small, and somebody else leads.
    let mut steps = vec![
        Step::Requests(rng.between(20, 40)),
        Step::ExpectAgreement,
        Step::Rest,
        at(to, Fault::Kill { down: 2_000 }),
        Step::ExpectAgreement,
        Step::Rest,
        at(to, Fault::Kill { down: 100 }),
    ];
    if rng.one_in(2) {
        // It takes longer than somebody who serves may be silent, and not as long as a sync may.
        let fault = Fault::SlowDisk { delay: rng.between(1_400, 1_600), ms: 60_000 };
        steps.extend([at(to, fault), Step::ExpectAgreement]);
    } else {
        let from = Target::Role(RoleName::Leader);
        let (delay, clogged) = (rng.between(50, 300), rng.between(7_000, 9_000));
        let slow = Fault::SlowLink { from, to, delay, jitter: 0, ms: 5_000 };
        // Its link takes no more when it is under way.
        let (moment, fault) = (Moment::LearnerTree, Fault::Clog { from, to, ms: clogged });
        steps.extend([
            Step::Fault(slow),
            Step::FaultWhen { moment, fault, within: 5_000 },
            Step::Work,
            Step::ExpectWrites(6_000),
            Step::ExpectAgreement,
        ]);
    }
    steps.push(Step::Work);
    Some(steps)
}

/// In some runs a disk comes back with less than it had, or with something else, while all is well: then others make up
/// for it.
pub(super) fn harmed_disk(seed: u64, servers: u32) -> Vec<Step> {
    let mut rng = Rng::new(seed, "harmed disk");
    if !rng.one_in(4) {
        return Vec::new();
    }
    let sid = Target::Sid(rng.between(1, u64::from(servers)) as u32);
    vec![
        Step::Requests(rng.between(20, 200)),
        Step::ExpectAgreement,
        at(sid, forget(rng.between(10, 3_000), &mut rng)),
        Step::Requests(rng.between(1, 40)),
    ]
}

/// In some runs some servers stay away in the end. The others are a quorum and must do without them, whatever happens to
/// their leader or their links.
pub(super) fn without_some(
    seed: u64,
    peers: u32,
    groups: &[Vec<u32>],
    syncs_take_long: bool,
) -> Vec<Step> {
    let mut rng = Rng::new(seed, "without some");
    let some = rng.one_in(3);
    // Where only three of five are left, two of them may hear each other so late that the third has to wait for them.
    let five = peers == 5 && groups.is_empty() && !syncs_take_long;
    let far = five && !some && rng.below(3) > 0;
    if !some && !far {
        return Vec::new();
    }
    let mut present: Vec<u32> = (1..=peers).collect();
    let mut steps = Vec::new();
    let most = u64::from(peers - 1) / 2;
    for _ in 0..if far { most } else { rng.between(1, most) } {
        // Of groups, others than these may be missed.
        for _ in 0..peers {
            let sid = present.swap_remove(rng.below(present.len() as u64) as usize);
            if is_quorum(&present, peers, groups) {
                steps.push(at(Target::Sid(sid), Fault::Kill { down: 300_000 }));
                break;
            }
            present.push(sid);
        }
    }
    if far {
        for (from, to) in [(present[0], present[1]), (present[1], present[0])] {
            let (from, to, delay) = (Target::Sid(from), Target::Sid(to), rng.between(2_100, 2_400));
            let ms = FAR_MS + 10_000;
            steps.push(Step::Fault(Fault::SlowLink { from, to, delay, jitter: 0, ms }));
        }
    }
    steps.push(match rng.below(3) {
        0 => Step::Fault(Fault::Churn),
        1 => at(Target::Role(RoleName::Leader), Fault::Kill { down: rng.between(10, 3_000) }),
        _ => Step::Fault(Fault::RestartAll { keep: *rng.pick(&KEEPS), down: 300 }),
    });
    // A leader notices that it has no quorum once in a tick.
    match far {
        true => steps.extend([Step::Run(2_500), Step::AwaitLeader(FAR_MS)]),
        false => steps.push(Step::ExpectWrites(60_000)),
    }
    steps
}

/// Time in which a leader serves though answers take longer than somebody who serves may be silent, ms.
const FAR_MS: u64 = 90_000;

/// More than half of all, or in more than half of the groups more than half.
fn is_quorum(present: &[u32], peers: u32, groups: &[Vec<u32>]) -> bool {
    let won = |group: &&Vec<u32>| {
        2 * group.iter().filter(|sid| present.contains(sid)).count() > group.len()
    };
    match groups.is_empty() {
        true => 2 * present.len() > peers as usize,
        false => 2 * groups.iter().filter(won).count() > groups.len(),
    }
}

/// In some runs the tree changes a lot while a snapshot walks over it, and whoever took it starts from it, before much
/// else is written; and that several times.
pub(super) fn slow_snapshots(seed: u64, servers: u32) -> Vec<Step> {
    let mut rng = Rng::new(seed, "slow snapshots");
    if !rng.one_in(4) {
        return Vec::new();
    }
    let mut steps = Vec::new();
    for _ in 0..rng.between(2, 5) {
        let sid = Target::Sid(rng.between(1, u64::from(servers)) as u32);
        let keep = if rng.one_in(2) { Keep::All } else { *rng.pick(&KEEPS) };
        let down = rng.between(10, 1_000);
        steps.push(Step::Requests(rng.between(10, 60)));
        steps.push(at(sid, Fault::SnapshotStall(rng.between(2, 400))));
        steps.push(at(sid, Fault::Snapshot));
        steps.push(Step::CrashAfter {
            op: "finish".to_owned(),
            skip: 0,
            keep,
            down,
            at: Some(sid),
        });
    }
    steps
}
