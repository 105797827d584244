//! A run that fails, made small: fewer steps, clients, servers and kinds of operations, shorter times, as long as the same
//! judge still says no. What is left is to be read by a person, and to be replayed when the code has changed: so what
//! fails with many seeds is preferred to what fails with one.

mod oftener;
mod simpler;

use crate::guard::guarded;
use crate::run::judge_scenario;
use crate::sense::nonsense;
use crate::violation::Violation;
use std::iter::once;
use std::ops::Range;
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
    /// How often it fails with other seeds.
    pub oftenness: Oftenness,
    /// CPU time of counting that, s.
    pub counting_cpu_s: f64,
}

/// How often a scenario fails with other seeds than its own.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Oftenness {
    /// Seeds it was tried with.
    pub seeds: u64,
    /// Of these, with how many it fails.
    pub fails: u64,
    /// And with how many because the same judge says no: another one may be the first to see it.
    pub alike: u64,
}

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// CPU time to shrink in, s.
    pub cpu_s: f64,
    /// Seeds by which to count at the end how often the small scenario fails.
    pub seeds: u64,
}

/// The most lines that a file of a shrunk scenario may have, before it says what it is about.
const LINES_MAX: usize = 38;
/// Seeds, its own among them, by which a smaller scenario is tried at first.
const FEW_SEEDS: u64 = 6;
/// Seeds by which scenarios are compared that fail with many.
const MANY_SEEDS: u64 = 60;
/// Who fails with so many of these fails with nearly all others.
const ENOUGH: u64 = 59;
/// Of those, what is looked at first.
const FIRST_SEEDS: u64 = 12;
/// Seeds by which it is found out where on its way a scenario has begun to fail less often.
const SOME_SEEDS: u64 = 30;
/// Part of the time in which scenarios are made smaller, before they are made to fail more often.
const FIRST_PART: f64 = 0.6;

/// Seeds to search by; no swarm begins with them.
fn other_seeds(count: u64) -> Range<u64> {
    1_000_000..1_000_000 + count
}

/// Seeds to count by at the end: none of those that the search went by, or it would have chosen its own judges.
fn fresh_seeds(count: u64) -> Range<u64> {
    2_000_000..2_000_000 + count
}

/// The search.
struct Shrinker {
    mistake: Mistake,
    /// Who has to say no.
    judge: String,
    /// CPU time of the process when the search, or this part of it, is over, s.
    ends_s: f64,
    /// A simpler scenario has to fail with so many of [`FEW_SEEDS`]. What fails often would otherwise become, step by
    /// step, what fails by chance.
    few: u64,
    /// And with so many of [`MANY_SEEDS`], once that is not 0.
    least: u64,
    runs: u64,
    best: Scenario,
    /// What the best one breaks.
    violation: Violation,
    /// What was the best one before, the first one first.
    trail: Vec<Scenario>,
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
        process_cpu_s() > self.ends_s
    }

    /// What it breaks.
    fn ends_with(&mut self, scenario: &Scenario) -> Option<Violation> {
        // Whoever replays the file would be told that it makes no sense.
        if nonsense(scenario).is_some() {
            return None;
        }
        self.runs += 1;
        run(scenario, self.mistake).0
    }

    /// What it breaks, and only because of what was put in.
    fn breaks(&mut self, scenario: &Scenario) -> Option<Violation> {
        let violation = self.ends_with(scenario)?;
        self.is_clean(scenario).then_some(violation)
    }

    /// Does it break nothing without what was put in?
    fn is_clean(&mut self, scenario: &Scenario) -> bool {
        if self.mistake == Mistake::None {
            return true;
        }
        self.runs += 1;
        run(scenario, Mistake::None).0.is_none()
    }

    /// Does it break what it should?
    fn fails(&mut self, scenario: &Scenario) -> Option<Violation> {
        self.breaks(scenario).filter(|violation| violation.judge == self.judge)
    }

    /// Takes a scenario that is simpler, if it still fails, be it with another seed.
    fn takes(&mut self, simpler: &Scenario) -> bool {
        if *simpler == self.best || self.is_over() {
            return false;
        }
        if self.least > 0
            && self.count(simpler, other_seeds(MANY_SEEDS), self.least - 1).fails < self.least
        {
            return false;
        }
        let (seeds, least) = match self.least {
            0 => (FEW_SEEDS, self.few),
            _ => (MANY_SEEDS, 1),
        };
        let (mut failed, mut found) = (0, None);
        for (left, seed) in (0..seeds).rev().zip(once(simpler.seed).chain(other_seeds(seeds))) {
            let candidate = Scenario { seed, ..simpler.clone() };
            if let Some(violation) = self.ends_with(&candidate) {
                failed += 1;
                if found.is_none() && violation.judge == self.judge && self.is_clean(&candidate) {
                    found = Some((candidate, violation));
                }
            }
            if failed >= least && found.is_some() {
                break;
            }
            if failed + left < least {
                return false;
            }
        }
        let Some(found) = found.filter(|_| failed >= least) else { return false };
        let (best, violation) = found;
        self.trail.push(std::mem::replace(&mut self.best, best));
        self.violation = violation;
        true
    }

    /// With how many of these seeds it fails. Stops when it cannot be more than `least` any more, or when the
    /// time is over.
    fn count(&mut self, scenario: &Scenario, seeds: Range<u64>, least: u64) -> Oftenness {
        self.count_by(Self::ends_with, scenario, seeds, least)
    }

    fn count_by(
        &mut self,
        fails: fn(&mut Self, &Scenario) -> Option<Violation>,
        scenario: &Scenario,
        seeds: Range<u64>,
        least: u64,
    ) -> Oftenness {
        let mut often = Oftenness { seeds: seeds.end - seeds.start, ..Oftenness::default() };
        for seed in seeds.clone() {
            if often.fails + seeds.end - seed <= least || self.is_over() {
                break;
            }
            let Some(violation) = fails(self, &Scenario { seed, ..scenario.clone() }) else {
                continue;
            };
            often.fails += 1;
            often.alike += u64::from(violation.judge == self.judge);
        }
        often
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
        ends_s: begun_s + effort.cpu_s * FIRST_PART,
        few: 1,
        least: 0,
        runs: 1,
        best,
        violation,
        trail: Vec::new(),
    };
    let first = shrinker.best.clone();
    let others = shrinker.count(&first, other_seeds(FEW_SEEDS - 1), 0).fails;
    shrinker.few = (others + 1).div_ceil(2);
    shrinker.make_simpler();
    shrinker.ends_s = begun_s + effort.cpu_s;
    shrinker.step_back();
    if shrinker.make_oftener() {
        shrinker.make_simpler();
    }
    let done_s = process_cpu_s();
    shrinker.ends_s = f64::INFINITY;
    let small = shrinker.best.clone();
    let oftenness = shrinker.count_by(Shrinker::breaks, &small, fresh_seeds(effort.seeds), 0);
    shrinker.tell_a_story(oftenness);
    let small = shrinker.best;
    Some(Shrunk {
        lines: (scenario.to_short_text().lines().count(), small.to_short_text().lines().count()),
        scenario: small,
        violation: shrinker.violation,
        runs: shrinker.runs,
        cpu_s: done_s - begun_s,
        oftenness,
        counting_cpu_s: process_cpu_s() - done_s,
    })
}

impl Shrinker {
    /// The file says what it is about.
    fn tell_a_story(&mut self, Oftenness { seeds, fails, .. }: Oftenness) {
        let mut said: String = self.violation.text.chars().take(160).collect();
        if said.len() < self.violation.text.len() {
            said.push('…');
        }
        self.best.story = format!(
            "Shrunk from a longer run; {fails} of {seeds} other seeds fail. It breaks: {said}"
        );
        self.best.guards = self.judge.clone();
        self.best.retells = String::new();
    }
}
