//! Random runs: `ZOETROPE_SEEDS=1000` runs that many, `ZOETROPE_SEED=42` one.

use sim_tests::{Report, judge_seed};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use zoetrope_io_sim::Mistake;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Runs a seed; a panic of the core is a broken promise like any other.
fn run(seed: u64) -> Result<Report, String> {
    let run = catch_unwind(AssertUnwindSafe(|| judge_seed(seed, Mistake::None)));
    let report = run.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
    })?;
    match report.violation {
        Some(violation) => Err(violation),
        None => Ok(report),
    }
}

fn median(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

#[test]
fn every_seed_keeps_every_promise() {
    let seeds: Vec<u64> = match (number("ZOETROPE_SEED"), number("ZOETROPE_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, count) => (0..count.unwrap_or(200)).collect(),
    };
    let started = std::time::Instant::now();
    let next = AtomicU64::new(0);
    let results = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let result = run(*seed);
                    results.lock().unwrap().push((*seed, result));
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let mut failures: Vec<(u64, String)> = Vec::new();
    let mut reports = Vec::new();
    for (seed, result) in results {
        match result {
            Ok(report) => reports.push(report),
            Err(violation) => failures.push((seed, violation)),
        }
    }
    if !reports.is_empty() {
        print_figures(&reports, started.elapsed().as_secs_f64() * cores.min(seeds.len()) as f64);
    }
    failures.sort();
    for (seed, violation) in failures.iter().take(10) {
        println!("seed {seed} breaks a promise: {violation}");
        println!("  replay: ZOETROPE_SEED={seed} cargo test -p sim-tests --test swarm");
    }
    assert!(failures.is_empty(), "{} of {} seeds break a promise", failures.len(), seeds.len());
}

fn print_figures(reports: &[Report], cpu_seconds: f64) {
    let of = |figure: fn(&Report) -> u64| median(reports.iter().map(figure).collect());
    let sum = |figure: fn(&Report) -> u64| reports.iter().map(figure).sum::<u64>() as f64;
    println!(
        "{} seeds; the median one has {} requests, {} faults, {} crashes with unsynced bytes and {} s simulated",
        reports.len(),
        of(|r| r.figures.requests),
        of(|r| r.figures.faults),
        of(|r| r.figures.unsynced_crashes),
        of(|r| r.figures.simulated_us) / 1_000_000,
    );
    println!(
        "{:.0} seeds per CPU-minute, {:.0} requests and {:.0} inputs per CPU second",
        reports.len() as f64 / cpu_seconds * 60.0,
        sum(|r| r.figures.requests) / cpu_seconds,
        sum(|r| r.figures.inputs) / cpu_seconds,
    );
}
