//! The door: absorb facts, collect effects. Routes; what is to be done stands in the rooms below.
//!
//! * [`intake`]: frame → request → its place in the session's order.
//! * [`commit`]: prepare → log → durable → apply → reply; the same path a leader's writes will take.
//! * [`read`]: what is answered from the tree alone.
//! * [`read_only`]: who is served without a quorum, and with what.
//! * [`roles`]: the one gate between looking, leading and learning; [`peers`]: links to other servers.
//! * [`lead`], [`handler`], [`learn`]: what a leader, its part of each learner, and a learner do.
//! * [`observer_master`]: followers with observers of their own.
//! * [`local`]: sessions that no other server knows.
//! * [`journal`]: the log as device operations.
//! * [`image`]: the whole server as bytes, for the flight recorder.
//! * [`upkeep`]: start, snapshots, expiry, purging, everything that a timer or a completion drives.
//! * [`report`]: what operators may see.

mod clients;
mod commit;
mod handler;
mod image;
mod intake;
mod journal;
mod lead;
mod learn;
mod local;
mod observer_master;
mod peers;
mod read;
mod read_only;
mod report;
mod roles;
mod upkeep;

use crate::config::Config;
use crate::effect::{Effect, FileId, FilePlace, Milestone, Span, Timer};
use crate::ids::{ChanId, ConnId, Epoch, SessionId, Sid, Zxid};
use crate::input::{Command, Input};
use crate::planted::{Plant, planted};
use crate::recovery::{Recovered, Recovery};
use crate::session::SessionTracker;
use crate::time::{Instant, Now};
use crate::tree::{DataTree, DigestLog, Identity};
use crate::txn::Outstanding;
use crate::watch::WatchManager;
use crate::zab::History;
use clients::{Clients, Conn};
use commit::{Comparable, Proposal};
use intake::Tokens;
use journal::Journal;
use observer_master::Masters;
use peers::Peers;
use report::Figures;
use roles::{Chosen, Epochs, Role};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use upkeep::{Chance, SETTLING, SnapshotJob};

/// What stands in the data directories when a server starts.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Listing {
    /// Every file of both directories (once, if they are the same) with its length.
    pub files: Vec<(FilePlace, u64)>,
    /// `dataDir` and `dataLogDir` are the same.
    pub same_dir: bool,
    /// What `acceptedEpoch` says, if it is there.
    pub accepted_epoch: Option<Epoch>,
    /// What `currentEpoch` says, if it is there.
    pub current_epoch: Option<Epoch>,
}

/// A ZooKeeper server as a value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Server {
    config: Config,
    now: Now,
    /// Time this process stood still, which sessions are not judged by; µs.
    stalled_us: u64,
    chance: Chance,
    /// Its files are being read. Without it, and not halted, the server serves.
    #[serde(skip)]
    recovery: Option<Box<Recovery>>,
    /// What is being read for it.
    reading: Option<(FileId, u64)>,
    /// The disk is to be read again, up to that zxid if there is one, as soon as nothing is written to it any more.
    reread: Option<Option<Zxid>>,
    /// What was recovered, until it is known to survive a loss of power.
    #[serde(skip)]
    settling: Option<Box<Recovered>>,
    /// Files that have to be synced for that.
    unsettled: usize,
    halted: Option<String>,
    /// Every file there is or was, by its number.
    files: Vec<FilePlace>,
    /// Those that were removed.
    gone: BTreeSet<FileId>,
    /// Shutting down: nobody is let in.
    draining: bool,

    tree: DataTree,
    /// Sessions as the applied txns say: what a snapshot holds.
    sessions_applied: BTreeMap<SessionId, i32>,
    zxid_applied: Zxid,
    /// Everything up to here is on a quorum; the rest of what is logged may still be cut off.
    committed: Zxid,
    digests: DigestLog,
    /// Is the tree's digest what a leader's must be?
    comparable: Comparable,
    /// Recent txns, for learners; empty when the server stands alone.
    history: History,

    /// Links to other servers; `None` when the server stands alone.
    peers: Option<Peers>,
    role: Role,
    /// Followers to observe, where that is not the leader.
    masters: Masters,
    epochs: Epochs,
    /// Number of the last election this server took part in.
    round: i64,
    /// How that ended.
    chosen: Option<Chosen>,
    /// This server's epoch has no zxid left.
    counter_used_up: bool,
    /// Why links and roles were given up in this turn.
    faults: Vec<(Option<Sid>, String)>,
    /// The files have been read for the first time.
    started: bool,
    /// Clients are let in, as far as the role is concerned.
    served: bool,
    /// It has served with a quorum since it started: `committed` says something.
    joined: bool,
    /// Since when it looks for a leader; of the last time, when it does not.
    looking_since: Instant,
    /// It looks for no leader before that.
    rest_until: Instant,
    /// A bounded turn has left something undone.
    more_to_do: bool,

    outstanding: Outstanding,
    proposals: VecDeque<Proposal>,
    /// The last txn logged. Never below `zxid_applied`; what lies between is in `proposals`, without a gap.
    zxid_proposed: Zxid,
    journal: Journal,

    clients: Clients,
    tracker: SessionTracker,
    next_session: SessionId,
    watches: WatchManager,
    tokens: Tokens,
    /// Connections whose order has a barrier, by the zxid that lifts it.
    barriers: VecDeque<(Zxid, ConnId)>,

    snapshot: Option<SnapshotJob>,
    /// Another one is to follow.
    snapshot_wanted: bool,
    /// Since when the disk is full.
    full_since: Option<Instant>,
    /// There is no snapshot yet, or something in the tree is in no log: nothing may be logged before one is durable.
    snapshot_first: bool,
    /// The snapshot of the start is taken when the log has room.
    snapshot_due: bool,
    roll_after: (u32, u64),

    figures: Figures,
    effects: Vec<Effect>,
    #[serde(skip)]
    out: Output,
}

/// What the last turn handed out.
#[derive(Clone, Default, Debug)]
struct Output {
    effects: Vec<Effect>,
    bytes: Vec<u8>,
    /// Connections whose replies were handed out, and whether that was the last of them.
    replied: Vec<(ConnId, bool)>,
    /// Why links and roles were given up, in the order of the milestones that say so.
    faults: Vec<(Option<Sid>, String)>,
}

/// What a server asks for in one turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    server: &'a Server,
}

impl<'a> Turn<'a> {
    /// The effects, in order.
    pub fn effects(&self) -> &'a [Effect] {
        &self.server.out.effects
    }

    /// The bytes of a span of these effects.
    pub fn bytes(&self, span: Span) -> &'a [u8] {
        &self.server.out.bytes[span.start..span.start + span.len]
    }

    /// What [`Effect::Reply`] of this turn sends to `conn`.
    pub fn reply(&self, conn: ConnId) -> &'a [u8] {
        self.server.clients.conns.get(&conn).map_or(&[], |conn| &conn.out)
    }

    /// Where a file is.
    pub fn place(&self, file: FileId) -> &'a FilePlace {
        &self.server.files[file.0 as usize]
    }

    /// Why the server has stopped for good, with file, offset and remedy.
    pub fn halted(&self) -> Option<&'a str> {
        self.server.halted.as_deref()
    }

    /// What [`Milestone::PeerFault`] speaks of: whom, and what happened.
    pub fn fault(&self, number: usize) -> (Option<Sid>, &'a str) {
        self.server.out.faults.get(number).map_or((None, ""), |(sid, text)| (*sid, text))
    }

    /// The last turn of a server, which nothing was told since.
    pub(crate) fn of(server: &'a Server) -> Self {
        Self { server }
    }

    /// All bytes that spans of this turn are of.
    pub(crate) fn all_bytes(&self) -> &'a [u8] {
        &self.server.out.bytes
    }

    /// All that is said of links and roles that were given up.
    pub(crate) fn faults(&self) -> &'a [(Option<Sid>, String)] {
        &self.server.out.faults
    }

    /// The server that asks.
    pub fn server(&self) -> &'a Server {
        self.server
    }
}

impl Server {
    /// A server that begins to recover from the files of `listing`. `seed` is its only source of chance.
    pub fn new(config: Config, seed: u64, now: Now, listing: Listing) -> Self {
        let mut chance = Chance::new(seed);
        let tree = DataTree::new(chance.draw(), config.emulate_353_ttl);
        let recovery = Recovery::new(&listing, &config, chance.draw(), None);
        let files: Vec<FilePlace> = listing.files.into_iter().map(|(place, _)| place).collect();
        let spares = upkeep::highest_spare(&files);
        let (peers, role) = Self::new_peers(&config);
        let epoch = |said: Option<Epoch>| said.unwrap_or_default();
        let epochs = Epochs::new(epoch(listing.accepted_epoch), epoch(listing.current_epoch));
        Self {
            now,
            stalled_us: 0,
            recovery: Some(Box::new(recovery)),
            reading: None,
            reread: None,
            settling: None,
            unsettled: 0,
            halted: None,
            files,
            gone: BTreeSet::new(),
            draining: false,
            outstanding: Outstanding::new(tree.digest()),
            tree,
            sessions_applied: BTreeMap::new(),
            zxid_applied: Zxid::ZERO,
            committed: Zxid::ZERO,
            digests: DigestLog::default(),
            comparable: Comparable::SENT,
            history: History::default(),
            peers,
            role,
            masters: Masters::default(),
            epochs,
            round: 0,
            chosen: None,
            counter_used_up: false,
            faults: Vec::new(),
            started: false,
            served: false,
            joined: false,
            looking_since: now.mono,
            rest_until: now.mono,
            more_to_do: false,
            proposals: VecDeque::new(),
            zxid_proposed: Zxid::ZERO,
            journal: Journal::new(&config, spares),
            clients: Clients::default(),
            tracker: SessionTracker::new(config.tick_ms),
            next_session: SessionId::seed(config.sid, now.wall_ms),
            watches: WatchManager::default(),
            tokens: Tokens::default(),
            barriers: VecDeque::new(),
            snapshot: None,
            snapshot_wanted: false,
            full_since: None,
            snapshot_first: false,
            snapshot_due: false,
            roll_after: (u32::MAX, u64::MAX),
            figures: Figures::default(),
            effects: Vec::new(),
            out: Output::default(),
            chance,
            config,
        }
    }

    /// Absorbs one fact.
    pub fn input(&mut self, now: Now, input: &Input<'_>) {
        self.let_go_of_output();
        self.advance(now);
        if self.halted.is_some() {
            return;
        }
        match input {
            Input::Opened { conn, addr, port, secure, identities } => {
                self.on_opened(*conn, *addr, *port, *secure, identities);
            }
            Input::Requests { conn, bytes } => self.on_requests(*conn, bytes),
            Input::Closed { conn } => self.on_closed(*conn),
            Input::Sent { conn, upto } => self.on_sent(*conn, *upto),
            Input::Reserved { file, upto } => self.on_reserved(*file, *upto),
            Input::NoRoom { file } => self.on_no_room(*file),
            Input::Durable { branch: SETTLING, .. } => self.on_settled(),
            Input::Durable { branch, upto } => {
                self.journal.on_durable(*branch, *upto);
                if matches!(self.role, Role::Alone) {
                    self.commit();
                }
            }
            Input::SnapWritten { upto } => self.on_snapshot_written(*upto),
            Input::SnapDurable { zxid } => self.on_snapshot_durable(*zxid),
            Input::SnapFailed => self.on_snapshot_failed(),
            Input::ReadDone { file, at, bytes } => self.on_read_done(*file, *at, bytes),
            Input::ReadFailed { file, at, error } => self.on_read_failed(*file, *at, error),
            Input::Failed { device, error } => self.on_device_failed(*device, error),
            Input::Timer { id } => self.on_timer(*id),
            Input::Command(command) => self.on_command(*command),
            Input::PeerUp { sid, chan, link, addr } => self.on_peer_up(*sid, *chan, *link, *addr),
            Input::PeerFrames { chan, bytes } => self.on_peer_frames(*chan, bytes),
            Input::PeerDown { chan } => self.on_peer_down(*chan),
            Input::PeerSent { chan, upto } => self.on_peer_sent(*chan, *upto),
            Input::Unreachable { sid, link } => self.on_unreachable(*sid, *link),
            Input::EpochsDurable { generation } => self.epochs.on_durable(*generation),
        }
    }

    /// Ends a turn: collects what there is to do. Spans and replies stay valid until the next call of [`Self::input`].
    pub fn effects(&mut self, now: Now) -> Turn<'_> {
        self.let_go_of_output();
        self.advance(now);
        if self.halted.is_none() {
            self.drive_recovery();
            self.drive_role();
            self.take_in_held();
        }
        if self.halted.is_none() && self.peers.is_some() {
            // What clients have just been allowed to propose goes out in this turn.
            self.feed_learners();
        }
        self.journal.take_ops(&mut self.effects);
        if self.halted.is_none() {
            self.write_snapshot_slice();
            self.check_invariants();
        }
        self.hand_out_replies();
        if let Some(peers) = &mut self.peers {
            peers.hand_out(&mut self.journal.buf, &mut self.effects);
        }
        if std::mem::take(&mut self.more_to_do) {
            self.effects.push(Effect::SetTimer { id: Timer::Peers, at: self.now.mono });
        }
        std::mem::swap(&mut self.out.faults, &mut self.faults);
        self.faults.clear();
        std::mem::swap(&mut self.out.effects, &mut self.effects);
        std::mem::swap(&mut self.out.bytes, &mut self.journal.buf);
        Turn { server: self }
    }

    fn hand_out_replies(&mut self) {
        for id in std::mem::take(&mut self.clients.dirty) {
            let Some(conn) = self.clients.conns.get(&id) else { continue };
            if !conn.out.is_empty() {
                self.effects.push(Effect::Reply { conn: id });
            }
            if conn.close.is_some() {
                self.effects.push(Effect::Close { conn: id });
            } else if conn.events_unsent > self.config.limits.event_budget {
                // Events cannot wait like replies do: whoever does not read them is cut off.
                self.drop_conn(id, crate::effect::DropReason::SlowReader);
                self.effects.push(Effect::Close { conn: id });
            }
            let last = self.clients.conns.get(&id).is_none_or(|conn| conn.close.is_some());
            self.out.replied.push((id, last));
        }
        self.clients.dirty.clear();
    }

    /// What the last turn handed out is done with.
    fn let_go_of_output(&mut self) {
        for (id, last) in std::mem::take(&mut self.out.replied) {
            if last {
                self.clients.remove(id);
            } else if let Some(conn) = self.clients.conns.get_mut(&id) {
                conn.out.clear();
                // A single long answer must not keep its memory for an idle connection.
                conn.out.shrink_to(OUTPUT_KEPT);
            }
        }
        self.out.effects.clear();
        self.out.bytes.clear();
        self.out.bytes.shrink_to(TURN_KEPT);
    }

    /// Moves the clock. A leap of more than a tick between two turns was our own stall: the session timers were not
    /// looked at, so nobody could be heard.
    fn advance(&mut self, now: Now) {
        let gap_us = now.mono.since(self.now.mono);
        if gap_us > u64::from(self.config.tick_ms) * 1000 && self.is_serving() {
            self.stalled_us += gap_us;
            self.report(Milestone::Stalled { us: gap_us });
        }
        self.now = Now { mono: now.mono.max(self.now.mono), wall_ms: now.wall_ms };
    }

    /// Time in which this server could hear its clients.
    fn listening(&self) -> Instant {
        if planted(Plant::WallClockExpiry) {
            return Instant((self.now.wall_ms as u64).saturating_mul(1000));
        }
        if planted(Plant::StallExpiresSessions) {
            return self.now.mono;
        }
        Instant(self.now.mono.0 - self.stalled_us)
    }

    fn is_serving(&self) -> bool {
        !self.is_reading_disk() && self.halted.is_none() && !self.draining && self.served
    }

    /// Is what this server holds being found out?
    fn is_reading_disk(&self) -> bool {
        self.recovery.is_some() || self.settling.is_some() || self.reread.is_some()
    }

    /// Says why a link or a role is given up.
    fn note_fault(&mut self, sid: Option<Sid>, what: String) {
        let number = self.faults.len();
        self.faults.push((sid, what));
        self.report(Milestone::PeerFault { number });
    }

    fn on_quorum_link_down(&mut self, chan: ChanId) {
        self.on_learner_down(chan);
        self.on_leader_down(chan);
    }

    /// Something has to be done for other servers before long.
    fn arm_peers(&mut self) {
        let half_tick = u64::from(self.config.tick_ms / 2).max(1);
        let at = self.now.mono.plus_ms(half_tick);
        // Nobody writes while a leader that is gone is waited for: not a moment longer than it was given.
        let at = self.leader_given_up_at().map_or(at, |given_up| at.min(given_up));
        self.effects.push(Effect::SetTimer { id: Timer::Peers, at });
    }

    fn on_peers_timer(&mut self) {
        self.drop_silent_links();
        match &self.role {
            Role::Leading(_) => self.on_leader_time(),
            Role::Following(_) | Role::Observing(_) => self.on_learner_time(),
            Role::Alone | Role::Resting | Role::Looking(_) => {}
        }
        if self.peers.is_some() {
            self.arm_peers();
        }
    }

    fn report(&mut self, milestone: Milestone) {
        self.effects.push(Effect::Report(milestone));
    }

    /// Gives a file its number.
    fn name_file(files: &mut Vec<FilePlace>, place: FilePlace) -> FileId {
        files.push(place);
        FileId(files.len() as u32 - 1)
    }

    fn on_opened(
        &mut self,
        id: ConnId,
        addr: IpAddr,
        port: u16,
        secure: bool,
        identities: &[(&str, &str)],
    ) {
        let mut ids = vec![Identity::new("ip", &java_text(addr))];
        ids.extend(identities.iter().map(|(scheme, id)| Identity::new(scheme, id)));
        let conn = Conn::new(addr.to_canonical(), port, secure, ids, self.now);
        let before = self.clients.conns.insert(id, conn);
        assert!(before.is_none(), "connection {id} was opened twice");
        if !self.is_serving() {
            self.drop_conn(id, crate::effect::DropReason::NotServing);
        }
    }

    fn on_closed(&mut self, id: ConnId) {
        if let Some(conn) = self.clients.remove(id)
            && conn.close.is_none()
        {
            self.detach(id, conn.session);
        }
    }

    fn on_sent(&mut self, id: ConnId, upto: u64) {
        let Some(conn) = self.clients.conns.get_mut(&id) else { return };
        let before = conn.sent;
        conn.sent = upto.clamp(conn.sent, conn.produced);
        let taken = conn.sent - before;
        conn.events_unsent = conn.events_unsent.saturating_sub(taken).min(conn.unsent());
        self.clients.unsent -= taken;
        self.pump(id);
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Snapshot => self.start_snapshot(),
            Command::Purge => self.purge(),
            Command::StepDown => {}
            Command::ResetStats => {
                self.figures.reset(self.clients.frames_sent);
                self.clients.reply_size = Default::default();
            }
            Command::ResetConnStats => {
                for conn in self.clients.conns.values_mut() {
                    conn.figures.received = 0;
                    conn.figures.sent = 0;
                    conn.figures.latency_ms = Default::default();
                }
            }
            Command::Drain => {
                self.draining = true;
                let all: Vec<ConnId> = self.clients.conns.keys().copied().collect();
                for id in all {
                    self.drop_conn(id, crate::effect::DropReason::NotServing);
                }
            }
        }
    }

    fn on_timer(&mut self, id: Timer) {
        match id {
            Timer::Tick => self.on_tick(),
            Timer::Containers => self.reap_containers(),
            Timer::Room => self.ask_for_room_again(),
            Timer::Purge => {
                self.purge();
                self.set_purge_timer();
            }
            Timer::Election => self.on_election_timer(),
            Timer::Peers => self.on_peers_timer(),
        }
    }

    /// What must be true after every turn.
    fn check_invariants(&self) {
        // While files are read, or a leader's tree comes in, nothing of this holds yet.
        if self.is_reading_disk() || self.is_receiving_tree() {
            return;
        }
        let last = self.proposals.back().map_or(self.zxid_applied, |last| last.header.zxid);
        assert!(
            last == self.zxid_proposed,
            "the last txn logged is {}, but the last one in flight {last}",
            self.zxid_proposed
        );
        let first = self.proposals.front().map(|first| first.header.zxid);
        assert!(
            first.is_none_or(|first| first.follows(self.zxid_applied)),
            "{first:?} is in flight, but {} was applied last",
            self.zxid_applied
        );
        assert!(
            !self.leads()
                || !self.proposals.is_empty()
                || self.outstanding.digest() == self.tree.digest(),
            "nothing is in flight, but the digests of tree and outstanding changes differ"
        );
        assert!(
            self.epochs.accepted >= self.epochs.current
                || planted(Plant::EpochOfLastZxid)
                || planted(Plant::OlderEpochAccepted),
            "an epoch is current, but not accepted"
        );
    }
}

/// Reply memory an idle connection may keep, bytes.
const OUTPUT_KEPT: usize = 16 << 10;
/// Memory of the turn's bytes that is kept, bytes.
const TURN_KEPT: usize = 1 << 20;

/// An address as Java prints it: IPv6 in full, without leading zeros.
fn java_text(addr: IpAddr) -> String {
    match addr.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let parts: Vec<String> = v6.segments().iter().map(|part| format!("{part:x}")).collect();
            parts.join(":")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_look_as_in_java() {
        let text = |addr: &str| java_text(addr.parse().unwrap());
        assert_eq!(text("::1"), "0:0:0:0:0:0:0:1");
        assert_eq!(text("::ffff:10.0.0.7"), "10.0.0.7");
    }
}
