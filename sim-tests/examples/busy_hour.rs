//! Writes the data directory of a simulated server after some time of hard work, crashes included, so that other
//! servers can be started on it: `busy_hour DIRECTORY [SEED] [SIMULATED SECONDS]`.

use sim_tests::judge_and_keep_files;
use std::error::Error;
use std::path::PathBuf;
use zoetrope_io_sim::{Fault, Keep, Scenario, Step};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: busy_hour DIRECTORY [SEED] [SIMULATED SECONDS]";
    let directory = PathBuf::from(args.next().ok_or(usage)?).join("version-2");
    let seed: u64 = args.next().map_or(Ok(1), |text| text.parse())?;
    let seconds: u64 = args.next().map_or(Ok(3600), |text| text.parse())?;

    // A crash of each kind, one after the other, with the same time of work before each and behind the last.
    let keeps = [Keep::All, Keep::Some, Keep::Torn, Keep::Garbage, Keep::Nothing];
    let work = Step::Run(seconds * 1000 / (keeps.len() as u64 + 1));
    let mut steps = Vec::new();
    for keep in keeps {
        steps.push(work.clone());
        steps.push(Step::Fault(Fault::Crash { keep, down: 200 }));
    }
    steps.push(work);
    let scenario = Scenario {
        story: "Hard work, and five crashes.".into(),
        guards: String::new(),
        retells: String::new(),
        seed,
        clients: 3,
        timeout_ms: 30_000,
        pipeline: 1,
        snap_count: 20_000,
        local_sessions: Default::default(),
        peers: None,
        observers: 0,
        observer_masters: false,
        groups: Vec::new(),
        force_snapshot_sync: false,
        syncs: None,
        read_only: false,
        without: Vec::new(),
        steps,
    };
    let (report, files) = judge_and_keep_files(&scenario);
    if let Some(violation) = report.violation {
        return Err(format!("seed {seed} breaks a promise: {violation}").into());
    }
    std::fs::create_dir_all(&directory)?;
    for (name, bytes) in &files {
        std::fs::write(directory.join(name), bytes)?;
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
    Ok(())
}
