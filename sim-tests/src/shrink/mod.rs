//! A run that fails, made small: fewer steps, clients, servers and kinds of operations, shorter times, as long as the same
//! judge still says no. What is left is to be read by a person, and to be replayed when the code has changed: so what
//! fails with many seeds is preferred to what fails with one.

mod oftener;
mod simpler;

use crate::guard::guarded;
use crate::run::judge_scenario;
use crate::violation::Violation;
use zoetrope_io_sim::{Mistake, Scenario};

/// What came of it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The small scenario.
    pub scenario: Scenario,
    /// What it breaks.
    pub violation: Violation,
    /// Lines of the file it was, and of the one it is.
    pub lines: (usize, usize),
    /// Runs that were tried.
    pub runs: u64,
    /// CPU time of all that, s.
    pub cpu_s: f64,
    /// Of so many other seeds, how many fail the same way.
    pub oftenness: (u64, u64),
    /// CPU time of counting that, s.
    pub counting_cpu_s: f64,
}

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// CPU time to shrink in, s.
    pub cpu_s: f64,
    /// Seeds by which to count at the end how often the small scenario fails.
    pub seeds: u64,
}

/// The most lines that a file of a shrunk scenario may have.
const LINES_MAX: usize = 40;
/// Seeds besides its own by which a smaller scenario may fail.
const OTHER_SEEDS: u64 = 3;

/// Seeds that no swarm begins with.
fn other_seeds(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|n| 1_000_000 + n)
}

/// The search.
struct Shrinker {
    mistake: Mistake,
    /// Who has to say no.
    judge: String,
    budget_s: f64,
    begun_s: f64,
    runs: u64,
    best: Scenario,
    /// What the best one breaks.
    violation: Violation,
}

/// CPU time of this process, s; in hundredths.
fn process_cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time are the 14th and 15th field; the first two are cut off, with the name between them.
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// How a run ends: what it breaks, and how many of its steps it has begun.
fn run(scenario: &Scenario, mistake: Mistake) -> (Option<Violation>, usize) {
    let (scenario, all) = (scenario.clone(), scenario.steps.len());
    match guarded(move || judge_scenario(&scenario, mistake)) {
        Ok(report) => (report.violation.map(Violation::of_judge), report.figures.steps as usize),
        Err(crash) => (Some(Violation::of_crash(&crash)), all),
    }
}

impl Shrinker {
    fn is_over(&self) -> bool {
        process_cpu_s() - self.begun_s > self.budget_s
    }

    /// Does it fail as it should, and only because of what was put in?
    fn fails(&mut self, scenario: &Scenario) -> Option<Violation> {
        self.runs += 1;
        let violation = run(scenario, self.mistake).0?;
        if violation.judge != self.judge {
            return None;
        }
        if self.mistake != Mistake::None {
            self.runs += 1;
            if run(scenario, Mistake::None).0.is_some() {
                return None;
            }
        }
        Some(violation)
    }

    /// Takes a scenario that is simpler, if it still fails, be it with another seed.
    fn takes(&mut self, simpler: &Scenario) -> bool {
        if *simpler == self.best || self.is_over() {
            return false;
        }
        let seeds = std::iter::once(simpler.seed).chain(other_seeds(OTHER_SEEDS));
        for seed in seeds {
            let candidate = Scenario { seed, ..simpler.clone() };
            if let Some(violation) = self.fails(&candidate) {
                (self.best, self.violation) = (candidate, violation);
                return true;
            }
        }
        false
    }

    /// With how many of so many other seeds it fails. Stops when it cannot be more than `least` any more.
    fn count(&mut self, scenario: &Scenario, seeds: u64, least: u64) -> u64 {
        let mut failed = 0;
        for (n, seed) in other_seeds(seeds).enumerate() {
            if failed + seeds - n as u64 <= least {
                break;
            }
            failed += u64::from(self.fails(&Scenario { seed, ..scenario.clone() }).is_some());
        }
        failed
    }
}

/// Shrinks a scenario that fails. `None`: it does not.
pub fn shrink(scenario: &Scenario, mistake: Mistake, effort: Effort) -> Option<Shrunk> {
    let begun_s = process_cpu_s();
    let (violation, begun) = run(scenario, mistake);
    let violation = violation?;
    let mut best = scenario.clone();
    best.steps.truncate(begun);
    let mut shrinker = Shrinker {
        mistake,
        judge: violation.judge.clone(),
        budget_s: effort.cpu_s,
        begun_s,
        runs: 1,
        best,
        violation,
    };
    shrinker.make_simpler();
    shrinker.make_oftener();
    shrinker.tell_a_story();
    let done_s = process_cpu_s();
    let small = shrinker.best.clone();
    let failed = shrinker.count(&small, effort.seeds, 0);
    Some(Shrunk {
        lines: (scenario.to_short_text().lines().count(), small.to_short_text().lines().count()),
        scenario: small,
        violation: shrinker.violation,
        runs: shrinker.runs,
        cpu_s: done_s - begun_s,
        oftenness: (failed, effort.seeds),
        counting_cpu_s: process_cpu_s() - done_s,
    })
}

impl Shrinker {
    /// The file says what it is about.
    fn tell_a_story(&mut self) {
        let mut said: String = self.violation.text.chars().take(160).collect();
        if said.len() < self.violation.text.len() {
            said.push('…');
        }
        self.best.story = format!("Shrunk from a longer run. It breaks: {said}");
        self.best.guards = self.judge.clone();
        self.best.retells = String::new();
    }
}
