//! Random runs: `ZOETROPE_SEEDS=1000` runs that many, `ZOETROPE_SEED=42` one.

use sim_tests::{Swarm, judge_seed, run_seeds};
use zoetrope_io_sim::Mistake;

#[test]
fn every_seed_keeps_every_promise() {
    let run = |seed| judge_seed(seed, Mistake::None);
    let results = run_seeds(Swarm { test: "swarm", run, seeds: 120, one_in: 1 });
    let failed = results.failures.len();
    assert!(failed == 0, "{failed} of {} seeds break a promise", results.seeds);
}
