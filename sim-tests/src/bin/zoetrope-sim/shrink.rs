//! `shrink`: a run that fails, made small.

use crate::run::can_be_written;
use crate::subject::{Planted, Subject};
use crate::time::duration;
use crate::{Ended, Exit};
use sim_tests::{Effort, Oftenness, Shrunk, shrink};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Steps, clients, servers, kinds of operations and times are left out or made less, as long as the same judge says no.
Then it looks for a scenario that fails with other seeds as well, and says how many of them do: such a file still
tells its story when the code has changed. The exit code is that of the violation.")]
pub(crate) struct Args {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    planted: Planted,
    /// Write the small scenario here; without it, it is printed
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// CPU time to shrink in; a run that has begun by then is finished
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "54s")]
    cpu: Duration,
    /// Seeds by which to count how often the small scenario fails
    #[arg(long, value_name = "N", default_value_t = 100)]
    backgrounds: u64,
    /// What to change, chance decides: another number makes another search of it
    #[arg(long, value_name = "N", default_value_t = 0)]
    chance: u64,
}

pub(crate) fn run(args: &Args) -> Ended {
    let (scenario, name) = args.subject.read()?;
    args.out.as_ref().map_or(Ok(()), |file| can_be_written(file))?;
    let effort =
        Effort { cpu_s: args.cpu.as_secs_f64(), seeds: args.backgrounds, chance: args.chance };
    let Some(shrunk) = shrink(&scenario, args.planted.mistake, effort) else {
        println!(
            "{name}, seed {}: every promise was kept, so there is nothing to shrink",
            scenario.seed
        );
        return Ok(Exit::Kept);
    };
    let Shrunk { scenario: small, violation, lines, runs, cpu_s, oftenness, counting_cpu_s } =
        shrunk;
    let text = small.to_short_text();
    match &args.out {
        Some(file) => {
            std::fs::write(file, &text).map_err(|e| format!("{}: {e}", file.display()))?;
        }
        None => print!("{text}"),
    }
    let Oftenness { seeds, fails, alike, .. } = oftenness;
    let summary = format!(
        "{name}, seed {}, made small, seed {}: {violation}\n{} lines before, {} after; {runs} runs, {cpu_s:.1} CPU seconds; {fails} of {seeds} other seeds fail, {alike} by \
         the same judge ({counting_cpu_s:.1} CPU seconds)",
        scenario.seed, small.seed, lines.0, lines.1
    );
    match &args.out {
        Some(file) => {
            let planted = args.planted.option();
            println!("{summary}\n  replay: zoetrope-sim replay {}{planted}", file.display());
        }
        // What is printed is the file.
        None => eprintln!("{summary}"),
    }
    Ok(Exit::of(Some(&violation)))
}
