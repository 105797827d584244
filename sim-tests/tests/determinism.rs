//! A run is a pure function of its scenario: the same seed gives the same trace, in debug and in release.

use sim_tests::judge_seed;
use zoetrope_io_sim::Mistake;

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in 0..10 {
        let (one, two) = (judge_seed(seed, Mistake::None), judge_seed(seed, Mistake::None));
        assert_eq!(one.trace, two.trace, "seed {seed}");
    }
}

/// The same in every build: what changes these numbers changes what the server does.
#[test]
fn golden_traces() {
    let traces: Vec<String> = (0..4)
        .map(|seed| format!("seed {seed}: {:016x}", judge_seed(seed, Mistake::None).trace))
        .collect();
    insta::assert_snapshot!(traces.join("\n"));
}
