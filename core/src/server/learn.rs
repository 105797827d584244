//! Following and observing: discovery and synchronization as the receiving side, then proposals in, acknowledgements out
//! (quorum protocol §7). Whatever a leader sends that cannot be is a reason to leave it, never something to apply.

use super::Server;
use super::commit::{Comparable, Proposal};
use super::journal::Room;
use super::observer_master::Observers;
use super::peers::{Done, PeerFault};
use super::roles::Role;
use crate::effect::{Effect, FileId, FilePlace, Milestone, Timer};
use crate::ids::{ChanId, ConnId, Epoch, SessionId, Sid, Xid, Zxid};
use crate::input::Link;
use crate::journal::{log_zxid, snapshot_zxid};
use crate::planted::{Plant, planted};
use crate::recovery::Image;
use crate::snapshot::{Next, SnapshotReader};
use crate::time::Instant;
use crate::tree::{DataTree, DigestLog};
use crate::wire::{
    LearnerInfo, OpCode, Packet, PacketKind, QUORUM_PROTOCOL, Txn, TxnHeader,
    decode_designated_leader, decode_revalidated, decode_txn, encode_ack_epoch, encode_touches,
};
use crate::zab::History;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// How far a learner has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum LearnerStage {
    /// Trying to reach the leader.
    Connecting {
        retry_at: Option<Instant>,
    },
    AwaitLeaderInfo,
    /// The promise is on its way to the disk; what is said of our epoch then.
    SavingAccepted {
        current: Option<Epoch>,
    },
    /// How we are brought level is the leader's to say.
    AwaitPlan,
    /// What the leader cut off is being removed; the tree is read from the disk again.
    Truncating,
    /// The tree is coming.
    #[serde(with = "crate::flight::never")]
    Receiving(Box<Receiving>),
    /// The tree has come and is being written down: until it is durable nothing is logged behind it.
    SavingTree,
    /// What we lack is coming.
    Syncing,
    /// Everything received is to be durable, and then the epoch, before it is acknowledged.
    SettlingHistory,
    SavingCurrent,
    AwaitUpToDate,
    Serving,
}

/// A tree on its way in.
#[derive(Clone, Debug)]
pub(super) struct Receiving {
    label: Zxid,
    reader: SnapshotReader,
    image: Image,
}

/// Who has asked the leader something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Asker {
    /// A client of this server.
    Client(ConnId),
    /// An observer of this server, for one of its clients.
    Observer(ChanId),
}

/// A write that the leader was asked for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Forwarded {
    pub(super) session: SessionId,
    pub(super) xid: Xid,
    pub(super) op: OpCode,
    /// Who waits for it; nobody for an upgrade, which the client does not know of.
    pub(super) conn: Option<ConnId>,
}

impl Forwarded {
    /// Can it have become this txn? Session and number alone do not say: a client may number its write 0, like the end of
    /// its session that the leader decides.
    pub(super) fn became(&self, header: &TxnHeader, txn: &Txn) -> bool {
        let of_its_kind = match txn {
            Txn::Error { .. } => true,
            Txn::CreateSession { .. } => self.op == OpCode::CreateSession,
            Txn::CloseSession { .. } => self.op == OpCode::CloseSession,
            _ => !matches!(self.op, OpCode::CreateSession | OpCode::CloseSession),
        };
        of_its_kind && (self.session, self.xid) == (header.session, header.cxid)
    }
}

/// What a learner knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Learner {
    leader: Sid,
    /// From whom it learns, and at which port: the leader, or an observer's master, which this file calls the leader too.
    via: (Sid, Link),
    pub(super) observer: bool,
    pub(super) chan: Option<ChanId>,
    pub(super) stage: LearnerStage,
    began_at: Instant,
    pub(super) heard_at: Instant,
    /// The epoch the leader has offered.
    epoch: Epoch,
    /// Committed, if this leadership is what it says it is: known only at UPTODATE.
    tentative: Zxid,
    /// Acknowledged up to here.
    acked: Zxid,
    /// Writes that were forwarded, oldest first: the leader makes one txn of each, in this order.
    pub(super) forwarded: VecDeque<Forwarded>,
    /// Who has sent each `sync` that was forwarded, oldest first.
    pub(super) syncs: VecDeque<Asker>,
    /// Sessions the leader is asked about, oldest first.
    pub(super) asked: VecDeque<(SessionId, Asker, i32)>,
    /// Sessions heard of since the last ping.
    pub(super) touched: BTreeMap<SessionId, i32>,
    /// Those that learn from this server in turn.
    pub(super) observers: Observers,
}

/// Time between two attempts to reach the leader, ms.
const RETRY_MS: u64 = 50;
/// Longest time of such attempts, ms: an elected leader opens its door at once.
const REACH_MS: u64 = 2_000;

impl Learner {
    pub(super) fn new(leader: Sid, observer: bool, via: (Sid, Link), now: Instant) -> Self {
        Self {
            leader,
            via,
            observer,
            chan: None,
            stage: LearnerStage::Connecting { retry_at: None },
            began_at: now,
            heard_at: now,
            epoch: Epoch(0),
            tentative: Zxid::ZERO,
            acked: Zxid::ZERO,
            forwarded: VecDeque::new(),
            syncs: VecDeque::new(),
            asked: VecDeque::new(),
            touched: BTreeMap::new(),
            observers: Observers::default(),
        }
    }

    pub(super) fn is_on(&self, chan: ChanId) -> bool {
        self.chan == Some(chan)
    }

    pub(super) fn is_serving(&self) -> bool {
        matches!(self.stage, LearnerStage::Serving)
    }

    /// From whom it learns.
    pub(super) fn master(&self) -> Sid {
        self.via.0
    }

    /// What its leader had committed when this learner began to serve.
    pub(super) fn committed_at_first(&self) -> Zxid {
        self.tentative
    }
}

/// The epoch that the zxid of FOLLOWERINFO, OBSERVERINFO or LEADERINFO stands for, if that can be: no more than `leap`
/// elections after `ours`. An epoch is used up when it is promised, and there are no more than 2^31 of them.
pub(super) fn offered_epoch(zxid: Zxid, ours: Epoch, leap: u32) -> Result<Epoch, PeerFault> {
    let most = i64::from(EPOCH_MAX.min(ours.0.saturating_add(leap)));
    match zxid.0 >> 32 {
        epoch if (0..=most).contains(&epoch) => Ok(Epoch(epoch as u32)),
        epoch => Err(PeerFault(format!(
            "it speaks of epoch {epoch}, which cannot be: this server knows of {}. If that server was led astray, start \
             it with an empty data directory",
            ours.0
        ))),
    }
}

/// The last epoch that may be promised: one more can follow.
const EPOCH_MAX: u32 = 0x7fff_fffe;
/// Elections that a learner may have heard of more than the server it comes to: one a second for half a year.
pub(super) const LEAP: u32 = 1 << 24;
/// Elections that a leader may be ahead: it may have heard of some from another learner.
const LEADERS_LEAP: u32 = 2 * LEAP;

/// Time until a server that could not write a tree down asks for it again, ms.
const NO_ROOM_PAUSE_MS: u64 = 1_000;

impl Server {
    pub(super) fn learner(&self) -> Option<&Learner> {
        match &self.role {
            Role::Following(learner) | Role::Observing(learner) => Some(learner),
            _ => None,
        }
    }

    pub(super) fn learner_mut(&mut self) -> Option<&mut Learner> {
        match &mut self.role {
            Role::Following(learner) | Role::Observing(learner) => Some(learner),
            _ => None,
        }
    }

    pub(super) fn connect_to_leader(&mut self) {
        let Some(learner) = self.learner_mut() else { return };
        learner.stage = LearnerStage::Connecting { retry_at: None };
        let (sid, link) = learner.via;
        self.effects.push(Effect::Connect { sid, link });
        self.arm_peers();
    }

    pub(super) fn on_unreachable(&mut self, sid: Sid, link: Link) {
        let now = self.now.mono;
        let Some(learner) = self.learner() else { return };
        if (sid, link) != learner.via || learner.chan.is_some() {
            return;
        }
        let leader = learner.leader;
        if now.since(learner.began_at) > REACH_MS * 1000 {
            return self.rest(&match link {
                Link::ObserverMaster => {
                    format!("no follower can be observed, the last one tried was server {sid}")
                }
                _ => format!("server {sid}, which was elected, cannot be reached"),
            });
        }
        let via = match link {
            Link::ObserverMaster => self.choose_master(leader),
            _ => (sid, link),
        };
        let at = now.plus_ms(RETRY_MS);
        if let Some(learner) = self.learner_mut() {
            learner.stage = LearnerStage::Connecting { retry_at: Some(at) };
            learner.via = via;
        }
        self.effects.push(Effect::SetTimer { id: Timer::Peers, at });
    }

    /// The link to the leader is up: say who we are.
    pub(super) fn on_leader_link(&mut self, sid: Sid, link: Link, chan: ChanId) {
        let (accepted, me, now) = (self.epochs.accepted, self.config.sid, self.now.mono);
        let version = self.peers.as_ref().map_or(0, |peers| peers.ensemble.version);
        let wanted = |learner: &Learner| {
            let connecting = matches!(learner.stage, LearnerStage::Connecting { .. });
            learner.via == (sid, link) && learner.chan.is_none() && connecting
        };
        let Some(learner) = self.learner_mut().filter(|learner| wanted(learner)) else {
            return self.drop_link(chan);
        };
        learner.chan = Some(chan);
        learner.stage = LearnerStage::AwaitLeaderInfo;
        learner.heard_at = now;
        let kind = match learner.observer {
            true => PacketKind::ObserverInfo,
            false => PacketKind::FollowerInfo,
        };
        let mut data = Vec::new();
        let (protocol_version, config_version) = (QUORUM_PROTOCOL, version);
        LearnerInfo { sid: me, protocol_version, config_version }.encode(&mut data);
        self.say(kind, Zxid::of_epoch(accepted), Some(&data));
    }

    /// Sends a packet to the leader.
    pub(super) fn say(&mut self, kind: PacketKind, zxid: Zxid, data: Option<&[u8]>) {
        let chan = self.learner().and_then(|learner| learner.chan);
        if let (Some(chan), Some(peers)) = (chan, &mut self.peers) {
            peers.send(chan, kind, zxid, data);
        }
    }

    /// The link to the leader is gone.
    pub(super) fn on_leader_down(&mut self, chan: ChanId) {
        let Some(learner) = self.learner_mut().filter(|learner| learner.is_on(chan)) else {
            return;
        };
        let (sid, link) = learner.via;
        if link == Link::ObserverMaster && matches!(learner.stage, LearnerStage::AwaitLeaderInfo) {
            // It does not follow, or not yet. There are others.
            learner.chan = None;
            return self.on_unreachable(sid, link);
        }
        match link {
            Link::ObserverMaster => {
                self.leave(&format!("the connection to server {sid}, which it observes, is lost"));
            }
            _ => self.leave("the connection to the leader is lost"),
        }
    }

    /// Gives the leader up.
    fn leave(&mut self, why: &str) {
        let half_a_tree = matches!(
            self.learner().map(|learner| &learner.stage),
            Some(LearnerStage::Receiving(_) | LearnerStage::SavingTree)
        );
        self.rest(why);
        if half_a_tree && !planted(Plant::HalfATreeStays) {
            // What is in memory is on no disk (ZOOKEEPER-3642): only the disk says what this server holds.
            self.abandon_snapshot();
            self.read_disk_again(None);
        }
    }

    pub(super) fn on_leader_packet(&mut self, packet: &Packet<'_>) -> Result<Done, PeerFault> {
        let Some(learner) = self.learner() else { return Ok(Done::Yes) };
        let unexpected = || {
            let kind = packet.kind;
            Err(PeerFault(format!("the leader sent {kind:?}, which cannot come now")))
        };
        match (&learner.stage, packet.kind) {
            (LearnerStage::AwaitLeaderInfo, PacketKind::LeaderInfo) => {
                // Who knows of none may come to any.
                let ours = self.epochs.accepted;
                let leap = if ours == Epoch(0) { EPOCH_MAX } else { LEADERS_LEAP };
                let epoch = offered_epoch(packet.zxid, ours, leap)?;
                self.on_leader_info(epoch)?;
            }
            (LearnerStage::AwaitPlan, PacketKind::Diff) => self.begin_sync(),
            (LearnerStage::AwaitPlan, PacketKind::Trunc) => self.on_trunc(packet.zxid)?,
            (LearnerStage::AwaitPlan, PacketKind::Snap) => self.on_snap(packet.zxid)?,
            (LearnerStage::AwaitLeaderInfo | LearnerStage::AwaitPlan, _) => return unexpected(),
            (
                LearnerStage::Connecting { .. }
                | LearnerStage::SavingAccepted { .. }
                | LearnerStage::Truncating
                | LearnerStage::Receiving(_)
                | LearnerStage::SavingTree
                | LearnerStage::SettlingHistory
                | LearnerStage::SavingCurrent,
                _,
            ) => return Ok(Done::NotYet),
            (LearnerStage::Syncing | LearnerStage::AwaitUpToDate | LearnerStage::Serving, kind) => {
                return self.on_stream(kind, packet);
            }
        }
        Ok(Done::Yes)
    }

    /// What comes once we are being brought level.
    fn on_stream(&mut self, kind: PacketKind, packet: &Packet<'_>) -> Result<Done, PeerFault> {
        let data = packet.data.unwrap_or_default();
        match kind {
            PacketKind::Proposal => return self.on_proposal(packet.zxid, data, false),
            PacketKind::Inform => return self.on_proposal(packet.zxid, data, true),
            PacketKind::InformAndActivate => {
                let (_, txn) = decode_designated_leader(data)?;
                return self.on_proposal(packet.zxid, txn, true);
            }
            PacketKind::Commit | PacketKind::CommitAndActivate => self.on_commit(packet.zxid)?,
            PacketKind::NewLeader => self.on_new_leader(packet.zxid)?,
            PacketKind::UpToDate => self.on_up_to_date()?,
            PacketKind::Ping => self.on_ping(packet.zxid),
            PacketKind::Sync => self.on_sync_done(),
            PacketKind::Revalidate => self.on_revalidated(data)?,
            PacketKind::Request
            | PacketKind::Ack
            | PacketKind::FollowerInfo
            | PacketKind::Diff
            | PacketKind::Trunc
            | PacketKind::Snap
            | PacketKind::ObserverInfo
            | PacketKind::LeaderInfo
            | PacketKind::AckEpoch => {
                return Err(PeerFault(format!("the leader sent {kind:?}, which cannot come now")));
            }
        }
        Ok(Done::Yes)
    }

    /// A leader offers its epoch. The promise is on disk before it is made.
    fn on_leader_info(&mut self, epoch: Epoch) -> Result<(), PeerFault> {
        let (accepted, current) = (self.epochs.accepted, self.epochs.current);
        let older_is_fine = planted(Plant::EpochOfLastZxid) || planted(Plant::OlderEpochAccepted);
        if epoch < accepted && !older_is_fine {
            return Err(PeerFault(format!(
                "the leader offers epoch {}, but {} was promised to another one",
                epoch.0, accepted.0
            )));
        }
        let Some(learner) = self.learner_mut() else { return Ok(()) };
        learner.epoch = epoch;
        // A promise is only made once; who makes it again is not counted.
        let twice = planted(Plant::EpochOfLastZxid) || planted(Plant::PromiseCountsTwice);
        let again = epoch == accepted && !twice;
        let current_told = (!again).then_some(current);
        learner.stage = LearnerStage::SavingAccepted { current: current_told };
        if !again {
            self.put_epochs(epoch, current);
        }
        Ok(())
    }

    /// Our tree and log are a prefix of the leader's history.
    fn begin_sync(&mut self) {
        let upto = self.zxid_proposed;
        if let Some(learner) = self.learner_mut() {
            learner.stage = LearnerStage::Syncing;
            learner.tentative = upto;
        }
        self.report(Milestone::SyncBegun { kind: PacketKind::Diff.number(), zxid: upto });
    }

    /// Is anything above `end` known to be committed? Then a leader that ends there has lost it, or is not level itself.
    fn refuse_to_lose(&self, end: Zxid) -> Result<(), PeerFault> {
        let committed = self.committed;
        match self.joined && end < committed && committed.counter() != 0 {
            true => Err(PeerFault(format!(
                "the leader's history ends at {end}, but this server knows everything up to {committed} to be \
                 committed, and does not give it up"
            ))),
            false => Ok(()),
        }
    }

    /// Does this zxid belong to the history of who leads that epoch? It ends in it. Nothing else may reach the disk: it would
    /// win every election to come.
    fn refuse_another_epoch(&self, zxid: Zxid) -> Result<(), PeerFault> {
        let led = self.learner().map_or(0, |learner| i64::from(learner.epoch.0));
        match (0..=led).contains(&(zxid.0 >> 32)) {
            true => Ok(()),
            false => Err(PeerFault(format!("the leader speaks of {zxid}, but leads epoch {led}"))),
        }
    }

    /// What this server holds above `to` was never committed. It goes from the disk, from logs and snapshots alike.
    fn on_trunc(&mut self, to: Zxid) -> Result<(), PeerFault> {
        self.refuse_another_epoch(to)?;
        self.refuse_to_lose(to)?;
        if to > self.zxid_proposed {
            return Err(PeerFault(format!(
                "the leader wants everything above {to} cut off, but this server ends at {}",
                self.zxid_proposed
            )));
        }
        if let Some(learner) = self.learner_mut() {
            learner.stage = LearnerStage::Truncating;
            learner.tentative = to;
        }
        self.report(Milestone::SyncBegun { kind: PacketKind::Trunc.number(), zxid: to });
        self.read_disk_again(Some(to));
        Ok(())
    }

    /// The disk was read again: does the history end where the leader said?
    pub(super) fn on_disk_read_again(&mut self) {
        let last = self.zxid_proposed;
        let Some(learner) = self.learner_mut() else { return };
        if !matches!(learner.stage, LearnerStage::Truncating) {
            return;
        }
        let to = learner.tentative;
        learner.stage = LearnerStage::Syncing;
        let any_end = planted(Plant::SnapshotOfUncommitted) || planted(Plant::CutKeepsFirst);
        if last != to && !any_end {
            // The leader's point is none of ours: what is left is less than it believes, or the same by another name.
            let why = format!("cut off above {to}, this server ends at {last}; it asks again");
            self.leave(&why);
        }
    }

    fn on_snap(&mut self, label: Zxid) -> Result<(), PeerFault> {
        self.refuse_another_epoch(label)?;
        self.refuse_to_lose(label)?;
        if planted(Plant::CutBeforeTree) && label < self.zxid_proposed {
            self.leave("planted");
            self.read_disk_again(Some(label));
            return Ok(());
        }
        let seed = self.chance.draw();
        let tree = DataTree::without_nodes(seed, self.config.emulate_353_ttl);
        let reader = SnapshotReader::stream(self.config.record_max());
        let receiving = Box::new(Receiving { label, reader, image: Image::new(tree) });
        if let Some(learner) = self.learner_mut() {
            learner.stage = LearnerStage::Receiving(receiving);
        }
        // A second tree would need twice the memory, so the old one goes now. Until the new one is durable, the disk
        // alone says what this server holds.
        self.abandon_snapshot();
        self.tree = DataTree::new(0, self.config.emulate_353_ttl);
        self.proposals.clear();
        self.report(Milestone::SyncBegun { kind: PacketKind::Snap.number(), zxid: label });
        Ok(())
    }

    pub(super) fn is_receiving_snapshot(&self, chan: ChanId) -> bool {
        self.is_receiving_tree() && self.learner().is_some_and(|learner| learner.is_on(chan))
    }

    pub(super) fn is_receiving_tree(&self) -> bool {
        self.learner().is_some_and(|learner| matches!(learner.stage, LearnerStage::Receiving(_)))
    }

    /// Bytes of the tree; how many of them belong to it.
    pub(super) fn on_snapshot_bytes(&mut self, bytes: &[u8]) -> Result<usize, PeerFault> {
        let Some(learner) = self.learner_mut() else { return Ok(bytes.len()) };
        let LearnerStage::Receiving(receiving) = &mut learner.stage else {
            return Ok(bytes.len());
        };
        receiving.reader.feed(bytes);
        loop {
            match receiving.reader.next() {
                Ok(Next::Item(item)) => receiving.image.load(item).map_err(|()| {
                    PeerFault("the leader's tree has a znode without a parent".into())
                })?,
                Ok(Next::NeedsMore) => return Ok(bytes.len()),
                Ok(Next::Done(_)) => break,
                Err(flaw) => {
                    return Err(PeerFault(format!("the leader's tree cannot be read: {flaw:?}")));
                }
            }
        }
        let used = bytes.len() - receiving.reader.leftover().len();
        let stage = std::mem::replace(&mut learner.stage, LearnerStage::SavingTree);
        if let LearnerStage::Receiving(receiving) = stage {
            self.take_tree(*receiving);
        }
        Ok(used)
    }

    /// The tree is whole. It is written down before anything is logged behind it.
    fn take_tree(&mut self, receiving: Receiving) {
        let Receiving { label, image, .. } = receiving;
        let Image { mut tree, sessions, .. } = image;
        tree.set_up_quotas();
        self.tree = tree;
        self.sessions_applied = sessions;
        // Whether it is committed is known at UPTODATE: no quorum may have followed this leader yet.
        (self.zxid_applied, self.zxid_proposed) = (label, label);
        self.digests = DigestLog::default();
        self.history = History::starting_after(label);
        self.set_history_budget();
        // The tree may hold parts of txns above its label.
        self.comparable = Comparable::SENT;
        self.journal.close();
        if let Some(learner) = self.learner_mut() {
            learner.tentative = label;
            if planted(Plant::TreeNotDurable) {
                learner.stage = LearnerStage::Syncing;
            }
        }
        self.start_snapshot_job();
    }

    /// The leader's tree is durable under its name.
    pub(super) fn on_tree_saved(&mut self, label: Zxid, tree: Option<FileId>) {
        let applied = self.zxid_applied;
        let saved = |learner: &Learner| {
            matches!(learner.stage, LearnerStage::SavingTree) && label == applied
        };
        if let Some(learner) = self.learner_mut().filter(|learner| saved(learner)) {
            learner.stage = LearnerStage::Syncing;
            self.discard_all_but(tree);
        }
    }

    /// Between what was here and the leader's tree there may be a hole, so nobody must ever fall back behind it. And what
    /// stands above its label was never committed; it goes only now, because it may hold this server's only copy of what
    /// was. A power loss on the way finds the one history or the other: logs go before the snapshots that stand in
    /// front of them, and the newest first.
    fn discard_all_but(&mut self, tree: Option<FileId>) {
        let found = |(number, place): (usize, &FilePlace)| {
            let file = FileId(number as u32);
            let log = log_zxid(place).map(|zxid| (true, zxid, file));
            log.or_else(|| snapshot_zxid(place).map(|zxid| (false, zxid, file)))
        };
        let mut others: Vec<(bool, Zxid, FileId)> =
            self.files.iter().enumerate().filter_map(found).collect();
        others.retain(|(_, _, file)| Some(*file) != tree && !self.gone.contains(file));
        others.sort_unstable_by(|one, other| other.cmp(one));
        for (_, _, file) in others {
            if planted(Plant::OldLogBehindTree) {
                return;
            }
            self.gone.insert(file);
            self.effects.push(Effect::Discard { file });
        }
    }

    /// It could not be written: the disk is full, or worse.
    pub(super) fn on_tree_not_saved(&mut self) {
        let saving = self.learner().map(|learner| &learner.stage);
        if matches!(saving, Some(LearnerStage::SavingTree)) {
            // Whoever comes back at once is sent the whole tree again, and again in vain.
            self.rest_until = self.now.mono.plus_ms(NO_ROOM_PAUSE_MS);
            self.leave("the leader's tree could not be written down");
        }
    }

    fn on_proposal(
        &mut self,
        zxid: Zxid,
        payload: &[u8],
        committed: bool,
    ) -> Result<Done, PeerFault> {
        let Some(learner) = self.learner() else { return Ok(Done::Yes) };
        let serving = learner.is_serving();
        if zxid <= self.zxid_proposed && !serving {
            // The tree has it already.
            return Ok(Done::Yes);
        }
        self.refuse_another_epoch(zxid)?;
        if !zxid.follows(self.zxid_proposed) {
            return Err(PeerFault(format!(
                "the leader proposes {zxid}, but {} is the last one here: what lies between is missing",
                self.zxid_proposed
            )));
        }
        let (header, txn, digest) = decode_txn(payload)?;
        if header.zxid != zxid {
            return Err(PeerFault(format!("proposal {zxid} holds txn {}", header.zxid)));
        }
        if !self.log_payload(zxid, payload)? {
            return Ok(Done::NotYet);
        }
        let end = self.journal.appended();
        self.proposals.push_back(Proposal { header, txn, digest, end, origin: None });
        self.zxid_proposed = zxid;
        if planted(Plant::ProposalIsCommit) && serving {
            self.committed = zxid;
        }
        if committed {
            self.on_commit(zxid)?;
        }
        Ok(Done::Yes)
    }

    /// Logs what a leader has sent, as it came; false when there is no room yet.
    fn log_payload(&mut self, zxid: Zxid, payload: &[u8]) -> Result<bool, PeerFault> {
        if self.snapshot_first {
            return Ok(false);
        }
        let syncs = self.learner().is_some_and(|learner| !learner.is_serving());
        if planted(Plant::BehindCutInMemory) && syncs && !self.journal.has_file() {
            self.history.push(zxid, payload, zxid);
            return Ok(true);
        }
        self.roll_if_due(zxid);
        match self.journal.append_payload(zxid, payload) {
            Room::Enough => {}
            Room::Awaited | Room::Lacking => return Ok(false),
            Room::TooLong => {
                return Err(PeerFault(format!(
                    "proposal {zxid} has {} bytes, more than jute.maxbuffer allows here",
                    payload.len()
                )));
            }
        }
        // What is committed and not applied may still have to be handed on to observers.
        let settled = match self.learner() {
            Some(learner) if !learner.is_serving() => self.committed.max(learner.tentative),
            _ => self.zxid_applied,
        };
        let serves = self.learner().is_some_and(Learner::is_serving);
        if serves || !planted(Plant::SyncNotKept) {
            self.history.push(zxid, payload, settled);
        }
        Ok(true)
    }

    /// How much of the history stays in memory.
    pub(super) fn set_history_budget(&mut self) {
        if self.config.observer_masters {
            self.history.set_budget(self.config.observer_history);
        }
    }

    fn on_commit(&mut self, zxid: Zxid) -> Result<(), PeerFault> {
        let proposed = self.zxid_proposed;
        let committed = self.committed;
        let Some(learner) = self.learner_mut() else { return Ok(()) };
        let before = if learner.is_serving() { committed } else { learner.tentative };
        if zxid <= before && (!learner.is_serving() || planted(Plant::ProposalIsCommit)) {
            return Ok(());
        }
        if zxid > proposed || !zxid.follows(before) {
            return Err(PeerFault(format!(
                "the leader commits {zxid}, but after {before} another one is next, or it was never proposed"
            )));
        }
        match learner.is_serving() {
            true => self.committed = zxid,
            false => learner.tentative = zxid,
        }
        Ok(())
    }

    fn on_new_leader(&mut self, zxid: Zxid) -> Result<(), PeerFault> {
        let Some(learner) = self.learner_mut() else { return Ok(()) };
        if !matches!(learner.stage, LearnerStage::Syncing) {
            return Err(PeerFault("the leader sent NEWLEADER twice".into()));
        }
        if zxid != Zxid::of_epoch(learner.epoch) {
            return Err(PeerFault(format!(
                "NEWLEADER names {zxid}, but epoch {} was offered",
                learner.epoch.0
            )));
        }
        learner.stage = LearnerStage::SettlingHistory;
        Ok(())
    }

    fn on_up_to_date(&mut self) -> Result<(), PeerFault> {
        let Some(learner) = self.learner_mut() else { return Ok(()) };
        if !matches!(learner.stage, LearnerStage::AwaitUpToDate) {
            return match learner.stage {
                LearnerStage::Serving => Ok(()),
                _ => Err(PeerFault("the leader sent UPTODATE before NEWLEADER".into())),
            };
        }
        learner.stage = LearnerStage::Serving;
        learner.acked = learner.tentative;
        let (epoch, tentative) = (learner.epoch, learner.tentative);
        if !planted(Plant::ServesBehindItsAck) {
            self.committed = self.committed.max(tentative);
        }
        // What differs on this disk, the leader's digests are about to say.
        let _ = self.comparable.when_all_is_here(tentative);
        self.say(PacketKind::Ack, Zxid::of_epoch(epoch), None);
        if !planted(Plant::VoteOfFormerEpoch) {
            self.vote_for_epoch(epoch);
        }
        self.apply_committed();
        self.begin_service();
        Ok(())
    }

    /// Answered from where nothing waits for a disk.
    fn on_ping(&mut self, zxid: Zxid) {
        let Some(learner) = self.learner_mut() else { return };
        if !learner.is_serving() {
            return;
        }
        let mut touched: Vec<(SessionId, i32)> =
            std::mem::take(&mut learner.touched).into_iter().collect();
        if planted(Plant::TouchesNotPassedOn) {
            touched.clear();
        }
        let mut data = Vec::new();
        encode_touches(&touched, &mut data);
        self.say(PacketKind::Ping, zxid, Some(&data));
    }

    fn on_sync_done(&mut self) {
        let asker =
            self.learner_mut().and_then(|learner| match planted(Plant::SyncAnswersSwapped) {
                true => learner.syncs.pop_back(),
                false => learner.syncs.pop_front(),
            });
        // Everything committed before it must be applied here first.
        self.apply_committed();
        match asker {
            Some(Asker::Client(id)) => self.finish_sync(id),
            Some(Asker::Observer(chan)) => self.queue_sync(chan, self.committed),
            None => {}
        }
    }

    fn on_revalidated(&mut self, data: &[u8]) -> Result<(), PeerFault> {
        let (session, valid) = decode_revalidated(data)?;
        let Some(learner) = self.learner_mut() else { return Ok(()) };
        let at = learner.asked.iter().position(|(asked, ..)| *asked == session);
        match at.and_then(|at| learner.asked.remove(at)) {
            Some((_, Asker::Client(id), timeout_ms)) => {
                self.on_session_checked(id, session, timeout_ms, valid);
            }
            Some((_, Asker::Observer(chan), timeout_ms)) => {
                self.pass_answer_on(chan, session, timeout_ms, valid);
            }
            None => {}
        }
        Ok(())
    }

    /// Bytes the leader has not read.
    fn unread_by_leader(&self) -> u64 {
        let chan = self.learner().and_then(|learner| learner.chan);
        let link = chan.zip(self.peers.as_ref()).and_then(|(chan, peers)| peers.link(chan));
        link.map_or(0, super::peers::PeerLink::unsent)
    }

    /// Must requests wait, because those that were forwarded have not been read?
    pub(super) fn leader_is_behind(&self) -> bool {
        self.unread_by_leader() > self.config.limits.peer_budget
    }

    /// Once in a turn.
    pub(super) fn drive_learner(&mut self) {
        // Acknowledgements cannot wait. A leader that sends and does not read is left.
        if self.unread_by_leader() > 16 * self.fed_at_most() {
            return self.leave("the leader does not read what it is sent");
        }
        let quiet = self.journal.is_quiet();
        let epochs_durable = self.epochs.are_durable();
        let (accepted, mut last) = (self.epochs.accepted, self.zxid_proposed);
        if planted(Plant::VotesForApplied) {
            last = self.zxid_applied;
        }
        let Some(learner) = self.learner_mut() else { return };
        match learner.stage {
            LearnerStage::SavingAccepted { current }
                if epochs_durable || planted(Plant::PromiseNotSaved) =>
            {
                learner.stage = LearnerStage::AwaitPlan;
                let mut data = Vec::new();
                encode_ack_epoch(current, &mut data);
                self.say(PacketKind::AckEpoch, last, Some(&data));
            }
            LearnerStage::SettlingHistory
                if quiet
                    || planted(Plant::AckBeforeHistory)
                    || planted(Plant::AckNewLeaderAtOnce) =>
            {
                learner.stage = LearnerStage::SavingCurrent;
                let epoch = learner.epoch;
                self.put_epochs(accepted, epoch);
            }
            LearnerStage::SavingCurrent if epochs_durable || planted(Plant::AckNewLeaderAtOnce) => {
                learner.stage = LearnerStage::AwaitUpToDate;
                let epoch = learner.epoch;
                self.say(PacketKind::Ack, Zxid::of_epoch(epoch), None);
            }
            LearnerStage::Serving => {
                self.acknowledge();
                self.apply_committed();
            }
            _ => {}
        }
        self.work_off_held();
        // A NEWLEADER that was held until the tree was durable may find nothing more to wait for.
        let settles = |learner: &Learner| matches!(learner.stage, LearnerStage::SettlingHistory);
        self.more_to_do |= self.journal.is_quiet() && self.learner().is_some_and(settles);
    }

    /// An ACK for every txn that has become durable.
    fn acknowledge(&mut self) {
        let mut durable = self.journal.zxid_durable();
        if planted(Plant::AckOnArrival) {
            durable = Some(self.history.last());
        }
        let Some(durable) = durable else { return };
        let Some(learner) = self.learner() else { return };
        if learner.observer || durable <= learner.acked {
            return;
        }
        let acked = self.history.after(learner.acked).map(|(zxid, _)| zxid);
        let zxids: Vec<Zxid> = acked.take_while(|zxid| *zxid <= durable).collect();
        for zxid in zxids {
            self.say(PacketKind::Ack, zxid, None);
            if let Some(learner) = self.learner_mut() {
                learner.acked = zxid;
            }
        }
    }

    /// How long the leader may be silent, ms: initLimit until this server serves, then syncLimit.
    fn silence_ms(&self, learner: &Learner) -> u64 {
        let mut serving = learner.is_serving();
        if planted(Plant::ImpatientFollower) {
            serving |= matches!(learner.stage, LearnerStage::AwaitUpToDate);
        }
        let ticks = if serving { self.config.sync_limit } else { self.config.init_limit };
        u64::from(ticks) * u64::from(self.config.tick_ms)
    }

    /// When the leader will have been silent for too long, if nothing comes.
    pub(super) fn leader_given_up_at(&self) -> Option<Instant> {
        let learner = self.learner()?;
        let waits_for_it = !matches!(
            learner.stage,
            LearnerStage::Connecting { .. } | LearnerStage::Truncating | LearnerStage::SavingTree
        );
        waits_for_it.then(|| learner.heard_at.plus_ms(self.silence_ms(learner) + 1))
    }

    /// Half a tick has passed, or the leader's time is up: is it still there?
    pub(super) fn on_learner_time(&mut self) {
        let now = self.now.mono;
        let Some(limit_ms) = self.learner().map(|learner| self.silence_ms(learner)) else { return };
        let limit_us = limit_ms * 1000;
        self.on_observers_time();
        let Some(learner) = self.learner_mut() else { return };
        let (sid, link) = learner.via;
        match learner.stage {
            LearnerStage::Connecting { retry_at } => {
                if now.since(learner.began_at) > limit_us {
                    self.leave(&format!("server {sid} cannot be reached"));
                } else if retry_at.is_some_and(|at| at <= now) {
                    learner.stage = LearnerStage::Connecting { retry_at: None };
                    self.effects.push(Effect::Connect { sid, link });
                }
            }
            // Our own disk is what takes so long.
            LearnerStage::Truncating | LearnerStage::SavingTree => learner.heard_at = now,
            _ if planted(Plant::LeaderNeverGivenUp) => {}
            _ if now.since(learner.heard_at) > limit_us => {
                let who = if link == Link::ObserverMaster { "the observed" } else { "the leader," };
                self.leave(&format!("{who} server {sid}, was silent for {limit_ms} ms"));
            }
            _ => {}
        }
    }
}
