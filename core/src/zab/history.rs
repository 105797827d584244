//! The most recent txns as bytes, in zxid order without a gap: what learners are sent without reading the disk.

use crate::ids::Zxid;
use std::collections::VecDeque;
use std::sync::Arc;

/// Recent txns. Every entry follows the one before; the last is the last one logged.
#[derive(Clone, Default, Debug)]
pub(crate) struct History {
    entries: VecDeque<(Zxid, Arc<[u8]>)>,
    /// The zxid before the first entry: whoever has it can be brought level from here.
    base: Zxid,
    bytes: usize,
}

/// Txns kept whatever their size, as Java's `commitLogCount`.
const KEPT_MIN: usize = 500;
/// Bytes kept beyond those.
const KEPT_BYTES: usize = 16 << 20;

impl History {
    /// Nothing is known of what came before `base`, which is included.
    pub(crate) fn starting_after(base: Zxid) -> Self {
        Self { entries: VecDeque::new(), base, bytes: 0 }
    }

    /// The zxid before the first entry.
    pub(crate) fn base(&self) -> Zxid {
        self.base
    }

    /// The last txn, or the base when there is none.
    pub(crate) fn last(&self) -> Zxid {
        self.entries.back().map_or(self.base, |(zxid, _)| *zxid)
    }

    /// Adds a txn that was logged. What is no longer needed goes; nothing above `committed` does.
    pub(crate) fn push(&mut self, zxid: Zxid, payload: Arc<[u8]>, committed: Zxid) {
        assert!(zxid > self.last(), "{zxid} is logged after {}", self.last());
        self.bytes += payload.len();
        self.entries.push_back((zxid, payload));
        while self.entries.len() > KEPT_MIN && self.bytes > KEPT_BYTES {
            let Some((zxid, payload)) = self.entries.pop_front_if(|(zxid, _)| *zxid <= committed)
            else {
                return;
            };
            self.base = zxid;
            self.bytes -= payload.len();
        }
    }

    fn position_after(&self, zxid: Zxid) -> usize {
        self.entries.partition_point(|(at, _)| *at <= zxid)
    }

    /// The highest zxid of the history that is not above `zxid`; `None` when that lies before its beginning.
    pub(crate) fn floor(&self, zxid: Zxid) -> Option<Zxid> {
        match self.position_after(zxid) {
            0 => (self.base <= zxid).then_some(self.base),
            n => self.entries.get(n - 1).map(|(at, _)| *at),
        }
    }

    /// The txns above `zxid`, in order.
    pub(crate) fn after(&self, zxid: Zxid) -> impl Iterator<Item = (Zxid, &Arc<[u8]>)> {
        self.entries.range(self.position_after(zxid)..).map(|(at, payload)| (*at, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(len: usize) -> Arc<[u8]> {
        vec![0; len].into()
    }

    #[test]
    fn what_is_not_committed_stays() {
        let mut history = History::starting_after(Zxid(10));
        for n in 11..=1200 {
            history.push(Zxid(n), payload(1 << 20), Zxid(300));
        }
        assert_eq!(history.base(), Zxid(300));
        assert_eq!(history.last(), Zxid(1200));
        assert_eq!(history.after(Zxid(1198)).count(), 2);
    }

    #[test]
    fn the_floor_is_a_zxid_of_the_history() {
        let mut history = History::starting_after(Zxid(10));
        history.push(Zxid(11), payload(1), Zxid(11));
        history.push(Zxid(0x1_0000_0001), payload(1), Zxid(11));
        let floors = [(9, None), (10, Some(10)), (12, Some(11)), (i64::MAX, Some(0x1_0000_0001))];
        for (zxid, floor) in floors {
            assert_eq!(history.floor(Zxid(zxid)), floor.map(Zxid), "{zxid:x}");
        }
    }
}
