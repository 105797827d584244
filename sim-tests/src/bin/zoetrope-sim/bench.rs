//! `bench`: what the simulator does per CPU second, all judges on.

use crate::{Ended, Exit};
use sim_tests::{Kin, Visit, guarded, judge_scenario, thread_cpu_ns, world};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zoetrope_io_sim::{Figures, Judge, Mistake, Scenario, Step, World};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Seeds of the swarm of ensembles; then an ensemble of three with 16 clients: with one request in flight each, with 16, with 16
writes (create, set, delete), and with clients that only keep their sessions alive. All judges are on. An input is one
fact that a server is told; what clients say to stay alive is no request. CPU time is that of the one thread that simulates.")]
pub(crate) struct Args {
    /// Requests in each of the busy runs
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    requests: u64,
    /// Simulated hours of the idle run
    #[arg(long, value_name = "N", default_value_t = 4)]
    hours: u64,
    /// Seeds of the swarm
    #[arg(long, value_name = "N", default_value_t = 100)]
    seeds: u64,
    /// Only this seed, and only how much memory it takes, in MiB
    #[arg(long, value_name = "N", hide = true)]
    memory_of: Option<u64>,
}

/// Plays all steps and answers how many txns were committed, all of one epoch.
struct Measure(Vec<Step>);

impl Visit for Measure {
    type Out = (Option<String>, Figures, u64);

    fn visit<J: Judge + Clone>(self, mut world: World<J>) -> Self::Out {
        let outcome = world.play(&self.0);
        let zxids = world.servers().filter_map(|(_, server)| server.map(|s| s.zxid_applied().0));
        let txns = zxids.max().unwrap_or(0) as u32;
        (outcome.violation, outcome.figures, u64::from(txns))
    }
}

fn measure(what: &str, more: &str, step: &[Step], target: &str) -> Result<(), String> {
    let text = format!(
        "story = 'bench'\nseed = 1\nclients = 16\npeers = 3\nsnap_count = 100000\n{more}\nsteps = []"
    );
    let scenario = Scenario::parse(&text).map_err(|error| error.to_string())?;
    let steps = [&[Step::AwaitLeader(30_000)], step].concat();
    let before = thread_cpu_ns();
    let (violation, figures, txns) = world(&scenario, Mistake::None, Measure(steps));
    let cpu = (thread_cpu_ns() - before) as f64 / 1e9;
    if let Some(violation) = violation {
        return Err(format!("{what}: {violation}"));
    }
    println!(
        "{what}: {:.0} inputs, {:.0} requests and {:.0} committed txns per CPU second, {:.1} simulated hours per \
         CPU-minute ({cpu:.1} s; target {target})",
        figures.inputs as f64 / cpu,
        figures.requests as f64 / cpu,
        txns as f64 / cpu,
        figures.simulated_us as f64 / 3.6e9 / (cpu / 60.0),
    );
    Ok(())
}

/// The most memory this process had, in MiB; 0 where the system does not say.
fn peak() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// What that seed takes in a process of its own: in one that runs many, what is free but kept for the next counts as well.
fn memory_of(seed: u64) -> Result<f64, String> {
    let this =
        std::env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let mut bench = Command::new(this);
    bench.args(["bench", "--memory-of", &seed.to_string()]);
    let said = bench.output().map_err(|error| format!("seed {seed}: {error}"))?;
    let text = String::from_utf8_lossy(&said.stdout);
    text.trim()
        .parse()
        .map_err(|_| format!("seed {seed}: {}{text}", String::from_utf8_lossy(&said.stderr)))
}

fn one(seed: u64) -> Result<(), String> {
    let report = judge_scenario(&Kin::Ensemble.scenario(seed), Mistake::None);
    if let Some(violation) = report.violation {
        return Err(violation.to_string());
    }
    println!("{:.1}", peak());
    Ok(())
}

fn swarm(seeds: u64) -> Result<(), String> {
    let at = Arc::new(AtomicU64::new(0));
    let now = at.clone();
    // All on one thread, so that the memory of one is there for the next.
    let runs = guarded(move || {
        let (before, mut requests) = (thread_cpu_ns(), Vec::new());
        for seed in 0..seeds {
            now.store(seed, Ordering::Relaxed);
            let report = judge_scenario(&Kin::Ensemble.scenario(seed), Mistake::None);
            if let Some(violation) = report.violation {
                return Err(format!("seed {seed}: {violation}"));
            }
            requests.push(report.figures.requests);
        }
        Ok((thread_cpu_ns() - before, requests))
    });
    let crashed = |crash| format!("seed {}: {crash}", at.load(Ordering::Relaxed));
    let (cpu, mut requests) = runs.map_err(crashed)??;
    requests.sort_unstable();
    let memory = (0..seeds).map(memory_of).collect::<Result<Vec<_>, _>>()?;
    println!(
        "seeds: {:.0} per CPU-minute, the median of {seeds} has {} requests (target 300); at most {:.0} MiB for one, in a \
         process of its own (target 64)",
        seeds as f64 / (cpu as f64 / 6e10),
        requests.get(requests.len() / 2).copied().unwrap_or(0),
        memory.into_iter().fold(0.0, f64::max),
    );
    Ok(())
}

pub(crate) fn run(args: &Args) -> Ended {
    if let Some(seed) = args.memory_of {
        one(seed)?;
        return Ok(Exit::Kept);
    }
    let busy = [Step::Requests(args.requests)];
    let idle = [Step::Rest, Step::Run(args.hours * 3_600_000)];
    swarm(args.seeds)?;
    let mixed = "without = ['malformed', 'session-churn']";
    let writes = "without = ['malformed', 'session-churn', 'reads']\npipeline = 16";
    measure("busy, un-batched", &format!("{mixed}\npipeline = 1"), &busy, "500000 inputs")?;
    measure("busy, 16 x 16", &format!("{mixed}\npipeline = 16"), &busy, "none")?;
    measure("busy, 16 x 16 writes", writes, &busy, "100000 committed")?;
    measure("idle", &format!("{mixed}\npipeline = 16"), &idle, "none")?;
    Ok(Exit::Kept)
}
