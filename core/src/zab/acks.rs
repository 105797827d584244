//! Who has which txn on disk. A link is first in, first out, so one number a server says it all.

use crate::ensemble::Ensemble;
use crate::ids::{Sid, Zxid};
use crate::planted::{Plant, planted};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The highest zxid each server has acknowledged.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(crate) struct Acks(BTreeMap<Sid, Zxid>);

impl Acks {
    /// A server has everything up to there.
    pub(crate) fn note(&mut self, sid: Sid, zxid: Zxid) {
        let acked = self.0.entry(sid).or_insert(zxid);
        *acked = (*acked).max(zxid);
    }

    /// A server starts anew: what it had acknowledged on another link says nothing of what it holds now.
    pub(crate) fn forget(&mut self, sid: Sid) {
        self.0.remove(&sid);
    }

    /// What a server has acknowledged.
    pub(crate) fn of(&self, sid: Sid) -> Option<Zxid> {
        self.0.get(&sid).copied()
    }

    /// The highest zxid that a quorum of each of the ensembles has.
    pub(crate) fn on_quorum(&self, ensembles: &[&Ensemble]) -> Option<Zxid> {
        let mut candidates: Vec<Zxid> = self.0.values().copied().collect();
        candidates.sort_unstable();
        if planted(Plant::CommitOnOneAck) {
            return candidates.pop();
        }
        let has = |zxid: Zxid| {
            let acked = |sid: Sid| self.0.get(&sid).is_some_and(|acked| *acked >= zxid);
            ensembles.iter().all(|ensemble| ensemble.has_quorum(acked))
        };
        candidates.into_iter().rev().find(|zxid| has(*zxid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::Member;

    #[test]
    fn a_quorum_has_the_middle_one() {
        let mut three = Ensemble::default();
        for sid in 1..=3 {
            let member = Member { addresses: Vec::new(), observer: false, client: None };
            three.members.insert(Sid(sid), member);
        }
        let mut acks = Acks::default();
        acks.note(Sid(1), Zxid(9));
        assert_eq!(acks.on_quorum(&[&three]), None);
        acks.note(Sid(2), Zxid(5));
        acks.note(Sid(4), Zxid(9));
        assert_eq!(acks.on_quorum(&[&three]), Some(Zxid(5)));
        acks.note(Sid(3), Zxid(7));
        assert_eq!(acks.on_quorum(&[&three]), Some(Zxid(7)));
        acks.forget(Sid(1));
        assert_eq!(acks.on_quorum(&[&three]), Some(Zxid(5)));
    }
}
