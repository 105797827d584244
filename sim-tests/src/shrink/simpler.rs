//! Simpler scenarios than the best one so far, tried one after the other until none of them fails any more.

use super::{FEW_SEEDS, Shrinker};
use std::collections::BTreeSet;
use toml::{Table, Value};
use zoetrope_io_sim::{Fault, Operation, Scenario, Step};

pub(super) const OPERATIONS: [Operation; 7] = [
    Operation::Malformed,
    Operation::SessionChurn,
    Operation::Containers,
    Operation::Acls,
    Operation::Watches,
    Operation::Multi,
    Operation::Ephemerals,
];

/// Seeds by which the last steps alone are tried.
const END_SEEDS: u64 = 30;
/// Requests that may show what needs no fault.
const WORK: u64 = 1_000;

/// The most that a number is raised to; most are milliseconds.
pub(super) const HIGHEST: i64 = 10_000;

/// Integers that name something instead of counting it.
const NAMES: [&str; 7] = ["at", "from", "to", "gone", "stays", "client", "groups"];

/// Settings that each swarm draws: what is plain keeps them.
const ALWAYS_DRAWN: [&str; 6] =
    ["clients", "peers", "pipeline", "snap_count", "timeout_ms", "without"];

/// What goes without saying: the settings of a file that has none.
fn usual() -> Scenario {
    Scenario::parse("story = ''\nseed = 0\nsteps = []").expect("it says what it must")
}

/// Names of the settings, as the file has them, that two scenarios do not have alike.
pub(super) fn unlike(one: &Scenario, other: &Scenario) -> Vec<String> {
    let (one, other) = (settings(one), settings(other));
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}

/// Whatever a scenario is set to.
fn settings(scenario: &Scenario) -> Table {
    let mut all = Table::try_from(scenario).expect("every scenario can be written");
    all.retain(|name, _| !matches!(name, "story" | "guards" | "retells" | "seed" | "steps"));
    all
}

/// The scenario with these settings as another one has them.
pub(super) fn set_as(scenario: &Scenario, names: &[String], other: &Scenario) -> Scenario {
    let mut all = Table::try_from(scenario).expect("every scenario can be written");
    let other = settings(other);
    for name in names {
        match other.get(name) {
            Some(value) => drop(all.insert(name.clone(), value.clone())),
            None => drop(all.remove(name)),
        }
    }
    all.try_into().expect("each of its settings is that of a scenario")
}

/// Three servers, or one, as they usually are.
fn plain(scenario: &Scenario) -> Scenario {
    let mut names = unlike(scenario, &usual());
    names.retain(|name| !ALWAYS_DRAWN.contains(&name.as_str()));
    let plain = set_as(scenario, &names, &usual());
    Scenario { peers: plain.peers.map(|peers| peers.min(3)), ..plain }
}

impl Shrinker {
    /// Until nothing can be left out any more, or the time for it is over.
    pub(super) fn make_simpler(&mut self) {
        let plain = plain(&self.best);
        self.takes(&plain);
        // Where there is no time for many runs, each has to be short.
        if self.run_s * FEW_SEEDS as f64 > self.try_s {
            let idler = self.with(|s| (s.clients, s.pipeline) = (1, 1));
            self.takes(&idler);
        }
        loop {
            let before = self.best.clone();
            self.fewer_steps();
            self.simpler_setting();
            self.simpler_steps();
            if self.best == before || self.is_over() {
                return;
            }
        }
    }

    fn with(&self, change: impl FnOnce(&mut Scenario)) -> Scenario {
        let mut changed = self.best.clone();
        change(&mut changed);
        changed
    }

    /// Most of what leads to a failure does not matter: no fault at all, or its last steps alone, ever more of them. These
    /// runs are short, so there is time for many seeds.
    pub(super) fn keep_the_end(&mut self) {
        let steps = self.best.steps.clone();
        let mut ends = vec![vec![Step::Requests(WORK)]];
        let lasts = (0..).map(|n| 1 << n).take_while(|last| last * 2 < steps.len());
        ends.extend(lasts.map(|last: usize| steps[steps.len() - last..].to_vec()));
        for steps in ends {
            let end = self.with(|s| s.steps = steps);
            let takes =
                self.takes_with(&plain(&end), END_SEEDS) || self.takes_with(&end, END_SEEDS);
            if takes || self.is_over() {
                return;
            }
        }
    }

    /// Leaves steps out: half of them at a time, then a quarter, at last each.
    fn fewer_steps(&mut self) {
        let mut size = self.best.steps.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < self.best.steps.len() {
                let end = (at + size).min(self.best.steps.len());
                let fewer = self.with(|s| drop(s.steps.drain(at..end)));
                if !self.takes(&fewer) {
                    at = end;
                }
            }
            size /= 2;
        }
        self.fewer_waits();
    }

    /// Two waits in a row are one.
    fn fewer_waits(&mut self) {
        let mut n = 1;
        while n < self.best.steps.len() {
            let (one, two) = (&self.best.steps[n - 1], &self.best.steps[n]);
            let both = match (one, two) {
                (Step::Requests(a), Step::Requests(b)) => Some(Step::Requests(a + b)),
                (Step::Run(a), Step::Run(b)) => Some(Step::Run(a + b)),
                _ => None,
            };
            let fewer = both.map(|both| self.with(|s| drop(s.steps.splice(n - 1..=n, [both]))));
            if !fewer.is_some_and(|fewer| self.takes(&fewer)) {
                n += 1;
            }
        }
    }

    fn simpler_setting(&mut self) {
        let all = self.with(|s| s.without = OPERATIONS.to_vec());
        if !self.takes(&all) {
            for operation in OPERATIONS {
                if !self.best.without.contains(&operation) {
                    let one = self.with(|s| s.without.push(operation));
                    self.takes(&one);
                }
            }
        }
        for name in unlike(&self.best, &usual()) {
            // Operations had their turn, and who needs several servers needs none less here.
            if name != "without" && name != "peers" {
                let simpler = set_as(&self.best, &[name], &usual());
                self.takes(&simpler);
            }
        }
        while self.best.rounds > 1 {
            let fewer = self.with(|s| s.rounds = s.rounds.div_ceil(2));
            if !self.takes(&fewer) {
                break;
            }
        }
        for (few, many) in [(1, 3), (3, 5), (5, 7)] {
            if self.best.peers.is_some_and(|peers| peers > few && peers <= many) {
                let fewer = self.with(|s| (s.peers, s.groups) = (Some(few), Vec::new()));
                self.takes(&fewer);
            }
        }
    }

    /// Each number of each step lower, each loss of power plainer.
    fn simpler_steps(&mut self) {
        for n in 0..self.best.steps.len() {
            self.plainer(n);
            for path in numbers(&self.best.steps[n]) {
                self.lower(n, &path);
            }
        }
    }

    fn plainer(&mut self, n: usize) {
        if let Step::CrashAfter { keep, down, at, .. } = self.best.steps[n].clone() {
            let fault = Fault::Crash { keep, down };
            let crash = match at {
                Some(at) => Step::FaultAt { at, fault },
                None => Step::Fault(fault),
            };
            let plainer = self.with(|s| s.steps[n] = crash);
            self.takes(&plainer);
        }
        if let Step::FaultWhen { fault, .. } = self.best.steps[n].clone() {
            let plainer = self.with(|s| s.steps[n] = Step::Fault(fault));
            self.takes(&plainer);
        }
        for keep in ["all", "nothing"] {
            if let Some(plainer) = with_keep(&self.best, n, keep) {
                self.takes(&plainer);
            }
        }
    }

    fn lower(&mut self, n: usize, path: &[String]) {
        // What lasts for no time lasts for ever.
        let least = i64::from(path.last().is_none_or(|key| key != "skip"));
        loop {
            let Some(now) = number_of(&self.best.steps[n], path) else { return };
            let mut tried = [least, now / 4, now / 2, round(now)].into_iter();
            let taken = tried.find(|to| {
                let lower = *to >= least && *to < now;
                let simpler = with_number(&self.best, n, path, *to);
                lower && simpler.is_some_and(|simpler| self.takes(&simpler))
            });
            if taken.is_none() {
                return;
            }
        }
    }
}

/// The scenario with another value of a step, if that makes a step.
fn with_value(scenario: &Scenario, n: usize, change: &dyn Fn(&mut Value)) -> Option<Scenario> {
    let mut value = Value::try_from(&scenario.steps[n]).ok()?;
    change(&mut value);
    let step: Step = value.try_into().ok()?;
    let mut changed = scenario.clone();
    (step != changed.steps[n]).then(|| changed.steps[n] = step)?;
    Some(changed)
}

/// The scenario with another number in a step.
pub(super) fn with_number(
    scenario: &Scenario,
    n: usize,
    path: &[String],
    to: i64,
) -> Option<Scenario> {
    with_value(scenario, n, &|step| set_number(step, path, to))
}

/// The scenario with another part of what was not synced surviving a step.
pub(super) fn with_keep(scenario: &Scenario, n: usize, keep: &str) -> Option<Scenario> {
    with_value(scenario, n, &|step| set_keep(step, keep))
}

/// The same to two digits, as a person would write it.
fn round(number: i64) -> i64 {
    let mut unit = 1;
    while number / unit >= 100 {
        unit *= 10;
    }
    number / unit * unit
}

/// Does a step say what must be, rather than what happens? Then a lower number is no simpler run.
fn expects(step: &Step) -> bool {
    matches!(
        step,
        Step::AwaitLeader(_)
            | Step::UntilLeader(_)
            | Step::ExpectAgreement
            | Step::ExpectService(_)
            | Step::ExpectWrites(_)
            | Step::ExpectReads(_)
            | Step::ExpectSessions(_)
    )
}

/// Where the numbers of a step are that can be lower.
pub(super) fn numbers(step: &Step) -> Vec<Vec<String>> {
    match Value::try_from(step) {
        Ok(value) if !expects(step) => paths(&value),
        _ => Vec::new(),
    }
}

fn paths(value: &Value) -> Vec<Vec<String>> {
    match value {
        Value::Integer(_) => vec![Vec::new()],
        Value::Table(table) => {
            let counts = table.iter().filter(|(key, _)| !NAMES.contains(&key.as_str()));
            let below = |(key, value): (&String, &Value)| {
                let behind = |path: Vec<String>| [vec![key.clone()], path].concat();
                paths(value).into_iter().map(behind).collect::<Vec<_>>()
            };
            counts.flat_map(below).collect()
        }
        _ => Vec::new(),
    }
}

/// The number that is there.
pub(super) fn number_of(step: &Step, path: &[String]) -> Option<i64> {
    let value = Value::try_from(step).ok()?;
    path.iter().try_fold(&value, |value, key| value.get(key))?.as_integer()
}

fn set_number(value: &mut Value, path: &[String], to: i64) {
    match path {
        [] => *value = Value::Integer(to),
        [key, rest @ ..] => {
            if let Some(below) = value.get_mut(key) {
                set_number(below, rest, to);
            }
        }
    }
}

fn set_keep(value: &mut Value, to: &str) {
    let Some(table) = value.as_table_mut() else { return };
    for (key, below) in table.iter_mut() {
        match key.as_str() {
            "keep" => *below = Value::String(to.to_owned()),
            _ => set_keep(below, to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_taken_from_another_scenario() {
        let of = |head: &str| {
            let text = format!("story = ''\nseed = 7\n{head}\nsteps = [{{ requests = 5 }}]");
            Scenario::parse(&text).unwrap()
        };
        let one = of("peers = 5\nobservers = 1\nclients = 4\nrounds = 8\nslice = 50");
        assert_eq!(plain(&one), of("peers = 3\nclients = 4"));
        let other = of("peers = 5\nclients = 4\nrounds = 2\nsyncs = 1");
        let names = unlike(&one, &other);
        assert_eq!(names, ["observers", "rounds", "slice", "syncs"]);
        assert_eq!(set_as(&one, &names, &other), other);
        assert_eq!(set_as(&one, &names[1..2], &other).rounds, 2);
    }

    #[test]
    fn numbers_that_count_are_found_and_those_that_name_are_not() {
        let text = "story = ''\nseed = 1\nsteps = [{ requests = 5 }, { expect-service = 9 }, \
                    { fault = { clog = { from = 1, to = 2, ms = 3 } } }, \
                    { crash-after = { op = 'append', skip = 4, keep = 'torn', at = 2 } }]";
        let steps = Scenario::parse(text).unwrap().steps;
        let found: Vec<String> =
            steps.iter().flat_map(numbers).map(|path| path.join(".")).collect();
        assert_eq!(found, ["requests", "fault.clog.ms", "crash-after.down", "crash-after.skip"]);
        assert_eq!([1234, 99, 5].map(round), [1200, 99, 5]);
    }
}
