//! Many seeds on all cores, and what they had in them.

use crate::run::Report;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A swarm of seeds, and how to replay one of them.
#[derive(Clone, Copy, Debug)]
pub struct Swarm {
    /// The test that runs it.
    pub test: &'static str,
    /// Runs one seed.
    pub run: fn(u64) -> Report,
    /// Seeds where nobody says how many.
    pub seeds: u64,
    /// Of the seeds that are asked for it runs one in so many: a special case need not be seen as often as the whole.
    pub one_in: u64,
}

/// What came of a swarm.
#[derive(Debug)]
pub struct Results {
    /// Runs that kept every promise.
    pub reports: Vec<Report>,
    /// Runs that did not.
    pub failures: Vec<(u64, String)>,
    /// Runs there were.
    pub seeds: usize,
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Runs a seed; a panic of the core is a broken promise like any other.
fn run(swarm: Swarm, seed: u64) -> Result<Report, String> {
    let run = catch_unwind(AssertUnwindSafe(|| (swarm.run)(seed)));
    let report = run.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
    })?;
    match report.violation {
        Some(violation) => Err(violation),
        None => Ok(report),
    }
}

/// The same seed once more: a run is a pure function of its seed.
fn run_again(swarm: Swarm, seed: u64, first: &Result<Report, String>) -> Result<(), String> {
    let again = run(swarm, seed);
    let same = match (first, &again) {
        (Ok(first), Ok(again)) => first.trace == again.trace,
        (first, again) => first.as_ref().err() == again.as_ref().err(),
    };
    if same { Ok(()) } else { Err(format!("seed {seed} tells another story the second time")) }
}

/// Time this thread has spent on a CPU, ns; 0 where the system does not say.
pub fn thread_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn replay(swarm: Swarm, seed: u64) -> String {
    format!("ZOETROPE_SEED={seed} cargo test -p sim-tests --test {}", swarm.test)
}

/// Runs the seeds that `ZOETROPE_SEED` or `ZOETROPE_SEEDS` asks for, and prints what they had in them.
pub fn run_seeds(swarm: Swarm) -> Results {
    let seeds: Vec<u64> = match (number("ZOETROPE_SEED"), number("ZOETROPE_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (0..count.div_ceil(swarm.one_in)).collect(),
        (None, None) => (0..swarm.seeds).collect(),
    };
    // Where nobody asks for a number they are few, and run twice.
    let twice = number("ZOETROPE_SEED").or(number("ZOETROPE_SEEDS")).is_none();
    let cpu_ns = AtomicU64::new(0);
    let next = AtomicU64::new(0);
    let results = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let mut result = run(swarm, *seed);
                    if twice && let Err(another) = run_again(swarm, *seed, &result) {
                        result = Err(another);
                    }
                    // At once: a long run may have hours to go.
                    if let Err(violation) = &result {
                        println!("seed {seed} breaks a promise: {violation}");
                        println!("  replay: {}", replay(swarm, *seed));
                    }
                    results.lock().expect("no thread panics with it").push((*seed, result));
                }
                cpu_ns.fetch_add(thread_cpu_ns(), Ordering::Relaxed);
            });
        }
    });
    let mut all = Results { reports: Vec::new(), failures: Vec::new(), seeds: seeds.len() };
    for (seed, result) in results.into_inner().expect("no thread panics with it") {
        match result {
            Ok(report) => all.reports.push(report),
            Err(violation) => all.failures.push((seed, violation)),
        }
    }
    if !all.reports.is_empty() {
        let runs = if twice { 2.0 } else { 1.0 };
        print_figures(&all.reports, cpu_ns.into_inner() as f64 / 1e9 / runs);
    }
    all.failures.sort();
    all
}

/// The median of a figure.
fn median(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

fn print_figures(reports: &[Report], cpu_seconds: f64) {
    let of = |figure: fn(&Report) -> u64| median(reports.iter().map(figure).collect());
    let sum = |figure: fn(&Report) -> u64| reports.iter().map(figure).sum::<u64>() as f64;
    println!(
        "{} seeds; the median one has {} requests, {} faults, {} crashes with unsynced bytes, {} forced changes of \
         leader and {} s simulated",
        reports.len(),
        of(|r| r.figures.requests),
        of(|r| r.figures.faults),
        of(|r| r.figures.unsynced_crashes),
        of(|r| r.figures.forced_changes),
        of(|r| r.figures.simulated_us) / 1_000_000,
    );
    println!(
        "{:.0} seeds per CPU-minute, {:.0} requests and {:.0} inputs per CPU second",
        reports.len() as f64 / cpu_seconds * 60.0,
        sum(|r| r.figures.requests) / cpu_seconds,
        sum(|r| r.figures.inputs) / cpu_seconds,
    );
}

impl Results {
    /// The median of a figure over all runs that kept every promise; 0 when there is none.
    pub fn median(&self, figure: fn(&Report) -> u64) -> u64 {
        match self.reports.is_empty() {
            true => 0,
            false => median(self.reports.iter().map(figure).collect()),
        }
    }
}
