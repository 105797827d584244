//! The most recent txns as bytes, in zxid order without a gap: what learners are sent without reading the disk.

use crate::ids::Zxid;
use crate::planted::{Plant, planted};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Recent txns. Every entry follows the one before; the last is the last one logged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct History {
    entries: VecDeque<Entry>,
    /// The zxid before the first entry: whoever has it can be brought level from here.
    base: Zxid,
    /// Payloads, one behind the other: a piece of memory for each would have to be found and given back for every txn.
    #[serde(skip)]
    blocks: VecDeque<Vec<u8>>,
    /// Number of the first block, counted from the beginning.
    first_block: u64,
    /// A block that is no longer needed, to be filled again.
    #[serde(skip)]
    spare: Option<Vec<u8>>,
    bytes: usize,
    /// Bytes kept, beyond the txns that are kept whatever their size.
    budget: usize,
    /// Who copies the blocks has come that far.
    #[serde(skip)]
    copied: Option<u64>,
}

/// A txn, and where its payload stands.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Entry {
    zxid: Zxid,
    block: u64,
    start: u32,
    len: u32,
}

/// Txns kept whatever their size, as Java's `commitLogCount`.
const KEPT_MIN: usize = 500;
/// Bytes kept beyond those, unless something else is asked for.
const KEPT_BYTES: usize = 16 << 20;
/// Bytes of a block, unless a single txn needs more.
const BLOCK: usize = 64 << 10;

impl Default for History {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            base: Zxid::ZERO,
            blocks: VecDeque::new(),
            first_block: 0,
            spare: None,
            bytes: 0,
            budget: KEPT_BYTES,
            copied: None,
        }
    }
}

impl History {
    /// Nothing is known of what came before `base`, which is included.
    pub(crate) fn starting_after(base: Zxid) -> Self {
        Self { base, ..Self::default() }
    }

    /// Keeps that many bytes from now on.
    pub(crate) fn set_budget(&mut self, bytes: u64) {
        self.budget = usize::try_from(bytes).unwrap_or(usize::MAX);
    }

    /// The zxid before the first entry.
    pub(crate) fn base(&self) -> Zxid {
        self.base
    }

    /// The last txn, or the base when there is none.
    pub(crate) fn last(&self) -> Zxid {
        self.entries.back().map_or(self.base, |entry| entry.zxid)
    }

    /// Adds a txn that was logged. What is no longer needed goes; nothing above `committed` does.
    pub(crate) fn push(&mut self, zxid: Zxid, payload: &[u8], committed: Zxid) {
        let again = planted(Plant::BadRequestOldZxid) && zxid == self.last();
        assert!(zxid > self.last() || again, "{zxid} is logged after {}", self.last());
        self.bytes += payload.len();
        let (block, start) = self.store(payload);
        self.entries.push_back(Entry { zxid, block, start, len: payload.len() as u32 });
        while self.entries.len() > KEPT_MIN && self.bytes > self.budget {
            let Some(entry) = self.entries.pop_front_if(|entry| entry.zxid <= committed) else {
                return;
            };
            self.base = entry.zxid;
            self.bytes -= entry.len as usize;
            self.let_go_of_blocks();
        }
    }

    fn store(&mut self, payload: &[u8]) -> (u64, u32) {
        let fits = |block: &Vec<u8>| block.capacity() - block.len() >= payload.len();
        if !self.blocks.back().is_some_and(fits) {
            let new = || Vec::with_capacity(payload.len().max(BLOCK));
            self.blocks.push_back(self.spare.take().filter(fits).unwrap_or_else(new));
        }
        let number = self.first_block + self.blocks.len() as u64 - 1;
        let block = self.blocks.back_mut().expect("there is one now");
        let start = block.len() as u32;
        block.extend_from_slice(payload);
        (number, start)
    }

    /// Blocks before that of the first entry hold nothing any more.
    fn let_go_of_blocks(&mut self) {
        let Some(first) = self.entries.front().map(|entry| entry.block) else { return };
        while self.first_block < first {
            self.first_block += 1;
            let Some(mut block) = self.blocks.pop_front() else { return };
            if block.capacity() <= BLOCK {
                block.clear();
                self.spare = Some(block);
            }
        }
    }

    /// From here on the blocks are copied, until [`Self::end_copy`].
    pub(crate) fn start_copy(&mut self) {
        self.copied = Some(self.first_block);
    }

    pub(crate) fn end_copy(&mut self) {
        self.copied = None;
    }

    /// Is this still the history whose copy was begun?
    pub(crate) fn is_being_copied(&self) -> bool {
        self.copied.is_some()
    }

    /// The next block to be copied, and its number. The last block still grows: it comes only where `all` are wanted.
    pub(crate) fn copy_block(&mut self, all: bool) -> Option<(u64, &[u8])> {
        let number = self.copied?.max(self.first_block);
        let place = usize::try_from(number - self.first_block).ok()?;
        let ready = self.blocks.len().saturating_sub(usize::from(!all));
        let block = self.blocks.get(place).filter(|_| place < ready)?;
        self.copied = Some(number + 1);
        Some((number, block))
    }

    /// Gives a copy its blocks; `Err` where they are not those it speaks of.
    pub(crate) fn set_blocks(&mut self, copied: BTreeMap<u64, Vec<u8>>) -> Result<(), String> {
        self.blocks = copied.range(self.first_block..).map(|(_, block)| block.clone()).collect();
        let numbers = copied.range(self.first_block..).map(|(number, _)| *number);
        let whole = numbers.eq(self.first_block..self.first_block + self.blocks.len() as u64);
        let held = |entry: &Entry| {
            let place = usize::try_from(entry.block.checked_sub(self.first_block)?).ok()?;
            let end = (entry.start as usize).checked_add(entry.len as usize)?;
            self.blocks.get(place)?.get(..end).map(|_| ())
        };
        match whole && self.entries.iter().all(|entry| held(entry).is_some()) {
            true => Ok(()),
            false => Err("the recent txns are not all there".to_owned()),
        }
    }

    fn payload(&self, entry: &Entry) -> &[u8] {
        let start = entry.start as usize;
        &self.blocks[(entry.block - self.first_block) as usize][start..start + entry.len as usize]
    }

    fn position_after(&self, zxid: Zxid) -> usize {
        // Inside one epoch zxids have no gaps, so the place of a recent one is known without a search.
        let back = usize::try_from(self.last().0.wrapping_sub(zxid.0)).unwrap_or(usize::MAX);
        let guess = self.entries.len().saturating_sub(back);
        if guess > 0 && self.entries[guess - 1].zxid == zxid {
            return guess;
        }
        self.entries.partition_point(|entry| entry.zxid <= zxid)
    }

    /// The highest zxid of the history that is not above `zxid`; `None` when that lies before its beginning.
    pub(crate) fn floor(&self, zxid: Zxid) -> Option<Zxid> {
        match self.position_after(zxid) {
            0 => (self.base <= zxid).then_some(self.base),
            n => self.entries.get(n - 1).map(|entry| entry.zxid),
        }
    }

    /// The txns above `zxid`, in order.
    pub(crate) fn after(&self, zxid: Zxid) -> impl Iterator<Item = (Zxid, &[u8])> {
        let entries = self.entries.range(self.position_after(zxid)..);
        entries.map(|entry| (entry.zxid, self.payload(entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_committed_stays() {
        let mut history = History::starting_after(Zxid(10));
        let payload = vec![0; 1 << 20];
        for n in 11..=1200 {
            history.push(Zxid(n), &payload, Zxid(300));
        }
        assert_eq!(history.base(), Zxid(300));
        assert_eq!(history.last(), Zxid(1200));
        assert_eq!(history.after(Zxid(1198)).count(), 2);
    }

    #[test]
    fn the_budget_can_be_chosen() {
        let mut history = History::starting_after(Zxid(10));
        history.set_budget(3000);
        for n in 11..=1510 {
            history.push(Zxid(n), &[0; 5], Zxid(n));
        }
        assert_eq!(history.entries.len(), 600);
        history.set_budget(0);
        history.push(Zxid(1511), &[0; 5], Zxid(1511));
        assert_eq!(history.entries.len(), KEPT_MIN);
    }

    #[test]
    fn payloads_stay_what_they_were_while_blocks_go() {
        let mut history = History::starting_after(Zxid(0));
        let payload = |n: i64| vec![n as u8; 1 + (n as usize * 7919) % 90_000];
        for n in 1..=2000 {
            history.push(Zxid(n), &payload(n), Zxid(n));
        }
        assert_eq!(history.entries.len(), KEPT_MIN);
        assert!(history.blocks.iter().map(Vec::len).sum::<usize>() < history.bytes + 2 * 90_000);
        for (zxid, bytes) in history.after(history.base()) {
            assert!(bytes == payload(zxid.0), "{zxid}");
        }
    }

    #[test]
    fn the_floor_is_a_zxid_of_the_history() {
        let mut history = History::starting_after(Zxid(10));
        history.push(Zxid(11), &[0], Zxid(11));
        history.push(Zxid(0x1_0000_0001), &[0], Zxid(11));
        history.push(Zxid(0x1_0000_0002), &[0], Zxid(11));
        let floors = [
            (9, None),
            (10, Some(10)),
            (12, Some(11)),
            (0x1_0000_0001, Some(0x1_0000_0001)),
            (i64::MAX, Some(0x1_0000_0002)),
        ];
        for (zxid, floor) in floors {
            assert_eq!(history.floor(Zxid(zxid)), floor.map(Zxid), "{zxid:x}");
        }
        assert_eq!(history.after(Zxid(0)).count(), 3);
        assert_eq!(history.after(Zxid(0x1_0000_0001)).count(), 1);
        assert_eq!(history.after(Zxid(0x1_0000_0002)).count(), 0);
    }

    /// Logs these txns, each of them with 10 000 bytes of its own.
    fn grow(history: &mut History, zxids: std::ops::RangeInclusive<i64>) {
        for n in zxids {
            history.push(Zxid(n), &[n as u8; 10_000], Zxid(n));
        }
    }

    fn copy(history: &mut History, all: bool, copied: &mut BTreeMap<u64, Vec<u8>>) {
        while let Some((number, block)) = history.copy_block(all) {
            copied.insert(number, block.to_vec());
        }
    }

    #[test]
    fn a_copy_begun_while_the_history_grows_has_all_of_it() {
        let mut history = History::starting_after(Zxid(0));
        grow(&mut history, 1..=20);
        history.start_copy();
        let mut copied = BTreeMap::new();
        copy(&mut history, false, &mut copied);
        assert_eq!(copied.len(), history.blocks.len() - 1, "the last one still grows");
        grow(&mut history, 21..=50);
        copy(&mut history, false, &mut copied);
        copy(&mut history, true, &mut copied);
        let mut again = History { blocks: VecDeque::new(), ..history.clone() };
        assert_eq!(again.set_blocks(copied.clone()), Ok(()));
        assert!(again.after(Zxid(0)).eq(history.after(Zxid(0))));
        copied.remove(&3);
        assert!(again.set_blocks(copied).is_err(), "a block is missing");
    }

    /// A tree that comes from a leader brings a history of its own.
    #[test]
    fn a_copy_is_one_of_the_history_it_was_begun_with() {
        let mut history = History::starting_after(Zxid(0));
        grow(&mut history, 1..=20);
        assert!(!history.is_being_copied());
        history.start_copy();
        assert!(history.is_being_copied());
        assert!(!History::starting_after(Zxid(20)).is_being_copied());
        history.end_copy();
        assert!(!history.is_being_copied());
        assert_eq!(history.copy_block(true), None);
    }
}
