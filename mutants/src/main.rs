//! `zoetrope-mutants`: draws small changes to the core, tries each out, and says which ones nothing sees.
//!
//! All of them are built at once, each behind a switch that an environment variable turns on, into a copy of the
//! workspace: one build for hundreds of mutants instead of one for each.

mod find;
mod plant;
mod report;
mod sample;
mod try_out;

use clap::Parser;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Change the core in small ways and count the changes that no test sees.
#[derive(Parser)]
struct Args {
    /// Chance of the draw
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many mutants of each module
    #[arg(long, value_name = "N", default_value_t = 30)]
    each: usize,
    /// How many are tried at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// Only those whose name has this in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Build them, say what they are, and try none
    #[arg(long)]
    list: bool,
    /// Write the page here
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Leave with 1 if less than that percentage is killed
    #[arg(long, value_name = "PERCENT", default_value_t = 80.0)]
    least: f64,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("zoetrope-mutants: {error}");
            ExitCode::from(4)
        }
    }
}

fn run(args: &Args) -> io::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let tree = root.join("target/mutants");
    let reasons = std::fs::read_to_string(root.join("mutants/reasons.toml"))?;
    let reasons: BTreeMap<String, String> = toml::from_str(&reasons).map_err(io::Error::other)?;

    plant::copy(root, &tree)?;
    let urn = sample::shuffled(root, args.seed)?;
    let mut useless = BTreeSet::new();
    let mut useless_of = BTreeMap::new();
    let (drawn, built) = loop {
        let drawn: Vec<_> = (1..).zip(sample::draw(&urn, args.each, &useless)).collect();
        let places = plant::plant(root, &tree, &urn.files, &drawn)?;
        match try_out::build(&tree, &places)? {
            Ok(built) => break (drawn, built),
            Err(guilty) => {
                for (number, mutant) in drawn.iter().filter(|(number, _)| guilty.contains(number)) {
                    eprintln!("does not compile: {number} {}", mutant.name());
                    *useless_of.entry(mutant.module.clone()).or_default() += 1;
                    useless.insert(mutant.key());
                }
            }
        }
    };
    let wanted = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only));
    let chosen: Vec<_> = drawn.iter().filter(|(_, mutant)| wanted(&mutant.name())).collect();
    if args.list {
        for (number, mutant) in &chosen {
            println!("{number} {}:{} {}", mutant.file, mutant.line, mutant.name());
        }
        return Ok(true);
    }

    built.check()?;
    let numbers: Vec<u32> = chosen.iter().map(|(number, _)| *number).collect();
    let names: BTreeMap<u32, String> =
        chosen.iter().map(|(number, mutant)| (*number, mutant.name())).collect();
    let fates = built.try_all(&numbers, args.jobs, |number, fate| {
        println!("{number} {}\n    {fate}", names[&number]);
    })?;
    let fates: Vec<_> =
        chosen.iter().map(|(number, mutant)| (*mutant, fates[number].clone())).collect();
    let report = report::Report {
        seed: args.seed,
        urn: &urn,
        useless: &useless_of,
        fates: &fates,
        reasons: &reasons,
    };
    if let Some(file) = &args.write {
        std::fs::write(file, report.page())?;
    }
    println!("{} mutants, {:.1} % killed", fates.len(), report.score());
    Ok(report.score() >= args.least)
}
