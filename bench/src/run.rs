//! `run`: every scenario against every target in interleaved rounds, and the ratios of the medians.

use std::io;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::scenario::{Kind, Scenario, Stream, prepare};
use crate::target::Target;

/// Far enough away to wait for an answer instead.
const EVER: Duration = Duration::from_secs(600);

/// One scenario against one target, once; or the medians of several.
#[derive(Clone, Debug, Default)]
struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    largest: f64,
    cpu: Option<f64>,
    errors: u64,
    last_error: i32,
}

/// How a comparison is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
}

fn measure(target: &Target, scenario: Scenario, ramp: f64, seconds: f64) -> io::Result<Figures> {
    let mut engine = Engine::connect(&target.addrs, scenario.connections)?;
    let mut stream = Stream::new(scenario.kind);
    let ramp_end = Instant::now() + Duration::from_secs_f64(ramp);
    engine.run(&mut stream, scenario.depth, ramp_end)?;
    engine.take();
    let (cpu, started) = (target.cpu_micros(), Instant::now());
    engine.run(&mut stream, scenario.depth, started + Duration::from_secs_f64(seconds))?;
    let (elapsed, counts) = (started.elapsed().as_secs_f64(), engine.take());
    let cpu = target.cpu_micros().zip(cpu).map(|(after, before)| (after - before) as f64);
    engine.drain()?;
    if scenario.kind == Kind::Create {
        engine.run(&mut stream.removal(), 64, Instant::now() + EVER)?;
    }
    engine.close()?;
    let done = counts.latency.total() as f64;
    Ok(Figures {
        rate: done / elapsed,
        p50: counts.latency.micros(0.5),
        p99: counts.latency.micros(0.99),
        p999: counts.latency.micros(0.999),
        largest: counts.latency.largest_micros(),
        cpu: cpu.map(|micros| micros / done.max(1.0)),
        errors: counts.errors,
        last_error: counts.last_error,
    })
}

/// The middle of some figures.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

fn middle(rounds: &[Figures]) -> Figures {
    let of = |pick: fn(&Figures) -> f64| median(rounds.iter().map(pick).collect());
    let cpus: Option<Vec<f64>> = rounds.iter().map(|f| f.cpu).collect();
    Figures {
        rate: of(|f| f.rate),
        p50: of(|f| f.p50),
        p99: of(|f| f.p99),
        p999: of(|f| f.p999),
        largest: of(|f| f.largest),
        cpu: cpus.map(median),
        errors: rounds.iter().map(|f| f.errors).sum(),
        last_error: rounds.iter().map(|f| f.last_error).find(|e| *e != 0).unwrap_or(0),
    }
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "?".to_owned(), |v| format!("{v:.digits$}"))
}

fn row(first: &str, target: &Target, f: &Figures, base: Option<&Figures>) {
    let ratio = |pick: fn(&Figures) -> Option<f64>| {
        cell(base.and_then(|b| Some(pick(f)? / pick(b).filter(|v| *v > 0.0)?)), 2)
    };
    println!(
        "| {first} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {} | {} | {} |",
        target.name,
        f.rate,
        f.p50,
        f.p99,
        f.p999,
        f.largest,
        cell(f.cpu, 1),
        ratio(|f| Some(f.rate)),
        ratio(|f| f.cpu),
    );
    if f.errors > 0 {
        println!("| | {} answered {} errors, e.g. {} |", target.name, f.errors, f.last_error);
    }
}

/// Runs all scenarios against all targets and prints the table. The first target is the measure of
/// the others.
pub(crate) fn run(targets: &[Target], scenarios: &[Scenario], plan: Plan) -> io::Result<bool> {
    for target in targets {
        prepare(&target.addrs)?;
    }
    for scenario in scenarios {
        for target in targets {
            measure(target, *scenario, 0.0, plan.warmup)?;
        }
    }
    println!(
        "| scenario | target | ops/s | p50 µs | p99 µs | p99.9 µs | max µs | server CPU µs/op | ops/s ratio \
         | CPU ratio |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut clean = true;
    for scenario in scenarios {
        let mut results: Vec<Vec<Figures>> = vec![Vec::new(); targets.len()];
        for _ in 0..plan.rounds {
            for (target, rounds) in targets.iter().zip(&mut results) {
                rounds.push(measure(target, *scenario, 0.3, plan.seconds)?);
            }
        }
        let middles: Vec<Figures> = results.iter().map(|rounds| middle(rounds)).collect();
        for (index, (target, figures)) in targets.iter().zip(&middles).enumerate() {
            clean &= figures.errors == 0;
            let base = (index > 0).then(|| &middles[0]);
            row(&scenario.to_string(), target, figures, base);
        }
    }
    println!("\n| target | resident MiB | peak MiB |\n|---|---|---|");
    for target in targets {
        let mib = |line| cell(target.memory_kib(line).map(|kib| kib as f64 / 1024.0), 1);
        println!("| {} | {} | {} |", target.name, mib("VmRSS"), mib("VmHWM"));
    }
    Ok(clean)
}
