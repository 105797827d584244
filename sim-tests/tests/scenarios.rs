//! Replays every file in scenarios/.

use sim_tests::judge_scenario;
use zoetrope_io_sim::{Mistake, Scenario, core_runs_ensembles};

#[test]
fn every_story_ends_well() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the scenarios are there")
        .map(|entry| entry.expect("they can be listed").path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 15, "only {} scenario files", files.len());
    let mut broken = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let scenario =
            Scenario::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if scenario.peers.is_some() && !core_runs_ensembles() {
            continue;
        }
        let report = judge_scenario(&scenario, Mistake::None);
        if let Some(violation) = report.violation {
            broken.push(format!("{}: {violation}", path.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_stall_under_a_thousand_sessions_loses_none() {
    let text = include_str!("../../scenarios/thousand_sessions_survive_a_stall.toml");
    let scenario = Scenario::parse(text).expect("it is a scenario");
    assert_eq!(scenario.clients, 1000);
    assert_eq!(judge_scenario(&scenario, Mistake::None).violation, None);
}
