//! Many seeds on several threads, until they are used up or time is, and results that can be written down and merged.

use crate::coverage::Met;
use crate::guard::guarded;
use crate::hunt::build;
use crate::run::{Report, judge_scenario};
use crate::seeds::thread_cpu_ns;
use crate::violation::{Kind, Violation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use zoetrope_io_sim::{Mistake, Scenario, swarm, swarm_ensemble};

/// Which swarm a seed is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kin {
    /// One server that stands alone.
    Alone,
    /// Several servers.
    Ensemble,
}

impl fmt::Display for Kin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Alone { "alone" } else { "ensemble" })
    }
}

impl Kin {
    /// The scenario of a seed.
    pub fn scenario(self, seed: u64) -> Scenario {
        match self {
            Self::Alone => swarm(seed),
            Self::Ensemble => swarm_ensemble(seed),
        }
    }
}

/// One of `of` parts of all seeds: every `of`-th, beginning with `index`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    /// How many there are.
    pub of: u64,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Swarms, taken in turn.
    pub kins: Vec<Kin>,
    /// The first seed.
    pub from: u64,
    /// How many seeds, of all shards together; `None`: as many as there is time for.
    pub count: Option<u64>,
    /// No seed begins after that time.
    pub time: Option<Duration>,
    /// Threads.
    pub jobs: usize,
    /// Which of the seeds.
    pub shard: Shard,
    /// A mistake of the driver, to see it found.
    pub mistake: Mistake,
}

/// A seed that broke a promise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Of which swarm.
    pub swarm: Kin,
    /// Which seed.
    pub seed: u64,
    /// What kind of promise.
    pub kind: Kind,
    /// The name of what was broken.
    pub judge: String,
    /// What was said of it.
    pub violation: String,
}

/// Seeds that were run: every `of`-th from `from` on, so many of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Of which swarm.
    pub swarm: Kin,
    /// The first of them.
    pub first: u64,
    /// How far each is from the one before.
    pub step: u64,
    /// How many.
    pub runs: u64,
}

impl Part {
    fn has(&self, seed: u64) -> bool {
        seed >= self.first
            && (seed - self.first).is_multiple_of(self.step.max(1))
            && (seed - self.first) / self.step.max(1) < self.runs
    }

    /// A seed that both have.
    fn meets(&self, other: &Self) -> Option<u64> {
        let seeds = (0..self.runs).map(|n| self.first + n * self.step);
        let same = self.swarm == other.swarm;
        seeds.filter(|_| same).find(|seed| other.has(*seed))
    }
}

/// What was seen in many runs. Can be added up.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Version of the simulator: its core and its swarm, too.
    pub version: String,
    /// The mistake that was put in, or `none`.
    pub mistake: String,
    /// Runs that were judged.
    pub runs: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Inputs that servers absorbed.
    pub inputs: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Losses of power among them.
    pub crashes: u64,
    /// Simulated time, s.
    pub simulated_s: f64,
    /// CPU time, s.
    pub cpu_s: f64,
    /// How often each fault has met each moment of a server, in runs that kept every promise.
    #[serde(default)]
    pub coverage: Met,
    /// Which seeds.
    #[serde(default, rename = "part")]
    pub parts: Vec<Part>,
    /// Those that broke a promise.
    #[serde(default, rename = "failure")]
    pub failures: Vec<Failure>,
}

impl Tally {
    fn new(mistake: Mistake) -> Self {
        Self { version: build(), mistake: mistake.name(), ..Self::default() }
    }

    fn add_run(&mut self, report: &Report, cpu_ns: u64) {
        let figures = &report.figures;
        self.requests += figures.requests;
        self.inputs += figures.inputs;
        self.faults += figures.faults;
        self.crashes += figures.crashes;
        self.simulated_s += figures.simulated_us as f64 / 1e6;
        self.cpu_s += cpu_ns as f64 / 1e9;
        self.coverage.add(&figures.coverage);
    }

    /// Reads a file of results.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// The file that says these results.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("every result can be written")
    }

    /// Adds what another machine has seen. Seeds that both have run would be counted twice, and are refused.
    pub fn merge(&mut self, other: Self) -> Result<(), String> {
        if self.version != other.version {
            return Err(format!("results of versions {} and {}", self.version, other.version));
        }
        if self.mistake != other.mistake {
            let (mine, theirs) = (&self.mistake, &other.mistake);
            return Err(format!("results with the mistakes {mine} and {theirs}"));
        }
        for (mine, theirs) in
            self.parts.iter().flat_map(|m| other.parts.iter().map(move |t| (m, t)))
        {
            if let Some(seed) = mine.meets(theirs) {
                return Err(format!(
                    "seed {seed} of the swarm {} would be counted twice",
                    mine.swarm
                ));
            }
        }
        self.runs += other.runs;
        self.requests += other.requests;
        self.inputs += other.inputs;
        self.faults += other.faults;
        self.crashes += other.crashes;
        self.simulated_s += other.simulated_s;
        self.cpu_s += other.cpu_s;
        self.coverage.merge(other.coverage);
        self.parts.extend(other.parts);
        self.failures.extend(other.failures);
        self.failures.sort();
        Ok(())
    }

    /// The worst kind of promise that was broken.
    pub fn worst(&self) -> Option<Kind> {
        self.failures.iter().map(|failure| failure.kind).max()
    }
}

/// One run that is over.
#[derive(Debug)]
struct Done {
    kin: Kin,
    seed: u64,
    cpu_ns: u64,
    result: Result<Report, Violation>,
}

/// What is told while a campaign goes on.
#[derive(Debug)]
pub enum News<'a> {
    /// A seed broke a promise.
    Failed(&'a Failure),
    /// A run is over, or some time has passed: the tally so far.
    Progress(&'a Tally),
}

fn one(kin: Kin, seed: u64, mistake: Mistake) -> Done {
    let scenario = kin.scenario(seed);
    let run = guarded(move || {
        let before = thread_cpu_ns();
        let report = judge_scenario(&scenario, mistake);
        (report, thread_cpu_ns() - before)
    });
    let (cpu_ns, result) = match run {
        Ok((report, cpu_ns)) => match report.violation.clone() {
            Some(text) => (cpu_ns, Err(Violation::of_judge(text))),
            None => (cpu_ns, Ok(report)),
        },
        Err(crash) => (0, Err(Violation::of_crash(&crash))),
    };
    Done { kin, seed, cpu_ns, result }
}

impl Campaign {
    /// The n-th run of this shard.
    fn run(&self, n: u64) -> Option<(Kin, u64)> {
        let kins = self.kins.len() as u64;
        let seed = (n / kins) * self.shard.of + self.shard.index;
        if self.count.is_some_and(|count| seed >= count) {
            return None;
        }
        Some((self.kins[(n % kins) as usize], self.from + seed))
    }

    /// Runs it. `tell` hears of failures at once.
    pub fn run_all(&self, mut tell: impl FnMut(News<'_>)) -> Tally {
        let (begin, next) = (Instant::now(), AtomicU64::new(0));
        let mut tally = Tally::new(self.mistake);
        let mut runs: BTreeMap<Kin, u64> = BTreeMap::new();
        let (sender, results) = channel();
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || {
                    // A run that was taken is run: so the seeds of a part have no holes.
                    while self.time.is_none_or(|time| begin.elapsed() < time)
                        && let Some((kin, seed)) = self.run(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let done = one(kin, seed, self.mistake);
                        if sender.send(done).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for done in results {
                *runs.entry(done.kin).or_default() += 1;
                tally.runs += 1;
                match done.result {
                    Ok(report) => tally.add_run(&report, done.cpu_ns),
                    Err(violation) => {
                        tally.cpu_s += done.cpu_ns as f64 / 1e9;
                        let failure = Failure {
                            swarm: done.kin,
                            seed: done.seed,
                            kind: violation.kind,
                            judge: violation.judge,
                            violation: violation.text,
                        };
                        tell(News::Failed(&failure));
                        tally.failures.push(failure);
                    }
                }
                tell(News::Progress(&tally));
            }
        });
        let (first, step) = (self.from + self.shard.index, self.shard.of);
        let part = |(swarm, runs)| Part { swarm, first, step, runs };
        tally.parts = runs.into_iter().map(part).collect();
        tally.failures.sort();
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign(index: u64, of: u64) -> Campaign {
        Campaign {
            kins: vec![Kin::Alone],
            from: 5,
            count: Some(4),
            time: None,
            jobs: 2,
            shard: Shard { index, of },
            mistake: Mistake::None,
        }
    }

    #[test]
    fn shards_add_up_to_the_whole_and_nothing_is_counted_twice() {
        let whole = campaign(0, 1).run_all(|_| ());
        let mut parts = campaign(0, 2).run_all(|_| ());
        let other = campaign(1, 2).run_all(|_| ());
        let read = Tally::parse(&other.to_text()).unwrap();
        assert_eq!(read, other);
        parts.merge(other.clone()).unwrap();
        assert_eq!((parts.runs, parts.requests, parts.inputs), (4, whole.requests, whole.inputs));
        assert_eq!((parts.faults, parts.crashes), (whole.faults, whole.crashes));
        assert!(parts.requests > 1000);
        assert!(parts.coverage == whole.coverage && parts.coverage.holes().len() < 600);
        let twice = parts.merge(other).unwrap_err();
        assert!(twice.contains("seed 6 of the swarm alone"), "{twice}");
    }

    #[test]
    fn a_failure_is_told_at_once_and_written_down() {
        let mut told = 0;
        let campaign = Campaign { mistake: Mistake::RepliesOutOfOrder, ..campaign(0, 1) };
        let tally = campaign.run_all(|news| told += usize::from(matches!(news, News::Failed(_))));
        assert!(told > 0 && tally.failures.len() == told);
        assert_eq!(tally.worst(), Some(Kind::Safety));
        assert_eq!(Tally::parse(&tally.to_text()), Ok(tally));
    }
}
