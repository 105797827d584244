//! Mistakes of the core, put in on purpose: some of them are hunted here, all of them by `zoetrope-sim hunt --all`
//! (docs/planted-bugs.md). cargo test -p sim-tests --features planted-bugs
#![cfg(feature = "planted-bugs")]

use sim_tests::hunt::{GROUPS, Plan, group_of, hunt};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use zoetrope_core::{Plant, Plant as P};
use zoetrope_io_sim::{Mistake, Scenario};

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
        let hunted = hunt(*mistake, plan).expect("no seed fails without it");
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

/// Scenarios that fail with what they retell, or keep out. `tests/scenarios.rs` sees that they pass without.
const RETOLD: &[(Plant, &str)] = &[
    (P::OwnRoundIgnored, "a_follower_comes_back_to_the_first_round"),
    (P::VoteOfFormerEpoch, "a_follower_restarts_again_and_again"),
    (P::OldFollowersCount, "a_former_reign_elects_nobody"),
    (P::SecondBarrierAsksFirst, "a_leader_waits_for_a_quorum_of_promises"),
    (P::CutPacketEndsElections, "a_packet_is_cut_in_the_middle"),
    (P::VoteSaidOnce, "every_link_breaks_in_the_middle_of_an_election"),
    (P::OneCallAtATime, "a_black_hole_among_the_voters"),
    (P::LeaderWaitsForEver, "a_leader_nobody_comes_to"),
    (P::VotesAnsweredWithoutEnd, "an_observer_does_not_vote"),
    (P::LastRoundUnbelieved, "a_vote_names_the_last_round"),
    (P::EpochOfLastZxid, "leader_logs_alone_and_loses_power"),
    (P::EveryTouchedGroup, "three_groups_and_one_that_is_crippled"),
    (P::TouchedGroupsCount, "two_groups_and_a_split"),
    (P::PromiseAheadTurnedAway, "a_promise_that_is_ahead_of_everybody"),
    (P::AckNewLeaderAtOnce, "diff_before_the_acknowledgement"),
    (P::AckBeforeHistory, "diff_before_the_acknowledgement"),
    (P::AckBeforeHistory, "follower_loses_power_between_ack_and_fsync"),
    (P::ServesBehindItsAck, "a_follower_serves_what_it_was_given"),
    (P::UncommittedBeforeNewLeader, "a_learner_joins_while_writes_are_under_way"),
    (P::SyncNotKept, "a_newcomer_leads_those_who_were_away"),
    (P::AppliedBeforeDurable, "memory_is_never_ahead_of_the_disk"),
    (P::BehindCutInMemory, "a_link_breaks_behind_a_cut"),
    (P::HalfATreeStays, "half_a_tree"),
    (P::VotesForApplied, "acknowledged_and_not_yet_committed"),
    (P::GapBetweenLogAndMemory, "a_log_that_ends_before_memory_begins"),
    (P::DiffWithoutCommonTxn, "uncommitted_tail_meets_another_history"),
    (P::CutAcrossEpochs, "a_young_tree_and_what_came_behind_it"),
    (P::LiveStreamSkips, "a_learner_joins_while_writes_are_under_way"),
    (P::EpochIsHistory, "a_new_epoch_is_no_history"),
    (P::ObserverMissesAdmission, "a_learner_joins_while_writes_are_under_way"),
    (P::SyncedSessionsForgotten, "sessions_opened_while_a_server_was_away"),
    (P::NothingGetsTheEnd, "a_new_disk_and_a_short_memory"),
    (P::ReadOnlySpoilsHistory, "leading_after_being_read_only"),
    (P::BehindCutInMemory, "cut_off_then_given_more"),
    (P::ProposalsOnlyToServing, "a_learner_joins_while_writes_are_under_way"),
    (P::CommitsUntold, "a_learner_joins_while_writes_are_under_way"),
    (P::LargeTreeGivenUp, "a_tree_that_takes_longer_than_patience"),
    (P::ImpatientFollower, "the_last_of_a_quorum_is_slow"),
    (P::ForcedTreeWaits, "forced_trees_of_a_leader_behind_its_followers"),
    (P::BrokenDiskGoesOn, "leader_with_a_broken_disk"),
    (P::BadRequestOldZxid, "requests_that_cannot_be_read"),
    (P::FailedMultiLeavesParent, "a_multi_that_failed_leaves_nothing"),
    (P::TreeStopsWrites, "a_learner_that_does_not_take_its_tree"),
    (P::AckOnArrival, "all_lose_power_at_once"),
    (P::BrokenDiskGoesOn, "failed_fsync"),
    (P::SyncDropped, "syncs_of_several_learners"),
    (P::PredictionDiffers, "garbage_behind_the_tail"),
    (P::SnapshotOfUncommitted, "a_snapshot_of_what_no_quorum_has"),
    (P::YoungEpochRefused, "power_lost_between_a_tree_and_its_epoch"),
    (P::PromiseNotSaved, "power_lost_between_the_epoch_files"),
    (P::CutTakesOneMore, "uncommitted_tail_meets_another_history"),
    (P::CutKeepsFirst, "a_cut_behind_a_snapshot"),
    (P::NoSnapshotFirst, "power_lost_before_the_first_snapshot"),
    (P::UnbornLogRefused, "crash_right_after_creating_a_log"),
    (P::LogWithoutHeader, "crash_right_after_creating_a_log"),
    (P::PurgeTakesTooMuch, "unreadable_newest_snapshot"),
    (P::LogNameNotSynced, "crash_at_the_roll"),
    (P::TornTailIsDamage, "garbage_behind_the_tail"),
    (P::TornTailIsDamage, "torn_last_record"),
    (P::OldLogBehindTree, "a_tree_takes_the_place_of_another_history"),
    (P::CutBeforeTree, "a_tree_older_than_what_was_logged"),
    (P::LeadersTreeDated, "parts_of_txns_in_a_leaders_tree"),
    (P::PartsForgotten, "power_lost_behind_a_leaders_tree"),
    (P::PartsShown, "an_observer_with_parts_of_txns_meets_a_slow_follower"),
    (P::ReadOnlyShowsParts, "alone_with_parts_of_a_tree"),
    (P::SnapshotLacksSession, "a_session_begins_as_a_snapshot_does"),
    (P::DeletionLeavesParent, "znodes_change_while_a_snapshot_is_taken"),
    (P::MissingParentIsFatal, "parents_go_while_a_snapshot_is_taken"),
    (P::DigestComparedEarly, "znodes_change_while_a_snapshot_is_taken"),
    (P::ContainerReapedUnused, "empty_containers_go"),
    (P::ReapIgnoresFlight, "a_ttl_is_renewed_beside_the_sweep"),
    (P::QuotaOneOff, "a_quota_is_kept"),
    (P::MovedSessionServed, "requests_of_a_session_that_has_moved"),
    (P::TouchesNotPassedOn, "clients_that_only_ping"),
    (P::LostTreePassedOver, "a_tree_that_cannot_be_read_any_more"),
    (P::ImmortalSessions, "silent_client_expires"),
    (P::LocalOwnsEphemeral, "local_sessions_become_global_as_leaders_are_lost"),
    (P::NoStepDown, "leader_cut_off_while_writing"),
    (P::ObserversToldEarly, "an_observer_goes_from_one_follower_to_another"),
];

/// Those of which something is to be said, by two threads.
fn wrong_of<T: Sync, W: Send>(all: &[T], wrong: impl Fn(&T) -> Option<W> + Sync) -> Vec<W> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let wrong = wrong(one);
                    found.lock().expect("no thread panics with it").extend(wrong);
                }
            });
        }
    });
    found.into_inner().expect("no thread panics with it")
}

fn scenario_of(path: &Path) -> Scenario {
    let text = std::fs::read_to_string(path).expect("the scenario is there");
    Scenario::parse(&text).expect("it is one")
}

/// Scenarios that `hunt --shrink` has made, each named after its mistake.
#[test]
fn what_was_shrunk_fails_still_and_only_with_its_mistake() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/planted");
    let listed = std::fs::read_dir(dir).expect("some are kept");
    let files: Vec<PathBuf> = listed.map(|entry| entry.expect("it can be listed").path()).collect();
    let wrong = wrong_of(&files, |path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mistake = Mistake::all().into_iter().find(|mistake| mistake.name() == name);
        let mistake = mistake.expect("it is named after a mistake");
        let scenario = scenario_of(path);
        let of_seed = |seed| Scenario { seed, ..scenario.clone() };
        // Its own seed may fail no more when the code has changed, and then one of the next does.
        let fails = |seed| sim_tests::judge(&of_seed(seed), mistake).is_err();
        let is_right = (scenario.seed..scenario.seed + 20).any(fails)
            && sim_tests::judge(&scenario, Mistake::None).is_ok();
        (!is_right).then_some(name)
    });
    assert!(wrong.is_empty(), "these fail no more, or without their mistake as well: {wrong:?}");
}

#[test]
fn scenarios_fail_with_the_mistakes_they_tell_of() {
    let passed = wrong_of(RETOLD, |(plant, name)| {
        let path = format!("{}/../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let scenario = scenario_of(path.as_ref());
        sim_tests::judge(&scenario, Mistake::Core(*plant)).is_ok().then_some((*plant, *name))
    });
    assert!(passed.is_empty(), "these pass with a mistake: {passed:?}");
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
