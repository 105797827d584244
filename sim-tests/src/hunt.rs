//! Hunts mistakes that were put in on purpose: how many seeds of the swarm it takes until a judge, or the core itself,
//! finds one. The swarm knows nothing of them: it is the one that `run` runs.

use crate::campaign::Kin;
use crate::guard::guarded_and_timed;
use crate::run::judge_scenario;
use crate::violation::{Kind, Violation};
use serde::{Deserialize, Serialize};
use sha1::Digest as _;
use std::fmt;
use zoetrope_core::flight::BUILD;
use zoetrope_io_sim::Mistake;

mod ledger;

pub use ledger::Ledger;

/// How long a mistake is hunted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// So many times, each with seeds of its own.
    pub campaigns: u64,
    /// Each time with so many seeds at most.
    pub seeds: u64,
}

/// What is asked of the simulator: of all mistakes this part is found within a [`Plan`]'s seeds,
pub const FOUND_PER_CENT: usize = 95;
/// the median one by so many seeds,
pub const MEDIAN_SEEDS: u64 = 10;
/// and so many seconds of CPU time.
pub const MEDIAN_CPU_S: f64 = 2.0;
/// The median one is shrunk to so many lines,
pub const MEDIAN_LINES: usize = 15;
/// and each to so many.
pub const MOST_LINES: usize = 40;
/// Of other seeds so many in a hundred make the median one fail,
pub const MEDIAN_OFTEN: u64 = 95;
/// and at least so many each.
pub const LEAST_OFTEN: u64 = 50;

impl Default for Plan {
    fn default() -> Self {
        Self { campaigns: 5, seeds: 1_000 }
    }
}

/// Seeds of different campaigns are so far apart, and none of them is one that tests run.
const APART: u64 = 1_000_000;

/// A mistake was found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Find {
    /// Seeds it took, the last one included. Each is run alone and as an ensemble.
    pub seeds: u64,
    /// CPU time of all of them, s.
    pub cpu_s: f64,
    /// The seed that found it.
    pub seed: u64,
    /// As which of both.
    pub kin: Kin,
    /// What was said.
    pub violation: Violation,
}

/// What came of a hunt.
#[derive(Clone, Debug)]
pub struct Hunted {
    /// What was hunted.
    pub mistake: Mistake,
    /// What came of each campaign.
    pub campaigns: Vec<Outcome>,
}

/// What a campaign found, or the CPU time it spent in vain, s.
pub type Outcome = Result<Find, f64>;

/// A seed fails without any mistake: whatever it seems to find, it has not found.
#[derive(Clone, PartialEq, Debug)]
pub struct FalseAlarm {
    /// The seed.
    pub seed: u64,
    /// As which of both.
    pub kin: Kin,
    /// What was said.
    pub violation: Violation,
}

impl fmt::Display for FalseAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, kin, violation } = self;
        let kin = match kin {
            Kin::Alone => " --alone",
            _ => "",
        };
        write!(
            f,
            "seed {seed} fails without any mistake, so that no hunt can be trusted before that is mended (replay --seed \
             {seed}{kin}): {}",
            violation.text
        )
    }
}

/// One campaign: the `number`-th, with so many seeds at most.
pub fn campaign(mistake: Mistake, number: u64, seeds: u64) -> Result<Outcome, FalseAlarm> {
    campaign_with(judge_seed, mistake, number, seeds)
}

fn judge_seed(kin: Kin, seed: u64, mistake: Mistake) -> (Option<Violation>, f64) {
    let scenario = kin.scenario(seed);
    let (run, cpu_ns) = guarded_and_timed(move || judge_scenario(&scenario, mistake));
    let violation = match run {
        Err(crash) => Some(Violation::of_crash(&crash)),
        Ok(report) => report.violation.map(Violation::of_judge),
    };
    (violation, cpu_ns as f64 / 1e9)
}

fn campaign_with(
    judge: impl Fn(Kin, u64, Mistake) -> (Option<Violation>, f64),
    mistake: Mistake,
    number: u64,
    seeds: u64,
) -> Result<Outcome, FalseAlarm> {
    let first = (number + 1) * APART;
    let mut cpu_s = 0.0;
    for seed in first..first + seeds {
        for kin in [Kin::Alone, Kin::Ensemble] {
            let (violation, took_s) = judge(kin, seed, mistake);
            cpu_s += took_s;
            let Some(violation) = violation else { continue };
            if let (Some(violation), _) = judge(kin, seed, Mistake::None) {
                return Err(FalseAlarm { seed, kin, violation });
            }
            return Ok(Ok(Find { seeds: seed - first + 1, cpu_s, seed, kin, violation }));
        }
    }
    Ok(Err(cpu_s))
}

/// Hunts one mistake.
pub fn hunt(mistake: Mistake, plan: Plan) -> Result<Hunted, FalseAlarm> {
    let campaigns = (0..plan.campaigns).map(|n| campaign(mistake, n, plan.seeds));
    Ok(Hunted { mistake, campaigns: campaigns.collect::<Result<_, _>>()? })
}

/// The middle one; of an even number the lower of both.
fn median<T: Copy + PartialOrd>(mut of: Vec<T>) -> Option<T> {
    of.sort_by(|a, b| a.partial_cmp(b).expect("no figure is missing"));
    of.get(of.len().saturating_sub(1) / 2).copied()
}

impl Hunted {
    /// Seeds and CPU seconds of each campaign. One that found nothing took longer than any other.
    fn costs(&self) -> Vec<(u64, f64)> {
        let cost = |campaign: &Outcome| match campaign {
            Ok(find) => (find.seeds, find.cpu_s),
            Err(cpu_s) => (u64::MAX, *cpu_s),
        };
        self.campaigns.iter().map(cost).collect()
    }

    /// Was it found in every campaign?
    pub fn is_found(&self) -> bool {
        self.campaigns.iter().all(Result::is_ok)
    }

    /// Median and worst of the seeds it took; `u64::MAX`: not found.
    pub fn seeds(&self) -> (u64, u64) {
        let all: Vec<u64> = self.costs().into_iter().map(|(seeds, _)| seeds).collect();
        let worst = all.iter().max().copied().unwrap_or(u64::MAX);
        (median(all).unwrap_or(u64::MAX), worst)
    }

    /// Median and worst of the CPU time it took, s.
    pub fn cpu_s(&self) -> (f64, f64) {
        let all: Vec<f64> = self.costs().into_iter().map(|(_, cpu_s)| cpu_s).collect();
        let worst = all.iter().copied().fold(0.0, f64::max);
        (median(all).unwrap_or(0.0), worst)
    }

    /// Who found it, the one that did so most often first, and whether alone, in ensembles, or both.
    pub fn caught_by(&self) -> (Vec<String>, Vec<Kin>) {
        let finds = || self.campaigns.iter().flatten();
        let mut judges: Vec<String> = finds().map(|find| find.violation.judge.clone()).collect();
        let times = |judge: &String, all: &[String]| all.iter().filter(|one| *one == judge).count();
        let all = judges.clone();
        judges.sort_by_key(|judge| (usize::MAX - times(judge, &all), judge.clone()));
        judges.dedup();
        let mut kins: Vec<Kin> = finds().map(|find| find.kin).collect();
        kins.sort();
        kins.dedup();
        (judges, kins)
    }
}

macro_rules! source {
    ($name:literal) => {
        ($name, include_str!(concat!("../../io-sim/src/", $name)))
    };
}

/// Everything that says what a seed is.
const SOURCES: &[(&str, &str)] = &[
    source!("branch.rs"),
    source!("client.rs"),
    source!("conns.rs"),
    source!("coverage.rs"),
    source!("device.rs"),
    source!("disk.rs"),
    source!("expect.rs"),
    source!("faults.rs"),
    source!("host.rs"),
    source!("judge.rs"),
    source!("lib.rs"),
    source!("mistake.rs"),
    source!("net.rs"),
    source!("peers.rs"),
    source!("rng.rs"),
    source!("role.rs"),
    source!("scenario.rs"),
    source!("scenario_error.rs"),
    source!("scenario_text.rs"),
    source!("schedule.rs"),
    source!("swarm/episodes.rs"),
    source!("swarm/mod.rs"),
    source!("swarm/moments.rs"),
    source!("turns.rs"),
    source!("world.rs"),
];

/// Of the code and the settings of the swarm: what was found with another one is another result.
pub fn swarm_hash() -> String {
    let mut hash = sha1::Sha1::new();
    for (name, text) in SOURCES {
        hash.update(name);
        hash.update(text);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The build that a result is of: core, features and swarm.
pub fn build() -> String {
    format!("{BUILD}, swarm {}", swarm_hash())
}

/// Groups of judges: what they watch over.
pub const GROUPS: [&str; 9] = [
    "order of txns",
    "elections and epochs",
    "packets",
    "digests and recovery",
    "replies",
    "watches",
    "sessions and read-only",
    "liveness",
    "the core itself",
];

/// The group of the judge that speaks.
pub fn group_of(violation: &Violation) -> &'static str {
    let judge = violation.judge.as_str();
    match judge {
        _ if violation.kind == Kind::Crash || judge == "halt" => GROUPS[8],
        _ if violation.kind == Kind::Liveness => GROUPS[7],
        "D-e" | "digest" | "recovery" => GROUPS[3],
        "answer" | "order" => GROUPS[4],
        "watch" => GROUPS[5],
        "session" => GROUPS[6],
        "log" | "reaping" => GROUPS[0],
        _ => match judge.as_bytes().first() {
            Some(b'P') => GROUPS[0],
            Some(b'E' | b'V') => GROUPS[1],
            Some(b'M' | b'O' | b'T') => GROUPS[2],
            Some(b'D') => GROUPS[3],
            Some(b'R') => GROUPS[6],
            _ => GROUPS[4],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_of_all_sources() {
        let src = concat!(env!("CARGO_MANIFEST_DIR"), "/../io-sim/src");
        let list = |dir: &str| {
            let entries = std::fs::read_dir(format!("{src}/{dir}")).expect("it is there");
            let names = entries.map(|entry| {
                entry.expect("it can be listed").file_name().into_string().expect("a name")
            });
            names.map(|name| format!("{dir}{name}")).collect::<Vec<_>>()
        };
        // Who only looks on, and writes down what there was, is not part of a seed.
        let is_part = |name: &String| {
            name.ends_with(".rs") && !name.ends_with("_tests.rs") && name != "flight.rs"
        };
        let all = [list(""), list("swarm/")].concat();
        let mut names: Vec<String> = all.into_iter().filter(is_part).collect();
        names.sort();
        let hashed: Vec<&str> = SOURCES.iter().map(|(name, _)| *name).collect();
        assert_eq!(hashed, names);
    }

    #[test]
    fn a_campaign_in_vain_counts_as_the_worst() {
        let violation = Violation::of_judge("P8: lost".into());
        let find = |seeds| {
            let (seed, kin, violation) = (seeds, Kin::Alone, violation.clone());
            Ok(Find { seeds, cpu_s: 1.0, seed, kin, violation })
        };
        let campaigns = vec![find(3), Err(9.0), find(1)];
        let hunted = Hunted { mistake: Mistake::None, campaigns };
        assert_eq!((hunted.is_found(), hunted.seeds()), (false, (3, u64::MAX)));
        assert_eq!(hunted.cpu_s(), (1.0, 9.0));
        assert_eq!(hunted.caught_by(), (vec!["P8".to_owned()], vec![Kin::Alone]));
        assert_eq!(group_of(&violation), "order of txns");
    }

    #[test]
    fn a_seed_that_fails_without_the_mistake_finds_nothing() {
        let said = || Some(Violation::of_judge("P8: lost".into()));
        let mistake = Mistake::NoFsyncWait;
        let seed_5 = |kin, seed, made: Mistake| {
            let fails = seed == 2 * APART + 4 && kin == Kin::Ensemble && made != Mistake::None;
            (said().filter(|_| fails), 1.0)
        };
        let find = campaign_with(seed_5, mistake, 1, 9).expect("it is clean").expect("it is found");
        assert_eq!((find.seeds, find.cpu_s, find.seed), (5, 10.0, 2 * APART + 4));
        assert_eq!(campaign_with(seed_5, mistake, 1, 4), Ok(Err(8.0)));
        let always = |_, seed, _| (said().filter(|_| seed == APART + 1), 1.0);
        let alarm = campaign_with(always, mistake, 0, 9).expect_err("it fails in any case");
        assert_eq!((alarm.seed, alarm.kin), (APART + 1, Kin::Alone));
        assert!(alarm.to_string().contains("replay --seed 1000001 --alone"), "{alarm}");
    }
}
