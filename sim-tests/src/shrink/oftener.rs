//! What fails with one seed in ten says nothing after the next change of the code: more of the same, until it fails with
//! nearly all.

use super::{ENOUGH, FIRST_SEEDS, LINES_MAX, MANY_SEEDS, SOME_SEEDS, Shrinker, other_seeds};
use zoetrope_io_sim::{Fault, Scenario, Step};

/// The same with so many times the requests or the time between faults, but not without end.
fn with_more(scenario: &Scenario, times: u64) -> Scenario {
    let mut more = scenario.clone();
    for step in &mut more.steps {
        match step {
            Step::Requests(n) => *n = (*n * times).clamp(1, 1_000),
            Step::Run(ms) => *ms = (*ms * times).clamp(1, 60_000),
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

/// The same, its last steps so many times over.
fn repeated(scenario: &Scenario, last: usize, times: usize) -> Scenario {
    let (first, again) = scenario.steps.split_at(scenario.steps.len() - last);
    let again = std::iter::repeat_n(again, times).flatten();
    let steps = first.iter().chain(again).cloned().collect();
    Scenario { steps, ..scenario.clone() }
}

/// Scenarios in which the same may happen more often.
fn more_of_it(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = vec![with_more(scenario, 4), with_more(scenario, 20)];
    for (clients, pipeline) in [(3, 8), (5, 8), (5, 16), (2, 1)] {
        all.push(Scenario { clients, pipeline, ..scenario.clone() });
    }
    let steps = scenario.steps.len();
    for (part, times) in [(1, 2), (1, 4), (1, 8), (2, 4)] {
        let last = steps.div_ceil(part);
        if steps > 0 && steps - last + last * times <= LINES_MAX {
            all.push(repeated(scenario, last, times));
        }
    }
    all.push(with_between(scenario, &Step::Requests(40)));
    all.push(with_between(scenario, &Step::Fault(Fault::Disconnect)));
    if scenario.peers.is_some() {
        all.push(with_between(scenario, &Step::Fault(Fault::Churn)));
    }
    all.push(Scenario { without: Vec::new(), ..scenario.clone() });
    for snap_count in [20, 1_000] {
        all.push(Scenario { snap_count, ..scenario.clone() });
    }
    // Of those that fail often enough the shortest is taken.
    all.sort_by_key(|more| more.steps.len());
    all.retain(|more| more.to_short_text().lines().count() <= LINES_MAX && more != scenario);
    all
}

impl Shrinker {
    /// Each simpler scenario fails nearly as often as the one before, and the last one may fail by chance only. Goes back to
    /// the last one that fails often enough beside the first.
    pub(super) fn step_back(&mut self) {
        let Some(first) = self.trail.first().cloned() else { return };
        let first = self.count(&first, other_seeds(SOME_SEEDS), 0).fails;
        let enough = (first * 7).div_ceil(10).max(1);
        let fails = |shrinker: &mut Self, scenario: &Scenario| {
            shrinker.count(scenario, other_seeds(SOME_SEEDS), enough - 1).fails >= enough
        };
        let best = self.best.clone();
        if fails(self, &best) {
            return;
        }
        // Between these two it becomes too seldom. What is too long to be a result is none to go back to.
        let is_short = |s: &Scenario| s.to_short_text().lines().count() <= LINES_MAX;
        let Some(mut often) = self.trail.iter().position(is_short) else { return };
        let mut seldom = self.trail.len();
        while often + 1 < seldom && !self.is_over() {
            let middle = self.trail[(often + seldom) / 2].clone();
            match fails(self, &middle) {
                true => often = (often + seldom) / 2,
                false => seldom = (often + seldom) / 2,
            }
        }
        let before = self.trail[often].clone();
        self.take_with_some_seed(&before);
    }

    /// Takes what fails with more seeds, as long as there is time and it is still short. True: it has found something,
    /// and whatever is simpler has to fail as often.
    pub(super) fn make_oftener(&mut self) -> bool {
        let best = self.best.clone();
        let mut often = self.count(&best, other_seeds(MANY_SEEDS), 0).fails;
        let mut found = false;
        while often < ENOUGH && !self.is_over() {
            let mut better = None;
            for more in more_of_it(&self.best) {
                if self.is_over() {
                    break;
                }
                // Most are no better, and a part of the seeds says so.
                let part = often * FIRST_SEEDS / MANY_SEEDS;
                if self.count(&more, other_seeds(FIRST_SEEDS), part).fails <= part {
                    continue;
                }
                let count = self.count(&more, other_seeds(MANY_SEEDS), often);
                if count.fails > often && count.alike > 0 {
                    (often, better) = (count.fails, Some(more));
                    if often >= ENOUGH {
                        break;
                    }
                }
            }
            let Some(better) = better else { break };
            self.take_with_some_seed(&better);
            found = true;
        }
        self.least = often.min(ENOUGH);
        found
    }

    /// One of the seeds with which it fails is its own.
    fn take_with_some_seed(&mut self, scenario: &Scenario) {
        for seed in other_seeds(MANY_SEEDS) {
            let candidate = Scenario { seed, ..scenario.clone() };
            if let Some(violation) = self.fails(&candidate) {
                (self.best, self.violation) = (candidate, violation);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shrink::run;
    use zoetrope_io_sim::Mistake;

    #[test]
    fn what_has_come_to_fail_by_chance_only_is_left_for_what_fails_often() {
        let scenario = |requests| {
            let text = format!(
                "story = 'Power is lost.'\nseed = 1000000\nsteps = [{{ requests = {requests} }}, \
                 {{ crash-after = {{ op = 'append', keep = 'nothing', down = 10 }} }}, {{ expect-service = 20000 }}]"
            );
            Scenario::parse(&text).unwrap()
        };
        let mistake = Mistake::NoFsyncWait;
        let violation = run(&scenario(200), mistake).0.expect("an answer is taken back");
        let mut shrinker = Shrinker {
            mistake,
            judge: violation.judge.clone(),
            ends_s: f64::INFINITY,
            few: 1,
            least: 0,
            runs: 0,
            best: scenario(0),
            violation,
            trail: [200, 150, 0, 0].map(scenario).to_vec(),
        };
        assert_eq!(shrinker.count(&scenario(0), other_seeds(SOME_SEEDS), 0).fails, 0);
        shrinker.step_back();
        assert_eq!(shrinker.best.steps, scenario(150).steps);
        // And what fails as often as ever is kept.
        shrinker.best = scenario(100);
        shrinker.step_back();
        assert_eq!(shrinker.best.steps, scenario(100).steps);
    }
}
