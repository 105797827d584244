//! `replay`: a scenario once more, or with other seeds.

use crate::subject::{Planted, Subject};
use crate::{Ended, Exit};
use sim_tests::judge;
use zoetrope_io_sim::Scenario;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    planted: Planted,
    /// Replay it with the first N seeds instead of its own, to see how often its story comes to pass
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
}

pub(crate) fn run(args: &Args) -> Ended {
    let (scenario, name) = args.subject.read()?;
    let seeds = args.seeds.map_or(scenario.seed..scenario.seed + 1, |count| 0..count);
    let (mut exit, mut broken, all) = (Exit::Kept, 0, seeds.end - seeds.start);
    for seed in seeds {
        let verdict = judge(&Scenario { seed, ..scenario.clone() }, args.planted.mistake);
        match &verdict {
            Ok(report) => {
                println!("{name}, seed {seed}: every promise was kept, trace {:016x}", report.trace)
            }
            Err(violation) => println!("{name}, seed {seed}: {violation}"),
        }
        broken += u64::from(verdict.is_err());
        exit = exit.and(Exit::of(verdict.err().as_ref()));
    }
    if all > 1 {
        println!("{broken} of {all} runs broke a promise");
    }
    Ok(exit)
}
