//! A run that fails, made small: fewer steps, clients, servers and kinds of operations, shorter times, as long as the same
//! judge still says no. What is left is to be read by a person, and to be replayed when the code has changed: so what
//! fails with many seeds is preferred to what fails with one.

mod oftener;
mod simpler;

use crate::guard::guarded;
use crate::run::{Report, judge_scenario_until};
use crate::sense::nonsense;
use crate::violation::Violation;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
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
    /// The first of those.
    pub seed: Option<u64>,
}

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// CPU time to shrink in, s.
    pub cpu_s: f64,
    /// Seeds by which to count at the end how often the small scenario fails.
    pub seeds: u64,
    /// What to change, chance decides; with another number another chance.
    pub chance: u64,
}

/// Runs by which it is seen how long one takes.
const FEW_RUNS: u64 = 10;
/// What CPU time is counted in, s.
const TICK_S: f64 = 0.01;
/// The most lines that a file of a shrunk scenario may have, before it says what it is about.
const LINES_MAX: usize = 38;
/// Seeds, its own among them, by which a smaller scenario is tried at first, at most.
const FEW_SEEDS: u64 = 6;
/// So many tries the time has to suffice for: while a run is long, there are fewer seeds to a try.
const TRIES: f64 = 120.0;
/// Seeds by which scenarios are compared that fail with many, at most.
const MANY_SEEDS: u64 = 60;
/// And at least.
const LEAST_SEEDS: u64 = 12;
/// So many comparisons the time has to suffice for.
const COMPARISONS: f64 = 20.0;
/// Of those seeds, the part that is looked at first.
const FIRST_OF_MANY: u64 = 5;
/// Seeds by which it is found out where on its way a scenario has begun to fail less often.
const SOME_SEEDS: u64 = 30;
/// Part of the time in which scenarios are made smaller, before they are made to fail more often.
const FIRST_PART: f64 = 0.5;
/// Part of the time when they are to fail often enough: what that has added is made smaller in what is left.
const SECOND_PART: f64 = 0.87;
/// Of the time in which they are to fail more often, the part before they are given rounds: without them a run is short, and more can be tried.
const BEFORE_ROUNDS: f64 = 0.4;
/// A round may take so many times the simulated time that another one took,
const TIMES_AS_LONG: u64 = 2;
/// and so much more, µs.
const LONGER_US: u64 = 30_000_000;

/// Simulated time in which one has to fail where another one was over after so long, µs.
fn patience_us(us: u64) -> u64 {
    us * TIMES_AS_LONG + LONGER_US
}

/// Seeds to search by; no swarm begins with them.
fn other_seeds(count: u64) -> Range<u64> {
    1_000_000..1_000_000 + count
}

/// Seeds that the search did not go by so far: what was chosen by some must hold with others, or chance would have chosen it.
fn second_seeds(count: u64) -> Range<u64> {
    1_500_000..1_500_000 + count
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
    /// A simpler scenario has to fail with this part of the seeds it is tried by. What fails often would otherwise become,
    /// step by step, what fails by chance.
    few: f64,
    /// CPU time of a try, s.
    try_s: f64,
    /// CPU time of a run, as the last ones were, s.
    run_s: f64,
    /// Simulated time in which a round has to fail, µs: servers that elect each other without end would take all the time
    /// there is.
    patience_us: u64,
    /// Simulated time of the longest run since somebody has begun to measure it, µs.
    longest_us: u64,
    /// Seeds by which scenarios are compared now.
    many: u64,
    /// Once this is not 0, a simpler scenario has to fail with so many of them.
    least: u64,
    /// Decides what to change.
    chance: ChaCha8Rng,
    /// With so many of those the best one fails.
    often: u64,
    /// And with so many of as many second seeds.
    second: u64,
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

/// Lines of the file that a scenario would be.
fn lines(scenario: &Scenario) -> usize {
    scenario.to_short_text().lines().count()
}

/// How a run ends, at that simulated time at the latest, µs: what it breaks, how many of its steps it has begun, and when
/// it was over, µs; neither is known of a crash.
fn run(
    scenario: &Scenario,
    mistake: Mistake,
    latest_us: u64,
) -> (Option<Violation>, Option<(usize, u64)>) {
    let scenario = scenario.clone();
    match guarded(move || judge_scenario_until(&scenario, mistake, latest_us)) {
        Ok(Report { violation, figures, .. }) => {
            let ended = (figures.steps as usize, figures.simulated_us);
            (violation.map(Violation::of_judge), Some(ended))
        }
        Err(crash) => (Some(Violation::of_crash(&crash)), None),
    }
}

impl Shrinker {
    /// Runs it with a few seeds, to see how long that takes.
    fn measure(&mut self, scenario: &Scenario) {
        self.longest_us = 0;
        let (runs, begun_s) = (self.runs, process_cpu_s());
        self.count(scenario, other_seeds(FEW_RUNS), 0);
        self.run_s = (process_cpu_s() - begun_s).max(TICK_S) / (self.runs - runs).max(1) as f64;
        // Of runs that all crash nobody knows when.
        if self.longest_us > 0 {
            self.patience_us = patience_us(self.longest_us / u64::from(scenario.rounds));
        }
    }

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
        let begun_s = process_cpu_s();
        let latest_us = self.patience_us.saturating_mul(u64::from(scenario.rounds));
        let (violation, ended) = run(scenario, self.mistake, latest_us);
        self.longest_us = self.longest_us.max(ended.map_or(0, |(_, us)| us));
        self.run_s += (process_cpu_s() - begun_s - self.run_s) / 4.0;
        violation
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
        run(scenario, Mistake::None, u64::MAX).0.is_none()
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
        if self.least == 0 {
            return self.takes_with(simpler, FEW_SEEDS);
        }
        let count = self.count(simpler, other_seeds(self.many), self.least - 1);
        let seed = count.seed.filter(|_| count.fails >= self.least);
        let Some(seed) = seed else { return false };
        let simpler = Scenario { seed, ..simpler.clone() };
        let least = self.second * 9 / 10;
        let second = self.count(&simpler, second_seeds(self.many), least.saturating_sub(1));
        second.fails >= least && self.takes_if_clean(simpler)
    }

    /// Takes a scenario, if of so many seeds, or of as many of them as there is time for in a try, enough fail.
    fn takes_with(&mut self, simpler: &Scenario, seeds: u64) -> bool {
        let ends_s = self.ends_s.min(process_cpu_s() + self.try_s);
        let (mut tried, mut failed, mut found) = (0, 0, None);
        for seed in once(simpler.seed).chain(other_seeds(seeds - 1)) {
            let candidate = Scenario { seed, ..simpler.clone() };
            tried += 1;
            if let Some(violation) = self.ends_with(&candidate) {
                failed += 1;
                found = found.or((violation.judge == self.judge).then_some(candidate));
            }
            let enough = self.few * seeds as f64;
            let is_enough = found.is_some() && failed as f64 >= enough;
            let is_hopeless = ((failed + seeds - tried) as f64) < enough;
            if is_enough || is_hopeless || process_cpu_s() > ends_s {
                break;
            }
        }
        let found = found.filter(|_| failed as f64 >= self.few * tried as f64);
        found.is_some_and(|found| self.takes_if_clean(found))
    }

    /// Takes what fails, unless it does so without what was put in as well.
    fn takes_if_clean(&mut self, scenario: Scenario) -> bool {
        let Some(violation) = self.fails(&scenario) else { return false };
        self.trail.push(std::mem::replace(&mut self.best, scenario));
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
            if violation.judge == self.judge {
                often.alike += 1;
                often.seed = often.seed.or(Some(seed));
            }
        }
        often
    }
}

/// Shrinks a scenario that fails. `None`: it does not.
pub fn shrink(scenario: &Scenario, mistake: Mistake, effort: Effort) -> Option<Shrunk> {
    let begun_s = process_cpu_s();
    let (violation, ended) = run(scenario, mistake, u64::MAX);
    let violation = violation?;
    // What was shrunk before is simple, and would only come to fail more seldom. Other seeds go on where its own ends.
    let was_shrunk = told_oftenness(&scenario.story).is_some();
    let mut best = scenario.clone();
    if let Some((begun, _)) = ended.filter(|_| !was_shrunk) {
        best.steps.truncate(begun);
    }
    let mut shrinker = Shrinker {
        mistake,
        judge: violation.judge.clone(),
        ends_s: begun_s + effort.cpu_s * FIRST_PART,
        few: 0.0,
        try_s: effort.cpu_s * FIRST_PART / TRIES,
        run_s: process_cpu_s() - begun_s,
        patience_us: ended.map_or(u64::MAX, |(_, us)| patience_us(us)),
        longest_us: 0,
        many: MANY_SEEDS,
        least: 0,
        chance: ChaCha8Rng::seed_from_u64(effort.chance),
        often: 0,
        second: 0,
        runs: 1,
        best,
        violation,
        trail: Vec::new(),
    };
    let first = shrinker.best.clone();
    // With a few more, in a small part of the time: how often it fails, and how long a run takes.
    let others = ((effort.cpu_s / 10.0 / shrinker.run_s) as u64).clamp(1, FEW_SEEDS - 1);
    let often = shrinker.count(&first, other_seeds(others), 0).fails;
    let mut is_simple = was_shrunk;
    if !was_shrunk {
        shrinker.few = often as f64 / (2 * others) as f64;
        shrinker.keep_the_end();
        shrinker.make_simpler();
        is_simple = !shrinker.is_over();
    }
    shrinker.ends_s = begun_s + effort.cpu_s * SECOND_PART;
    let has_gone_back = shrinker.step_back();
    let is_oftener = shrinker.make_oftener();
    shrinker.ends_s = begun_s + effort.cpu_s;
    if has_gone_back || is_oftener || !is_simple {
        shrinker.make_simpler();
    }
    let done_s = process_cpu_s();
    (shrinker.ends_s, shrinker.patience_us) = (f64::INFINITY, u64::MAX);
    let small = shrinker.best.clone();
    let oftenness = shrinker.count_by(Shrinker::breaks, &small, fresh_seeds(effort.seeds), 0);
    shrinker.tell_a_story(oftenness);
    let small = shrinker.best;
    Some(Shrunk {
        lines: (lines(scenario), lines(&small)),
        scenario: small,
        violation: shrinker.violation,
        runs: shrinker.runs,
        cpu_s: done_s - begun_s,
        oftenness,
        counting_cpu_s: process_cpu_s() - done_s,
    })
}

const STORY_BEGINS: &str = "Shrunk from a longer run; ";

impl Shrinker {
    /// The file says what it is about.
    fn tell_a_story(&mut self, Oftenness { seeds, fails, .. }: Oftenness) {
        let mut said: String = self.violation.text.chars().take(160).collect();
        if said.len() < self.violation.text.len() {
            said.push('…');
        }
        self.best.story =
            format!("{STORY_BEGINS}{fails} of {seeds} other seeds fail. It breaks: {said}");
        self.best.guards = self.judge.clone();
        self.best.retells = String::new();
    }
}

/// With how many of how many other seeds a scenario fails, as the story of one that was shrunk says it.
pub fn told_oftenness(story: &str) -> Option<(u64, u64)> {
    let (fails, rest) = story.strip_prefix(STORY_BEGINS)?.split_once(" of ")?;
    let (seeds, _) = rest.split_once(" other seeds fail.")?;
    Some((fails.parse().ok()?, seeds.parse().ok()?))
}
