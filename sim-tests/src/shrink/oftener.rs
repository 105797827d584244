//! What fails with one seed in ten says nothing after the next change of the code: more of the same, until it fails with
//! nearly all.

use super::simpler::{
    HIGHEST, OPERATIONS, number_of, numbers, set_as, unlike, with_keep, with_number,
};
use super::{
    BEFORE_ROUNDS, COMPARISONS, FEW_RUNS, FIRST_OF_MANY, LEAST_SEEDS, LINES_MAX, MANY_SEEDS,
    SOME_SEEDS, Shrinker, lines, other_seeds, process_cpu_s, second_seeds,
};
use crate::sense::strays;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use zoetrope_io_sim::{Fault, Keep, Operation, Scenario, Step, Target};

/// The most rounds: what is replayed by every test run has to be short.
const ROUNDS: u32 = 30;
/// So many times the time that is left suffices to count with how many seeds it fails in so many rounds.
const ROUNDS_COUNTED: f64 = 6.0;
/// Lines that rounds add, at most.
const LINES_OF_ROUNDS: usize = 4;
/// Longer than a round takes, ms.
const LONG_MS: u64 = 600_000;
/// With this part of the seeds it may go without failing in all rounds.
const MISSES: f64 = 0.03;

/// The same with so many times the requests or the time between faults, but not without end.
fn with_more(scenario: &Scenario, times: u64) -> Scenario {
    let mut more = scenario.clone();
    for step in &mut more.steps {
        match step {
            Step::Requests(n) => *n = (*n * times).clamp(1, 1_000.max(*n)),
            Step::Run(ms) => *ms = (*ms * times).clamp(1, 60_000.max(*ms)),
            _ => {}
        }
    }
    more
}

/// Chance; each search has its own, and it is always the same.
struct Dice(ChaCha8Rng);

impl Dice {
    /// One of so many.
    fn below(&mut self, count: usize) -> Option<usize> {
        Some(self.0.next_u64().checked_rem(count as u64)? as usize)
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        Some(all[self.below(all.len())?].clone())
    }
}

/// A change of a scenario, by which the same may happen more often. It is given what the scenario was before it was shrunk.
type Change = fn(&Scenario, &Scenario, &mut Dice) -> Option<Scenario>;

const CHANGES: [Change; 16] = [
    |s, _, dice| Some(with_more(s, dice.one_of(&[4, 20])?)),
    |s, _, dice| Some(Scenario { clients: dice.one_of(&[1, 2, 3, 5, 10, 20])?, ..s.clone() }),
    |s, _, dice| Some(Scenario { pipeline: dice.one_of(&[1, 4, 8, 16])?, ..s.clone() }),
    |s, _, dice| Some(Scenario { snap_count: dice.one_of(&[20, 60, 200, 1_000])?, ..s.clone() }),
    |s, _, dice| {
        let slice = dice.one_of(&[Some(50), Some(200), Some(500), None])?;
        Some(Scenario { slice, ..s.clone() })
    },
    |s, _, dice| {
        let reap_every = dice.one_of(&[Some(100), Some(500), Some(2_000), None])?;
        Some(Scenario { reap_every, ..s.clone() })
    },
    as_it_was,
    other_operations,
    other_servers,
    some_steps_again,
    one_step_less,
    another_number,
    another_keep,
    something_between,
    one_hears_late,
    more_behind_it,
];

/// What could be left out may still have made it fail more often.
fn as_it_was(s: &Scenario, was: &Scenario, dice: &mut Dice) -> Option<Scenario> {
    let mut names = unlike(s, was);
    if !dice.one_of(&[true, false, false])? {
        let one = dice.one_of(&names)?;
        names = vec![one];
    }
    Some(set_as(s, &names, was))
}

fn other_operations(s: &Scenario, _: &Scenario, dice: &mut Dice) -> Option<Scenario> {
    // Reads do not hinder what is simple, but take turns that other operations could have.
    let all = [&OPERATIONS[..], &[Operation::Reads]].concat();
    let (mut more, operation) = (s.clone(), dice.one_of(&all)?);
    match s.without.iter().position(|without| *without == operation) {
        Some(at) => drop(more.without.remove(at)),
        None => more.without.push(operation),
    }
    Some(more)
}

fn other_servers(s: &Scenario, _: &Scenario, dice: &mut Dice) -> Option<Scenario> {
    let peers = s.peers?;
    let (peers, observers) = dice.one_of(&[(3, 0), (3, 1), (3, 2), (5, 0), (7, 0), (peers, 2)])?;
    Some(Scenario { peers: Some(peers), groups: Vec::new(), observers, ..s.clone() })
}

fn some_steps_again(s: &Scenario, _: &Scenario, dice: &mut Dice) -> Option<Scenario> {
    let from = dice.below(s.steps.len())?;
    let upto = from + 1 + dice.below(s.steps.len() - from)?;
    let again = std::iter::repeat_n(&s.steps[from..upto], dice.one_of(&[2, 4, 8])?).flatten();
    let steps = s.steps[..from].iter().chain(again).chain(&s.steps[upto..]).cloned().collect();
    Some(Scenario { steps, ..s.clone() })
}

fn one_step_less(s: &Scenario, _: &Scenario, dice: &mut Dice) -> Option<Scenario> {
    let mut less = s.clone();
    less.steps.remove(dice.below(s.steps.len())?);
    Some(less)
}

fn another_number(s: &Scenario, _: &Scenario, dice: &mut Dice) -> Option<Scenario> {
    let n = dice.below(s.steps.len())?;
    let path = dice.one_of(&numbers(&s.steps[n]))?;
    let now = number_of(&s.steps[n], &path)?;
    let to = match dice.one_of(&[true, false])? {
        true => now.saturating_mul(dice.one_of(&[3, 10, 100, 1_000])?),
        false => now / dice.one_of(&[3, 10])?,
    };
    with_number(s, n, &path, to.clamp(1, HIGHEST.max(now)))
}

fn another_keep(s: &Scenario, _: &Scenario, dice: &mut Dice) -> Option<Scenario> {
    with_keep(s, dice.below(s.steps.len())?, dice.one_of(&["all", "nothing", "some", "torn"])?)
}

fn something_between(s: &Scenario, _: &Scenario, dice: &mut Dice) -> Option<Scenario> {
    let mut all = vec![Step::Requests(40), Step::Fault(Fault::Disconnect)];
    all.extend(s.peers.map(|_| Step::Fault(Fault::Churn)));
    let between = dice.one_of(&all)?;
    let steps = s.steps.iter().flat_map(|step| [step.clone(), between.clone()]).collect();
    Some(Scenario { steps, ..s.clone() })
}

/// Servers that hear of the same at different times decide by different news.
fn one_hears_late(s: &Scenario, _: &Scenario, dice: &mut Dice) -> Option<Scenario> {
    let all: Vec<u32> = (1..=s.peers?).collect();
    let (one, delay) = (dice.one_of(&all)?, dice.one_of(&[30, 300, 3_000])?);
    let slow = |from: &u32| {
        let (from, to) = (Target::Sid(*from), Target::Sid(one));
        Step::Fault(Fault::SlowLink { from, to, delay, jitter: 0, ms: LONG_MS })
    };
    let links = all.iter().filter(|from| **from != one).map(slow);
    Some(Scenario { steps: links.chain(s.steps.iter().cloned()).collect(), ..s.clone() })
}

/// What went before it in the run it was, or restarts: what comes to pass in elections has as many chances.
fn more_behind_it(s: &Scenario, was: &Scenario, dice: &mut Dice) -> Option<Scenario> {
    let steps = match dice.one_of(&[None, Some(2), Some(4), Some(8), Some(16), Some(32)])? {
        Some(last) => was.steps[was.steps.len().checked_sub(last)?..].to_vec(),
        None => {
            let behind =
                std::iter::repeat_n([restart(s), Step::Requests(40)], dice.one_of(&[4, 10])?);
            s.steps.iter().cloned().chain(behind.flatten()).collect()
        }
    };
    Some(Scenario { steps, ..s.clone() })
}

/// Mostly one change, seldom many at once.
fn changed(scenario: &Scenario, was: &Scenario, dice: &mut Dice) -> Option<Scenario> {
    let mut more = scenario.clone();
    for _ in 0..dice.one_of(&[1, 1, 1, 1, 2, 2, 3, 4])? {
        more = dice.one_of(&CHANGES)?(&more, was, dice)?;
    }
    (more != *scenario).then_some(more)
}

/// Every server is started anew, and has lost nothing.
fn restart(s: &Scenario) -> Step {
    let keep = Keep::All;
    Step::Fault(match s.peers {
        Some(_) => Fault::RestartAll { keep, down: 500 },
        None => Fault::Crash { keep, down: 10 },
    })
}

/// What lets servers begin a round as they began the first one: clients that work, and what only restarts decide anew.
fn anew(s: &Scenario) -> Vec<Step> {
    let work = s.steps.contains(&Step::Rest).then_some(Step::Work);
    work.into_iter().chain([restart(s), Step::ExpectService(20_000)]).collect()
}

impl Shrinker {
    /// Each simpler scenario fails nearly as often as the one before, and the last one may fail by chance only. Goes back to
    /// the last one that fails often enough beside the first. True: it has gone back.
    pub(super) fn step_back(&mut self) -> bool {
        // What is too long to be a result is none to go back to.
        let is_short = |s: &Scenario| lines(s) <= LINES_MAX;
        let Some(mut often) = self.trail.iter().position(is_short) else { return false };
        // As often as the few seeds say that the first one fails, or its own ones when it is short itself.
        let mut first = (2.0 * self.few * SOME_SEEDS as f64) as u64;
        if often == 0 {
            let scenario = self.trail[0].clone();
            first = first.max(self.count(&scenario, other_seeds(SOME_SEEDS), 0).fails);
        }
        let enough = (first * 17).div_ceil(20).max(1);
        let fails = |shrinker: &mut Self, scenario: &Scenario| {
            shrinker.count(scenario, other_seeds(SOME_SEEDS), enough - 1).fails >= enough
        };
        let best = self.best.clone();
        // Between these two it becomes too seldom.
        let mut seldom = self.trail.len();
        if fails(self, &best) || !fails(self, &self.trail[often].clone()) {
            return false;
        }
        while often + 1 < seldom && !self.is_over() {
            let middle = (often + seldom) / 2;
            match fails(self, &self.trail[middle].clone()) {
                true => often = middle,
                false => seldom = middle,
            }
        }
        let before = self.trail[often].clone();
        self.takes_if_clean(before)
    }

    /// Takes what fails with more seeds, as long as there is time and it is still short. True: it has found something,
    /// and whatever is simpler has to fail as often.
    pub(super) fn make_oftener(&mut self) -> bool {
        if lines(&self.best) > LINES_MAX {
            return false;
        }
        let best = self.best.clone();
        let was = self.trail.first().cloned().unwrap_or_else(|| best.clone());
        let mut dice = Dice(self.chance.clone());
        let (ends_s, now_s) = (self.ends_s, process_cpu_s());
        self.ends_s = now_s + (ends_s - now_s) * BEFORE_ROUNDS;
        self.measure(&best);
        (self.many, self.often, self.second) = self.count_both(&best, LEAST_SEEDS, COMPARISONS);
        self.search(&was, &mut dice);
        self.ends_s = ends_s;
        if self.often < self.enough() {
            self.give_rounds();
        }
        if self.many >= LEAST_SEEDS {
            self.search(&was, &mut dice);
        }
        self.least = self.often.min(self.enough());
        self.best != best
    }

    /// Who fails with all of them but one in sixty fails with nearly all others.
    fn enough(&self) -> u64 {
        self.many - self.many / MANY_SEEDS
    }

    /// With how many seeds it fails, of as many as there is time for if that is to be done so many times, and of as many
    /// others.
    fn count_both(&mut self, scenario: &Scenario, least: u64, times: f64) -> (u64, u64, u64) {
        let once_s = (self.ends_s - process_cpu_s()) / times;
        let many = ((once_s / self.run_s) as u64).clamp(least, MANY_SEEDS);
        let often = self.count(scenario, other_seeds(many), 0).fails;
        (many, often, self.count(scenario, second_seeds(many), 0).fails)
    }

    /// Changes it by chance.
    fn search(&mut self, was: &Scenario, dice: &mut Dice) {
        while self.often < self.enough() && !self.is_over() {
            let Some(more) = changed(&self.best, was, dice) else { continue };
            let Some((fails, more)) = self.fails_oftener(more, self.often) else { continue };
            let least = self.second.saturating_sub(1);
            let second = self.count(&more, second_seeds(self.many), least).fails;
            if second >= self.second && self.takes_if_clean(more) {
                (self.often, self.second) = (fails, second);
            }
        }
    }

    /// What comes to pass in one round of ten does so with nearly every seed in thirty, if a round finds what the one before
    /// has found. True: so it is.
    fn give_rounds(&mut self) -> bool {
        let fails = self.part().clamp(1.0 / (2 * self.many) as f64, 0.9);
        let wanted = (MISSES.ln() / (1.0 - fails).ln()).ceil();
        let once = self.best.clone();
        self.measure(&once);
        let run_s = self.run_s;
        let mut is_better = false;
        for behind in [anew(&once), Vec::new()] {
            // A run that fails does not come to its end: half of all rounds are done.
            let time_for = (self.ends_s - process_cpu_s()) / (FEW_RUNS as f64 * run_s);
            let times = wanted.min(time_for).min(f64::from(ROUNDS / once.rounds));
            let rounds = (f64::from(once.rounds) * times) as u32;
            if rounds > once.rounds && self.often < self.enough() {
                self.run_s = run_s * times / 2.0;
                let steps = [once.steps.clone(), behind].concat();
                is_better |= self.takes_rounds(Scenario { rounds, steps, ..once.clone() });
            }
        }
        is_better
    }

    /// With which part of the seeds it fails.
    fn part(&self) -> f64 {
        (self.often + self.second) as f64 / (2 * self.many) as f64
    }

    /// Takes what has more rounds, if it fails with a larger part of the seeds. Its own seed fails where it did before: what
    /// is added comes behind that.
    fn takes_rounds(&mut self, more: Scenario) -> bool {
        if lines(&more) > LINES_MAX || !strays(&more).is_empty() {
            return false;
        }
        let (many, often, second) = self.count_both(&more, FEW_RUNS / 2, ROUNDS_COUNTED);
        let is_better = (often + second) as f64 > self.part() * (2 * many) as f64;
        let takes = is_better && self.is_clean_thrice(&more) && self.takes_if_clean(more);
        if takes {
            (self.many, self.often, self.second) = (many, often, second);
        }
        takes
    }

    /// Who waits too short a time for what lasts longer now fails without any mistake.
    fn is_clean_thrice(&mut self, scenario: &Scenario) -> bool {
        (0..3).all(|n| self.is_clean(&Scenario { seed: scenario.seed + n, ..scenario.clone() }))
    }

    /// With how many seeds it fails, if these are more than so many, and it itself with one of them.
    fn fails_oftener(&mut self, more: Scenario, often: u64) -> Option<(u64, Scenario)> {
        // What has no rounds yet is left room for them, unless there was none before.
        let room = if more.rounds > 1 { 0 } else { LINES_OF_ROUNDS };
        let longest = lines(&self.best).max(LINES_MAX - room);
        if lines(&more) > longest || !strays(&more).is_empty() {
            return None;
        }
        // Most are no better, and a part of the seeds says so.
        let seeds = other_seeds(self.many);
        let middle = seeds.start + self.many / FIRST_OF_MANY;
        let part = often / FIRST_OF_MANY;
        let first = self.count(&more, seeds.start..middle, part);
        if first.fails <= part {
            return None;
        }
        let rest = self.count(&more, middle..seeds.end, often.saturating_sub(first.fails));
        let fails = first.fails + rest.fails;
        let seed = first.seed.or(rest.seed).filter(|_| fails > often)?;
        let more = Scenario { seed, ..more };
        self.is_clean_thrice(&more).then_some((fails, more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shrink::{Oftenness, patience_us, run, told_oftenness};
    use rand_chacha::rand_core::SeedableRng;
    use zoetrope_io_sim::Mistake;

    /// Power is lost after that.
    fn scenario(steps: &str, keep: &str) -> Scenario {
        let text = format!(
            "story = 'Power is lost.'\nseed = 1000000\nsteps = [{steps}, {{ crash-after = {{ op = 'append', \
             keep = '{keep}', down = 10 }} }}, {{ expect-service = 20000 }}]"
        );
        Scenario::parse(&text).unwrap()
    }

    fn shrinker(best: Scenario) -> Shrinker {
        let mistake = Mistake::NoFsyncWait;
        let violation = run(&best, mistake, u64::MAX).0.expect("an answer is taken back");
        Shrinker {
            mistake,
            judge: violation.judge.clone(),
            ends_s: f64::INFINITY,
            few: 0.0,
            try_s: 1.0,
            run_s: 0.001,
            patience_us: u64::MAX,
            longest_us: 0,
            many: MANY_SEEDS,
            least: 0,
            chance: ChaCha8Rng::seed_from_u64(0),
            often: 0,
            second: 0,
            runs: 0,
            best,
            violation,
            trail: Vec::new(),
        }
    }

    #[test]
    fn what_has_come_to_fail_by_chance_only_is_left_for_what_fails_often() {
        let with = |requests| scenario(&format!("{{ requests = {requests} }}"), "nothing");
        let mut shrinker = shrinker(with(200));
        shrinker.trail = [200, 150, 0, 0].map(with).to_vec();
        shrinker.best = with(0);
        assert_eq!(shrinker.count(&with(0), other_seeds(SOME_SEEDS), 0).fails, 0);
        assert!(shrinker.step_back());
        assert_eq!(shrinker.best.steps, with(150).steps);
        // And what fails as often as ever is kept.
        shrinker.best = with(100);
        assert!(!shrinker.step_back());
        assert_eq!(shrinker.best.steps, with(100).steps);
    }

    #[test]
    fn what_fails_with_half_of_all_seeds_comes_to_fail_with_nearly_all() {
        let mut shrinker = shrinker(scenario("{ requests = 1 }", "some"));
        let seldom = shrinker.best.clone();
        let seldom = shrinker.count(&seldom, other_seeds(MANY_SEEDS), 0).fails;
        assert!(seldom < 45, "{seldom} are not few");
        assert!(shrinker.make_oftener());
        assert_eq!(shrinker.least, 59);
        let often = shrinker.best.clone();
        assert!(shrinker.fails(&often).is_some(), "and with its own");
        assert!(shrinker.count(&often, other_seeds(MANY_SEEDS), 0).fails >= 59);
    }

    /// What fails with few seeds, and steps behind it.
    fn seldom(behind: &str) -> Shrinker {
        let text = format!(
            "story = ''\nseed = 1000000\nclients = 1\npipeline = 1\nsteps = [{{ run = 4 }}, \
             {{ fault = {{ crash = {{ keep = 'some', down = 10 }} }} }}, {{ expect-service = 20000 }}{behind}]"
        );
        let all = Scenario::parse(&text).unwrap();
        let with = |seed| Scenario { seed, ..all.clone() };
        let fails = |s: &Scenario| run(s, Mistake::NoFsyncWait, u64::MAX).0.is_some();
        let best = (1_000_000..1_001_000).map(with).find(fails).expect("it fails with some seed");
        let mut shrinker = shrinker(best);
        let (many, often, second) = shrinker.count_both(&all, LEAST_SEEDS, COMPARISONS);
        assert!(often + second < many / 3, "{often} and {second} are not few");
        (shrinker.many, shrinker.often, shrinker.second) = (many, often, second);
        shrinker
    }

    #[test]
    fn what_fails_with_few_seeds_has_more_rounds_to_fail_in() {
        let mut shrinker = seldom("");
        assert!(shrinker.give_rounds());
        assert!((10..=ROUNDS).contains(&shrinker.best.rounds), "{:?}", shrinker.best);
        assert!(shrinker.often + shrinker.second > shrinker.many, "{}", shrinker.often);
        assert!(shrinker.fails(&shrinker.best.clone()).is_some(), "and with its own seed");
        // More of them than that would take too long.
        assert!(!shrinker.give_rounds());
    }

    #[test]
    fn each_round_begins_as_the_first_one_did() {
        let mut shrinker = seldom(", 'rest'");
        assert!(shrinker.give_rounds());
        let steps = &shrinker.best.steps[3..];
        assert_eq!(steps[..2], [Step::Rest, Step::Work]);
        assert!(shrinker.often + shrinker.second > shrinker.many, "{}", shrinker.often);
    }

    #[test]
    fn nobody_waits_for_a_run_without_end() {
        let text = "story = ''\nseed = 1\nsteps = [{ requests = 10 }, 'rest', { requests = 99 }]";
        let endless = Scenario::parse(text).unwrap();
        let mut shrinker = shrinker(scenario("{ requests = 100 }", "nothing"));
        shrinker.patience_us = patience_us(1_000_000);
        assert!(shrinker.ends_with(&endless).is_none());
        assert_eq!(shrinker.longest_us, patience_us(1_000_000));
        // Unless what it is made of takes as long.
        shrinker.patience_us = u64::MAX;
        shrinker.measure(&endless);
        assert!(shrinker.ends_with(&endless).is_some());
    }

    #[test]
    fn what_led_to_the_end_is_left_out_at_once() {
        let long = "{ requests = 90 }, { fault = 'disconnect' }, ".repeat(9);
        let mut shrinker = shrinker(scenario(&(long + "{ requests = 100 }"), "nothing"));
        let all = shrinker.best.steps.clone();
        shrinker.keep_the_end();
        assert!(shrinker.best.steps.len() <= all.len() / 2, "{:?}", shrinker.best.steps);
        assert!(all.ends_with(&shrinker.best.steps));
    }

    #[test]
    fn what_fails_without_any_mistake_is_not_taken() {
        let text = "story = 'In vain.'\nseed = 1\nsteps = [{ expect-service = 1 }]";
        let in_vain = Scenario::parse(text).unwrap();
        let mut shrinker = shrinker(scenario("{ requests = 100 }", "nothing"));
        shrinker.judge = run(&in_vain, Mistake::None, u64::MAX).0.expect("it is too short").judge;
        assert!(shrinker.ends_with(&in_vain).is_some());
        assert!(!shrinker.takes(&in_vain));
        assert!(shrinker.fails_oftener(in_vain.clone(), 0).is_none());
        shrinker.mistake = Mistake::None;
        assert!(shrinker.takes(&in_vain));
    }

    #[test]
    fn nothing_is_taken_when_the_time_is_over() {
        let mut shrinker = shrinker(scenario("{ requests = 200 }", "nothing"));
        let simpler = scenario("{ requests = 100 }", "nothing");
        shrinker.ends_s = -1.0;
        assert!(!shrinker.takes(&simpler));
        assert!(!shrinker.step_back());
        assert!(!shrinker.make_oftener());
        assert_eq!(shrinker.least, 0, "what nobody has counted is not asked for");
        shrinker.ends_s = f64::INFINITY;
        assert!(shrinker.takes(&simpler));
    }

    #[test]
    fn what_fails_with_chosen_seeds_must_fail_with_others() {
        let mut shrinker = shrinker(scenario("{ requests = 1 }", "some"));
        let simpler = Scenario { pipeline: 7, ..shrinker.best.clone() };
        (shrinker.least, shrinker.second) = (1, MANY_SEEDS);
        assert!(!shrinker.takes(&simpler));
        shrinker.second = 1;
        assert!(shrinker.takes(&simpler));
    }

    #[test]
    fn each_change_makes_another_scenario_of_it() {
        let text = "story = ''\nseed = 1\npeers = 5\nwithout = ['acls']\nsteps = [{ requests = 5 }, { run = 90 }, \
                    { crash-after = { op = 'append', skip = 4, keep = 'torn', down = 10 } }]";
        let scenario = Scenario::parse(text).unwrap();
        let mut was = Scenario { clients: 2, ..scenario.clone() };
        was.steps = vec![Step::Run(7); 40];
        for (n, change) in CHANGES.iter().enumerate() {
            let another = |seed| {
                let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
                change(&scenario, &was, &mut dice).filter(|more| *more != scenario)
            };
            assert!((0..100).filter_map(another).count() > 5, "change {n}");
        }
    }

    #[test]
    fn every_operation_can_be_left_out_and_come_back() {
        let all = [&OPERATIONS[..], &[Operation::Reads]].concat();
        let mut dice = Dice(ChaCha8Rng::seed_from_u64(0));
        for before in [Vec::new(), all.clone()] {
            let s = Scenario { without: before.clone(), ..scenario("{ requests = 1 }", "all") };
            let mut changed = |_| other_operations(&s, &s, &mut dice).unwrap().without;
            let after: Vec<Vec<Operation>> = (0..200).map(&mut changed).collect();
            for one in &all {
                let other = |after: &&Vec<Operation>| after.contains(one) != before.contains(one);
                assert!(after.iter().any(|after| other(&after)), "{one:?}");
            }
        }
    }

    #[test]
    fn what_is_long_may_stay_so_and_what_is_short_leaves_room_for_rounds() {
        let with = |steps| Scenario {
            steps: vec![Step::Requests(1_000); steps],
            ..scenario("{ requests = 1 }", "nothing")
        };
        let ends = |mut s: Scenario| {
            s.steps.extend(scenario("{ requests = 1 }", "nothing").steps);
            s
        };
        let room = |lines_now: usize| lines_now - lines(&ends(with(0)));
        let (short, long) = (ends(with(1)), ends(with(room(LINES_MAX))));
        let near = ends(with(room(LINES_MAX - LINES_OF_ROUNDS + 1)));
        let mut shrinker = shrinker(short);
        shrinker.many = LEAST_SEEDS;
        assert!(shrinker.fails_oftener(near.clone(), 0).is_none(), "no room is left");
        let round = Scenario { rounds: 2, ..near.clone() };
        assert!(shrinker.fails_oftener(round, 0).is_some());
        shrinker.best = long;
        assert!(shrinker.fails_oftener(near, 0).is_some(), "there was none before");
    }

    #[test]
    fn runs_that_take_long_are_tried_with_fewer_requests() {
        let idle = |s: &Scenario| (s.clients, s.pipeline) == (1, 1);
        for try_s in [0.0, 1_000.0] {
            let mut shrinker = shrinker(scenario("{ requests = 100 }", "nothing"));
            shrinker.try_s = try_s;
            shrinker.make_simpler();
            let all = [&shrinker.trail[..], &[shrinker.best]].concat();
            assert_eq!(all.iter().any(idle), try_s == 0.0);
        }
    }

    #[test]
    fn the_story_tells_how_often_it_fails() {
        let mut shrinker = shrinker(scenario("{ requests = 1 }", "nothing"));
        shrinker.tell_a_story(Oftenness { seeds: 60, fails: 57, ..Oftenness::default() });
        assert_eq!(told_oftenness(&shrinker.best.story), Some((57, 60)));
        assert_eq!(told_oftenness("57 of 60 other seeds fail."), None);
    }
}
