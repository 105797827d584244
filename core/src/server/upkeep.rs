//! Everything a timer or a completion drives: start, snapshots, expiry, reaping, purging, room on the disk.

use super::Listing;
use super::Server;
use super::commit::{Comparable, Origin, Refused, Wish, Work};
use super::journal::{Claim, Journal};
use super::roles::Role;
use crate::effect::{Dir, DropReason, Effect, FileId, FilePlace, Milestone, Span, Timer};
use crate::ids::{ConnId, SessionId, Xid, Zxid};
use crate::input::Device;
use crate::journal::{purgeable, snapshot_name};
use crate::planted::{Plant, planted};
use crate::recovery::{Recovered, Recovery};
use crate::server::clients::ConnState;
use crate::snapshot::SnapshotWriter;
use crate::time::Instant;
use crate::tree::{NodeId, OPEN, Owner, WalkId};
use crate::txn::Outstanding;
use crate::wire::{StatPersisted, Txn, TxnHeader};
use serde::{Deserialize, Serialize};

/// The core's only chance: a small generator (splitmix64) fed by the seed it was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Half of `most` and a random part of the other half (storage §1.6): servers do not all pause at once.
    fn half_or_more(&mut self, most: u64) -> u64 {
        let half = most / 2;
        half + self.draw() % half.max(1)
    }
}

/// A snapshot being written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SnapshotJob {
    /// There from the first slice to the last.
    writer: Option<SnapshotWriter>,
    label: Zxid,
    at: u64,
    started: Instant,
    /// Its name, once it has one.
    file: Option<FileId>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Stage {
    /// The next slice may be written.
    Ready,
    /// A slice is on its way to the disk.
    Writing,
    /// The last slice is.
    WritingLast,
    /// The file is being made durable and gets its name.
    Finishing,
    /// Nobody wants it any more; the disk has not answered yet.
    Abandoned,
}

/// The highest number a left-over spare log file has.
pub(super) fn highest_spare(files: &[FilePlace]) -> u32 {
    let number = |file: &FilePlace| file.name.strip_prefix(SPARE)?.parse().ok();
    files.iter().filter_map(number).max().unwrap_or(0)
}

/// What names of spare log files begin with.
const SPARE: &str = "zoetrope-spare.";

impl Server {
    /// Asks for the next bytes that recovery wants, or takes what it came to.
    pub(super) fn drive_recovery(&mut self) {
        // A snapshot that is still on its way to its name belongs to what is there.
        if self.snapshot.is_none()
            && let Some(ceiling) = self.reread.take()
        {
            self.begin_reading(ceiling);
        }
        let Some(recovery) = &mut self.recovery else { return };
        for milestone in recovery.take_milestones() {
            self.effects.push(Effect::Report(milestone));
        }
        match recovery.take_outcome() {
            Some(Ok(recovered)) => {
                self.recovery = None;
                self.settle(recovered);
            }
            Some(Err(corruption)) => {
                self.recovery = None;
                self.halt(corruption.to_string());
            }
            None if self.reading.is_none() => {
                if let Some((file, at, len)) = recovery.next_read() {
                    self.reading = Some((file, at));
                    self.effects.push(Effect::Read { file, at, len });
                }
            }
            None => {}
        }
    }

    pub(super) fn on_read_done(&mut self, file: FileId, at: u64, bytes: &[u8]) {
        match &mut self.recovery {
            Some(recovery) if self.reading == Some((file, at)) => {
                self.reading = None;
                recovery.on_read(bytes);
            }
            _ => self.on_log_read(file, at, Some(bytes)),
        }
    }

    pub(super) fn on_read_failed(&mut self, file: FileId, at: u64, error: &str) {
        match &mut self.recovery {
            Some(recovery) if self.reading == Some((file, at)) => {
                self.reading = None;
                recovery.on_read_failed(error);
            }
            _ => self.on_log_read(file, at, None),
        }
    }

    /// Reads everything from the disk again, without what is above `ceiling`, which goes for good: what was in memory
    /// is not, or no longer, what this server stands for.
    pub(super) fn read_disk_again(&mut self, ceiling: Option<Zxid>) {
        assert!(self.journal.is_quiet(), "the log is read while it is being written");
        self.abandon_snapshot();
        self.journal.close();
        self.proposals.clear();
        // Whoever has to cut something off does it, whatever else is asked for meanwhile.
        let before = self.reread.flatten();
        self.reread = Some(match (before, ceiling) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        });
    }

    fn begin_reading(&mut self, ceiling: Option<Zxid>) {
        let listing = Listing {
            files: self.places().into_iter().map(|place| (place, 0)).collect(),
            ..Listing::default()
        };
        let seed = self.chance.draw();
        let recovery = Recovery::new(&listing, &self.config, seed, ceiling);
        self.recovery = Some(Box::new(recovery));
        self.reading = None;
    }

    /// All files by their number, those that are gone without a name.
    pub(super) fn places(&self) -> Vec<FilePlace> {
        let mut places = self.files.clone();
        for gone in &self.gone {
            places[gone.0 as usize].name.clear();
        }
        places
    }

    /// Stops for good.
    pub(super) fn halt(&mut self, why: String) {
        self.halted = Some(why);
        self.effects.push(Effect::Halt);
    }

    pub(super) fn on_device_failed(&mut self, device: Device, error: &str) {
        let what = match device {
            Device::Log => "the txn log",
            Device::Epochs => "the epoch files",
            Device::Snapshot => "a snapshot",
        };
        self.report(Milestone::DeviceFailed { device });
        if planted(Plant::BrokenDiskGoesOn) {
            return;
        }
        // After a failed fsync nobody knows what is on disk; trying again would lie to clients (storage §5.4).
        self.halt(format!(
            "writing {what} failed: {error}. Nothing that was acknowledged is lost; what was under way may or may \
             not be there. Look at the disk, then start the server again"
        ));
    }

    /// What was read may be in the system's memory only: a process that was killed leaves records behind whose fsync
    /// never returned. They count from now on, so they are synced before anybody is told of them, and before anything
    /// is written behind them.
    fn settle(&mut self, recovered: Box<Recovered>) {
        let cuts = !planted(Plant::CutNotWritten) || !self.started;
        for file in recovered.discard.iter().filter(|_| cuts) {
            self.gone.insert(*file);
            self.effects.push(Effect::Discard { file: *file });
        }
        if let Some((file, at)) = recovered.cut.filter(|_| cuts) {
            self.effects.push(Effect::Truncate { file, at });
        }
        if !recovered.logs.is_empty() {
            self.effects.push(Effect::FsyncDir);
        }
        for file in &recovered.logs {
            self.effects.push(Effect::Fsync { file: *file, branch: SETTLING, upto: 0 });
        }
        self.unsettled = recovered.logs.len();
        self.settling = Some(recovered);
        if self.unsettled == 0 {
            self.on_settled();
        }
    }

    /// One of the files that were read is durable.
    pub(super) fn on_settled(&mut self) {
        self.unsettled = self.unsettled.saturating_sub(1);
        if let (0, Some(recovered)) =
            (self.unsettled, self.settling.take_if(|_| self.unsettled == 0))
        {
            self.start_from(*recovered);
        }
    }

    /// The tree is what the disk says.
    fn start_from(&mut self, recovered: Recovered) {
        let was_empty = recovered.snapshot.is_none() && recovered.zxid == Zxid::ZERO;
        self.tree = recovered.tree;
        self.digests = recovered.digests;
        self.comparable = match recovered.whole || planted(Plant::PartsForgotten) {
            true => Comparable::From(Zxid::ZERO),
            false => Comparable::NotYet { differs: recovered.differs },
        };
        self.sessions_applied = recovered.sessions;
        self.zxid_applied = recovered.zxid;
        self.zxid_proposed = recovered.zxid;
        self.history = recovered.history;
        self.set_history_budget();
        self.outstanding = Outstanding::new(self.tree.digest());
        self.figures.digest_mismatches = recovered.digest_mismatches;
        for file in recovered.remove {
            // The first log will take its place by a rename, and must not be removed in its stead.
            if self.files[file.0 as usize] != Journal::place_of(self.zxid_proposed.next()) {
                self.effects.push(Effect::Remove { file });
            }
        }
        self.figures.last_snapshot = recovered.snapshot;
        // The history may be of a later epoch than the file says: it holds the beginning of that epoch then, and with it
        // everything a leader of it began with (ZOOKEEPER-1653).
        let epoch = self.zxid_applied.epoch();
        if planted(Plant::YoungEpochRefused) && self.peers.is_some() && epoch > self.epochs.current
        {
            return self.halt(format!("the last zxid is of epoch {}", epoch.0));
        }
        if self.peers.is_some() && epoch > self.epochs.current {
            self.put_epochs(self.epochs.accepted.max(epoch), epoch);
        }
        if !self.started {
            self.start();
        }
        if self.peers.is_some() && was_empty {
            // Logs without a snapshot are a broken directory, so the empty tree is written down before anything is
            // logged. It holds nothing that could be cut off.
            self.snapshot_first = true;
            self.start_snapshot_job();
        }
        self.on_disk_read_again();
    }

    /// What is done once in the life of a process, when its files have been read.
    fn start(&mut self) {
        self.started = true;
        for (number, place) in self.files.iter().enumerate() {
            if place.name.starts_with(SPARE) {
                self.effects.push(Effect::Remove { file: FileId(number as u32) });
            }
        }
        let storage = &self.config.storage;
        let count = self.chance.half_or_more(u64::from(storage.snap_count.max(2)));
        let size = storage.snap_size_limit.map(|limit| self.chance.half_or_more(limit));
        self.roll_after = (count as u32, size.unwrap_or(u64::MAX));
        let files = &mut self.files;
        self.journal.prepare_spare(|place| Self::name_file(files, place));
        self.set_timer(Timer::Tick, u64::from(self.config.tick_ms / 2).max(1));
        self.set_timer(Timer::Containers, self.config.containers.check_interval_ms.max(1));
        self.set_purge_timer();
        // A snapshot that says all there is needs no other; everything else is written down afresh, so that the
        // next start is quick. On a disk that is nearly full the log comes first: without it nobody is let in.
        self.snapshot_due = self.figures.last_snapshot != Some(self.zxid_applied);
        if self.peers.is_none() {
            self.clean_up_dead_sessions();
            self.committed = self.zxid_applied;
            // Logs without any snapshot are refused at the next start: its like must not come to be (ZOOKEEPER-2325).
            self.snapshot_first |=
                self.figures.last_snapshot.is_none() && !planted(Plant::NoSnapshotFirst);
            if self.snapshot_first {
                self.start_snapshot_job();
            }
            self.begin_service();
        }
    }

    /// Clients are served from here on.
    pub(super) fn begin_service(&mut self) {
        self.served = true;
        self.joined = true;
        let differs = self.comparable.when_all_is_here(self.committed);
        if let Some(zxid) = differs.filter(|_| self.leads()) {
            // Nobody else has digests to compare with.
            self.figures.digest_mismatches += 1;
            self.report(Milestone::DigestMismatch { zxid });
        }
        self.outstanding = Outstanding::new(self.tree.digest());
        let heard = self.listening();
        self.tracker.clear();
        for (session, timeout_ms) in &self.sessions_applied {
            self.tracker.add(*session, *timeout_ms, heard);
        }
        self.report(Milestone::Serving { zxid: self.zxid_applied });
        if self.peers.is_some() && self.snapshot_due && self.journal.can_roll() {
            self.start_snapshot();
        }
    }

    /// Does this server decide when sessions and containers end?
    pub(super) fn leads(&self) -> bool {
        match &self.role {
            Role::Alone => true,
            Role::Leading(leader) => leader.is_established(),
            Role::Resting | Role::Looking(_) | Role::Following(_) | Role::Observing(_) => false,
        }
    }

    /// Ends a session whose time is over, or that was lost.
    pub(super) fn propose_expiry(&mut self, session: SessionId) -> Result<Zxid, Refused> {
        self.propose(&Wish {
            origin: Origin::Nobody,
            session,
            cxid: Xid(0),
            claim: Claim::Release,
            work: Work::Expire,
        })
    }

    /// Ephemerals whose session is in no table: the session ended while its closing was lost to an old bug or a
    /// restored snapshot. They go without a txn, as in Java, so a snapshot must have that before anything is logged.
    fn clean_up_dead_sessions(&mut self) {
        let dead: Vec<SessionId> = self
            .tree
            .ephemeral_owners()
            .filter(|owner| !self.sessions_applied.contains_key(owner))
            .collect();
        for session in dead {
            let zxid = self.zxid_applied;
            let header = TxnHeader { session, cxid: Xid(0), zxid, time_ms: 0 };
            self.tree.apply(&header, &Txn::CloseSession { paths: None }, &mut |_| {});
            self.report(Milestone::DeadSessionCleaned { session });
            self.snapshot_first = true;
        }
    }

    fn set_timer(&mut self, id: Timer, in_ms: u64) {
        self.effects.push(Effect::SetTimer { id, at: self.now.mono.plus_ms(in_ms) });
    }

    pub(super) fn set_purge_timer(&mut self) {
        let every_ms = self.config.storage.purge_interval_ms;
        if every_ms > 0 && self.config.storage.snap_retain.is_some() {
            self.set_timer(Timer::Purge, every_ms);
        }
    }

    /// Once in half a tick: who has not been heard of?
    pub(super) fn on_tick(&mut self) {
        let heard = self.listening();
        let mut expired = if self.leads() { self.tracker.expired(heard) } else { Vec::new() };
        // Of one whose beginning is still in flight, nobody has been told.
        expired.retain(|session| self.sessions_applied.contains_key(session));
        for session in expired {
            match self.propose_expiry(session) {
                Ok(_) if planted(Plant::SessionExpiredTwice) => {}
                Ok(_) => {
                    self.tracker.start_closing(session);
                    self.figures.expired += 1;
                }
                // No room to write it down: it lives on until there is.
                Err(Refused::Awaited | Refused::Lacking) => break,
            }
        }
        if self.is_read_only() {
            self.expire_read_only_sessions();
        }
        self.expire_local_sessions();
        let handshake_us = u64::from(self.config.limits.handshake_ms) * 1000;
        let idle = |(id, conn): (&ConnId, &super::clients::Conn)| {
            let age_us = self.now.mono.since(conn.figures.established.mono);
            (conn.state == ConnState::Handshake && age_us > handshake_us).then_some(*id)
        };
        let idle: Vec<ConnId> = self.clients.conns.iter().filter_map(idle).collect();
        for id in idle {
            self.figures.sessionless += 1;
            self.drop_conn(id, DropReason::Idle);
        }
        self.set_timer(Timer::Tick, u64::from(self.config.tick_ms / 2).max(1));
    }

    /// Is this a container or TTL znode that nobody uses any more?
    fn is_reapable(&self, stat: &StatPersisted, children: u32) -> bool {
        let never_used_ms = self.config.containers.never_used_ms;
        let age_ms = self.now.wall_ms.saturating_sub(stat.mtime);
        let due = match Owner::of(stat.ephemeral_owner, self.config.emulate_353_ttl) {
            Owner::Container => {
                stat.cversion > 0
                    || planted(Plant::ContainerReapedUnused)
                    || (never_used_ms != 0 && age_ms > never_used_ms)
            }
            Owner::Ttl { ms } if planted(Plant::TtlReapedEarly) => age_ms > ms / 2,
            Owner::Ttl { ms } => age_ms > ms,
            Owner::Nobody | Owner::Session(_) => false,
        };
        due && children == 0
    }

    /// Deletes empty containers and TTL znodes whose time is over (client protocol §3.6).
    pub(super) fn reap_containers(&mut self) {
        let settings = &self.config.containers;
        let interval_ms = settings.check_interval_ms.max(1);
        let most = (u64::from(settings.max_per_minute) * interval_ms).div_ceil(60_000).max(1);
        let applied = |id: &NodeId| {
            let node = self.tree.node(*id);
            self.is_reapable(node.persisted(), node.child_count())
        };
        // A write in flight may be about to renew it.
        let to_be = |path: &String| {
            if planted(Plant::ReapIgnoresFlight) {
                return true;
            }
            let node = self.outstanding.lookup(&self.tree, path);
            node.is_some_and(|node| self.is_reapable(&node.stat, node.children))
        };
        let leads = self.leads();
        let due: Vec<String> = self
            .tree
            .reapable()
            .filter(|_| leads)
            .filter(applied)
            .map(|id| self.tree.path_of(id))
            .filter(to_be)
            .take(most as usize)
            .collect();
        for path in due {
            let wish = Wish {
                origin: Origin::Nobody,
                session: SessionId::NONE,
                cxid: Xid(0),
                claim: Claim::Release,
                work: Work::Reap { path: &path },
            };
            if self.propose(&wish).is_err() {
                break;
            }
        }
        self.set_timer(Timer::Containers, interval_ms);
    }

    pub(super) fn on_reserved(&mut self, file: FileId, upto: u64) {
        self.journal.on_reserved(file, upto);
        if self.full_since.take().is_some() {
            self.report(Milestone::RoomFound);
        }
        if self.snapshot_due && self.is_serving() {
            self.start_snapshot();
        }
    }

    pub(super) fn on_no_room(&mut self, file: FileId) {
        // The journal forgets it whenever it asks again.
        if self.full_since.is_none() {
            self.full_since = Some(self.now.mono);
            self.report(Milestone::RoomLost);
        }
        self.journal.on_no_room(file);
        self.set_timer(Timer::Room, ROOM_RETRY_MS);
    }

    pub(super) fn ask_for_room_again(&mut self) {
        let files = &mut self.files;
        self.journal.ask_again(|place| Self::name_file(files, place));
        let whole = !self.is_reading_disk() && !self.is_receiving_tree();
        if self.snapshot_first && self.snapshot.is_none() && whole {
            self.start_snapshot_job();
        }
    }

    /// Before a record is appended: is it time for a new file (storage §1.6), or is there none yet?
    pub(super) fn roll_if_due(&mut self, next: Zxid) {
        let (records, bytes) = self.journal.since_roll();
        let full = records > self.roll_after.0 || bytes > self.roll_after.1;
        let long = self.config.storage.log_size_limit.is_some_and(|limit| bytes > limit);
        let first = !self.journal.has_file();
        if !(full || long || first) || !self.journal.can_roll() {
            return;
        }
        let files = &mut self.files;
        let spare = self.journal.roll(next, |place| Self::name_file(files, place));
        self.gone.insert(spare);
        self.journal.prepare_spare(|place| Self::name_file(files, place));
        if let Some(file) = self.journal.file() {
            self.supersede(file);
        }
        if full && !first {
            let count = u64::from(self.config.storage.snap_count.max(2));
            self.roll_after.0 = self.chance.half_or_more(count) as u32;
            if let Some(limit) = self.config.storage.snap_size_limit {
                self.roll_after.1 = self.chance.half_or_more(limit);
            }
            self.start_snapshot();
        }
    }

    /// Begins a snapshot of what is applied now, unless one is under way.
    pub(super) fn start_snapshot(&mut self) {
        if self.snapshot.is_none() && self.is_serving() {
            self.start_snapshot_job();
        }
    }

    /// The same, whoever is served. What is applied must be committed, or be a leader's tree.
    pub(super) fn start_snapshot_job(&mut self) {
        if self.snapshot.is_some() {
            self.snapshot_wanted = true;
            return;
        }
        self.snapshot_due = false;
        let label = match planted(Plant::SnapshotLabelAhead) {
            true => self.zxid_proposed,
            false => self.zxid_applied,
        };
        self.tree.start_walk(TO_DISK);
        let (writer, started) = (None, self.now.mono);
        let (file, stage) = (None, Stage::Ready);
        self.snapshot = Some(SnapshotJob { writer, label, at: 0, started, file, stage });
        self.report(Milestone::SnapshotStarted { zxid: label });
    }

    /// Encodes the next slice, if the last one has been written.
    pub(super) fn write_snapshot_slice(&mut self) {
        let Some(job) = self.snapshot.as_mut().filter(|job| job.stage == Stage::Ready) else {
            return;
        };
        let out = &mut self.journal.buf;
        let start = out.len();
        let most = start + self.config.storage.slice_bytes as usize;
        let mut writer = job.writer.take().unwrap_or_else(|| {
            let lacks = usize::from(planted(Plant::SnapshotLacksSession));
            let all = self.sessions_applied.len().saturating_sub(lacks);
            let sessions = self.sessions_applied.iter().map(|(id, timeout)| (*id, *timeout));
            let sessions = sessions.take(all);
            let acls = self.tree.acl_table().map(|(id, list)| (i64::from(id.0), &**list));
            SnapshotWriter::begin(sessions, acls, out)
        });
        let over = self.tree.walk_on(TO_DISK, |node| {
            let acl = if node.acl == OPEN { -1 } else { i64::from(node.acl.0) };
            writer.node(node.path, node.data, acl, node.stat, out);
            out.len() < most
        });
        job.stage = Stage::Writing;
        if over {
            let whole = self.comparable.is_whole_at(self.zxid_applied);
            let dated = match whole || planted(Plant::LeadersTreeDated) {
                // Applied means durable here, so nothing in the file is ahead of the log on disk.
                true => (self.zxid_applied, self.tree.digest()),
                // As Java writes it of a tree that was received: its digest belongs to no zxid (storage §2.8).
                false => (Zxid::ZERO, 0),
            };
            writer.end(dated, self.zxid_applied, out);
            self.tree.end_walk(TO_DISK);
            job.stage = Stage::WritingLast;
        } else {
            job.writer = Some(writer);
        }
        let bytes = Span { start, len: out.len() - start };
        self.effects.push(Effect::SnapSlice { at: job.at, bytes });
        job.at += bytes.len as u64;
    }

    pub(super) fn on_snapshot_written(&mut self, upto: u64) {
        let Some(job) = self.snapshot.as_mut().filter(|job| job.at == upto) else { return };
        match job.stage {
            Stage::Abandoned => self.forget_snapshot(),
            Stage::Writing => job.stage = Stage::Ready,
            Stage::WritingLast => {
                job.stage = Stage::Finishing;
                let zxid = job.label;
                let name = snapshot_name(zxid, self.config.storage.compression);
                let place = FilePlace { dir: Dir::Snapshot, name };
                let file = Self::name_file(&mut self.files, place);
                job.file = Some(file);
                self.effects.push(Effect::SnapFinish { file, zxid });
            }
            Stage::Ready | Stage::Finishing => {}
        }
    }

    pub(super) fn on_snapshot_durable(&mut self, zxid: Zxid) {
        let Some(job) = self.snapshot.take_if(|job| job.label == zxid) else { return };
        if let Some(file) = job.file {
            self.supersede(file);
        }
        if job.stage == Stage::Abandoned {
            return self.forget_snapshot();
        }
        self.figures.snapshot_ms.add(self.now.mono.since(job.started) / 1000);
        self.figures.last_snapshot = Some(zxid);
        self.snapshot_first = false;
        self.report(Milestone::SnapshotTaken { zxid, bytes: job.at });
        // First, because by their names those before it may look newer.
        self.on_tree_saved(zxid, job.file);
        self.purge();
        self.forget_snapshot();
    }

    /// What is being written down is not what this server stands for any more. What is on its way to the disk must
    /// come back first.
    pub(super) fn abandon_snapshot(&mut self) {
        self.tree.end_walk(TO_DISK);
        self.snapshot_wanted = false;
        let Some(job) = &mut self.snapshot else { return };
        match job.stage {
            Stage::Ready => self.snapshot = None,
            Stage::Writing | Stage::WritingLast | Stage::Finishing | Stage::Abandoned => {
                job.stage = Stage::Abandoned;
            }
        }
    }

    fn forget_snapshot(&mut self) {
        self.snapshot = None;
        if std::mem::take(&mut self.snapshot_wanted) {
            self.start_snapshot_job();
        }
    }

    pub(super) fn on_snapshot_failed(&mut self) {
        let Some(job) = self.snapshot.take() else { return };
        self.gone.extend(job.file);
        if job.stage == Stage::Abandoned {
            return self.forget_snapshot();
        }
        self.tree.end_walk(TO_DISK);
        self.on_tree_not_saved();
        self.figures.snapshot_errors += 1;
        self.report(Milestone::SnapshotFailed { zxid: job.label });
        if self.snapshot_first {
            self.set_timer(Timer::Room, ROOM_RETRY_MS);
        }
    }

    /// A file has taken its name, and the place of any other that had it: a log in which nothing was left, or a snapshot
    /// that is taken once more. To remove that one under its old number would remove this one.
    fn supersede(&mut self, file: FileId) {
        let place = &self.files[file.0 as usize];
        let same = |number: &FileId| *number != file && self.files[number.0 as usize] == *place;
        let same: Vec<FileId> = (0..self.files.len() as u32).map(FileId).filter(same).collect();
        self.gone.extend(same);
    }

    /// Removes what recovery does not need.
    pub(super) fn purge(&mut self) {
        let (Some(retain), Some(good)) =
            (self.config.storage.snap_retain, self.figures.last_snapshot)
        else {
            return;
        };
        let mut gone = self.gone.iter().peekable();
        let all = (0..self.files.len() as u32).map(FileId);
        let there: Vec<FileId> = all.filter(|id| gone.next_if_eq(&id).is_none()).collect();
        let places: Vec<&FilePlace> = there.iter().map(|id| &self.files[id.0 as usize]).collect();
        for at in purgeable(&places, retain as usize, good) {
            let file = there[at];
            assert!(self.journal.file() != Some(file), "the log in use is to be purged");
            self.gone.insert(file);
            self.effects.push(Effect::Remove { file });
            self.report(Milestone::Purged { file });
        }
    }
}

/// The walk of the snapshot that goes to the disk.
const TO_DISK: WalkId = WalkId(0);
/// The branch of the log's fsyncs that settle what was read: no branch that is appended to gets that far.
pub(super) const SETTLING: u32 = u32::MAX;
/// How long a full disk is left alone, ms.
const ROOM_RETRY_MS: u64 = 1000;
