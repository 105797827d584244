//! `replay`: a scenario once more, or with other seeds, or step by step.

use crate::subject::{Planted, Subject};
use crate::time::duration;
use crate::{Ended, Exit};
use sim_tests::{Violation, Visit, guarded, judge, watched};
use std::io::Write;
use std::time::Duration;
use zoetrope_core::Server;
use zoetrope_io_sim::{Event, Judge, Mistake, Outcome, Record, Scenario, Step, World, role_of};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    planted: Planted,
    /// Replay it with the first N seeds instead of its own, to see how often its story comes to pass
    #[arg(long, value_name = "N", conflicts_with_all = ["until", "step"])]
    seeds: Option<u64>,
    /// Stop at that simulated time, like 12.5s, and show what the servers are then
    #[arg(long, value_name = "TIME", value_parser = duration)]
    until: Option<Duration>,
    /// Print everything that happens: time, where, what
    #[arg(long)]
    step: bool,
    /// With --step: nothing that happens before that simulated time
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "step")]
    from: Option<Duration>,
}

pub(crate) fn run(args: &Args) -> Ended {
    let (scenario, name) = args.subject.read()?;
    if args.step || args.until.is_some() {
        return look(args, scenario, &name);
    }
    let seeds = args.seeds.map_or(scenario.seed..scenario.seed + 1, |count| 0..count);
    let (mut exit, mut broken, all) = (Exit::Kept, 0, seeds.end - seeds.start);
    for seed in seeds {
        let verdict = judge(&Scenario { seed, ..scenario.clone() }, args.planted.mistake);
        match &verdict {
            Ok(report) => {
                let trace = report.trace;
                println!("{name}, seed {seed}: every promise was kept, trace {trace:016x}");
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

/// Prints what happens from some moment on, if it is to be printed.
#[derive(Clone, Debug)]
struct Printer {
    from: Option<u64>,
}

impl Record for Printer {
    fn record(&mut self, event: Event) {
        if self.from.is_some_and(|from| event.now >= from) {
            // A reader that went away, like `head`, is no failure.
            let _ = writeln!(std::io::stdout(), "{event}");
        }
    }
}

/// Plays up to some moment, and says what is there then.
struct Look {
    steps: Vec<Step>,
    until: Option<u64>,
}

impl Visit for Look {
    type Out = (Outcome, Vec<String>);

    fn visit<J: Judge + Clone>(self, mut world: World<J>) -> Self::Out {
        if let Some(until) = self.until {
            world.stop_at(until);
        }
        let outcome = world.play(&self.steps);
        let shown = match (self.until, world.is_stopped()) {
            (Some(_), true) => world
                .servers()
                .map(|(sid, server)| format!("server {sid}: {}", state(server)))
                .collect(),
            (Some(_), false) => vec![format!("the run ended at {} µs", world.now())],
            (None, _) => Vec::new(),
        };
        (outcome, shown)
    }
}

fn state(server: Option<&Server>) -> String {
    let Some(server) = server else { return "no process".to_owned() };
    let status = server.status();
    format!(
        "{:?}, epoch {}, applied {}, proposed {}, {} sessions, {} znodes, {} connections, {} requests outstanding, \
         tree {:016x}",
        role_of(server),
        status.epoch.0,
        status.zxid_applied,
        status.zxid_proposed,
        status.sessions,
        status.znode_count,
        status.connections,
        status.outstanding,
        status.digest
    )
}

fn look(args: &Args, scenario: Scenario, name: &str) -> Ended {
    let us = |time: Duration| time.as_micros() as u64;
    let from = args.step.then(|| args.from.map_or(0, us));
    let (until, mistake): (_, Mistake) = (args.until.map(us), args.planted.mistake);
    let look = Look { steps: scenario.steps.clone(), until };
    let seed = scenario.seed;
    let run = guarded(move || watched(&scenario, mistake, Printer { from }, look));
    let violation = match run {
        Err(crash) => Some(Violation::of_crash(&crash)),
        Ok((outcome, shown)) => {
            shown.iter().for_each(|line| println!("{line}"));
            outcome.violation.map(Violation::of_judge)
        }
    };
    match &violation {
        None => println!("{name}, seed {seed}: every promise was kept"),
        Some(violation) => println!("{name}, seed {seed}: {violation}"),
    }
    Ok(Exit::of(violation.as_ref()))
}
