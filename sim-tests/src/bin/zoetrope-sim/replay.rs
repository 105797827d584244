//! `replay`: a scenario once more, or with other seeds, or step by step.

use crate::subject::{Planted, Subject};
use crate::time::{duration, us};
use crate::{Ended, Exit, say};
use sim_tests::{Violation, Visit, guarded, judge, watched};
use std::iter::once;
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
    #[arg(long, value_name = "N", conflicts_with_all = ["until", "step"], value_parser = clap::value_parser!(u64).range(1..))]
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
                say(format_args!(
                    "{name}, seed {seed}: every promise was kept, trace {trace:016x}"
                ));
            }
            Err(violation) => say(format_args!("{name}, seed {seed}: {violation}")),
        }
        broken += u64::from(verdict.is_err());
        exit = exit.and(Exit::of(verdict.err().as_ref()));
    }
    if all > 1 {
        say(format_args!("{broken} of {all} runs broke a promise"));
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
            say(event);
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
            (Some(_), true) => servers(&world),
            (Some(_), false) => {
                let ended = format!("the run ended at {} µs", world.now());
                once(ended).chain(servers(&world)).collect()
            }
            (None, _) => Vec::new(),
        };
        (outcome, shown)
    }
}

fn servers<J: Judge + Clone>(world: &World<J>) -> Vec<String> {
    world.servers().map(|(sid, server)| format!("server {sid}: {}", state(server))).collect()
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
    let from = args.step.then(|| args.from.map_or(0, us));
    let (until, mistake): (_, Mistake) = (args.until.map(us), args.planted.mistake);
    let look = Look { steps: scenario.all_steps(), until };
    let seed = scenario.seed;
    let run = guarded(move || watched(&scenario, mistake, Printer { from }, look));
    let violation = match run {
        Err(crash) => Some(Violation::of_crash(&crash)),
        Ok((outcome, shown)) => {
            for line in shown {
                say(line);
            }
            outcome.violation.map(Violation::of_judge)
        }
    };
    let verdict = violation.as_ref().map_or("every promise was kept".to_owned(), |v| v.to_string());
    say(format_args!("{name}, seed {seed}: {verdict}"));
    Ok(Exit::of(violation.as_ref()))
}
