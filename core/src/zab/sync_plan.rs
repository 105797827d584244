//! DIFF, TRUNC or SNAP, and from where: one pure function (quorum protocol §8.1, §8.2).

use super::History;
use crate::ids::{Epoch, Zxid};
use crate::planted::{Plant, planted};
use serde::{Deserialize, Serialize};

/// How a learner is brought level.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum SyncPlan {
    /// What it has is a prefix of our history: it gets what follows.
    Diff { from: Zxid },
    /// It has more than our history after `to`: that goes, then it gets what follows.
    Trunc { to: Zxid },
    /// Its last txn is older than what is held in memory: look for it in the log.
    FromLog { from: Zxid },
    /// It gets the whole tree.
    Snap,
}

/// Why a learner is brought level in this way: a row of the table in quorum protocol §8.1, or of the walk in §8.2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum SyncBranch {
    /// DIFF: it lacks nothing.
    Level,
    /// DIFF: it lacks txns that are in memory.
    Recent,
    /// DIFF: it led or served in an epoch in which nothing was proposed that it has.
    NewEpoch,
    /// DIFF: it lacks txns that are in the log.
    Log,
    /// TRUNC: it has more than the whole history.
    Ahead,
    /// TRUNC: it has a txn that the history has not, inside one epoch, or while no quorum has the history.
    Parted,
    /// SNAP: `forceSnapshotSync`.
    Forced,
    /// SNAP: it has nothing.
    Empty,
    /// SNAP: its last txn is of an epoch of which nothing has survived.
    Vanished,
    /// SNAP: its last txn is none of ours, and where the histories part is not known.
    OtherEpoch,
    /// SNAP: what it lacks is not in the log, or no longer.
    LogUnusable,
}

impl SyncBranch {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Level,
        Self::Recent,
        Self::NewEpoch,
        Self::Log,
        Self::Ahead,
        Self::Parted,
        Self::Forced,
        Self::Empty,
        Self::Vanished,
        Self::OtherEpoch,
        Self::LogUnusable,
    ];

    /// For a person.
    pub fn words(self) -> &'static str {
        match self {
            Self::Level => "DIFF, it lacks nothing",
            Self::Recent => "DIFF, it gets the txns it lacks from memory",
            Self::NewEpoch => "DIFF, it has a newer epoch but no txn of it",
            Self::Log => "DIFF, it gets the txns it lacks from the log",
            Self::Ahead => "TRUNC, it has more than this leader, which was never committed",
            Self::Parted => {
                "TRUNC, it has a txn that this leader has not, which was never committed"
            }
            Self::Forced => "SNAP, as forceSnapshotSync demands",
            Self::Empty => "SNAP, it has nothing",
            Self::Vanished => "SNAP, it has txns of an epoch of which nothing has survived",
            Self::OtherEpoch => "SNAP, its history and this leader's part in an unknown place",
            Self::LogUnusable => "SNAP, what it lacks is no longer in the log",
        }
    }
}

/// Decides for a learner whose last zxid is `last`. `established`: a quorum has our history already, so that this
/// learner can be given a tree, whose label no history of its own can exceed. Before that a tree may be older than what
/// the learner has in common with us, and nothing of that may leave its disk: it may be one of the few that hold it.
/// `joined`: the last epoch with whose leader this server was level before it led itself.
pub(crate) fn plan_sync(
    history: &History,
    last: Zxid,
    established: bool,
    joined: Epoch,
) -> (SyncPlan, SyncBranch) {
    // `(e,0)` names no txn: a server that led or was given a snapshot in epoch e before anything was proposed in it.
    let names_a_txn = last.counter() != 0;
    if last > history.last() {
        if !names_a_txn && last.epoch() <= joined && !planted(Plant::CutBeforeTree) {
            // Both began that epoch with the same history, and neither has a txn behind it. A tree of ours might end
            // before, and would take from its disk what a quorum holds.
            return (SyncPlan::Diff { from: history.last() }, SyncBranch::NewEpoch);
        }
        if !names_a_txn {
            // It has heard of a leadership of which no txn has survived; what it holds below that, nobody knows.
            return (SyncPlan::Snap, SyncBranch::Vanished);
        }
        let same_reign = last.epoch() == history.last().epoch() && history.last().counter() != 0;
        let same_reign = same_reign || planted(Plant::CutAcrossEpochs);
        // Java cuts its log at the first txn that is not below, so it must hold the one we name; only inside one epoch
        // we know that it does.
        return match same_reign || !established {
            true => (SyncPlan::Trunc { to: history.last() }, SyncBranch::Ahead),
            false => (SyncPlan::Snap, SyncBranch::Vanished),
        };
    }
    let Some(floor) = history.floor(last) else {
        if planted(Plant::NothingGetsTheEnd) && last == Zxid::ZERO {
            return (SyncPlan::Diff { from: history.base() }, SyncBranch::Recent);
        }
        return match last == Zxid::ZERO {
            true => (SyncPlan::Snap, SyncBranch::Empty),
            false => (SyncPlan::FromLog { from: last }, SyncBranch::Log),
        };
    };
    let diff = SyncPlan::Diff { from: floor };
    if planted(Plant::DiffWithoutCommonTxn) && last < history.last() {
        return (diff, SyncBranch::Recent);
    }
    if floor == last {
        return match last == history.last() {
            true => (diff, SyncBranch::Level),
            false => (diff, SyncBranch::Recent),
        };
    }
    if !names_a_txn && floor.epoch() < last.epoch() {
        return (diff, SyncBranch::NewEpoch);
    }
    // It has a txn that we do not have. Where the histories part inside one epoch, the common part is known.
    let same_reign = floor.epoch() == last.epoch() && floor.counter() != 0;
    let same_reign = same_reign || planted(Plant::CutAcrossEpochs);
    match same_reign || !established {
        true => (SyncPlan::Trunc { to: floor }, SyncBranch::Parted),
        false => (SyncPlan::Snap, SyncBranch::OtherEpoch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zxid(epoch: i64, counter: i64) -> Zxid {
        Zxid(epoch << 32 | counter)
    }

    /// (1,5), (1,6), (2,1), (2,2) in memory; (1,4) and what is before it on disk.
    fn history() -> History {
        let mut history = History::starting_after(zxid(1, 4));
        for at in [zxid(1, 5), zxid(1, 6), zxid(2, 1), zxid(2, 2)] {
            history.push(at, &[], at);
        }
        history
    }

    #[test]
    fn each_row_of_the_table() {
        let plan = |last| plan_sync(&history(), last, true, Epoch(2));
        let diff = |from| SyncPlan::Diff { from };
        let trunc = |to| SyncPlan::Trunc { to };
        assert_eq!(plan(zxid(2, 2)), (diff(zxid(2, 2)), SyncBranch::Level));
        assert_eq!(plan(zxid(1, 6)), (diff(zxid(1, 6)), SyncBranch::Recent));
        assert_eq!(plan(zxid(1, 4)), (diff(zxid(1, 4)), SyncBranch::Recent));
        assert_eq!(plan(zxid(2, 0)), (diff(zxid(1, 6)), SyncBranch::NewEpoch));
        // ZOOKEEPER-1154: between two of ours, but none of ours.
        assert_eq!(plan(zxid(1, 9)), (trunc(zxid(1, 6)), SyncBranch::Parted));
        assert_eq!(plan(zxid(2, 7)), (trunc(zxid(2, 2)), SyncBranch::Ahead));
        assert_eq!(plan(zxid(1, 3)), (SyncPlan::FromLog { from: zxid(1, 3) }, SyncBranch::Log));
        assert_eq!(plan(zxid(0, 0)), (SyncPlan::Snap, SyncBranch::Empty));
    }

    #[test]
    fn nothing_of_a_common_history_is_cut_off() {
        let mut history = history();
        history.push(zxid(4, 1), &[], zxid(4, 1));
        let last = zxid(3, 1);
        let snap = (SyncPlan::Snap, SyncBranch::OtherEpoch);
        assert_eq!(plan_sync(&history, last, true, Epoch(2)), snap);
        let trunc = (SyncPlan::Trunc { to: zxid(2, 2) }, SyncBranch::Parted);
        assert_eq!(plan_sync(&history, last, false, Epoch(2)), trunc);
    }

    #[test]
    fn an_epoch_of_which_nothing_survived_is_not_cut_off_blindly() {
        let (history, last) = (history(), zxid(3, 1));
        let snap = (SyncPlan::Snap, SyncBranch::Vanished);
        assert_eq!(plan_sync(&history, last, true, Epoch(2)), snap);
        let trunc = SyncPlan::Trunc { to: zxid(2, 2) };
        assert_eq!(plan_sync(&history, last, false, Epoch(2)), (trunc, SyncBranch::Ahead));
        assert_eq!(plan_sync(&history, zxid(3, 0), true, Epoch(2)), snap);
    }

    #[test]
    fn who_began_the_same_epoch_lacks_nothing() {
        let (history, last) = (history(), zxid(3, 0));
        let level = (SyncPlan::Diff { from: zxid(2, 2) }, SyncBranch::NewEpoch);
        for joined in [Epoch(3), Epoch(4)] {
            assert_eq!(plan_sync(&history, last, false, joined), level);
            assert_eq!(plan_sync(&history, last, true, joined), level);
        }
        // A txn of that epoch is more than what it began with.
        let (plan, _) = plan_sync(&history, zxid(3, 1), false, Epoch(3));
        assert_eq!(plan, SyncPlan::Trunc { to: zxid(2, 2) });
    }
}
