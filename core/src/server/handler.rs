//! What a leader knows of one learner, and how it is fed: a snapshot, txns from the log, txns from memory, and in the
//! end whatever is proposed and committed (quorum protocol §6.2, §8). A follower feeds its observers in the same way, see
//! `observer_master`.
//!
//! A learner has a place in our history: everything up to it was sent. Bringing it level and broadcasting to it are the
//! same motion, so nothing can fall between them.

use super::Server;
use super::lead::Leader;
use super::peers::PeerFault;
use super::roles::Role;
use crate::effect::{Effect, FileId, Milestone};
use crate::ids::{ChanId, Epoch, Sid, Zxid};
use crate::journal::{Record, Scanner, logs_to_replay, snapshot_between};
use crate::planted::{Plant, planted};
use crate::snapshot::SnapshotWriter;
use crate::time::Instant;
use crate::tree::{OPEN, WalkId};
use crate::wire::{PacketKind, encode_packet, encode_txn};
use crate::zab::{History, SyncBranch, SyncPlan, plan_sync};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All learners of a server.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Learners {
    pub(super) by_chan: BTreeMap<ChanId, LearnerHandler>,
    /// Servers for which the log was not enough: they get the tree when they come again.
    tree_next: BTreeSet<Sid>,
}

/// How far a learner has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum HandlerStage {
    /// It has introduced itself.
    Greeted,
    AwaitAckEpoch,
    /// It has promised our epoch; its last zxid.
    AwaitSync {
        last: Zxid,
    },
    /// It is being sent the tree.
    Snapshot,
    /// It is being sent what stands in the log.
    Log,
    /// It is being sent what is in memory, until it has everything that is committed.
    Memory,
    AwaitNewLeaderAck,
    /// It has our history; it waits until we are established.
    AwaitUpToDate,
    Serving,
}

/// With what a learner is brought level.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Way {
    Tree,
    Txns,
}

/// One learner.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LearnerHandler {
    pub(super) sid: Sid,
    pub(super) observer: bool,
    /// It is one of those that are counted.
    pub(super) voter: bool,
    pub(super) stage: HandlerStage,
    /// How it is being brought level, until it has acknowledged NEWLEADER.
    way: Option<Way>,
    /// Every txn up to this one was sent to it.
    pub(super) cursor: Zxid,
    /// Where it was when it was level: what came before needs no acknowledgement.
    level_at: Zxid,
    /// It was told of every commit up to this one; never above `cursor`.
    told: Zxid,
    pub(super) heard_at: Instant,
    /// `sync` operations of its clients, by the zxid that must be committed before each is answered.
    syncs: VecDeque<Zxid>,
    snapshot: Option<SnapshotWriter>,
    log: Option<LogReading>,
    /// A proposal it has not acknowledged, and since when that is waited for.
    unacked: Option<(Zxid, Instant)>,
    /// Bytes of the tree it was sent, which it writes to its disk before it says anything.
    tree_bytes: u64,
}

impl LearnerHandler {
    pub(super) fn new(sid: Sid, observer: bool, voter: bool, now: Instant) -> Self {
        Self {
            sid,
            observer,
            voter,
            stage: HandlerStage::Greeted,
            way: None,
            cursor: Zxid::ZERO,
            level_at: Zxid::ZERO,
            told: Zxid::ZERO,
            heard_at: now,
            syncs: VecDeque::new(),
            snapshot: None,
            log: None,
            unacked: None,
            tree_bytes: 0,
        }
    }

    /// Silence it is allowed, µs: syncLimit when it serves. Before that initLimit, and the time that a slow disk takes for
    /// the tree it was given; it cannot say how far it is, since a leader takes the first packet for its ACK of NEWLEADER.
    pub(super) fn patience_us(&self, init_us: u64, sync_us: u64) -> u64 {
        match self.stage {
            HandlerStage::Serving => sync_us,
            _ if planted(Plant::LargeTreeGivenUp) => sync_us,
            _ => init_us + self.tree_bytes / DISK_BYTES_PER_US,
        }
    }

    /// Is it being sent what it lacks?
    pub(super) fn is_being_fed(&self) -> bool {
        matches!(self.stage, HandlerStage::Snapshot | HandlerStage::Log | HandlerStage::Memory)
    }

    /// Has it left a proposal unacknowledged for so long, though it lives? Its disk may stand still.
    pub(super) fn is_stuck(&mut self, acked: Option<Zxid>, now: Instant, limit_us: u64) -> bool {
        if self.stage != HandlerStage::Serving || !self.voter {
            return false;
        }
        let acked = acked.unwrap_or(Zxid::ZERO);
        self.unacked = self.unacked.filter(|(zxid, _)| *zxid > acked);
        if self.unacked.is_none() && self.cursor > acked.max(self.level_at) {
            self.unacked = Some((self.cursor, now));
        }
        self.unacked.is_some_and(|(_, since)| now.since(since) > limit_us)
    }

    /// Is it being brought level that way?
    fn syncs_by(&self, way: Way) -> bool {
        let done = matches!(self.stage, HandlerStage::AwaitUpToDate | HandlerStage::Serving);
        !done && self.way == Some(way)
    }

    pub(super) fn has_new_leader(&self) -> bool {
        matches!(
            self.stage,
            HandlerStage::AwaitNewLeaderAck | HandlerStage::AwaitUpToDate | HandlerStage::Serving
        )
    }

    /// Proposals, commits and answers to `sync`, in this order: each may rely on those before it.
    fn stream(&mut self, history: &History, committed: Zxid, out: &mut Vec<u8>) {
        let (observer, mut sent) = (self.observer, 0);
        let kind = if observer { PacketKind::Inform } else { PacketKind::Proposal };
        for (zxid, payload) in history.after(self.cursor) {
            if observer && zxid > committed || sent > TURN_MAX {
                break;
            }
            sent += payload.len();
            encode_packet(kind, zxid, Some(payload), out);
            self.cursor = zxid;
        }
        if observer {
            self.told = self.cursor;
        } else {
            for (zxid, _) in history.after(self.told) {
                if zxid > committed.min(self.cursor) {
                    break;
                }
                encode_packet(PacketKind::Commit, zxid, None, out);
                self.told = zxid;
            }
        }
        let told = self.told;
        let level = told >= history.floor(committed).unwrap_or(committed);
        let due = |upto: &mut Zxid| *upto <= told || level && *upto <= committed;
        while self.syncs.pop_front_if(due).is_some() {
            encode_packet(PacketKind::Sync, Zxid::ZERO, None, out);
        }
    }
}

/// The log being read for one learner.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LogReading {
    /// Files still to be read, the first of them now.
    files: VecDeque<FileId>,
    at: u64,
    asked: bool,
    scanner: Box<Scanner>,
    /// The txn the learner has must be seen before anything is sent: `None` when it was.
    wanted: Option<Zxid>,
}

/// A disk slower than 4 MB/s is given up.
const DISK_BYTES_PER_US: u64 = 4;
/// Bytes of the log that are read at once.
const CHUNK: u32 = 1 << 20;
/// Log files that are read for a learner; whoever lacks more is better off with the tree.
const LOGS_MAX: usize = 3;
/// Bytes of txns that are sent to a learner in one turn.
const TURN_MAX: usize = 1 << 20;

/// The walk of the snapshot that goes to a learner.
pub(super) fn walk_of(chan: ChanId) -> WalkId {
    WalkId(chan.0 + 1)
}

impl Server {
    /// Those that are fed by this server, if its role has any.
    pub(super) fn learners(&self) -> Option<&Learners> {
        match &self.role {
            Role::Leading(leader) => Some(&leader.learners),
            Role::Following(learner) => Some(&learner.observers.learners),
            Role::Alone | Role::Resting | Role::Looking(_) | Role::Observing(_) => None,
        }
    }

    pub(super) fn learners_mut(&mut self) -> Option<&mut Learners> {
        match &mut self.role {
            Role::Leading(leader) => Some(&mut leader.learners),
            Role::Following(learner) => Some(&mut learner.observers.learners),
            Role::Alone | Role::Resting | Role::Looking(_) | Role::Observing(_) => None,
        }
    }

    pub(super) fn handler(&self, chan: ChanId) -> Option<&LearnerHandler> {
        self.learners().and_then(|learners| learners.by_chan.get(&chan))
    }

    pub(super) fn handler_mut(&mut self, chan: ChanId) -> Option<&mut LearnerHandler> {
        self.learners_mut().and_then(|learners| learners.by_chan.get_mut(&chan))
    }

    /// Has a quorum the history that learners are given? A follower has learned of it.
    fn feeds_what_is_committed(&self) -> bool {
        match &self.role {
            Role::Leading(leader) => leader.is_established(),
            _ => true,
        }
    }

    /// What learners without a vote may know of. A leader's commits are on the disks of a quorum; what a follower passes on
    /// is on its own disk too, so that its observers never know more than it would itself after a loss of power.
    fn settled(&self) -> Zxid {
        match &self.role {
            Role::Leading(_) => self.committed,
            _ if planted(Plant::ObserversToldEarly) => self.zxid_proposed,
            _ => self.zxid_applied,
        }
    }

    /// Decides how the learner is brought level.
    pub(super) fn start_sync(&mut self, chan: ChanId) {
        let established = self.feeds_what_is_committed();
        let Some(handler) = self.handler_mut(chan) else { return };
        let HandlerStage::AwaitSync { last } = handler.stage else { return };
        if self.knows_less_than(last) {
            // It came from a server that is ahead of this one. What it has comes here too, and `feed` tries again.
            return;
        }
        let Some(handler) = self.handler_mut(chan) else { return };
        let sid = handler.sid;
        let log_failed = self.learners().is_some_and(|learners| learners.tree_next.contains(&sid));
        // A tree that is older than what the learner has would cost it what both have, see `plan_sync`. Where a quorum
        // follows, it may also be needed for what it has to be committed: it must not wait for a younger tree either.
        let older = last > self.tree_label() && !(established && planted(Plant::ForcedTreeWaits));
        let joined = match &self.role {
            Role::Leading(leader) => leader.joined(),
            // What it has not applied it hands to nobody.
            _ => Epoch(0),
        };
        let (plan, branch) = match plan_sync(&self.history, last, established, joined) {
            _ if self.config.force_snapshot_sync && !older => (SyncPlan::Snap, SyncBranch::Forced),
            (SyncPlan::FromLog { .. }, _) if log_failed => {
                (SyncPlan::Snap, SyncBranch::LogUnusable)
            }
            planned => planned,
        };
        if plan != SyncPlan::Snap && !self.may_sync(chan, Way::Txns) {
            return;
        }
        let (kind, zxid, from) = match plan {
            SyncPlan::Diff { from } => (PacketKind::Diff, self.diff_end(), from),
            SyncPlan::Trunc { to } => (PacketKind::Trunc, to, to),
            SyncPlan::FromLog { from } => return self.read_log_for(chan, from, Some(from)),
            SyncPlan::Snap => return self.send_snapshot(chan, last, branch),
        };
        self.send_from(chan, kind, zxid, from);
        self.report(Milestone::SyncStarted { sid, branch, zxid });
    }

    /// Observers are turned away where too many learners are being brought level that way (§8.6), and come again. Voters
    /// are needed: they count, and nobody keeps them waiting.
    fn may_sync(&mut self, chan: ChanId, way: Way) -> bool {
        let most = match way {
            Way::Tree => self.config.snap_syncs_max,
            Way::Txns => self.config.diff_syncs_max,
        };
        let Some(learners) = self.learners_mut() else { return false };
        let others =
            learners.by_chan.iter().filter(|(at, other)| **at != chan && other.syncs_by(way));
        let others = others.count();
        let Some(handler) = learners.by_chan.get_mut(&chan) else { return false };
        if handler.observer && others >= most as usize {
            let what = match way {
                Way::Tree => "the tree; see leader.maxConcurrentSnapSyncs",
                Way::Txns => "txns; see leader.maxConcurrentDiffSyncs",
            };
            let fault = format!("it has no vote, and {others} learners are being sent {what}");
            self.give_up(chan, &PeerFault(fault));
            return false;
        }
        handler.way = Some(way);
        true
    }

    fn send_from(&mut self, chan: ChanId, kind: PacketKind, zxid: Zxid, from: Zxid) {
        let Some(handler) = self.handler_mut(chan) else { return };
        handler.stage = HandlerStage::Memory;
        (handler.cursor, handler.told) = (from, from);
        if let Some(peers) = &mut self.peers {
            peers.send(chan, kind, zxid, None);
        }
    }

    /// It had to wait for the tree.
    fn start_sync_late(&mut self, chan: ChanId) {
        if self.leader().is_none_or(Leader::brings_level) {
            self.start_sync(chan);
            self.more_to_do |= self.handler(chan).is_some_and(LearnerHandler::is_being_fed);
        }
    }

    /// What DIFF names.
    fn diff_end(&self) -> Zxid {
        match &self.role {
            Role::Leading(_) => self.zxid_proposed,
            _ => self.zxid_applied,
        }
    }

    /// As it seems, there is no quorum without this learner: it is asked to give up what it has, as a last resort.
    fn goes_without(&self, chan: ChanId) -> bool {
        let patience_us = u64::from(self.config.init_limit * self.config.tick_ms) * 1000 / 2;
        let waits = self.handler(chan).map_or(0, |h| self.now.mono.since(h.heard_at));
        !self.feeds_what_is_committed() && waits > patience_us
    }

    /// The zxid up to which the tree is that a learner would be sent now.
    fn tree_label(&self) -> Zxid {
        match self.feeds_what_is_committed() {
            true => self.zxid_applied.max(Zxid::of_epoch(self.reign())),
            false => self.zxid_applied,
        }
    }

    /// The epoch in which learners are fed.
    pub(super) fn reign(&self) -> Epoch {
        match &self.role {
            Role::Leading(leader) => leader.epoch,
            _ => self.epochs.current,
        }
    }

    fn send_snapshot(&mut self, chan: ChanId, last: Zxid, branch: SyncBranch) {
        let label = self.tree_label();
        if label < last && !self.goes_without(chan) {
            // The tree lacks what this learner holds, which may be committed: our disk is slower than others, or nobody
            // follows us yet. The learner would have to give that up first, so it waits; `feed` tries again.
            return;
        }
        if !self.may_sync(chan, Way::Tree) {
            return;
        }
        let mut begun = Vec::new();
        encode_packet(PacketKind::Snap, label, None, &mut begun);
        let sessions = self.sessions_applied.iter().map(|(id, timeout)| (*id, *timeout));
        let acls = self.tree.acl_table().map(|(id, list)| (i64::from(id.0), &**list));
        let writer = SnapshotWriter::begin_stream(sessions, acls, &mut begun);
        self.tree.start_walk(walk_of(chan));
        let Some(handler) = self.handler_mut(chan) else { return };
        handler.stage = HandlerStage::Snapshot;
        (handler.cursor, handler.told) = (label, label);
        handler.snapshot = Some(writer);
        let sid = handler.sid;
        if let Some(learners) = self.learners_mut() {
            learners.tree_next.remove(&sid);
        }
        if let Some(peers) = &mut self.peers {
            peers.write(chan, |out| out.extend_from_slice(&begun));
        }
        self.report(Milestone::SyncStarted { sid, branch, zxid: label });
    }

    fn read_log_for(&mut self, chan: ChanId, from: Zxid, wanted: Option<Zxid>) {
        let files = logs_to_replay(&self.places(), from.next());
        let files: VecDeque<FileId> = files.into_iter().map(|(at, _)| FileId(at as u32)).collect();
        // A tree that is older than what it has is no better.
        if wanted.is_some_and(|last| last <= self.tree_label()) && files.len() > LOGS_MAX {
            return self.send_tree_instead(chan, from);
        }
        let scanner = Box::new(Scanner::new(self.config.record_max(), Zxid::ZERO));
        let reading = LogReading { files, at: 0, asked: false, scanner, wanted };
        let Some(handler) = self.handler_mut(chan) else { return };
        handler.stage = HandlerStage::Log;
        handler.log = Some(reading);
    }

    /// A learner has our history: it may serve.
    pub(super) fn send_up_to_date(&mut self, chan: ChanId) {
        let (last, committed) = (self.history.last(), self.committed);
        let Some(handler) = self.handler_mut(chan) else { return };
        if planted(Plant::LiveStreamSkips) || planted(Plant::ProposalsOnlyToServing) {
            handler.cursor = handler.cursor.max(last);
        }
        if planted(Plant::LiveStreamSkips) {
            handler.told = handler.cursor;
        }
        if planted(Plant::ObserverMissesAdmission) && handler.observer {
            handler.cursor = handler.cursor.max(committed);
            handler.told = handler.cursor;
        }
        if planted(Plant::CommitsUntold) {
            handler.told = handler.told.max(committed);
        }
        handler.stage = HandlerStage::Serving;
        handler.level_at = handler.cursor;
        let sid = handler.sid;
        if let Some(peers) = &mut self.peers {
            peers.send(chan, PacketKind::UpToDate, Zxid(-1), None);
        }
        self.report(crate::effect::Milestone::LearnerServes { sid });
    }

    /// A client of a learner wants to be level with this moment, which is when `upto` is committed.
    pub(super) fn queue_sync(&mut self, chan: ChanId, upto: Zxid) {
        let waits =
            |(at, other): (&ChanId, &LearnerHandler)| *at != chan && !other.syncs.is_empty();
        if planted(Plant::SyncDropped)
            && self.learners().is_some_and(|l| l.by_chan.iter().any(waits))
        {
            return;
        }
        if let Some(handler) = self.handler_mut(chan) {
            handler.syncs.push_back(upto);
        }
    }

    /// Does the learner ask for more answers to `sync` than it reads? They wait behind what it is being sent; no learner
    /// has that many clients.
    pub(super) fn has_too_many_syncs(&self, chan: ChanId) -> bool {
        let most = self.config.limits.peer_budget as usize / size_of::<Zxid>();
        self.handler(chan).is_some_and(|handler| handler.syncs.len() >= most)
    }

    /// Sends every learner what it may have by now.
    pub(super) fn feed_learners(&mut self) {
        let Some(learners) = self.learners() else { return };
        let all: Vec<ChanId> = learners.by_chan.keys().copied().collect();
        for chan in all {
            self.feed(chan);
        }
    }

    fn feed(&mut self, chan: ChanId) {
        let Some(peers) = &self.peers else { return };
        let Some(link) = peers.link(chan) else { return };
        if link.unsent() > self.config.limits.peer_budget {
            return;
        }
        let Some(handler) = self.handler_mut(chan) else { return };
        match handler.stage {
            HandlerStage::Greeted
            | HandlerStage::AwaitAckEpoch
            | HandlerStage::AwaitNewLeaderAck
            | HandlerStage::AwaitUpToDate => {}
            HandlerStage::AwaitSync { .. } => self.start_sync_late(chan),
            HandlerStage::Snapshot => self.feed_snapshot(chan),
            HandlerStage::Log => self.feed_log(chan),
            HandlerStage::Memory => self.feed_history(chan),
            HandlerStage::Serving => self.feed_live(chan),
        }
    }

    fn feed_snapshot(&mut self, chan: ChanId) {
        let Some(mut writer) = self.handler_mut(chan).and_then(|h| h.snapshot.take()) else {
            return;
        };
        let mut slice = Vec::new();
        let most = self.config.limits.tree_slice as usize;
        let over = self.tree.walk_on(walk_of(chan), |node| {
            let acl = if node.acl == OPEN { -1 } else { i64::from(node.acl.0) };
            writer.node(node.path, node.data, acl, node.stat, &mut slice);
            slice.len() < most
        });
        let writer = match over {
            true => {
                writer.end_stream(&mut slice);
                self.tree.end_walk(walk_of(chan));
                None
            }
            false => Some(writer),
        };
        if let Some(handler) = self.handler_mut(chan) {
            if writer.is_none() {
                handler.stage = HandlerStage::Memory;
            }
            handler.snapshot = writer;
            handler.tree_bytes += slice.len() as u64;
        }
        if let Some(peers) = &mut self.peers {
            peers.write(chan, |out| out.extend_from_slice(&slice));
        }
        self.more_to_do = true;
    }

    /// What a learner that catches up must have before it is told of the new leader: everything that is committed, or
    /// everything we hold as long as nothing new can be proposed.
    fn horizon(&self) -> Zxid {
        match self.feeds_what_is_committed() {
            true => self.settled(),
            false => self.zxid_proposed,
        }
    }

    fn feed_history(&mut self, chan: ChanId) {
        let horizon = self.horizon();
        let epoch = self.reign();
        let (base, mut sent, mut out) = (self.history.base(), 0, Vec::new());
        let Some(cursor) = self.handler_mut(chan).map(|handler| handler.cursor) else { return };
        if cursor < base {
            // So much has been written meanwhile that memory does not reach back to it.
            return self.read_log_for(chan, cursor, None);
        }
        let mut at = cursor;
        for (zxid, payload) in self.history.after(cursor) {
            let settled = zxid <= horizon;
            if !settled && !planted(Plant::UncommittedBeforeNewLeader) || sent > TURN_MAX {
                break;
            }
            sent += payload.len();
            encode_packet(PacketKind::Proposal, zxid, Some(payload), &mut out);
            if settled {
                encode_packet(PacketKind::Commit, zxid, None, &mut out);
            }
            at = zxid;
        }
        let level = self.history.after(at).next().is_none_or(|(zxid, _)| zxid > horizon);
        if level {
            let data = self.peers.as_ref().map(|peers| peers.config.as_bytes());
            encode_packet(PacketKind::NewLeader, Zxid::of_epoch(epoch), data, &mut out);
        }
        let Some(handler) = self.handler_mut(chan) else { return };
        (handler.cursor, handler.told) = (at, at);
        if planted(Plant::UncommittedBeforeNewLeader) {
            handler.told = at.min(horizon);
        }
        if level {
            handler.stage = HandlerStage::AwaitNewLeaderAck;
        } else {
            self.more_to_do = true;
        }
        if let Some(peers) = &mut self.peers {
            peers.write(chan, |bytes| bytes.append(&mut out));
        }
    }

    fn feed_live(&mut self, chan: ChanId) {
        let committed = self.settled();
        let level_at = self.history.floor(committed).unwrap_or(committed);
        let Some(handler) = self.handler(chan) else { return };
        let level = handler.told >= level_at;
        if handler.cursor == self.history.last() && level && handler.syncs.is_empty() {
            return;
        }
        if handler.cursor < self.history.base() {
            let fault =
                PeerFault("it reads too slowly: what it lacks is no longer in memory".into());
            return self.give_up(chan, &fault);
        }
        let Self { role, peers, history, .. } = self;
        let handler = match role {
            Role::Leading(leader) => leader.learners.by_chan.get_mut(&chan),
            Role::Following(learner) => learner.observers.learners.by_chan.get_mut(&chan),
            Role::Alone | Role::Resting | Role::Looking(_) | Role::Observing(_) => None,
        };
        let (Some(handler), Some(peers)) = (handler, peers) else { return };
        peers.write(chan, |out| handler.stream(history, committed, out));
        let observer = handler.observer;
        self.more_to_do |=
            history.last() > handler.cursor && (!observer || committed > handler.cursor);
    }

    fn feed_log(&mut self, chan: ChanId) {
        let Some(handler) = self.handler_mut(chan) else { return };
        let Some(reading) = &mut handler.log else { return };
        if reading.asked {
            return;
        }
        match reading.files.front() {
            Some(file) => {
                let (file, at) = (*file, reading.at);
                reading.asked = true;
                self.effects.push(Effect::Read { file, at, len: CHUNK });
            }
            // The log ends before what is in memory begins: it has been purged, or is damaged.
            None if planted(Plant::GapBetweenLogAndMemory) => {
                let (horizon, base) = (self.horizon(), self.history.base());
                self.send_from(chan, PacketKind::Diff, horizon, base);
            }
            None => self.log_is_no_use(chan),
        }
    }

    /// Part of a log was read, for those learners that asked for it.
    pub(super) fn on_log_read(&mut self, file: FileId, at: u64, bytes: Option<&[u8]>) {
        let Some(learners) = self.learners() else { return };
        let waits = |handler: &LearnerHandler| {
            handler.log.as_ref().is_some_and(|reading| {
                reading.asked && reading.files.front() == Some(&file) && reading.at == at
            })
        };
        let waiting = |(chan, handler): (&ChanId, &LearnerHandler)| waits(handler).then_some(*chan);
        let waiting: Vec<ChanId> = learners.by_chan.iter().filter_map(waiting).collect();
        for chan in waiting {
            match bytes {
                Some(bytes) => self.on_log_bytes(chan, bytes),
                None => self.log_is_no_use(chan),
            }
        }
    }

    fn on_log_bytes(&mut self, chan: ChanId, bytes: &[u8]) {
        let (base, horizon, record_max) =
            (self.history.base(), self.horizon(), self.config.record_max());
        let Some(handler) = self.handler_mut(chan) else { return };
        let Some(mut reading) = handler.log.take() else { return };
        let mut cursor = handler.cursor;
        reading.asked = false;
        reading.at += bytes.len() as u64;
        reading.scanner.feed(bytes);
        if (bytes.len() as u32) < CHUNK {
            reading.scanner.end();
        }
        let (wanted_first, was_wanted) = (reading.wanted, reading.wanted.is_some());
        let (mut out, mut reached, mut holed) = (Vec::new(), false, false);
        while let Some(record) = reading.scanner.next() {
            let zxid = record.header.zxid;
            if let Some(wanted) = reading.wanted {
                if zxid > wanted {
                    // What the learner has is not in our log, or no longer.
                    return self.send_tree_instead(chan, wanted);
                }
                if zxid == wanted {
                    // Others may have come while the log was read.
                    if !self.may_sync(chan, Way::Txns) {
                        return;
                    }
                    reading.wanted = None;
                    cursor = wanted;
                    encode_packet(PacketKind::Diff, horizon, None, &mut out);
                }
                continue;
            }
            if zxid > cursor && zxid <= base {
                holed = !zxid.follows(cursor)
                    || zxid != cursor.next()
                        && snapshot_between(&self.places(), cursor, zxid).is_some();
                if holed {
                    break;
                }
                send_record(&record, &mut out);
                cursor = zxid;
            }
            if zxid >= base {
                reached = true;
                break;
            }
        }
        let found = reading.wanted.is_none();
        if holed || reached && found && cursor < base {
            // This server was given a tree itself, and the log lacks what that brought.
            reading.wanted = wanted_first;
            if let Some(handler) = self.handler_mut(chan) {
                handler.log = Some(reading);
            }
            return self.log_is_no_use(chan);
        }
        if !reached && reading.scanner.verdict().is_some() {
            reading.files.pop_front();
            reading.at = 0;
            reading.scanner = Box::new(Scanner::new(record_max, cursor));
        }
        let Some(handler) = self.handler_mut(chan) else { return };
        if found {
            (handler.cursor, handler.told) = (cursor, cursor);
        }
        let begun = (found && was_wanted).then_some(handler.sid);
        match reached && found {
            true => handler.stage = HandlerStage::Memory,
            false => handler.log = Some(reading),
        }
        if let Some(sid) = begun {
            self.report(Milestone::SyncStarted { sid, branch: SyncBranch::Log, zxid: horizon });
        }
        self.more_to_do = true;
        if let Some(peers) = &mut self.peers {
            peers.write(chan, |bytes| bytes.append(&mut out));
        }
    }

    /// The learner gets the tree instead, if nothing else was sent to it yet.
    fn log_is_no_use(&mut self, chan: ChanId) {
        let Some(handler) = self.handler_mut(chan) else { return };
        let wanted = handler.log.take().and_then(|reading| reading.wanted);
        match wanted {
            Some(last) => self.send_tree_instead(chan, last),
            None => {
                let sid = handler.sid;
                if let Some(learners) = self.learners_mut() {
                    learners.tree_next.insert(sid);
                }
                let fault = "what it lacks is neither in memory nor in the log any more";
                self.give_up(chan, &PeerFault(fault.into()));
            }
        }
    }

    fn send_tree_instead(&mut self, chan: ChanId, last: Zxid) {
        let Some(handler) = self.handler_mut(chan) else { return };
        handler.stage = HandlerStage::AwaitSync { last };
        let sid = handler.sid;
        if let Some(learners) = self.learners_mut() {
            learners.tree_next.insert(sid);
        }
        self.start_sync(chan);
    }

    /// A learner's link has taken bytes: it lives, even when it says nothing while it catches up.
    pub(super) fn on_learner_progress(&mut self, chan: ChanId) {
        let now = self.now.mono;
        let Some(handler) = self.handler_mut(chan).filter(|handler| handler.is_being_fed()) else {
            return;
        };
        if planted(Plant::LargeTreeGivenUp) {
            return;
        }
        handler.heard_at = now;
        if let Some(leader) = self.leader_mut() {
            leader.progress_at = now;
        }
    }

    /// The walks of snapshots that nobody waits for any more.
    pub(super) fn end_learner_walks(&mut self) {
        self.tree.end_walks_from(walk_of(ChanId(0)));
    }
}

fn send_record(record: &Record, out: &mut Vec<u8>) {
    let zxid = record.header.zxid;
    let mut payload = Vec::new();
    encode_txn(&record.header, &record.txn, record.digest, &mut payload);
    encode_packet(PacketKind::Proposal, zxid, Some(&payload), out);
    encode_packet(PacketKind::Commit, zxid, None, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learner_that_writes_a_large_tree_is_given_the_time_for_it() {
        let mut handler = LearnerHandler::new(Sid(2), false, true, Instant(0));
        let (init_us, sync_us) = (20_000_000, 10_000_000);
        handler.stage = HandlerStage::AwaitNewLeaderAck;
        assert_eq!(handler.patience_us(init_us, sync_us), init_us);
        handler.tree_bytes = 4_000_000_000;
        assert_eq!(handler.patience_us(init_us, sync_us), init_us + 1_000_000_000);
        handler.stage = HandlerStage::Serving;
        assert_eq!(handler.patience_us(init_us, sync_us), sync_us);
    }
}
