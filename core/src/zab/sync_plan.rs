//! DIFF, TRUNC or SNAP, and from where: one pure function (quorum protocol §8.1, §8.2).

use super::History;
use crate::ids::Zxid;

/// How a learner is brought level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

/// Decides for a learner whose last zxid is `last`. `established`: a quorum has our history already, so that this
/// learner can wait for a snapshot, whose label no history of its own can exceed.
pub(crate) fn plan_sync(history: &History, last: Zxid, established: bool) -> SyncPlan {
    // `(e,0)` names no txn: a server that led or was given a snapshot in epoch e before anything was proposed in it.
    let names_a_txn = last.counter() != 0;
    if last > history.last() {
        if !names_a_txn {
            // It has heard of a leadership of which no txn has survived; what it holds below that, nobody knows.
            return SyncPlan::Snap;
        }
        let same_reign = last.epoch() == history.last().epoch() && history.last().counter() != 0;
        // Java cuts its log at the first txn that is not below, so it must hold the one we name; only inside one epoch
        // we know that it does.
        return match same_reign || !established {
            true => SyncPlan::Trunc { to: history.last() },
            false => SyncPlan::Snap,
        };
    }
    let Some(floor) = history.floor(last) else {
        return match last == Zxid::ZERO {
            true => SyncPlan::Snap,
            false => SyncPlan::FromLog { from: last },
        };
    };
    if floor == last || !names_a_txn && floor.epoch() < last.epoch() {
        return SyncPlan::Diff { from: floor };
    }
    // It has a txn that we do not have. Where the histories part inside one epoch, the common part is known.
    match floor.epoch() == last.epoch() && floor.counter() != 0 {
        true => SyncPlan::Trunc { to: floor },
        false => SyncPlan::Snap,
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
        let plan = |last| plan_sync(&history(), last, true);
        assert_eq!(plan(zxid(2, 2)), SyncPlan::Diff { from: zxid(2, 2) });
        assert_eq!(plan(zxid(1, 6)), SyncPlan::Diff { from: zxid(1, 6) });
        assert_eq!(plan(zxid(1, 4)), SyncPlan::Diff { from: zxid(1, 4) });
        assert_eq!(plan(zxid(2, 0)), SyncPlan::Diff { from: zxid(1, 6) });
        // ZOOKEEPER-1154: between two of ours, but none of ours.
        assert_eq!(plan(zxid(1, 9)), SyncPlan::Trunc { to: zxid(1, 6) });
        assert_eq!(plan(zxid(2, 7)), SyncPlan::Trunc { to: zxid(2, 2) });
        assert_eq!(plan(zxid(1, 3)), SyncPlan::FromLog { from: zxid(1, 3) });
        assert_eq!(plan(zxid(0, 0)), SyncPlan::Snap);
    }

    #[test]
    fn an_epoch_of_which_nothing_survived_is_not_cut_off_blindly() {
        let (history, last) = (history(), zxid(3, 1));
        assert_eq!(plan_sync(&history, last, true), SyncPlan::Snap);
        assert_eq!(plan_sync(&history, last, false), SyncPlan::Trunc { to: zxid(2, 2) });
        assert_eq!(plan_sync(&history, zxid(3, 0), true), SyncPlan::Snap);
    }
}
