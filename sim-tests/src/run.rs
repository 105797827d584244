//! Runs a scenario under the oracle.

use crate::guard::guarded;
use crate::oracle::Oracle;
use crate::together::Together;
use crate::violation::Violation;
use zoetrope_core::Config;
use zoetrope_io_sim::{
    Figures, Judge, LocalSessions, Mistake, Outcome, Record, Scenario, Step, Traced, World,
    settings, swarm, swarm_ensemble,
};

/// How a judged run ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// The broken promise, if one was.
    pub violation: Option<String>,
    /// Equal for equal runs.
    pub trace: u64,
    /// What the run did.
    pub figures: Figures,
}

/// Something to be done with the world of a scenario, whoever judges it.
pub trait Visit {
    /// What comes of it.
    type Out;
    /// Does it.
    fn visit<J: Judge + Clone>(self, world: World<J>) -> Self::Out;
}

/// The judges of servers with these settings, for whoever runs them by another driver than the simulator's.
pub fn judges(config: &Config) -> Box<dyn Judge> {
    match config.ensemble {
        None => Box::new(Oracle::new()),
        Some(_) => Box::new(Together::new(config, LocalSessions::Off)),
    }
}

/// The world of a scenario with its judges and with somebody who looks on, before anything has happened.
pub fn watched<R: Record + Clone, V: Visit>(
    scenario: &Scenario,
    mistake: Mistake,
    record: R,
    visit: V,
) -> V::Out {
    let config = settings(scenario);
    match config.ensemble {
        None => {
            let judge = Traced::new(Oracle::new(), record);
            visit.visit(World::new(scenario, judge, mistake))
        }
        Some(_) => {
            let judge = Traced::new(Together::new(&config, scenario.local_sessions), record);
            visit.visit(World::new(scenario, judge, mistake))
        }
    }
}

/// The world of a scenario with its judges, before anything has happened.
pub fn world<V: Visit>(scenario: &Scenario, mistake: Mistake, visit: V) -> V::Out {
    let config = settings(scenario);
    match config.ensemble {
        None => visit.visit(World::new(scenario, Oracle::new(), mistake)),
        Some(_) => {
            let judge = Together::new(&config, scenario.local_sessions);
            visit.visit(World::new(scenario, judge, mistake))
        }
    }
}

/// Plays all steps, until that simulated time at the latest, µs.
struct Play<'a>(&'a [Step], u64);

impl Visit for Play<'_> {
    type Out = Outcome;

    fn visit<J: Judge + Clone>(self, mut world: World<J>) -> Outcome {
        world.stop_at(self.1);
        world.play(self.0)
    }
}

/// Runs a scenario. `mistake` is one a driver could make; the judges must find it.
pub fn judge_scenario(scenario: &Scenario, mistake: Mistake) -> Report {
    judge_scenario_until(scenario, mistake, u64::MAX)
}

/// Runs a scenario until that simulated time at the latest, µs: what it would break then, nobody sees.
pub(crate) fn judge_scenario_until(
    scenario: &Scenario,
    mistake: Mistake,
    latest_us: u64,
) -> Report {
    let outcome = world(scenario, mistake, Play(&scenario.all_steps(), latest_us));
    Report { violation: outcome.violation, trace: outcome.trace, figures: outcome.figures }
}

/// Runs a scenario on a thread of its own, where a panic of the core is a broken promise like any other.
pub fn judge(scenario: &Scenario, mistake: Mistake) -> Result<Report, Violation> {
    let scenario = scenario.clone();
    let report = guarded(move || judge_scenario(&scenario, mistake));
    let report = report.map_err(|crash| Violation::of_crash(&crash))?;
    match report.violation {
        Some(text) => Err(Violation::of_judge(text)),
        None => Ok(report),
    }
}

/// Runs the scenario of a seed.
pub fn judge_seed(seed: u64, mistake: Mistake) -> Report {
    judge_scenario(&swarm(seed), mistake)
}

/// Runs the ensemble of a seed.
pub fn judge_ensemble_seed(seed: u64, mistake: Mistake) -> Report {
    judge_scenario(&swarm_ensemble(seed), mistake)
}

/// Runs a scenario under the oracle, and answers the files the server left behind as well: names and contents.
pub fn judge_and_keep_files(scenario: &Scenario) -> (Report, Vec<(String, Vec<u8>)>) {
    let world = World::new(scenario, Oracle::new(), Mistake::None);
    let (outcome, files) = world.run_for_files(&scenario.all_steps());
    let Outcome { violation, trace, figures } = outcome;
    (Report { violation, trace, figures }, files)
}
