//! The ghost log: every txn any leader ever proposed, who came before it, and which of them are committed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use zoetrope_core::Sid;

/// Epoch of a zxid.
pub(crate) fn epoch(zxid: i64) -> u32 {
    (zxid >> 32) as u32
}

/// Does it name the beginning of an epoch rather than a txn?
pub(crate) fn names_no_txn(zxid: i64) -> bool {
    zxid as u32 == 0
}

#[derive(Clone, Debug)]
struct Proposed {
    bytes: Vec<u8>,
    committed: bool,
}

/// Everything that was proposed, and the one order of what is committed.
#[derive(Clone, Default, Debug)]
pub(crate) struct History {
    /// By their epochs, from the first on.
    proposed: BTreeMap<u32, Vec<Proposed>>,
    /// Who leads an epoch.
    leaders: BTreeMap<u32, Sid>,
    /// Where the initial history of an epoch's leader ends.
    bases: BTreeMap<u32, i64>,
    /// The last txn that is known to be committed.
    head: i64,
}

impl History {
    fn get(&self, zxid: i64) -> Option<&Proposed> {
        let place = (zxid as u32).checked_sub(1)?;
        self.proposed.get(&epoch(zxid))?.get(place as usize)
    }

    fn get_mut(&mut self, zxid: i64) -> Option<&mut Proposed> {
        let place = (zxid as u32).checked_sub(1)?;
        self.proposed.get_mut(&epoch(zxid))?.get_mut(place as usize)
    }

    /// `sid` acts as the leader of that epoch.
    pub(crate) fn leads(&mut self, sid: Sid, epoch: u32) -> Result<(), String> {
        let leader = *self.leaders.entry(epoch).or_insert(sid);
        match leader == sid {
            true => Ok(()),
            false => Err(format!("P7: {leader} and {sid} both lead epoch {epoch}")),
        }
    }

    pub(crate) fn leader(&self, epoch: u32) -> Option<Sid> {
        self.leaders.get(&epoch).copied()
    }

    /// The history of an epoch's leader ends here when it begins.
    pub(crate) fn begins(&mut self, epoch: u32, end: i64) {
        if !self.bases.contains_key(&epoch) {
            let base = self.txn(end);
            self.bases.insert(epoch, base);
        }
    }

    pub(crate) fn base(&self, epoch: u32) -> Option<i64> {
        self.bases.get(&epoch).copied()
    }

    /// The txn a zxid stands for: the beginning of an epoch stands for what its leader began with.
    pub(crate) fn txn(&self, zxid: i64) -> i64 {
        match names_no_txn(zxid) {
            true => self.bases.get(&epoch(zxid)).copied().unwrap_or(0),
            false => zxid,
        }
    }

    /// A txn is seen at `sid`, in a packet or in its log; `end` says where its log ends otherwise.
    pub(crate) fn see(
        &mut self,
        zxid: i64,
        bytes: &[u8],
        sid: Sid,
        end: impl FnOnce() -> i64,
    ) -> Result<bool, String> {
        if let Some(known) = self.get(zxid) {
            return match known.bytes == bytes {
                true => Ok(false),
                false => Err(format!("P7: {zxid:#x} is two different txns; {sid} has the other")),
            };
        }
        let of = epoch(zxid);
        self.leads(sid, of).map_err(|e| format!("P1: {sid} has {zxid:#x}, but {e}"))?;
        if zxid as u32 == 1 {
            self.begins(of, end());
        }
        let before = self.right_before(zxid);
        if before != 0 && self.get(before).is_none() {
            return Err(format!("P4: {sid} proposes {zxid:#x}, but nobody has {before:#x}"));
        }
        let proposed = Proposed { bytes: bytes.to_vec(), committed: false };
        self.proposed.entry(of).or_default().push(proposed);
        Ok(true)
    }

    /// A server that stands alone has no epochs to tell its lives apart: what its disk has lost it may give out again.
    pub(crate) fn alone_restarts(&mut self, end: i64) -> Result<(), String> {
        let head = self.head();
        if epoch(head) == 0 && end < head {
            return Err(format!("P8: {head:#x} is committed, and the disk ends at {end:#x}"));
        }
        if let Some(all) = self.proposed.get_mut(&0) {
            all.truncate(end.max(0) as usize);
        }
        Ok(())
    }

    pub(crate) fn bytes(&self, zxid: i64) -> Option<&[u8]> {
        self.get(zxid).map(|proposed| proposed.bytes.as_slice())
    }

    /// Everything that is known to be committed, in its order.
    pub(crate) fn committed(&self) -> impl Iterator<Item = &[u8]> {
        let all = self.proposed.values().flatten().filter(|proposed| proposed.committed);
        all.map(|proposed| proposed.bytes.as_slice())
    }

    /// What comes right before a txn.
    pub(crate) fn before(&self, zxid: i64) -> Option<i64> {
        self.get(zxid).map(|_| self.right_before(zxid))
    }

    fn right_before(&self, zxid: i64) -> i64 {
        match zxid as u32 {
            1 => self.bases.get(&epoch(zxid)).copied().unwrap_or(0),
            _ => zxid - 1,
        }
    }

    /// The last txn that is known to be committed.
    pub(crate) fn head(&self) -> i64 {
        self.head
    }

    pub(crate) fn is_committed(&self, zxid: i64) -> bool {
        self.get(zxid).is_some_and(|proposed| proposed.committed)
    }

    /// Txns from behind `floor` up to `zxid`, and whether `floor` is among its ancestors.
    fn path(&self, floor: i64, zxid: i64) -> (Vec<i64>, bool) {
        let mut path = Vec::new();
        let mut at = zxid;
        while at > floor {
            path.push(at);
            at = self.before(at).unwrap_or(0);
        }
        path.reverse();
        (path, at == floor)
    }

    /// Something shows that everything up to here is committed. Answers what was not known to be.
    pub(crate) fn commit(&mut self, zxid: i64, why: impl Display) -> Result<Vec<i64>, String> {
        let txn = self.txn(zxid);
        let head = self.head();
        if txn == 0 || self.is_committed(txn) {
            return Ok(Vec::new());
        }
        if self.get(txn).is_none() {
            return Err(format!("P1: {why} shows {zxid:#x}, which nobody proposed"));
        }
        if txn < head {
            return Err(format!(
                "P9: {why} shows {zxid:#x}, which the order up to {head:#x} lacks"
            ));
        }
        let (path, joins) = self.path(head, txn);
        if !joins {
            return Err(format!("P2: {why} shows {zxid:#x}, whose history lacks {head:#x}"));
        }
        for zxid in &path {
            if let Some(proposed) = self.get_mut(*zxid) {
                proposed.committed = true;
            }
        }
        self.head = txn;
        Ok(path)
    }

    /// The leader of this epoch is established: its history must hold all that is committed.
    pub(crate) fn established(&self, epoch: u32) -> Result<(), String> {
        let (head, base) = (self.head(), self.bases.get(&epoch).copied().unwrap_or(0));
        // What it committed since is in its history anyway.
        let head = if self::epoch(head) >= epoch { return Ok(()) } else { head };
        match self.path(head, base) {
            (_, true) => Ok(()),
            (..) => Err(format!(
                "P8: the leader of epoch {epoch} begins with {base:#x}, which lacks {head:#x}"
            )),
        }
    }

    /// Everything the leader of this epoch began with.
    pub(crate) fn initial(&self, epoch: u32) -> Option<BTreeSet<i64>> {
        let base = self.bases.get(&epoch)?;
        Some(self.path(0, *base).0.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Sid = Sid(1);
    const B: Sid = Sid(2);

    fn zxid(epoch: i64, counter: i64) -> i64 {
        epoch << 32 | counter
    }

    /// A proposes (1,1) to (1,3); B begins epoch 2 behind (1,2).
    fn two_epochs() -> History {
        let mut history = History::default();
        for n in 1..=3 {
            assert_eq!(history.see(zxid(1, n), &[n as u8], A, || 0), Ok(true));
        }
        history.begins(2, zxid(1, 2));
        history.leads(B, 2).unwrap();
        assert_eq!(history.see(zxid(2, 1), b"x", B, || zxid(1, 2)), Ok(true));
        history
    }

    #[test]
    fn the_order_goes_where_the_later_leader_came_from() {
        let mut history = two_epochs();
        let path = history.commit(zxid(2, 1), "a reply").unwrap();
        assert_eq!(path, [zxid(1, 1), zxid(1, 2), zxid(2, 1)]);
        let late = history.commit(zxid(1, 3), "a reply").unwrap_err();
        assert!(late.starts_with("P9:"), "{late}");
    }

    #[test]
    fn a_leader_that_lacks_what_is_committed_is_found() {
        let mut history = two_epochs();
        history.commit(zxid(1, 3), "a reply").unwrap();
        let lost = history.established(2).unwrap_err();
        assert!(lost.starts_with("P8:"), "{lost}");
        let other = history.commit(zxid(2, 1), "a commit").unwrap_err();
        assert!(other.starts_with("P2:"), "{other}");
    }

    #[test]
    fn one_zxid_is_one_txn_of_one_leader() {
        let mut history = two_epochs();
        assert_eq!(history.see(zxid(1, 1), &[1], B, || 0), Ok(false));
        assert!(history.see(zxid(1, 1), &[9], B, || 0).unwrap_err().starts_with("P7:"));
        assert!(history.see(zxid(2, 2), b"y", A, || 0).unwrap_err().starts_with("P1:"));
        assert!(history.see(zxid(2, 3), b"y", B, || 0).unwrap_err().starts_with("P4:"));
    }
}
