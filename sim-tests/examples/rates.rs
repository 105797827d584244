//! What the simulator does per CPU second, all judges on: `cargo run --release -p sim-tests --example rates`.
//! An ensemble of three, once with clients at work and once with clients that only keep their sessions alive.

use sim_tests::{Report, judge_scenario, thread_cpu_ns};
use zoetrope_io_sim::{Mistake, Scenario, Step};

fn scenario(steps: Vec<Step>) -> Scenario {
    let text = "story = 'rates'\nseed = 1\nclients = 16\npipeline = 16\npeers = 3\nsnap_count = 100000\n\
                without = ['malformed', 'session-churn']\nsteps = []";
    Scenario { steps, ..Scenario::parse(text).expect("it is a scenario") }
}

fn measure(what: &str, steps: Vec<Step>) {
    let before = thread_cpu_ns();
    let Report { violation, figures, .. } = judge_scenario(&scenario(steps), Mistake::None);
    assert_eq!(violation, None);
    let cpu = (thread_cpu_ns() - before) as f64 / 1e9;
    let (inputs, requests) = (figures.inputs as f64 / cpu, figures.requests as f64 / cpu);
    let hours = figures.simulated_us as f64 / 3.6e9 / (cpu / 60.0);
    println!(
        "{what}: {inputs:.0} inputs and {requests:.0} answered requests per CPU second, {hours:.2} simulated hours per \
         CPU-minute ({cpu:.1} s)"
    );
}

fn main() {
    let begin = Step::AwaitLeader(30_000);
    measure("busy", vec![begin.clone(), Step::Requests(100_000)]);
    measure("idle", vec![begin, Step::Rest, Step::Run(4 * 3_600_000)]);
}
