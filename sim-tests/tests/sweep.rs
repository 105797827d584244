//! Power is lost everywhere: behind every effect of every server, in every way.

use sim_tests::{Swept, sweep};
use zoetrope_core::SyncBranch;
use zoetrope_io_sim::{Mistake, Scenario};

fn swept(text: &str, mistake: Mistake) -> Swept {
    let scenario = Scenario::parse(text).expect("it is a scenario");
    let swept = sweep(&scenario, mistake, None, |_| ()).expect("it can be swept");
    println!(
        "effects found {}, covered {}; {} continuations, {} per CPU-minute; learners were brought level by {:?}",
        swept.found,
        swept.covered,
        swept.continuations,
        swept.continuations * 60_000_000_000 / swept.cpu_ns.max(1),
        swept.branches
    );
    assert_eq!((swept.found, swept.continuations), (swept.covered, 5 * swept.covered));
    swept
}

fn comes_to_a_good_end(text: &str) -> Swept {
    let swept = swept(text, Mistake::None);
    assert!(swept.failures.is_empty(), "{:#?}", &swept.failures[..1]);
    swept
}

#[test]
fn one_server_survives_a_loss_of_power_anywhere() {
    let text = include_str!("../../scenarios/power_is_lost_anywhere.toml");
    assert!(comes_to_a_good_end(text).found >= 100);
}

#[test]
fn an_ensemble_survives_a_loss_of_power_anywhere_in_a_diff() {
    let text = include_str!("../../scenarios/power_is_lost_anywhere_in_a_diff.toml");
    let branches = comes_to_a_good_end(text).branches;
    assert!(branches.contains(&SyncBranch::Recent), "{branches:?}");
}

#[test]
fn an_ensemble_survives_a_loss_of_power_anywhere_in_a_trunc() {
    let text = include_str!("../../scenarios/power_is_lost_anywhere_in_a_trunc.toml");
    let branches = comes_to_a_good_end(text).branches;
    assert!(branches.contains(&SyncBranch::Ahead) || branches.contains(&SyncBranch::Parted));
}

/// The scenario is a crash only, so that it takes a crash at the right place to find them.
#[test]
fn a_mistake_of_the_driver_is_found_where_power_is_lost() {
    let text =
        "story = 'A few writes.'\nseed = 1\nclients = 1\npipeline = 1\nsteps = [{ requests = 12 }]";
    assert!(swept(text, Mistake::None).failures.is_empty());
    for mistake in [Mistake::NoFsyncWait, Mistake::NoDirectoryFsync] {
        let failures = swept(text, mistake).failures;
        println!("{mistake:?}: {} losses of power find it", failures.len());
        assert!(!failures.is_empty(), "{mistake:?} was not found");
    }
}

#[test]
fn what_cannot_be_swept_is_refused() {
    let text = "story = 'A disk is replaced.'\nseed = 1\npeers = 3\nsteps = [{ fault = { wipe = { down = 5 } } }]";
    let scenario = Scenario::parse(text).expect("it is a scenario");
    assert!(sweep(&scenario, Mistake::None, None, |_| ()).is_err());
}
