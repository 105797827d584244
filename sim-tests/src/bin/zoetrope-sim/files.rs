//! `files`: what a simulated server leaves on its disk, for other servers to be started on.

use crate::subject::{read, seed};
use crate::{Ended, Exit};
use sim_tests::{Violation, guarded, judge_and_keep_files};
use std::path::PathBuf;
use zoetrope_io_sim::{Fault, Keep, Scenario, Step};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Directory to write into; the files are in its version-2
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    /// Scenario of one server that stands alone; without it: hard work, and a crash of each kind
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Seed instead of the scenario's own
    #[arg(long, value_name = "N", value_parser = seed)]
    seed: Option<u64>,
    /// Simulated seconds of the hard work
    #[arg(long, value_name = "N", default_value_t = 3600, conflicts_with = "file",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seconds: u64,
}

/// A crash of each kind, one after the other, with the same time of work before each and behind the last.
fn hard_work(seconds: u64) -> Result<Scenario, String> {
    let keeps = [Keep::All, Keep::Some, Keep::Torn, Keep::Garbage, Keep::Nothing];
    let work = Step::Run(seconds * 1000 / (keeps.len() as u64 + 1));
    let mut steps = Vec::new();
    for keep in keeps {
        steps.extend([work.clone(), Step::Fault(Fault::Crash { keep, down: 200 })]);
    }
    steps.push(work);
    let text = "story = 'Hard work, and five crashes.'\nseed = 1\nclients = 3\ntimeout_ms = 30000\n\
                pipeline = 1\nsnap_count = 20000\nsteps = []";
    let scenario = Scenario::parse(text).map_err(|error| error.to_string())?;
    Ok(Scenario { steps, ..scenario })
}

pub(crate) fn run(args: &Args) -> Ended {
    let mut scenario = match &args.file {
        Some(file) => read(file)?,
        None => hard_work(args.seconds)?,
    };
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    if scenario.peers.is_some() {
        return Err("only the disk of a server that stands alone can be written out".into());
    }
    let seed = scenario.seed;
    let (violation, report, files) = match guarded(move || judge_and_keep_files(&scenario)) {
        Ok((report, files)) => (report.violation.clone().map(Violation::of_judge), report, files),
        Err(crash) => {
            println!("seed {seed}: {}", Violation::of_crash(&crash));
            return Ok(Exit::Crash);
        }
    };
    if let Some(violation) = violation {
        println!("seed {seed}: {violation}");
        return Ok(Exit::of(Some(&violation)));
    }
    let directory = args.directory.join("version-2");
    let wrong = |error: std::io::Error| format!("{}: {error}", directory.display());
    std::fs::create_dir_all(&directory).map_err(wrong)?;
    for (name, bytes) in &files {
        std::fs::write(directory.join(name), bytes).map_err(wrong)?;
    }
    let figures = report.figures;
    println!(
        "{} requests and {} crashes in {} simulated seconds; {} files in {}",
        figures.requests,
        figures.crashes,
        figures.simulated_us / 1_000_000,
        files.len(),
        directory.display(),
    );
    Ok(Exit::Kept)
}
