//! Load generator and comparison of servers that speak ZooKeeper. `README.md` explains the numbers.

#![forbid(unsafe_code)]

mod disk;
mod engine;
mod histogram;
mod loading;
mod restart;
mod run;
mod scenario;
mod stall;
mod target;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::restart::Start;
use crate::run::Plan;
use crate::scenario::Scenario;
use crate::target::Target;

#[derive(Parser)]
#[command(name = "zoetrope-bench", about = "Load for servers that speak ZooKeeper, side by side")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Throughput, latency and server CPU of scenarios, in interleaved rounds.
    Run {
        /// NAME=HOST:PORT[+HOST:PORT...][,pid=N...]; the first is the measure of the others.
        #[arg(long = "target", required = true)]
        targets: Vec<Target>,
        /// {write|create|read|children|mixed}:CONNECTIONSxINFLIGHT.
        #[arg(long = "scenario", default_values = [
            "write:16x16", "create:16x16", "read:16x16", "children:16x16", "mixed:16x16",
            "read:64x1", "write:64x1", "write:1x1", "read:1x1",
        ])]
        scenarios: Vec<Scenario>,
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Seconds of each scenario that nobody measures, once, at the beginning.
        #[arg(long, default_value_t = 5.0)]
        warmup: f64,
    },
    /// Creates znodes; time, CPU and memory.
    Load {
        #[arg(long)]
        target: Target,
        #[arg(long, default_value_t = 1_000_000)]
        znodes: u64,
        #[arg(long, default_value_t = 100)]
        bytes: usize,
    },
    /// From exec to the first reply, with a warm page cache.
    Restart {
        /// NAME=HOST:PORT=COMMAND.
        #[arg(long = "start", required = true)]
        starts: Vec<Start>,
        #[arg(long, default_value_t = 5)]
        times: usize,
    },
    /// Latency of a steady mixed load with and without a snapshot being written.
    SnapshotStall {
        /// NAME=HOST:PORT,data=DIR.
        #[arg(long = "target", required = true)]
        targets: Vec<Target>,
        #[arg(long, default_value_t = 30.0)]
        seconds: f64,
    },
    /// The disk's own write and fdatasync.
    Disk {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
    },
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Run { targets, scenarios, rounds, seconds, warmup } => {
            run::run(&targets, &scenarios, Plan { rounds, seconds, warmup })
        }
        Command::Load { target, znodes, bytes } => {
            loading::load(&target, znodes, bytes).map(|()| true)
        }
        Command::Restart { starts, times } => restart::restart(&starts, times).map(|()| true),
        Command::SnapshotStall { targets, seconds } => stall::snapshot_stall(&targets, seconds),
        Command::Disk { dir, seconds } => disk::disk(&dir, seconds).map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("zoetrope-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
