//! Who belongs to the ensemble, and which sets of its servers are a quorum (quorum protocol §2). Knows no state of any
//! server.

use crate::ids::Sid;
use crate::planted::{Plant, planted};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A configuration of the ensemble: a version and what belongs to it. One version has one text.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Ensemble {
    /// The zxid of the change that made it; 0 for what stands in zoo.cfg.
    pub version: i64,
    /// Every server.
    pub members: BTreeMap<Sid, Member>,
    /// Hierarchical quorums: the groups of voters. Empty: a majority of all voters decides.
    pub groups: BTreeMap<i64, BTreeSet<Sid>>,
    /// Votes of a server inside its group; who is not listed has one.
    pub weights: BTreeMap<Sid, i64>,
}

/// One server of the ensemble.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Where it is; several addresses are several ways to the same server.
    pub addresses: Vec<PeerAddress>,
    /// It has no vote.
    pub observer: bool,
    /// Where clients reach it, if the configuration says so.
    pub client: Option<HostPort>,
}

/// Where other servers reach a server.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PeerAddress {
    /// Name or address, without brackets.
    pub host: String,
    /// Where a leader listens for learners.
    pub quorum_port: u16,
    /// Where votes are heard.
    pub election_port: u16,
}

/// A host and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Ensemble {
    /// The servers that vote, in ascending order.
    pub fn voters(&self) -> impl Iterator<Item = Sid> + '_ {
        self.members.iter().filter(|(_, member)| !member.observer).map(|(sid, _)| *sid)
    }

    /// Has this server a vote?
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.members.get(&sid).is_some_and(|member| !member.observer)
    }

    /// Votes of a server; who has none cannot be elected.
    pub fn weight(&self, sid: Sid) -> i64 {
        match self.groups.is_empty() {
            true => 1,
            false => self.weights.get(&sid).copied().unwrap_or(1),
        }
    }

    /// Are those for whom `acked` is true a quorum? Only voters are asked (§2.2).
    pub fn has_quorum(&self, acked: impl Fn(Sid) -> bool) -> bool {
        if self.groups.is_empty() {
            let voters = self.voters().count();
            if planted(Plant::ObserversCount) {
                return self.members.keys().filter(|sid| acked(**sid)).count() > voters / 2;
            }
            if planted(Plant::QuorumOneShort) {
                return self.voters().filter(|sid| acked(*sid)).count() >= voters / 2;
            }
            return self.voters().filter(|sid| acked(*sid)).count() > voters / 2;
        }
        let weight_of = |group: &BTreeSet<Sid>, counts: &dyn Fn(Sid) -> bool| -> i64 {
            let voters = group.iter().filter(|sid| self.is_voter(**sid) && counts(**sid));
            voters.map(|sid| self.weight(*sid)).sum()
        };
        let counted = self.groups.values().filter(|group| weight_of(group, &|_| true) > 0);
        let (mut groups, mut won) = (0, 0);
        for group in counted {
            groups += 1;
            let all = weight_of(group, &|_| true);
            let yes = weight_of(group, &|sid| acked(sid));
            if planted(Plant::EveryTouchedGroup) && yes > 0 && yes <= all / 2 {
                return false;
            }
            won += usize::from(yes > all / 2 || yes > 0 && planted(Plant::TouchedGroupsCount));
        }
        won > groups / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ensemble(voters: &[i64], observers: &[i64]) -> Ensemble {
        let member = |observer| Member { addresses: Vec::new(), observer, client: None };
        let mut ensemble = Ensemble::default();
        ensemble.members.extend(voters.iter().map(|sid| (Sid(*sid), member(false))));
        ensemble.members.extend(observers.iter().map(|sid| (Sid(*sid), member(true))));
        ensemble
    }

    #[test]
    fn a_majority_of_voters_decides_and_observers_do_not_count() {
        let ensemble = ensemble(&[1, 2, 3, 4], &[5, 6]);
        let quorum = |acks: &[i64]| ensemble.has_quorum(|sid| acks.contains(&sid.0));
        assert!(!quorum(&[1, 2]));
        assert!(quorum(&[1, 2, 4]));
        assert!(!quorum(&[1, 5, 6]));
    }

    #[test]
    fn groups_decide_by_a_majority_of_majorities() {
        let mut ensemble = ensemble(&[1, 2, 3, 4, 5, 6, 7, 8, 9], &[]);
        for group in 0..3 {
            let sids = (1..=3).map(|n| Sid(group * 3 + n)).collect();
            ensemble.groups.insert(group, sids);
        }
        let quorum = |e: &Ensemble, acks: &[i64]| e.has_quorum(|sid| acks.contains(&sid.0));
        // ZOOKEEPER-479: not every group that was touched needs a majority.
        assert!(quorum(&ensemble, &[1, 2, 4, 5, 7]));
        assert!(!quorum(&ensemble, &[1, 2, 4, 7]));
        assert!(!quorum(&ensemble, &[]));
        // A group without weight is not counted.
        ensemble.weights.extend([(Sid(7), 0), (Sid(8), 0), (Sid(9), 0)]);
        assert!(!quorum(&ensemble, &[1, 2, 7, 8, 9]));
        assert!(quorum(&ensemble, &[1, 2, 4, 5]));
    }
}
