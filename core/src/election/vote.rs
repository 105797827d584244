//! A vote and its order. Pure.

use crate::ensemble::Ensemble;
use crate::ids::{Sid, Zxid};
use crate::planted::{Plant, planted};
use serde::{Deserialize, Serialize};

/// A preference: who shall lead, and the history that speaks for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Vote {
    pub(crate) leader: Sid,
    /// The candidate's last zxid.
    pub(crate) zxid: Zxid,
    /// The candidate's current epoch, which is not always that of its last zxid; −2^63 in an observer's own vote.
    pub(crate) epoch: i64,
}

impl Vote {
    /// What an observer votes for: anybody else's vote is better.
    pub(crate) const NOBODY: Self =
        Self { leader: Sid::NOBODY, zxid: Zxid(i64::MIN), epoch: i64::MIN };

    /// Is this candidate to be preferred (§4.3)? The newer history wins; the sid only decides between equal ones.
    pub(crate) fn beats(&self, other: &Self, ensemble: &Ensemble) -> bool {
        let key = |vote: &Self| (vote.epoch, vote.zxid, vote.leader);
        if planted(Plant::TieBreakAcrossEpochs) && self.zxid == other.zxid {
            return self.leader > other.leader || self.epoch > other.epoch;
        }
        ensemble.weight(self.leader) != 0 && key(self) > key(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(epoch: i64, zxid: i64, leader: i64) -> Vote {
        Vote { leader: Sid(leader), zxid: Zxid(zxid), epoch }
    }

    #[test]
    fn the_epoch_comes_first_then_the_zxid_then_the_sid() {
        let all = Ensemble::default();
        // ZOOKEEPER-1419: a greater sid does not make up for an older epoch.
        assert!(vote(2, 7, 1).beats(&vote(1, 7, 5), &all));
        assert!(!vote(1, 7, 5).beats(&vote(2, 7, 1), &all));
        assert!(vote(1, 8, 1).beats(&vote(1, 7, 5), &all));
        assert!(vote(1, 7, 2).beats(&vote(1, 7, 1), &all));
        assert!(!vote(1, 7, 1).beats(&vote(1, 7, 1), &all));
        assert!(vote(0, 0, 1).beats(&Vote::NOBODY, &all));
    }

    #[test]
    fn who_has_no_weight_is_never_preferred() {
        let mut weighted = Ensemble::default();
        weighted.groups.insert(1, [Sid(1), Sid(2)].into());
        weighted.weights.insert(Sid(2), 0);
        assert!(!vote(9, 9, 2).beats(&vote(1, 1, 1), &weighted));
    }
}
