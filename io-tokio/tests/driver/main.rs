//! The driver of production, judged by the simulator's judges: sockets, links between servers, and the disk's own code,
//! over a simulated network, time and disk. `io-tokio/madsim.sh` runs it; docs/simulator.md says what it sees.
#![cfg(madsim)]

mod clients;
mod handshake;
mod links;
mod order;
mod play;
mod servers;
mod world;

use play::{Report, play};
use sim_tests::guarded_and_timed;
#[cfg(feature = "planted-bugs")]
use zoetrope_io_tokio::planted::{Plant, plant};

/// Runs a seed, and says what it cost, CPU ns. `prepare` is called on the run's own thread.
fn run_with(seed: u64, prepare: impl FnOnce() + Send + 'static) -> (Result<Report, String>, u64) {
    let work = move || {
        prepare();
        let runtime =
            madsim::runtime::Runtime::with_seed_and_config(seed, madsim::Config::default());
        runtime.block_on(play(seed))
    };
    let (report, cpu_ns) = guarded_and_timed(work);
    let report = report.map_err(|crash| crash.to_string()).and_then(|report| {
        match report.violation.clone() {
            Some(violation) => Err(violation),
            None => Ok(report),
        }
    });
    (report, cpu_ns)
}

fn run(seed: u64) -> (Result<Report, String>, u64) {
    run_with(seed, || ())
}

fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => otherwise,
    }
}

#[test]
fn the_driver_keeps_its_promises() {
    let (first, seeds) = (number("ZOETROPE_SEED", 1), number("ZOETROPE_SEEDS", 20));
    let (mut failed, mut answered, mut faults, mut crashes) = (Vec::new(), 0, 0, 0);
    let (mut facts, mut simulated_ms, mut cpu) = (0, 0, 0);
    for seed in first..first + seeds {
        let (report, cpu_ns) = run(seed);
        cpu += cpu_ns;
        match report {
            Ok(report) => {
                answered += report.answered;
                faults += report.faults;
                crashes += report.crashes;
                facts += report.facts;
                simulated_ms += report.simulated_ms;
            }
            Err(violation) => {
                println!("seed {seed}: {violation}");
                failed.push(seed);
            }
        }
    }
    println!(
        "{seeds} seeds, {} failed: {answered} requests answered, {facts} facts, {faults} faults, {crashes} crashes, {} \
         simulated minutes in {:.1} CPU seconds",
        failed.len(),
        simulated_ms / 60_000,
        cpu as f64 / 1e9
    );
    assert!(failed.is_empty(), "ZOETROPE_SEED=N ZOETROPE_SEEDS=1 io-tokio/madsim.sh: {failed:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [1, 2, 3] {
        let (one, other) = (run(seed).0.unwrap(), run(seed).0.unwrap());
        assert_eq!(one, other);
    }
}

/// Each mistake is found, by seeds that know nothing of it.
#[cfg(feature = "planted-bugs")]
#[test]
fn planted_mistakes_are_found() {
    let most = number("ZOETROPE_PLANT_SEEDS", 300);
    let named = std::env::var("ZOETROPE_PLANT").ok();
    let wanted =
        |mistake: &Plant| named.as_ref().is_none_or(|named| *named == format!("{mistake:?}"));
    let mut missed = Vec::new();
    for mistake in Plant::ALL.iter().copied().filter(wanted) {
        let mut cpu = 0;
        let found = (1..=most).find_map(|seed| {
            let (report, cpu_ns) = run_with(seed, move || plant(Some(mistake)));
            cpu += cpu_ns;
            report.err().map(|violation| (seed, violation))
        });
        let cpu = cpu as f64 / 1e9;
        match found {
            Some((seed, violation)) => {
                let said: String = violation.chars().take(150).collect();
                println!("| {mistake:?} | {} | {seed} | {cpu:.1} | {said} |", mistake.story());
            }
            None => {
                println!("| {mistake:?} | {} | not in {most} | {cpu:.1} | |", mistake.story());
                missed.push(mistake);
            }
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
