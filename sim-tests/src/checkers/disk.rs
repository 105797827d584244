//! What is on a server's disk, as its device operations say: which log records, which snapshots, and what of both
//! survives a loss of power.

use simd_adler32::Adler32;
use std::collections::{BTreeMap, BTreeSet};
use zoetrope_io_sim::Op;

/// Bytes of a log file's header.
const HEADER: u64 = 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Record {
    at: u64,
    zxid: i64,
}

#[derive(Clone, Default, Debug)]
struct LogFile {
    /// In the order of their places.
    records: Vec<Record>,
    /// So many of them are synced.
    synced: usize,
    named: bool,
}

impl LogFile {
    /// The place in `records` of a txn. Within an epoch they are numbered one by one.
    fn find(&self, zxid: i64) -> Option<usize> {
        let is_at = |n: &usize| self.records.get(*n).is_some_and(|record| record.zxid == zxid);
        let first = self.records.first()?.zxid;
        let guess = usize::try_from(zxid - first).ok().filter(is_at);
        guess.or_else(|| self.records.binary_search_by_key(&zxid, |record| record.zxid).ok())
    }

    /// Nothing stands at that place or behind it any more.
    fn cut(&mut self, at: u64) {
        self.records.truncate(self.records.partition_point(|record| record.at < at));
        self.synced = self.synced.min(self.records.len());
    }
}

/// Log records and snapshots.
#[derive(Clone, Default, Debug)]
pub(crate) struct View {
    files: BTreeMap<String, LogFile>,
    /// Labels of durable snapshots.
    snapshots: BTreeSet<i64>,
    /// Epoch files that are durable.
    pub(crate) epochs: Option<(u32, u32)>,
}

/// Records of a stretch of log: offset in it, and zxid.
pub(crate) fn records(bytes: &[u8]) -> Vec<(usize, i64)> {
    payloads(bytes)
        .into_iter()
        .filter_map(|(at, txn)| {
            let zxid: [u8; 8] = txn.get(12..20)?.try_into().ok()?;
            Some((at, i64::from_be_bytes(zxid)))
        })
        .collect()
}

/// The checksum of a record (storage §1.3).
pub(crate) fn adler32(bytes: &[u8]) -> u32 {
    let mut sum = Adler32::new();
    sum.write(bytes);
    sum.finish()
}

/// Offset and bytes of each txn of a stretch of log; ends where no whole record begins.
pub(crate) fn payloads(bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some((txn, true)) = record_at(bytes, at) {
        all.push((at, txn));
        at += txn.len() + RECORD;
    }
    all
}

/// Bytes of a record around its txn.
const RECORD: usize = 13;
/// Bytes that reach a disk together or not at all.
const SECTOR: usize = 512;

/// The txn of the record that begins there, if it also ends, and whether its checksum is right.
fn record_at(bytes: &[u8], at: usize) -> Option<(&[u8], bool)> {
    let len = u32::from_be_bytes(bytes.get(at + 8..at + 12)?.try_into().ok()?) as usize;
    let end = at + 12 + len;
    let (txn, mark) = (bytes.get(at + 12..end)?, *bytes.get(end)?);
    let checksum = u64::from_be_bytes(bytes[at..at + 8].try_into().ok()?);
    (len > 0 && mark == 0x42).then(|| (txn, checksum == u64::from(adler32(txn))))
}

/// The records of a log, whose first one stands at `first`. One of them may be rotten: those behind it are still there, and
/// whoever loses them knows it. Where a sector of it is all zeros it may as well never have arrived.
fn records_around_rot(bytes: &[u8], first: usize) -> Vec<(usize, i64)> {
    let mut all = records(bytes);
    let len = |at| record_at(bytes, at).map_or(0, |(txn, _)| txn.len() + RECORD);
    let rotten = all.last().map_or(0, |(at, _)| at + len(*at));
    let next = rotten + len(rotten);
    let sector = |at: usize| (first + at) / SECTOR;
    let is_hole = |share: &[usize]| share.iter().all(|at| bytes[*at] == 0);
    let places: Vec<usize> = (rotten..next).collect();
    if !places.chunk_by(|a, b| sector(*a) == sector(*b)).any(is_hole) {
        let behind = records(&bytes[next..]).into_iter();
        all.extend(behind.map(|(at, zxid)| (next + at, zxid)));
    }
    all
}

/// Does a snapshot end in the checksum of all of it? Its checksums are never reset, so the last one says it (storage §2.9).
fn is_whole(bytes: &[u8]) -> bool {
    let Some((summed, tail)) = bytes.split_last_chunk::<13>() else { return false };
    let (sum, end) = tail.split_at(8);
    end == [0, 0, 0, 1, b'/'] && sum == u64::from(adler32(summed)).to_be_bytes()
}

fn label(name: &str) -> Option<i64> {
    let hex = name.strip_prefix("snapshot.")?.split('.').next()?;
    i64::from_str_radix(hex, 16).ok()
}

impl View {
    /// What a loss of power has left: all of it is durable, and some of it may be rotten.
    pub(crate) fn of_files(
        files: &[(String, Vec<u8>)],
        epochs: Option<(u32, u32)>,
        rotten: bool,
    ) -> Self {
        let mut view = Self { epochs, ..Self::default() };
        for (name, bytes) in files {
            if let Some(label) = label(name) {
                if is_whole(bytes) {
                    view.snapshots.insert(label);
                }
            } else if name.starts_with("log.") && bytes.len() as u64 > HEADER {
                let bytes = &bytes[HEADER as usize..];
                let found = match rotten {
                    true => records_around_rot(bytes, HEADER as usize),
                    false => records(bytes),
                };
                let found = found.into_iter();
                let records: Vec<Record> =
                    found.map(|(at, zxid)| Record { at: at as u64 + HEADER, zxid }).collect();
                let synced = records.len();
                view.files.insert(name.clone(), LogFile { records, synced, named: true });
            }
        }
        view
    }

    /// A device operation was carried out, or asked for.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Append { name, at, bytes } if *at >= HEADER => {
                let file = self.files.entry(name.clone()).or_default();
                file.cut(*at);
                let found = records(bytes).into_iter();
                file.records
                    .extend(found.map(|(offset, zxid)| Record { at: at + offset as u64, zxid }));
            }
            Op::Append { name, .. } | Op::Reserve { name, .. } => {
                self.files.entry(name.clone()).or_default();
            }
            Op::Fsync { name, .. } => {
                for file in self.files.get_mut(name).into_iter() {
                    file.synced = file.records.len();
                }
            }
            Op::Rename { from, to } => {
                if let Some(file) = self.files.remove(from) {
                    self.files.insert(to.clone(), LogFile { named: false, ..file });
                }
            }
            Op::FsyncDir => self.files.values_mut().for_each(|file| file.named = true),
            Op::Truncate { name, at } => {
                for file in self.files.get_mut(name).into_iter() {
                    file.cut(*at);
                    file.synced = file.records.len();
                }
            }
            Op::Epochs { accepted, current, .. } => self.epochs = Some((*accepted, *current)),
            Op::Finish { zxid, .. } => {
                self.snapshots.insert(zxid.0);
                // The same directory: its names are durable as well.
                self.files.values_mut().for_each(|file| file.named = true);
            }
            Op::Remove { name } | Op::Discard { name } => {
                self.files.remove(name);
                if let Some(label) = label(name) {
                    self.snapshots.remove(&label);
                }
            }
            Op::Slice { .. } => {}
        }
    }

    /// The newest snapshot, by its label.
    pub(crate) fn snapshot(&self) -> i64 {
        self.snapshots.last().copied().unwrap_or(0)
    }

    /// The label of every snapshot.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = i64> {
        self.snapshots.iter().copied()
    }

    /// Is this txn in the durable log, or covered by a durable snapshot?
    pub(crate) fn holds(&self, zxid: i64) -> bool {
        zxid <= self.snapshot()
            || self
                .files
                .values()
                .rev()
                .any(|file| file.named && file.find(zxid).is_some_and(|place| place < file.synced))
    }

    /// Every record of the log above the newest snapshot, ascending.
    pub(crate) fn tail(&self) -> BTreeSet<i64> {
        let floor = self.snapshot();
        let all = self.files.values().flat_map(|file| &file.records);
        all.map(|record| record.zxid).filter(|zxid| *zxid > floor).collect()
    }

    /// Where the history on this disk ends.
    pub(crate) fn end(&self) -> i64 {
        self.tail().last().copied().unwrap_or(0).max(self.snapshot())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zoetrope_core::Zxid;

    fn record(zxid: i64) -> Vec<u8> {
        let mut txn = vec![0; 36];
        txn[12..20].copy_from_slice(&zxid.to_be_bytes());
        framed(&txn)
    }

    fn framed(txn: &[u8]) -> Vec<u8> {
        let mut bytes = u64::from(adler32(txn)).to_be_bytes().to_vec();
        bytes.extend((txn.len() as u32).to_be_bytes());
        bytes.extend(txn);
        bytes.push(0x42);
        bytes
    }

    #[test]
    fn a_snapshot_counts_when_all_of_it_is_there() {
        let mut bytes = b"ZKSN and so on".to_vec();
        bytes.extend(u64::from(adler32(&bytes)).to_be_bytes());
        bytes.extend([0, 0, 0, 1, b'/']);
        let view =
            |bytes: &[u8]| View::of_files(&[("snapshot.7".into(), bytes.to_vec())], None, false);
        assert_eq!(view(&bytes).snapshot(), 7);
        assert_eq!(view(&bytes[1..]).snapshot(), 0);
        bytes[3] ^= 1;
        assert_eq!(view(&bytes).snapshot(), 0);
    }

    #[test]
    fn what_stands_behind_rot_is_there_where_rot_may_be() {
        let mut log = vec![7; HEADER as usize];
        (1..=4).for_each(|zxid| log.extend(record(zxid)));
        let in_the_second = HEADER as usize + record(1).len() + 40;
        log[in_the_second] ^= 4;
        let tail = |rotten| View::of_files(&[("log.1".into(), log.clone())], None, rotten).tail();
        assert_eq!(tail(false), BTreeSet::from([1]));
        assert_eq!(tail(true), BTreeSet::from([1, 3, 4]));
    }

    #[test]
    fn what_stands_behind_a_hole_may_never_have_been_told() {
        let mut large = vec![7; 1_200];
        large[12..20].copy_from_slice(&2i64.to_be_bytes());
        let mut log = vec![7; HEADER as usize];
        log.extend(record(1));
        log.extend(framed(&large));
        log.extend(record(3));
        let tail =
            |log: &[u8]| View::of_files(&[("log.1".into(), log.to_vec())], None, true).tail();
        log[600] = 1;
        assert_eq!(tail(&log), BTreeSet::from([1, 3]));
        log[SECTOR..2 * SECTOR].fill(0);
        assert_eq!(tail(&log), BTreeSet::from([1]));
    }

    #[test]
    fn a_record_is_held_when_it_and_its_files_name_are_durable() {
        let mut view = View::default();
        let name = || "log.1".to_owned();
        let append = |at, zxid| Op::Append { name: name(), at, bytes: record(zxid) };
        let sync = Op::Fsync { name: name(), branch: 0, upto: 0 };
        view.apply(&append(16, 1));
        assert!(!view.holds(1));
        view.apply(&sync);
        assert!(!view.holds(1), "the name is not durable");
        view.apply(&Op::FsyncDir);
        view.apply(&append(16 + record(1).len() as u64, 2));
        assert!(view.holds(1) && !view.holds(2));
        view.apply(&Op::Truncate { name: name(), at: 16 });
        assert!(!view.holds(1));
        view.apply(&Op::Finish { name: "snapshot.7".into(), zxid: Zxid(7) });
        assert!(view.holds(7) && !view.holds(8));
        assert_eq!(view.end(), 7);
    }
}
