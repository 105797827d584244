//! `zoetrope-sim`: runs, replays and takes apart simulated ensembles. One file per subcommand; a new one is a module
//! here, a variant of [`Command`] and a line in [`run`].

mod bench;
mod diff;
mod exit;
mod files;
mod hunt;
mod journal;
mod merge;
mod replay;
mod run;
mod shrink;
mod subject;
mod sweep;
mod time;
mod view;

use clap::{Parser, Subcommand};
use exit::Exit;
use std::error::Error;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// How a subcommand ends; an error is one of the harness.
pub(crate) type Ended = Result<Exit, Box<dyn Error>>;

#[derive(Parser, Debug)]
#[command(
    name = "zoetrope-sim",
    version,
    about = "Servers in a world that loses power, fills disks, cuts links and stops clocks, with every promise judged",
    after_help = exit::HELP,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run seed after seed, and say at once which of them break a promise
    Run(run::Args),
    /// Add up what several `run --out` have written
    Merge(merge::Args),
    /// Replay a scenario file or a seed, and say which promise it breaks
    Replay(replay::Args),
    /// Hunt mistakes that were put in on purpose
    Hunt(hunt::Args),
    /// Show the first event in which two runs differ, and how each came there
    Diff(diff::Args),
    /// Make a scenario that fails as small as can be, and see whether it fails with other seeds
    Shrink(shrink::Args),
    /// Lose power behind every effect of every server of a scenario, in every way
    Sweep(sweep::Args),
    /// Write a run as one HTML file to look at: who said what to whom, disks, roles, faults
    View(view::Args),
    /// Replay what the flight recorder of a real server has written, and look at any moment of it
    Journal(journal::Args),
    /// Measure what the simulator does per CPU second, all judges on
    Bench(bench::Args),
    /// Write the data directory that a simulated server leaves behind
    Files(files::Args),
}

fn run(command: &Command) -> Ended {
    match command {
        Command::Run(args) => run::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Hunt(args) => hunt::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Shrink(args) => shrink::run(args),
        Command::Sweep(args) => sweep::run(args),
        Command::View(args) => view::run(args),
        Command::Journal(args) => journal::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Files(args) => files::run(args),
    }
}

/// Prints a line. A reader that went away, like `head`, is no failure: what remains is done, and the exit code told.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Whoever reads what is printed may stop reading (`| head`). Nobody would read a panic either.
fn end_when_nobody_reads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload().downcast_ref::<String>();
        if let Some(said) = said.filter(|said| said.starts_with("failed printing to stdout")) {
            if !said.contains("Broken pipe") {
                eprintln!("zoetrope-sim: {said}");
            }
            std::process::exit(Exit::Harness as i32);
        }
        usual(panic);
    }));
}

fn main() -> ExitCode {
    end_when_nobody_reads();
    let exit = run(&Cli::parse().command).unwrap_or_else(|error| {
        eprintln!("zoetrope-sim: {error}");
        Exit::Harness
    });
    exit.into()
}
