//! Replays scenario files, with all judges on: `cargo run --release -p sim-tests --example replay -- FILE...`.
//! `--seeds N` replays each with the first N seeds instead of its own, to see how often its story comes to pass.

use sim_tests::judge_scenario;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use zoetrope_io_sim::{Mistake, Scenario};

/// A panic of the core is a broken promise like any other; with `panic = "abort"` it ends the program.
fn verdict(scenario: &Scenario) -> Option<String> {
    let run = || judge_scenario(scenario, Mistake::None).violation;
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Some("the core panicked".into()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut files, mut seeds) = (Vec::new(), None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seeds" => seeds = Some(args.next().ok_or("--seeds needs a number")?.parse()?),
            _ => files.push(arg),
        }
    }
    let mut broken = 0;
    for file in files {
        let scenario = Scenario::parse(&std::fs::read_to_string(&file)?)?;
        let all = seeds.map_or(scenario.seed..scenario.seed + 1, |count| 0..count);
        for seed in all {
            let violation = verdict(&Scenario { seed, ..scenario.clone() });
            broken += usize::from(violation.is_some());
            let told = violation.as_deref().unwrap_or("every promise was kept");
            println!("{file}, seed {seed}: {told}");
        }
    }
    match broken {
        0 => Ok(()),
        _ => Err(format!("{broken} runs broke a promise").into()),
    }
}
