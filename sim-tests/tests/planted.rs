//! Mistakes of the core, put in on purpose: some of them are hunted here, all of them by `zoetrope-sim hunt --all`
//! (docs/planted-bugs.md). cargo test -p sim-tests --features planted-bugs
#![cfg(feature = "planted-bugs")]

use sim_tests::hunt::{GROUPS, Plan, group_of, hunt};
use std::collections::BTreeSet;
use zoetrope_core::{Plant, Plant as P};
use zoetrope_io_sim::Mistake;

/// Some for each group of judges, each of which is the first to speak in its run: up to then neither another judge nor
/// an assert of the core has said anything, so it would find the mistake without them.
const SOME: &[Mistake] = &[
    Mistake::Core(P::EpochOfLastZxid),
    Mistake::Core(P::BadRequestOldZxid),
    Mistake::Core(P::SecondBarrierAsksFirst),
    Mistake::Core(P::AckBeforeHistory),
    Mistake::Core(P::AckOnArrival),
    Mistake::Core(P::UncommittedBeforeNewLeader),
    Mistake::Core(P::CommitsUntold),
    Mistake::Core(P::SnapshotLacksSession),
    Mistake::Core(P::ReplayBeginsLate),
    Mistake::Core(P::DeleteWithoutAcl),
    Mistake::Core(P::WatchFiresTwice),
    Mistake::Core(P::SyncedSessionsForgotten),
    Mistake::Core(P::EphemeralOutlivesSession),
    Mistake::Core(P::VoteSaidOnce),
    Mistake::Core(P::PredictionDiffers),
    Mistake::Core(P::LogWithoutHeader),
    Mistake::NoDirectoryFsync,
    Mistake::ReplyBeforeEvent,
];

#[test]
fn each_group_of_judges_finds_mistakes() {
    let plan = Plan { campaigns: 1, seeds: 40 };
    let mut groups = BTreeSet::new();
    let mut missed = Vec::new();
    for mistake in SOME {
        let hunted = hunt(*mistake, plan);
        match &hunted.campaigns[..] {
            [Ok(find)] => {
                let group = group_of(&find.violation);
                println!("{mistake:?}: {} seeds, {group}: {}", find.seeds, find.violation);
                groups.insert(group);
            }
            _ => missed.push(mistake),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
    let silent: Vec<&&str> = GROUPS.iter().filter(|group| !groups.contains(*group)).collect();
    assert!(silent.is_empty(), "no mistake was found by: {silent:?}");
}

/// A mistake of one world is none of the next one on the same thread.
#[test]
fn a_world_without_a_mistake_has_none() {
    let trace = |mistake| sim_tests::judge_seed(3, mistake).trace;
    let clean = trace(Mistake::None);
    let planted = trace(Mistake::Core(P::WatchFiresTwice));
    assert!(planted != clean);
    assert_eq!(trace(Mistake::None), clean);
}

/// Every mistake has a place in the code where it is made.
#[test]
fn no_mistake_is_only_a_name() {
    fn sources(dir: &std::path::Path, all: &mut String) {
        for entry in std::fs::read_dir(dir).expect("it is there") {
            let path = entry.expect("it can be listed").path();
            match path.is_dir() {
                true => sources(&path, all),
                false if path.ends_with("planted.rs") => {}
                false => all.push_str(&std::fs::read_to_string(path).expect("it is text")),
            }
        }
    }
    let mut all = String::new();
    sources(concat!(env!("CARGO_MANIFEST_DIR"), "/../core/src").as_ref(), &mut all);
    let missing = |plant: &&Plant| !all.contains(&format!("Plant::{plant:?})"));
    let missing: Vec<&Plant> = Plant::ALL.iter().filter(missing).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(Plant::ALL.len() >= 80);
    let mut stories: Vec<&str> = Plant::ALL.iter().map(|plant| plant.story()).collect();
    stories.sort_unstable();
    stories.dedup();
    assert_eq!(stories.len(), Plant::ALL.len());
}
