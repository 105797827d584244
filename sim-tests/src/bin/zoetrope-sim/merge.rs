//! `merge`: the results of several machines as one.

use crate::run::{ResultFiles, print_failure, print_tally};
use crate::subject::option;
use crate::{Ended, Exit};
use sim_tests::Tally;
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// What `run --out` has written
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    sum: ResultFiles,
}

fn read(file: &Path) -> Result<Tally, String> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    if text.is_empty() {
        return Err(format!("{name}: it is empty: its run has not come to an end"));
    }
    Tally::parse(&text).map_err(|error| format!("{name}: {error}"))
}

pub(crate) fn run(args: &Args) -> Ended {
    let mut sum: Option<Tally> = None;
    for file in &args.files {
        let tally = read(file)?;
        match &mut sum {
            None => sum = Some(tally),
            Some(sum) => {
                sum.merge(tally).map_err(|error| format!("{}: {error}", file.display()))?;
            }
        }
    }
    let sum = sum.ok_or("no file was given")?;
    for failure in &sum.failures {
        print_failure(failure, &option(&sum.mistake));
    }
    print_tally(&sum);
    args.sum.write(&sum)?;
    Ok(sum.worst().map_or(Exit::Kept, Exit::of_kind))
}
