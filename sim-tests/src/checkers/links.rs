//! One quorum link, seen from one end: which packets may follow which. Knows nothing of disks; what a packet claims about
//! them is for `ensemble` to check.

use super::history::{History, epoch, names_no_txn};
use super::packet::{
    ACK, ACKEPOCH, COMMIT, COMMIT_AND_ACTIVATE, DIFF, FOLLOWERINFO, INFORM, INFORM_AND_ACTIVATE,
    LEADERINFO, NEWLEADER, OBSERVERINFO, PROPOSAL, Packet, SNAP, Stream, TRUNC, UPTODATE,
};
use std::collections::VecDeque;
use zoetrope_io_sim::Peer;

/// Where a learner stands, as the leader's packets say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Unknown,
    /// The next txn is the successor of this one.
    After(i64),
    /// A tree of this label was sent: what follows may be in it already.
    Tree(i64),
}

/// One end of a link.
#[derive(Clone, Debug)]
pub(crate) struct Chan {
    pub(crate) peer: Peer,
    pub(crate) sent: Stream,
    pub(crate) heard: Stream,
    /// The epoch of the leader at one of the ends.
    pub(crate) epoch: Option<u32>,
    /// The learner has no vote.
    pub(crate) observer: bool,
    /// What the learner said its history ends with.
    pub(crate) learner: i64,
    place: Place,
    /// Proposals without their commit.
    pending: VecDeque<i64>,
    /// Txns the learner got as committed before NEWLEADER, or a tree.
    pub(crate) committed: Vec<i64>,
    pub(crate) tree: Option<i64>,
    newleader: bool,
    pub(crate) uptodate: bool,
    /// Proposals the learner got, and how many of them it has acknowledged.
    pub(crate) proposals: Vec<i64>,
    pub(crate) acked: usize,
    last_ack: i64,
    pub(crate) acked_newleader: bool,
}

impl Chan {
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            sent: Stream::default(),
            heard: Stream::default(),
            epoch: None,
            observer: false,
            learner: 0,
            place: Place::Unknown,
            pending: VecDeque::new(),
            committed: Vec::new(),
            tree: None,
            newleader: false,
            uptodate: false,
            proposals: Vec::new(),
            acked: 0,
            last_ack: 0,
            acked_newleader: false,
        }
    }

    /// A packet of a leader, at either end.
    pub(crate) fn on_leader(
        &mut self,
        packet: &Packet<'_>,
        history: &History,
    ) -> Result<(), String> {
        let zxid = packet.zxid;
        match packet.kind {
            LEADERINFO => self.epoch = Some(epoch(zxid)),
            DIFF => self.place = Place::After(self.learner),
            TRUNC => self.place = Place::After(zxid),
            SNAP => {
                self.place = Place::Tree(zxid);
                self.tree = Some(zxid);
            }
            PROPOSAL if self.newleader && !self.uptodate => {
                return Err(format!("M3: {zxid:#x} is proposed between NEWLEADER and UPTODATE"));
            }
            PROPOSAL => {
                self.follows(zxid, history)?;
                self.pending.push_back(zxid);
                self.proposals.push(zxid);
            }
            INFORM | INFORM_AND_ACTIVATE => {
                self.follows(zxid, history)?;
                self.is_committed(zxid);
            }
            COMMIT | COMMIT_AND_ACTIVATE => {
                if self.pending.front() != Some(&zxid) {
                    let due = self.pending.front();
                    return Err(format!("M1: COMMIT {zxid:#x}, but {due:x?} is the head"));
                }
                self.pending.pop_front();
                self.is_committed(zxid);
            }
            NEWLEADER if self.newleader || self.uptodate => {
                return Err(format!("M3: a second NEWLEADER, {zxid:#x}"));
            }
            // Java 3.8 drops what is not committed by then, and stops at its commit (ZOOKEEPER-4394).
            NEWLEADER if !self.pending.is_empty() => {
                return Err(format!("M3: NEWLEADER behind proposals {:x?}", self.pending));
            }
            NEWLEADER => self.newleader = true,
            UPTODATE if !self.newleader => return Err("M3: UPTODATE before NEWLEADER".into()),
            UPTODATE => self.uptodate = true,
            _ => {}
        }
        Ok(())
    }

    /// Is this the leader's end of a link, and the learner on its way to be level?
    pub(crate) fn is_being_synced(&self) -> bool {
        !self.peer.began && self.place != Place::Unknown && !self.acked_newleader
    }

    fn is_committed(&mut self, zxid: i64) {
        if !self.newleader {
            self.committed.push(zxid);
        }
    }

    /// May this txn be the next one on this link?
    fn follows(&mut self, zxid: i64, history: &History) -> Result<(), String> {
        let before = history.before(zxid).unwrap_or(0);
        let fits = match self.place {
            Place::Unknown => return Err(format!("M2: {zxid:#x} before DIFF, TRUNC or SNAP")),
            Place::After(last) => before == history.txn(last),
            Place::Tree(label) => before <= history.txn(label),
        };
        if !fits {
            let place = self.place;
            return Err(format!("M2: {zxid:#x} comes behind {before:#x}, sent at {place:x?}"));
        }
        self.place = Place::After(zxid);
        Ok(())
    }

    /// A packet of a learner, at either end.
    pub(crate) fn on_learner(&mut self, packet: &Packet<'_>) -> Result<(), String> {
        match packet.kind {
            FOLLOWERINFO | OBSERVERINFO => self.observer = packet.kind == OBSERVERINFO,
            ACKEPOCH => self.learner = packet.zxid,
            ACK if names_no_txn(packet.zxid) => self.acked_newleader = true,
            ACK => {
                let zxid = packet.zxid;
                if zxid <= self.last_ack {
                    let last = self.last_ack;
                    return Err(format!("M4: ACK {zxid:#x} behind ACK {last:#x}"));
                }
                self.last_ack = zxid;
                let next = self.acked;
                let found = match self.proposals.get(next) == Some(&zxid) {
                    true => Ok(next),
                    false => self.proposals.binary_search(&zxid),
                };
                let Ok(n) = found else {
                    return Err(format!("M4: ACK {zxid:#x}, which was never sent to it"));
                };
                self.acked = n + 1;
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zoetrope_core::{ChanId, Link, Sid};

    fn packet(kind: i32, zxid: i64) -> Packet<'static> {
        Packet { kind, zxid, data: None }
    }

    fn chan() -> Chan {
        let (chan, far, other) = (ChanId(1), ChanId(2), Sid(2));
        Chan::new(Peer { chan, far, other, link: Link::Quorum, began: false })
    }

    /// (1,1) to (1,5), all of one leader.
    fn history() -> History {
        let mut history = History::default();
        for n in 1..=5 {
            history.see(1 << 32 | n, &[n as u8], Sid(1), || 0).unwrap();
        }
        history
    }

    fn error_of(packets: &[(i32, i64)]) -> String {
        let (mut chan, history) = (chan(), history());
        chan.learner = 1 << 32 | 1;
        let take = |(kind, n): &(i32, i64)| {
            let packet = packet(*kind, 1 << 32 | n);
            match *kind {
                ACK => chan.on_learner(&packet),
                _ => chan.on_leader(&packet, &history),
            }
        };
        packets.iter().map(take).find_map(Result::err).unwrap_or_default()
    }

    #[test]
    fn a_dialogue_as_it_should_be() {
        let all = [
            (DIFF, 3),
            (PROPOSAL, 2),
            (COMMIT, 2),
            (PROPOSAL, 3),
            (COMMIT, 3),
            (NEWLEADER, 0),
            (ACK, 0),
            (UPTODATE, 0),
            (ACK, 0),
            (PROPOSAL, 4),
            (ACK, 3),
            (ACK, 4),
            (COMMIT, 4),
        ];
        assert_eq!(error_of(&all), "");
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        for (packets, name) in [
            (vec![(DIFF, 3), (PROPOSAL, 3)], "M2"),
            (vec![(DIFF, 3), (PROPOSAL, 2), (PROPOSAL, 4)], "M2"),
            (vec![(TRUNC, 3), (PROPOSAL, 3)], "M2"),
            (vec![(PROPOSAL, 2)], "M2"),
            (vec![(SNAP, 2), (PROPOSAL, 4)], "M2"),
            (vec![(DIFF, 3), (COMMIT, 2)], "M1"),
            (vec![(DIFF, 3), (PROPOSAL, 2), (PROPOSAL, 3), (COMMIT, 3)], "M1"),
            (vec![(UPTODATE, 0)], "M3"),
            (vec![(NEWLEADER, 0), (NEWLEADER, 0)], "M3"),
            (vec![(DIFF, 3), (PROPOSAL, 2), (NEWLEADER, 0)], "M3"),
            (vec![(DIFF, 3), (NEWLEADER, 0), (PROPOSAL, 2)], "M3"),
            (vec![(DIFF, 1), (PROPOSAL, 2), (ACK, 3)], "M4"),
            (vec![(DIFF, 1), (PROPOSAL, 2), (PROPOSAL, 3), (ACK, 3), (ACK, 2)], "M4"),
        ] {
            let error = error_of(&packets);
            assert!(error.starts_with(name), "{packets:?}: {error:?}");
        }
    }

    #[test]
    fn a_tree_may_be_followed_by_what_it_holds() {
        assert_eq!(error_of(&[(SNAP, 3), (PROPOSAL, 2), (PROPOSAL, 3), (PROPOSAL, 4)]), "");
    }
}
