//! What fails with one seed in ten says nothing after the next change of the code: more of the same, until it fails with
//! nearly all.

use super::simpler::with_higher;
use super::{
    COMPARISONS, FIRST_OF_MANY, LEAST_SEEDS, LINES_MAX, MANY_SEEDS, SOME_SEEDS, Shrinker, lines,
    other_seeds, process_cpu_s,
};
use crate::sense::strays;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use zoetrope_io_sim::{Fault, Keep, Scenario, Step};

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

/// The same, and behind each step that one.
fn with_between(scenario: &Scenario, between: &Step) -> Scenario {
    let steps = scenario.steps.iter().flat_map(|step| [step.clone(), between.clone()]).collect();
    Scenario { steps, ..scenario.clone() }
}

/// The same, and behind it so many times that: what comes to pass in elections has as many chances.
fn and_then(scenario: &Scenario, then: &[Step], times: usize) -> Scenario {
    let behind = std::iter::repeat_n(then, times).flatten();
    let steps = scenario.steps.iter().chain(behind).cloned().collect();
    Scenario { steps, ..scenario.clone() }
}

/// The same, its last steps so many times over.
fn repeated(scenario: &Scenario, last: usize, times: usize) -> Scenario {
    let (first, again) = scenario.steps.split_at(scenario.steps.len() - last);
    let again = std::iter::repeat_n(again, times).flatten();
    let steps = first.iter().chain(again).cloned().collect();
    Scenario { steps, ..scenario.clone() }
}

/// A setting as another scenario has it.
type Setting = fn(&mut Scenario, &Scenario);

/// Whatever a scenario is set to but its steps. What could be left out may still have made it fail more often.
const SETTINGS: [Setting; 15] = [
    |s, was| *s = Scenario { seed: s.seed, steps: std::mem::take(&mut s.steps), ..was.clone() },
    |s, was| (s.clients, s.pipeline) = (was.clients, was.pipeline),
    |s, was| s.timeout_ms = was.timeout_ms,
    |s, was| s.snap_count = was.snap_count,
    |s, was| (s.peers, s.groups) = (was.peers, was.groups.clone()),
    |s, was| (s.observers, s.observer_masters) = (was.observers, was.observer_masters),
    |s, was| s.force_snapshot_sync = was.force_snapshot_sync,
    |s, was| s.syncs = was.syncs,
    |s, was| s.link_budget = was.link_budget,
    |s, was| s.client_budget = was.client_budget,
    |s, was| s.slice = was.slice,
    |s, was| s.old_votes.clone_from(&was.old_votes),
    |s, was| (s.read_only, s.quotas) = (was.read_only, was.quotas),
    |s, was| (s.reap_every, s.local_sessions) = (was.reap_every, was.local_sessions),
    |s, was| s.without.clone_from(&was.without),
];

/// Scenarios in which the same may happen more often.
fn more_of_it(scenario: &Scenario, was: &Scenario) -> Vec<Scenario> {
    let mut all = vec![with_more(scenario, 4), with_more(scenario, 20)];
    for (clients, pipeline) in [(3, 8), (5, 8), (5, 16), (2, 1)] {
        all.push(Scenario { clients, pipeline, ..scenario.clone() });
    }
    let steps = scenario.steps.len();
    let lasts = (1..=steps.min(8)).chain([steps.div_ceil(2), steps]);
    for (last, times) in lasts.flat_map(|last| [2, 4, 8].map(|times| (last, times))) {
        if steps - last + last * times <= LINES_MAX {
            all.push(repeated(scenario, last, times));
        }
    }
    for times in [10, 100, 1_000] {
        all.extend(with_higher(scenario, times));
    }
    if let Some(peers) = scenario.peers {
        for (peers, observers) in [(3, 1), (3, 2), (5, 0), (7, 0), (peers, 2)] {
            let (peers, groups) = (Some(peers), Vec::new());
            all.push(Scenario { peers, groups, observers, ..scenario.clone() });
        }
    }
    for as_it_was in SETTINGS {
        let mut more = scenario.clone();
        as_it_was(&mut more, was);
        all.push(more);
    }
    all.push(with_between(scenario, &Step::Requests(40)));
    all.push(with_between(scenario, &Step::Fault(Fault::Disconnect)));
    if scenario.peers.is_some() {
        all.push(with_between(scenario, &Step::Fault(Fault::Churn)));
        let restart = Step::Fault(Fault::RestartAll { keep: Keep::All, down: 500 });
        for times in [4, 10] {
            all.push(and_then(scenario, &[restart.clone(), Step::Requests(40)], times));
        }
    }
    all.push(Scenario { without: Vec::new(), ..scenario.clone() });
    for snap_count in [20, 1_000] {
        all.push(Scenario { snap_count, ..scenario.clone() });
    }
    // And what went before it in the run it was.
    let of_was = (1..=5).map(|n| 1 << n).filter(|last| (steps + 1..was.steps.len()).contains(last));
    all.extend(of_was.map(|last| {
        let steps = was.steps[was.steps.len() - last..].to_vec();
        Scenario { steps, ..scenario.clone() }
    }));
    // Of those that fail often enough the shortest is taken.
    all.sort_by_key(|more| more.steps.len());
    let mut unlike: Vec<Scenario> = Vec::new();
    for more in all {
        if more != *scenario && more.steps.len() <= LINES_MAX && !unlike.contains(&more) {
            unlike.push(more);
        }
    }
    unlike
}

fn one_of(mut all: Vec<Scenario>, chance: &mut ChaCha8Rng) -> Option<Scenario> {
    let at = chance.next_u64().checked_rem(all.len() as u64)?;
    Some(all.swap_remove(at as usize))
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
        let comparison_s = (self.ends_s - process_cpu_s()) / COMPARISONS;
        self.many = ((comparison_s / self.run_s) as u64).clamp(LEAST_SEEDS, MANY_SEEDS);
        // Who fails with all of them but one in sixty fails with nearly all others.
        let enough = self.many - self.many / MANY_SEEDS;
        let best = self.best.clone();
        let was = self.trail.first().cloned().unwrap_or_else(|| best.clone());
        let mut often = self.count(&best, other_seeds(self.many), 0).fails;
        let mut found = false;
        let mut chance = ChaCha8Rng::seed_from_u64(best.seed);
        while often < enough && !self.is_over() {
            let mut better = None;
            for more in more_of_it(&self.best, &was) {
                if let Some((fails, more)) = self.fails_oftener(more, often) {
                    (often, better) = (fails, Some(more));
                }
                if often >= enough || self.is_over() {
                    break;
                }
            }
            // Where none is better, two of them at once may be.
            while better.is_none() && !self.is_over() {
                let Some(one) = one_of(more_of_it(&self.best, &was), &mut chance) else { break };
                let Some(two) = one_of(more_of_it(&one, &was), &mut chance) else { continue };
                if let Some((fails, more)) = self.fails_oftener(two, often) {
                    (often, better) = (fails, Some(more));
                }
            }
            let Some(better) = better else { break };
            found |= self.takes_if_clean(better);
        }
        self.least = often.min(enough);
        found
    }

    /// With how many seeds it fails, if these are more than so many, and it itself with one of them.
    fn fails_oftener(&mut self, more: Scenario, often: u64) -> Option<(u64, Scenario)> {
        if lines(&more) > LINES_MAX || !strays(&more).is_empty() {
            return None;
        }
        // Most are no better, and a part of the seeds says so.
        let seeds = other_seeds(self.many);
        let first = seeds.start..seeds.start + self.many / FIRST_OF_MANY;
        let part = often / FIRST_OF_MANY;
        if self.count(&more, first, part).fails <= part {
            return None;
        }
        let count = self.count(&more, seeds, often);
        let seed = count.seed.filter(|_| count.fails > often)?;
        // Who waits too short a time for what lasts longer now fails without any mistake.
        let is_clean = |seed| self.is_clean(&Scenario { seed, ..more.clone() });
        [seed, seed + 1, seed + 2].into_iter().all(is_clean).then_some(())?;
        Some((count.fails, Scenario { seed, ..more }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shrink::{Oftenness, run, told_oftenness};
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
        let violation = run(&best, mistake).0.expect("an answer is taken back");
        Shrinker {
            mistake,
            judge: violation.judge.clone(),
            ends_s: f64::INFINITY,
            few: 0.0,
            try_s: 1.0,
            run_s: 0.001,
            many: MANY_SEEDS,
            least: 0,
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
    fn the_story_tells_how_often_it_fails() {
        let mut shrinker = shrinker(scenario("{ requests = 1 }", "nothing"));
        shrinker.tell_a_story(Oftenness { seeds: 60, fails: 57, ..Oftenness::default() });
        assert_eq!(told_oftenness(&shrinker.best.story), Some((57, 60)));
        assert_eq!(told_oftenness("57 of 60 other seeds fail."), None);
    }
}
