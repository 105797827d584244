//! `sweep`: power is lost everywhere.

use crate::subject::{Planted, read, seed};
use crate::{Ended, Exit};
use sim_tests::{Fall, Unswept, Violation, guarded, sweep};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
An effect is an operation a device has carried out, a packet or a request to the network, or an answer to a client.
Behind each of them, a clone of the world loses the power of the server that had it, five times: nothing un-synced is
kept; all of it; the first sectors; each sector and name as chance has it; nothing, and rubbish behind the tail. Then
everything heals, all servers must come to serve the same tree, and a write must be answered.")]
pub(crate) struct Args {
    /// A scenario file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Seed instead of its own
    #[arg(long, value_name = "N", value_parser = seed)]
    seed: Option<u64>,
    /// Lose power behind that effect alone
    #[arg(long, value_name = "N")]
    effect: Option<u64>,
    #[command(flatten)]
    planted: Planted,
}

/// Failures that are printed; more are counted.
const SHOWN: usize = 10;

pub(crate) fn run(args: &Args) -> Ended {
    let mut scenario = read(&args.file)?;
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    let (mistake, only) = (args.planted.mistake, args.effect);
    let place = Arc::new(AtomicU64::new(0));
    let here = place.clone();
    let run = guarded(move || {
        sweep(&scenario, mistake, only, move |effect| here.store(effect, Ordering::Relaxed))
    });
    let swept = match run {
        Ok(Ok(swept)) => swept,
        Ok(Err(Unswept::Unfit(why))) => return Err(why.into()),
        Ok(Err(Unswept::Fails(violation))) => {
            println!("without any further loss of power: {violation}");
            return Ok(Exit::of(Some(&violation)));
        }
        Err(crash) => {
            let effect = place.load(Ordering::Relaxed);
            println!("behind effect {effect}: {}", Violation::of_crash(&crash));
            return Ok(Exit::Crash);
        }
    };
    for Fall { effect, at, keep, violation } in swept.failures.iter().take(SHOWN) {
        println!("behind effect {effect}, at {at} µs, keeping {keep:?}: {violation}");
    }
    if swept.failures.len() > SHOWN {
        println!("and {} more", swept.failures.len() - SHOWN);
    }
    let cpu = swept.cpu_ns as f64 / 1e9;
    println!(
        "{}: effects found {}, covered {}; {} continuations, {} of which broke a promise; {:.0} continuations per \
         CPU-minute ({cpu:.1} s); learners were brought level by {:?}",
        args.file.display(),
        swept.found,
        swept.covered,
        swept.continuations,
        swept.failures.len(),
        swept.continuations as f64 / cpu.max(1e-9) * 60.0,
        swept.branches
    );
    if let Some(effect) = args.effect.filter(|effect| !(1..=swept.found).contains(effect)) {
        return Err(format!("there is no effect {effect}: they are 1 to {}", swept.found).into());
    }
    let exit = swept.failures.iter().map(|fall| Exit::of(Some(&fall.violation)));
    let exit = exit.fold(Exit::Kept, Exit::and);
    let all = args.effect.map_or(swept.found, |_| 1);
    if swept.covered != all {
        return Err("not every effect was covered".into());
    }
    Ok(exit)
}
