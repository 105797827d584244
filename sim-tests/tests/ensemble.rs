//! Random runs of ensembles: `ZOETROPE_SEEDS=1000` runs that many, `ZOETROPE_SEED=42` one.

use sim_tests::{Results, Swarm, judge_ensemble_seed, judge_scenario, run_seeds};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use zoetrope_core::SyncBranch;
use zoetrope_io_sim::{Fault, Mistake, Scenario, Step, swarm, swarm_ensemble};

/// Seeds whose figures are looked at as a whole.
const MANY: usize = 20;
/// Seeds of which each way to bring a learner level must have its share.
const VERY_MANY: usize = 10_000;

/// In how many seeds learners were brought level in each way.
fn branches(results: &Results) -> BTreeMap<SyncBranch, usize> {
    let seeds = |branch: &SyncBranch| {
        results.reports.iter().filter(|r| r.figures.branches.contains(branch)).count()
    };
    SyncBranch::ALL.iter().map(|branch| (*branch, seeds(branch))).collect()
}

#[test]
fn every_ensemble_keeps_every_promise() {
    let run = |seed| judge_ensemble_seed(seed, Mistake::None);
    let results = run_seeds(Swarm { test: "ensemble", run, seeds: 40, one_in: 1 });
    let branches = branches(&results);
    println!("seeds in which a learner was brought level so: {branches:?}");
    let failed = results.failures.len();
    assert!(failed == 0, "{failed} of {} seeds break a promise", results.seeds);
    if results.seeds >= MANY {
        assert!(results.median(|r| r.figures.requests) >= 500);
        assert!(results.median(|r| r.figures.faults) >= 3);
        assert!(results.median(|r| r.figures.unsynced_crashes) >= 1);
        assert!(results.median(|r| r.figures.forced_changes) >= 1);
        let answers: u64 = results.reports.iter().map(|r| r.figures.read_only_answers).sum();
        println!("{answers} requests were answered by servers without a quorum");
        assert!(answers > 10 * results.seeds as u64);
        let refused: u64 = results.reports.iter().map(|r| r.figures.refused_disks).sum();
        println!("{refused} disks that had forgotten something were refused");
        assert!(refused > 0 || results.seeds < 500);
        let masters = |r: &sim_tests::Report| r.figures.master_syncs;
        let with_masters = results.reports.iter().filter(|r| masters(r) > 0).count();
        let syncs: u64 = results.reports.iter().map(masters).sum();
        println!("followers brought an observer level {syncs} times, in {with_masters} seeds");
        assert!(with_masters >= results.seeds / 15);
    }
    if results.seeds >= VERY_MANY {
        assert!(branches.values().all(|seeds| *seeds >= results.seeds / 200), "{branches:?}");
    }
}

fn kind_of(fault: &Fault) -> String {
    if let Fault::Damage { what, .. } = fault {
        return format!("Damage {what:?}");
    }
    let text = format!("{fault:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

fn faults(scenario: &Scenario) -> Vec<String> {
    let kind = |step: &Step| match step {
        Step::Fault(fault) | Step::FaultAt { fault, .. } | Step::FaultWhen { fault, .. } => {
            Some(kind_of(fault))
        }
        Step::CrashAfter { op, .. } => Some(format!("CrashAfter {op}")),
        _ => None,
    };
    scenario.steps.iter().filter_map(kind).collect()
}

/// What the seeds are made of.
#[test]
fn the_swarm_holds_every_size_and_every_fault() {
    let scenarios: Vec<Scenario> = (0..600).map(swarm_ensemble).collect();
    let mut sizes: BTreeMap<(u32, u32, bool), u32> = BTreeMap::new();
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for scenario in &scenarios {
        let peers = scenario.peers.expect("it is an ensemble");
        let size = (peers, scenario.observers, !scenario.groups.is_empty());
        *sizes.entry(size).or_default() += 1;
        faults(scenario).into_iter().for_each(|kind| *kinds.entry(kind).or_default() += 1);
        assert!(faults(scenario).len() >= 3, "seed {}", scenario.seed);
        assert_eq!(Scenario::parse(&scenario.to_text()).as_ref(), Ok(scenario));
    }
    println!("voters, observers, groups: {sizes:?}\nfaults: {kinds:?}");
    let of_size = |size| sizes.iter().filter(|((p, ..), _)| *p == size).map(|(_, n)| n).sum();
    let (three, five, seven): (u32, u32, u32) = (of_size(3), of_size(5), of_size(7));
    assert!(three > five && five > seven && seven > 0);
    assert!(sizes.keys().any(|(_, observers, _)| *observers > 0));
    assert!(sizes.keys().any(|(.., groups)| *groups));
    for kind in [
        "Crash",
        "Kill",
        "Stall",
        "WallJump",
        "Drift",
        "DiskFull",
        "FilesFull",
        "DiskStall",
        "SlowDisk",
        "SnapshotStall",
        "FsyncError",
        "ReadError",
        "Snapshot",
        "RestartAll",
        "RollingRestart",
        "Wipe",
        "LyingFsync",
        "Damage BitRot",
        "Damage LostWrite",
        "Damage MisdirectedWrite",
        "Damage NoEpochs",
        "Damage OldEpochs",
        "Damage OldCopy",
        "Partition",
        "Isolate",
        "OneWay",
        "Clog",
        "SlowLink",
        "Churn",
        "HalfOpen",
        "StaleVotes",
        "Corrupt",
    ] {
        assert!(kinds.contains_key(kind), "no {kind} in 600 seeds");
    }
}

/// The same faults with two observers, each of which has to find followers to follow.
#[test]
fn observers_of_followers_keep_every_promise() {
    let run = |seed| {
        let scenario = swarm_ensemble(seed);
        judge_scenario(
            &Scenario { observers: 2, observer_masters: true, ..scenario },
            Mistake::None,
        )
    };
    let results = run_seeds(Swarm { test: "ensemble", run, seeds: 8, one_in: 10 });
    assert!(results.failures.is_empty(), "{:?}", results.failures);
    let syncs = results.reports.iter().filter(|r| r.figures.master_syncs > 0).count();
    println!("followers brought observers level in {syncs} of {} seeds", results.seeds);
    assert!(syncs * 10 >= results.seeds * 9);
}

/// Only its observers and their followers know that a client lives that says nothing but that.
#[test]
fn sessions_at_observers_of_followers_live_as_long_as_their_clients() {
    let text = "story = 'Clients rest.'\nseed = 1\npeers = 3\nobservers = 2\nobserver_masters = true\n\
                clients = 10\ntimeout_ms = 6000\nwithout = ['session-churn']\n\
                steps = [{ await-leader = 30000 }, { requests = 200 }, { idle = 60000 }, { requests = 200 }]";
    for seed in 0..3 {
        let scenario = Scenario { seed, ..Scenario::parse(text).expect("it is a scenario") };
        let report = judge_scenario(&scenario, Mistake::None);
        let figures = report.figures;
        assert_eq!((report.violation, figures.expired), (None, 0), "seed {seed}");
        assert!(figures.master_syncs >= 2);
    }
}

/// Where the observer's next follower is behind it, which not every seed has.
#[test]
fn an_observer_that_is_ahead_of_its_follower_loses_nothing() {
    let text = include_str!("../../scenarios/an_observer_is_ahead_of_its_next_follower.toml");
    let story = Scenario::parse(text).expect("it is a scenario");
    let reports =
        (0..20).map(|seed| judge_scenario(&Scenario { seed, ..story.clone() }, Mistake::None));
    let broken: Vec<_> = reports.filter_map(|report| report.violation).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

/// The judges of an ensemble must agree with one server, whether it elects itself or stands alone.
#[test]
fn an_ensemble_of_one_keeps_every_promise() {
    let run = |seed| {
        let scenario = Scenario { peers: Some(1), ..swarm(seed) };
        judge_scenario(&scenario, Mistake::None)
    };
    let results = run_seeds(Swarm { test: "ensemble", run, seeds: 8, one_in: 10 });
    assert!(results.failures.is_empty(), "{:?}", results.failures);
}

#[test]
fn mistakes_of_a_driver_are_found_by_the_judges_of_an_ensemble() {
    for mistake in [
        Mistake::NoFsyncWait,
        Mistake::NoDirectoryFsync,
        Mistake::ReplyBeforeEvent,
        Mistake::RepliesOutOfOrder,
    ] {
        let found = (0..200).find(|seed| {
            let scenario = Scenario { peers: Some(1), ..swarm(*seed) };
            let run = catch_unwind(AssertUnwindSafe(|| judge_scenario(&scenario, mistake)));
            run.map_or(true, |report| report.violation.is_some())
        });
        println!("{mistake:?}: {found:?} seeds passed before it was found");
        assert!(found.is_some(), "{mistake:?} was not found");
    }
}

#[test]
fn mistakes_of_a_driver_are_found_in_ensembles() {
    for mistake in [Mistake::NoFsyncWait, Mistake::NoEpochWait, Mistake::RepliesOutOfOrder] {
        let run = |seed: u64| {
            let run = catch_unwind(AssertUnwindSafe(|| judge_ensemble_seed(seed, mistake)));
            run.map_or(Some("a panic".to_owned()), |report| report.violation)
        };
        let found = (0..30).find_map(|seed| run(seed).map(|violation| (seed, violation)));
        println!("{mistake:?}: {found:?}");
        assert!(found.is_some(), "{mistake:?} was not found");
    }
}
