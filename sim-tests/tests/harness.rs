//! Known mistakes, put in on purpose: the judges must find each within 200 seeds.

use sim_tests::judge_seed;
use std::panic::{AssertUnwindSafe, catch_unwind};
use zoetrope_io_sim::Mistake;

fn seeds_until_found(mistake: Mistake) -> Option<u64> {
    (0..200).find(|seed| {
        let run = catch_unwind(AssertUnwindSafe(|| judge_seed(*seed, mistake)));
        run.map_or(true, |report| report.violation.is_some())
    })
}

#[test]
fn every_known_mistake_is_found_within_200_seeds() {
    for mistake in [
        Mistake::NoFsyncWait,
        Mistake::NoDirectoryFsync,
        Mistake::ReplyBeforeEvent,
        Mistake::RepliesOutOfOrder,
        Mistake::SnapshotNotSynced,
        Mistake::LostWakeUp,
    ] {
        let found = seeds_until_found(mistake);
        println!("{mistake:?}: {found:?} seeds passed before it was found");
        assert!(found.is_some(), "{mistake:?} was not found");
    }
}
