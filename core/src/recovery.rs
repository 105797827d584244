//! From the files of a stopped server to the tree it had: the newest whole snapshot, then the logs behind it (storage
//! §1.3 to §1.7, §5.3). Guesses nothing: what it cannot read it names, with a remedy, and stops.

use crate::config::Config;
use crate::effect::{FileId, FilePlace, Milestone};
use crate::ids::{SessionId, Zxid};
use crate::journal::{
    Record, Scanner, Verdict, log_zxid, logs_to_replay, snapshot_between, snapshot_candidates,
    was_cut_to_fit,
};
use crate::planted::{Plant, planted};
use crate::server::Listing;
use crate::snapshot::{Flaw, Item, Next, SnapshotReader};
use crate::tree::{DataTree, DigestLog};
use crate::wire::{Acl, Txn, encode_txn};
use crate::zab::History;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// What recovery came to.
#[derive(Clone, Debug)]
pub(crate) struct Recovered {
    pub(crate) tree: DataTree,
    pub(crate) sessions: BTreeMap<SessionId, i32>,
    pub(crate) zxid: Zxid,
    /// Label of the snapshot it began with.
    pub(crate) snapshot: Option<Zxid>,
    /// Where the last log is to end: a torn tail goes, and room that was reserved and not needed is given back.
    pub(crate) cut: Option<(FileId, u64)>,
    /// Files that hold nothing but what was to be cut off, in the order in which they must go.
    pub(crate) discard: Vec<FileId>,
    /// Logs that never came to be.
    pub(crate) remove: Vec<FileId>,
    pub(crate) digest_mismatches: u64,
    /// The tree is what its txns make of it. If not, it may hold parts of later ones, which are in no log here.
    pub(crate) whole: bool,
    /// The first txn whose digest is not the tree's, where none after it was right.
    pub(crate) differs: Option<Zxid>,
    /// The digests after some of the records that were replayed.
    pub(crate) digests: DigestLog,
    /// The logs that were read, in order.
    pub(crate) logs: Vec<FileId>,
    /// The last of the records that were replayed, for learners.
    pub(crate) history: History,
}

/// A tree and its sessions, while a snapshot is loaded into them.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) tree: DataTree,
    pub(crate) sessions: BTreeMap<SessionId, i32>,
    acls: BTreeMap<i64, Arc<[Acl]>>,
}

impl Image {
    pub(crate) fn new(tree: DataTree) -> Self {
        Self { tree, sessions: BTreeMap::new(), acls: BTreeMap::new() }
    }

    /// Takes one item of a snapshot; `Err` when it does not fit to those before it.
    pub(crate) fn load(&mut self, item: Item<'_>) -> Result<(), ()> {
        match item {
            Item::Session { id, timeout_ms } => {
                self.sessions.insert(id, timeout_ms);
            }
            Item::Acl { id, list } => {
                self.acls.insert(id, list.into());
            }
            Item::Node { path, data, acl, stat } => {
                let nobody: Arc<[Acl]> = Arc::from([Acl::world(crate::wire::Perms(0))]);
                let list = match acl {
                    -1 => None,
                    id => Some(self.acls.get(&id).cloned().unwrap_or(nobody)),
                };
                return self.tree.load(&path, data.map(Arc::from), list.as_ref(), stat);
            }
        }
        Ok(())
    }
}

/// Why the files cannot be used, for a person at 3 a.m.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Corruption {
    what: String,
    remedy: &'static str,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.what, self.remedy)
    }
}

/// An older log that ends in zeros, though its length says that it was cut to end with its last record. Within an epoch the
/// zxids tell whether anything is missing; where the next one begins, nothing else does.
#[derive(Clone, Debug)]
struct Hole {
    log: String,
    at: u64,
}

impl Hole {
    /// What it means that `next` comes after `before`: nothing, when it is the next number.
    fn between(&self, before: Zxid, next: Zxid) -> Option<String> {
        let Self { log, at } = self;
        (next != before.next()).then(|| {
            format!(
                "{log} is damaged at offset {at}: zeros stand where its last records were, as its length says, and {next} \
                 comes after {before} in a newer log"
            )
        })
    }
}

/// Reads the files one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    files: Vec<FilePlace>,
    lengths: Vec<u64>,
    record_max: u32,
    trust_empty: bool,
    allow_gaps: bool,
    /// Nothing above this is to be left: a leader has cut it off.
    ceiling: Option<Zxid>,
    /// Records are kept for learners.
    keep_history: bool,
    seed: u64,
    emulate_353: bool,
    stage: Stage,
    /// Snapshots not tried yet, newest first.
    snapshots: VecDeque<(usize, Zxid)>,
    /// One of those tried was there, whole in length, but damaged.
    damaged_snapshot: bool,
    /// The newest that could not be read at all, and why.
    unreadable: Option<String>,
    /// The newest that was passed over though it may be whole or has been so, why, and what to do about it.
    skipped: Option<(Zxid, String, &'static str)>,
    /// What the log that was read last has lost, maybe.
    hole: Option<Hole>,
    /// Snapshots above the ceiling.
    cut_off: Vec<FileId>,
    state: State,
    milestones: Vec<Milestone>,
}

/// What has been read so far.
#[derive(Clone, Debug)]
struct State {
    image: Image,
    zxid: Zxid,
    snapshot: Option<(FileId, Zxid)>,
    /// What the snapshot holds was in the durable log when it got its name, up to here at least.
    proven: Zxid,
    comparing: Comparing,
    digests: DigestLog,
    mismatches: u64,
    replayed: u64,
    cut: Option<(FileId, u64)>,
    discard: Vec<FileId>,
    remove: Vec<FileId>,
    logs: Vec<FileId>,
    history: History,
}

/// Are the digests in the logs those of the tree? While it holds parts of later txns, they are not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparing {
    /// It is whole.
    Now,
    /// It is whole when this txn has been applied, and has that digest then.
    From(Zxid, u64),
    /// Nobody knows of which txns there are parts: the file is the tree a leader has sent, or its writer kept no
    /// digests. From the first digest that is right on, the tree is whole. `differs` is the first that was not.
    FromAMatch { differs: Option<Zxid> },
}

#[derive(Clone, Debug)]
enum Stage {
    Snapshot { file: FileId, label: Zxid, reader: Box<SnapshotReader>, at: u64 },
    Logs { left: VecDeque<usize>, now: Option<LogInHand> },
    Done,
    Failed(Corruption),
}

#[derive(Clone, Debug)]
struct LogInHand {
    file: FileId,
    scanner: Box<Scanner>,
    at: u64,
}

/// Bytes asked for at a time.
const CHUNK: u32 = 1 << 20;

/// Where a disk with these snapshots, newest first, is cut off. One of them may be the tree of an epoch in which nothing had
/// been proposed, sent by a leader that a quorum followed already, and then it is what that epoch began with: the leader
/// that cuts off what came behind it names that by a zxid of an earlier epoch. This disk may be one of the few that hold it,
/// and what older files there are may end before.
fn not_below_a_young_tree(ceiling: Zxid, snapshots: &VecDeque<(usize, Zxid)>) -> Zxid {
    if planted(Plant::CutAcrossEpochs) || planted(Plant::CutBeforeTree) {
        return ceiling;
    }
    let young = snapshots.iter().map(|(_, label)| *label).find(|label| label.counter() == 0);
    young.map_or(ceiling, |label| label.max(ceiling))
}

impl Recovery {
    /// Reads everything there is, or with a `ceiling` only what is not above it: the rest is to go.
    pub(crate) fn new(
        listing: &Listing,
        config: &Config,
        seed: u64,
        ceiling: Option<Zxid>,
    ) -> Self {
        let files: Vec<FilePlace> = listing.files.iter().map(|(place, _)| place.clone()).collect();
        let mut snapshots: VecDeque<(usize, Zxid)> = snapshot_candidates(&files).into();
        let ceiling = ceiling.map(|ceiling| not_below_a_young_tree(ceiling, &snapshots));
        let above = |(_, label): &(usize, Zxid)| {
            ceiling.is_some_and(|ceiling| *label > ceiling)
                && !planted(Plant::SnapshotOfUncommitted)
        };
        let cut_off: Vec<FileId> =
            snapshots.iter().filter(|one| above(one)).map(|(at, _)| FileId(*at as u32)).collect();
        snapshots.retain(|one| !above(one));
        let mut recovery = Self {
            lengths: listing.files.iter().map(|(_, len)| *len).collect(),
            record_max: config.record_max(),
            trust_empty: config.storage.trust_empty_snapshot,
            allow_gaps: config.storage.allow_gaps,
            ceiling,
            keep_history: config.ensemble.is_some(),
            seed,
            emulate_353: config.emulate_353_ttl,
            stage: Stage::Done,
            snapshots,
            damaged_snapshot: false,
            unreadable: None,
            skipped: None,
            hole: None,
            cut_off,
            state: State::empty(DataTree::new(seed, config.emulate_353_ttl)),
            milestones: Vec::new(),
            files,
        };
        recovery.try_next_snapshot();
        recovery
    }

    pub(crate) fn take_milestones(&mut self) -> Vec<Milestone> {
        std::mem::take(&mut self.milestones)
    }

    /// The outcome, once.
    pub(crate) fn take_outcome(&mut self) -> Option<Result<Box<Recovered>, Corruption>> {
        match &self.stage {
            Stage::Snapshot { .. } | Stage::Logs { .. } => None,
            Stage::Failed(corruption) => Some(Err(corruption.clone())),
            Stage::Done => {
                let empty = State::empty(DataTree::without_nodes(0, false));
                let state = std::mem::replace(&mut self.state, empty);
                Some(Ok(Box::new(Recovered {
                    tree: state.image.tree,
                    sessions: state.image.sessions,
                    zxid: state.zxid,
                    snapshot: state.snapshot.map(|(_, label)| label),
                    cut: state.cut,
                    discard: state.discard,
                    remove: state.remove,
                    digest_mismatches: state.mismatches,
                    whole: state.comparing == Comparing::Now,
                    differs: match state.comparing {
                        Comparing::FromAMatch { differs } => differs,
                        Comparing::Now | Comparing::From(..) => None,
                    },
                    digests: state.digests,
                    logs: state.logs,
                    history: state.history,
                })))
            }
        }
    }

    /// What to read next.
    pub(crate) fn next_read(&self) -> Option<(FileId, u64, u32)> {
        match &self.stage {
            Stage::Snapshot { file, at, .. } => Some((*file, *at, CHUNK)),
            Stage::Logs { now: Some(log), .. } => Some((log.file, log.at, CHUNK)),
            Stage::Logs { now: None, .. } | Stage::Done | Stage::Failed(_) => None,
        }
    }

    /// What was asked for, or less at the end of the file.
    pub(crate) fn on_read(&mut self, bytes: &[u8]) {
        let last = bytes.len() < CHUNK as usize;
        match &mut self.stage {
            Stage::Snapshot { .. } => self.on_snapshot_bytes(bytes, last),
            Stage::Logs { now: Some(log), .. } => {
                log.at += bytes.len() as u64;
                log.scanner.feed(bytes);
                if last {
                    log.scanner.end();
                }
                self.replay();
            }
            Stage::Logs { now: None, .. } | Stage::Done | Stage::Failed(_) => {}
        }
    }

    /// The system would not read it. A snapshot has older ones behind it; a log has nothing.
    pub(crate) fn on_read_failed(&mut self, error: &str) {
        match &self.stage {
            Stage::Snapshot { file, label, .. } => {
                self.milestones.push(Milestone::SnapshotSkipped { file: *file });
                let what = format!("{} cannot be read: {error}", self.name(*file));
                self.skipped.get_or_insert((*label, what.clone(), UNREADABLE_REMEDY));
                self.unreadable.get_or_insert(what);
                self.try_next_snapshot();
            }
            Stage::Logs { now: Some(log), .. } => {
                let what = format!("{} cannot be read: {error}", self.name(log.file));
                self.fail(what, UNREADABLE_REMEDY);
            }
            Stage::Logs { now: None, .. } | Stage::Done | Stage::Failed(_) => {}
        }
    }

    fn name(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("?", |place| &place.name)
    }

    fn fail(&mut self, what: String, remedy: &'static str) {
        self.stage = Stage::Failed(Corruption { what, remedy });
    }

    /// Begins with the next older snapshot, from nothing: a failed attempt leaves nothing behind.
    fn try_next_snapshot(&mut self) {
        if let Some((at, label)) = self.snapshots.pop_front() {
            let file = FileId(at as u32);
            let reader = Box::new(SnapshotReader::new(self.record_max));
            self.stage = Stage::Snapshot { file, label, reader, at: 0 };
            self.state = State::empty(DataTree::without_nodes(self.seed, self.emulate_353));
            return;
        }
        self.state = State::empty(DataTree::new(self.seed, self.emulate_353));
        if let Some(what) = self.unreadable.take() {
            self.fail(
                what,
                "Make it readable for the user the server runs as, or look at the disk; if it is damaged, restore the \
                 data directory from a backup",
            );
            return;
        }
        if self.damaged_snapshot {
            self.fail(
                "Not able to find valid snapshots: every one of them is damaged".into(),
                "Restore the data directory from a backup. If the logs go back to log.1, the snapshots can be moved \
                 away and snapshot.trust.empty=true set for one start",
            );
            return;
        }
        let logs = logs_to_replay(&self.files, Zxid(0));
        if self.ceiling.is_some() {
            // All there is was cut off. The newest files go first, and the logs before the snapshots they stand on.
            self.state.discard = logs.iter().rev().map(|(at, _)| FileId(*at as u32)).collect();
            self.state.discard.append(&mut self.cut_off);
            return self.finish();
        }
        if !logs.is_empty() && !self.trust_empty {
            self.fail(
                "No snapshot found, but there are log entries. Something is broken!".into(),
                "Restore the missing snapshots (look into dataDir: is it the right one?). If there never was one, as \
                 in directories of ZooKeeper before 3.5, set snapshot.trust.empty=true for one start",
            );
            return;
        }
        self.start_logs(Zxid(0));
    }

    fn on_snapshot_bytes(&mut self, bytes: &[u8], last: bool) {
        let Stage::Snapshot { file, label, reader, at } = &mut self.stage else { return };
        let (file, label) = (*file, *label);
        *at += bytes.len() as u64;
        reader.feed(bytes);
        if last {
            reader.end();
        }
        let mut damage = None;
        loop {
            match reader.next() {
                Ok(Next::NeedsMore) => return,
                Ok(Next::Done(trailer)) => {
                    let digest_zxid = trailer.digest.map_or(label, |(zxid, _)| zxid);
                    self.state.proven =
                        label.max(digest_zxid).max(trailer.last_zxid.unwrap_or(label));
                    if self.ceiling.is_some_and(|ceiling| self.state.proven > ceiling)
                        && !planted(Plant::SnapshotOfUncommitted)
                    {
                        // Something of what was cut off is in it already.
                        self.cut_off.push(file);
                        break;
                    }
                    return self.on_snapshot_loaded(file, label, trailer.digest);
                }
                Ok(Next::Item(item)) => {
                    if self.state.image.load(item).is_err() {
                        damage = Some("its parts do not fit together".to_owned());
                        break;
                    }
                }
                // Java writes under the final name, and may never have come to the end.
                Err(Flaw::Truncated { .. }) => break,
                Err(Flaw::Damaged { at, what }) => {
                    damage = Some(format!("{what} at offset {at}"));
                    break;
                }
            }
        }
        if let Some(damage) = damage {
            let what = format!("{} is damaged: {damage}", self.name(file));
            self.skipped.get_or_insert((label, what, SKIPPED_REMEDY));
            self.damaged_snapshot = true;
        }
        self.milestones.push(Milestone::SnapshotSkipped { file });
        self.try_next_snapshot();
    }

    fn on_snapshot_loaded(&mut self, file: FileId, label: Zxid, digest: Option<(Zxid, u64)>) {
        let state = &mut self.state;
        state.comparing = match digest {
            Some((zxid, digest)) if zxid == label && digest != 0 => {
                state.check_digest(zxid, digest, &mut self.milestones);
                Comparing::Now
            }
            Some((zxid, digest)) if zxid > label && planted(Plant::DigestComparedEarly) => {
                state.check_digest(zxid, digest, &mut self.milestones);
                Comparing::Now
            }
            Some((zxid, digest)) if zxid > label => Comparing::From(zxid, digest),
            _ => Comparing::FromAMatch { differs: None },
        };
        state.image.tree.set_up_quotas();
        state.zxid = label;
        state.history = History::starting_after(label);
        state.snapshot = Some((file, label));
        self.start_logs(Zxid(label.0 + 1));
    }

    fn start_logs(&mut self, start: Zxid) {
        self.state.image.acls.clear();
        let left = logs_to_replay(&self.files, start).into_iter().map(|(at, _)| at).collect();
        self.stage = Stage::Logs { left, now: None };
        self.next_log();
    }

    fn next_log(&mut self) {
        let Stage::Logs { left, now } = &mut self.stage else { return };
        let Some(at) = left.pop_front() else {
            self.finish();
            return;
        };
        let scanner = Box::new(Scanner::new(self.record_max, self.state.zxid));
        *now = Some(LogInHand { file: FileId(at as u32), scanner, at: 0 });
    }

    /// What stands from here on was cut off by a leader. The newest files go first, so that at every moment what is left
    /// is the beginning of what there was.
    fn cut_here(&mut self, file: FileId, at: u64) {
        let Stage::Logs { left, .. } = &self.stage else { return };
        let later = left.iter().rev().map(|at| FileId(*at as u32));
        self.state.discard.extend(later);
        // Even where nothing is left in it, it stays: that it is cut is known when it is synced.
        self.state.cut = Some((file, at));
        self.state.logs.push(file);
        self.finish();
    }

    fn finish(&mut self) {
        let State { snapshot, replayed, zxid, .. } = self.state;
        // The tree of a leader has no log that leads to it. Whoever has acknowledged it must not come back with less.
        if let Some((label, what, remedy)) = self.skipped.take()
            && label > zxid
            && !self.allow_gaps
            && !planted(Plant::LostTreePassedOver)
        {
            let what = format!(
                "{what}. Its name says that it holds all up to {label}, and the rest of the files ends at {zxid}"
            );
            return self.fail(what, remedy);
        }
        // A backup of the snapshot alone: what it holds beyond its label is half of something.
        if let Comparing::From(beyond, _) = self.state.comparing {
            self.milestones.push(Milestone::DigestMismatch { zxid: beyond });
            self.state.mismatches += 1;
        }
        // Snapshots first: a log without what was cut off must not be read behind one that has it.
        self.state.discard.splice(0..0, self.cut_off.drain(..));
        let snapshot = snapshot.map(|(file, _)| file);
        self.milestones.push(Milestone::Recovered { snapshot, replayed, zxid });
        self.stage = Stage::Done;
    }

    fn replay(&mut self) {
        let Stage::Logs { left, now: Some(log) } = &mut self.stage else { return };
        let (file, is_last) = (log.file, left.is_empty());
        while let Some(record) = log.scanner.next() {
            let takes_more = planted(Plant::CutTakesOneMore)
                && self.ceiling.is_some_and(|ceiling| record.header.zxid >= ceiling);
            let keeps = planted(Plant::CutKeepsFirst)
                && self.ceiling == Some(self.state.zxid)
                && self.state.replayed == 0;
            let above = self.ceiling.is_some_and(|ceiling| record.header.zxid > ceiling);
            if above && !keeps || takes_more {
                return self.cut_here(file, record.at);
            }
            let (before, next) = (self.state.zxid, record.header.zxid);
            if next.follows(before)
                && next != before.next()
                && !self.allow_gaps
                && let Some(skipped) = snapshot_between(&self.files, before, next)
            {
                let (name, snapshot) = (self.name(file), &self.files[skipped].name);
                let what = format!(
                    "{name} at offset {}: {next} comes after {before}, and {snapshot}, which cannot be read, is the only \
                     one that may tell what lies between",
                    record.at
                );
                return self.fail(what, SKIPPED_REMEDY);
            }
            if next > before
                && let Some(what) = self.hole.take().and_then(|hole| hole.between(before, next))
            {
                return self.fail(what, HOLE_REMEDY);
            }
            let kept = self.keep_history;
            let gaps = self.allow_gaps;
            if let Err(after) = self.state.replay(&record, gaps, kept, &mut self.milestones) {
                let (name, at) = (self.name(file).to_owned(), record.at);
                let zxid = record.header.zxid;
                self.fail(
                    format!(
                        "{name} at offset {at}: {zxid} is not the next proposal of {after}: what lies between is \
                         missing"
                    ),
                    "Look for a log file that was moved or removed. If the missing writes are known to be lost, set \
                     test.allowDiscontinuousProposals=true for one start",
                );
                return;
            }
        }
        let last = log.scanner.last_zxid();
        if let Some(verdict) = log.scanner.verdict() {
            self.on_log_end(file, is_last, last, verdict);
        }
    }

    /// The records of a log are over; `last` is the zxid of the last one.
    fn on_log_end(&mut self, file: FileId, is_last: bool, last: Option<Zxid>, verdict: Verdict) {
        // What should stand where the records end.
        let lost = match last {
            Some(last) => Some(last.next()),
            None => self.files.get(file.0 as usize).and_then(log_zxid),
        };
        // Without records, under such a name, it would pass for the log that holds what comes next: purging goes by names.
        let beyond = self.state.zxid.next().max(self.state.proven);
        let misnamed = is_last && last.is_none() && lost > Some(beyond);
        let length = self.lengths.get(file.0 as usize).copied().unwrap_or(0);
        match verdict {
            Verdict::Clean { end: at } | Verdict::Torn { at, hole: true, .. }
                if !is_last && at < length && was_cut_to_fit(length) && !self.allow_gaps =>
            {
                self.hole = Some(Hole { log: self.name(file).to_owned(), at });
            }
            // What was to begin with this name would have come behind the hole.
            Verdict::Clean { .. } | Verdict::Torn { .. } if last.is_none() => {
                let first = lost.filter(|first| *first > self.state.zxid);
                let hole =
                    first.and_then(|first| self.hole.take()?.between(self.state.zxid, first));
                if let Some(what) = hole {
                    return self.fail(what, HOLE_REMEDY);
                }
            }
            _ => {}
        }
        if !matches!(verdict, Verdict::Unborn) && !misnamed {
            self.state.logs.push(file);
        }
        match verdict {
            Verdict::Clean { .. } | Verdict::Torn { .. } if misnamed => {
                self.milestones.push(Milestone::EmptyLogRemoved { file });
                self.state.remove.push(file);
                self.next_log();
            }
            Verdict::Clean { end } => {
                if is_last && end < length {
                    self.state.cut = Some((file, end));
                }
                self.next_log();
            }
            Verdict::Torn { at, dropped, .. } if dropped > 0 && lost <= Some(self.state.proven) => {
                let what = format!(
                    "{} is damaged at offset {at}: no record starts here, but {dropped} whole ones follow, and the \
                     snapshot proves that they were durable up to {}",
                    self.name(file),
                    self.state.proven
                );
                self.fail(what, LOG_REMEDY);
            }
            Verdict::Torn { at, .. } if planted(Plant::TornTailIsDamage) => {
                let what = format!("{} is torn at offset {at}", self.name(file));
                self.fail(what, LOG_REMEDY);
            }
            Verdict::Damaged { at, .. } if planted(Plant::DamageIsTheEnd) => {
                self.state.cut = Some((file, at));
                self.next_log();
            }
            Verdict::Torn { at, .. } => {
                // Behind a torn tail an older server began a new file; whether anything is missing between them,
                // the zxids say.
                if is_last {
                    self.milestones.push(Milestone::TornTail { file, at });
                    self.state.cut = Some((file, at));
                }
                self.next_log();
            }
            Verdict::Unborn if is_last && !planted(Plant::UnbornLogRefused) => {
                self.milestones.push(Milestone::EmptyLogRemoved { file });
                self.state.remove.push(file);
                self.next_log();
            }
            Verdict::Unborn => {
                let what = format!("{} has no header, but newer logs follow it", self.name(file));
                self.fail(what, LOG_REMEDY);
            }
            Verdict::Damaged { at, what } => {
                let what = format!(
                    "{} ({length} bytes) is damaged at offset {at}: {what}",
                    self.name(file)
                );
                self.fail(what, LOG_REMEDY);
            }
        }
    }
}

/// What to do about a damaged log.
const LOG_REMEDY: &str = "Nothing was changed. What follows that place may have been acknowledged to clients: restore \
    the file from a backup or another server. Only if its loss is accepted, move the newer logs away and cut this one \
    there (truncate -s OFFSET FILE)";

/// What to do about a file that may be whole.
const UNREADABLE_REMEDY: &str =
    "Make it readable for the user the server runs as, or look at the disk";

/// What to do about a log that has lost its end, while newer ones are there.
const HOLE_REMEDY: &str = "Nothing was changed. Restore that log from a backup. In an ensemble whose other servers are a \
    quorum, the data directory can be moved aside instead: the server gets everything from its leader. Only if the loss is \
    accepted, set test.allowDiscontinuousProposals=true for one start";

/// What to do about a snapshot that is needed and damaged.
const SKIPPED_REMEDY: &str = "Restore that snapshot from a backup. In an ensemble, the data directory can be moved aside \
    instead: the server gets everything from its leader. Only if the loss is accepted, set \
    test.allowDiscontinuousProposals=true for one start";

impl State {
    fn empty(tree: DataTree) -> Self {
        Self {
            image: Image::new(tree),
            zxid: Zxid::ZERO,
            snapshot: None,
            proven: Zxid::ZERO,
            comparing: Comparing::Now,
            digests: DigestLog::default(),
            mismatches: 0,
            replayed: 0,
            cut: None,
            discard: Vec::new(),
            remove: Vec::new(),
            logs: Vec::new(),
            history: History::default(),
        }
    }

    /// Applies one record of a log. `Err` is the zxid it should have followed.
    fn replay(
        &mut self,
        record: &Record,
        allow_gaps: bool,
        keep: bool,
        milestones: &mut Vec<Milestone>,
    ) -> Result<(), Zxid> {
        let zxid = record.header.zxid;
        // The front of the first log is older than the snapshot; a stray copy of a log, or Java's second error record
        // of one zxid, says nothing new either.
        if zxid <= self.zxid {
            return Ok(());
        }
        if planted(Plant::ReplayBeginsLate) && self.replayed == 0 && zxid.follows(self.zxid) {
            (self.zxid, self.replayed) = (zxid, 1);
            return Ok(());
        }
        let follows = zxid.follows(self.zxid);
        // Nothing could follow the last number there is.
        if zxid.0 == i64::MAX || !follows && !allow_gaps {
            return Err(self.zxid);
        }
        match &record.txn {
            Txn::CreateSession { timeout_ms } => {
                self.image.sessions.insert(record.header.session, *timeout_ms);
            }
            Txn::CloseSession { .. } => {
                self.image.sessions.remove(&record.header.session);
            }
            _ => {}
        }
        self.image.tree.apply(&record.header, &record.txn, &mut |_| {});
        self.zxid = zxid;
        self.replayed += 1;
        if keep {
            let mut payload = Vec::new();
            encode_txn(&record.header, &record.txn, record.digest, &mut payload);
            self.history.push(zxid, &payload, zxid);
        }
        let now = self.image.tree.digest();
        match (self.comparing, record.digest) {
            (Comparing::From(from, digest), _) if zxid >= from => {
                self.comparing = Comparing::Now;
                if zxid == from {
                    self.check_digest(zxid, digest, milestones);
                }
            }
            (Comparing::FromAMatch { .. }, Some(digest)) if digest == now => {
                self.comparing = Comparing::Now;
            }
            (Comparing::FromAMatch { differs: None }, Some(_)) => {
                self.comparing = Comparing::FromAMatch { differs: Some(zxid) };
            }
            (Comparing::Now, Some(digest)) => self.check_digest(zxid, digest, milestones),
            _ => {}
        }
        if self.comparing == Comparing::Now {
            self.digests.note(zxid, now);
        }
        Ok(())
    }

    /// Compares digests. A difference is reported, never fatal: Java writes other digests for names that are not
    /// ASCII, depending on its locale (storage §2.8).
    fn check_digest(&mut self, zxid: Zxid, digest: u64, milestones: &mut Vec<Milestone>) {
        if self.image.tree.digest() != digest {
            if self.mismatches == 0 {
                milestones.push(Milestone::DigestMismatch { zxid });
            }
            self.mismatches += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_youngest_tree_stays_also_beside_older_files() {
        let at = |epoch: i64, counter: i64| Zxid(epoch << 32 | counter);
        let cut = |labels: &[Zxid], ceiling| {
            let snapshots = labels.iter().copied().enumerate().collect();
            not_below_a_young_tree(ceiling, &snapshots)
        };
        // What was there before the tree of epoch 5 goes when that is durable, and may be there still.
        let labels = [at(5, 0), at(3, 7), at(2, 0), at(0, 0)];
        assert_eq!(cut(&labels, at(4, 9)), at(5, 0));
        assert_eq!(cut(&labels, at(5, 3)), at(5, 3));
        // Of what came with no tree, everything may be cut off.
        let labels = [at(3, 7), at(1, 5), at(0, 0)];
        assert_eq!(cut(&labels, at(1, 2)), at(1, 2));
        assert_eq!(cut(&[], at(1, 2)), at(1, 2));
    }
}
