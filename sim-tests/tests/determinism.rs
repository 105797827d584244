//! A run is a pure function of its scenario: the same seed gives the same trace, in debug and in release. That each run of a
//! swarm is the same twice is seen where the swarms run (tests/swarm.rs, tests/ensemble.rs).

use sim_tests::{judge_ensemble_seed, judge_seed};
use zoetrope_io_sim::Mistake;

/// The same in every build: what changes these numbers changes what the server does.
#[test]
fn golden_traces() {
    let alone = |seed| format!("seed {seed}: {:016x}", judge_seed(seed, Mistake::None).trace);
    let ensemble =
        |seed| format!("ensemble {seed}: {:016x}", judge_ensemble_seed(seed, Mistake::None).trace);
    let traces: Vec<String> = (0..4).map(alone).chain((0..4).map(ensemble)).collect();
    insta::assert_snapshot!(traces.join("\n"));
}
