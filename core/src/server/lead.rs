//! The leading role: three barriers until it is established, then propose, count, commit (quorum protocol §6, §9).

use super::Server;
use super::handler::{HandlerStage, LearnerHandler, Learners};
use super::learn::{LEAP, offered_epoch};
use super::local::Ended;
use super::peers::{Done, PeerFault};
use super::roles::{Epochs, Role};
use crate::ids::{ChanId, Epoch, SessionId, Sid, Zxid};
use crate::planted::{Plant, planted};
use crate::session::Home;
use crate::time::Instant;
use crate::wire::{
    ForwardedRequest, LearnerInfo, Packet, PacketKind, decode_ack_epoch, decode_revalidate,
    decode_touches, encode_leader_info, encode_revalidated,
};
use crate::zab::Acks;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How far a leadership has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) enum Stage {
    /// A quorum has yet to say which epochs it has promised.
    Discovery,
    /// The new epoch is on its way to our disk.
    SavingAccepted,
    /// A quorum has yet to promise the new epoch.
    EpochAcks,
    SavingCurrent,
    /// A quorum has yet to hold our history.
    NewLeaderAcks,
    /// Established.
    Serving,
}

/// What a leader knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Leader {
    pub(super) stage: Stage,
    /// The epoch of this leadership; before it is settled the lowest it can be.
    pub(super) epoch: Epoch,
    /// Epoch and last zxid of our own history when we were elected.
    summary: (Epoch, Zxid),
    /// Voters that have announced themselves, have promised the epoch, hold our history.
    announced: BTreeSet<Sid>,
    promised: BTreeSet<Sid>,
    pub(super) ready: BTreeSet<Sid>,
    pub(super) acks: Acks,
    pub(super) learners: Learners,
    /// A barrier was passed, or a learner that catches up has taken something.
    pub(super) progress_at: Instant,
    ping_at: Instant,
    judge_at: Instant,
    established_at: Instant,
    /// Sessions that learners may not have heard the end of.
    pub(super) ended: Ended,
}

impl Leader {
    pub(super) fn new(epochs: Epochs, last: Zxid, now: Instant) -> Self {
        Self {
            stage: Stage::Discovery,
            epoch: match planted(Plant::EpochOfLastZxid) {
                true => Epoch(last.epoch().0 + 1),
                false => Epoch(epochs.accepted.0 + 1),
            },
            summary: (epochs.current, last),
            announced: BTreeSet::new(),
            promised: BTreeSet::new(),
            ready: BTreeSet::new(),
            acks: Acks::default(),
            learners: Learners::default(),
            progress_at: now,
            ping_at: now,
            judge_at: now,
            established_at: now,
            ended: Ended::default(),
        }
    }

    /// A link of a server is gone: what it acknowledged on that link says nothing of what it holds on the next one.
    fn forget(&mut self, sid: Sid) {
        self.acks.forget(sid);
        // Before it is established, only those count that are still there to be led.
        if !self.is_established() {
            self.ready.remove(&sid);
        }
    }

    /// Are learners brought level by now?
    pub(super) fn brings_level(&self) -> bool {
        self.stage >= Stage::NewLeaderAcks
    }

    pub(super) fn is_established(&self) -> bool {
        self.stage == Stage::Serving
    }

    /// The last epoch with whose leader this server was level before it was elected.
    pub(super) fn joined(&self) -> Epoch {
        self.summary.0
    }
}

impl Server {
    pub(super) fn leader(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leading(leader) => Some(leader),
            _ => None,
        }
    }

    pub(super) fn leader_mut(&mut self) -> Option<&mut Leader> {
        match &mut self.role {
            Role::Leading(leader) => Some(leader),
            _ => None,
        }
    }

    /// This server was elected. Learners that came before it knew have been waiting.
    pub(super) fn start_leading(&mut self) {
        let me = self.config.sid;
        if let Some(leader) = self.leader_mut() {
            leader.announced.insert(me);
            if planted(Plant::EpochIsHistory) {
                let zxid = Zxid::of_epoch(leader.epoch);
                (self.zxid_applied, self.zxid_proposed) = (zxid, zxid);
                self.proposals.clear();
            }
        }
        self.arm_peers();
        self.work_off_held();
        self.pass_barriers();
    }

    fn quorum_of(&self, sids: &BTreeSet<Sid>) -> bool {
        let me = self.config.sid;
        let quorum = |peers: &super::peers::Peers| peers.ensemble.has_quorum(|s| sids.contains(&s));
        sids.contains(&me) && self.peers.as_ref().is_some_and(quorum)
    }

    fn can_lead(&self, sid: Sid) -> bool {
        self.peers.as_ref().is_some_and(|peers| peers.ensemble.weight(sid) != 0)
    }

    /// Goes on to the next stage as often as its barrier is passed.
    pub(super) fn pass_barriers(&mut self) {
        while let Some(leader) = self.leader() {
            let passed = match leader.stage {
                Stage::Discovery => self.quorum_of(&leader.announced),
                Stage::EpochAcks if planted(Plant::SecondBarrierAsksFirst) => {
                    self.quorum_of(&leader.announced)
                }
                Stage::EpochAcks => self.quorum_of(&leader.promised),
                Stage::SavingAccepted if planted(Plant::OfferNotSaved) => true,
                Stage::SavingCurrent if planted(Plant::ReignNotSaved) => true,
                Stage::SavingAccepted | Stage::SavingCurrent => self.epochs.are_durable(),
                Stage::NewLeaderAcks => self.quorum_of(&leader.ready),
                Stage::Serving => return,
            };
            if !passed {
                return;
            }
            let (epoch, now, me) = (leader.epoch, self.now.mono, self.config.sid);
            let current = self.epochs.current;
            let Some(leader) = self.leader_mut() else { return };
            leader.progress_at = now;
            match leader.stage {
                // Disk first: a leader that forgot an epoch it has offered could offer it twice.
                Stage::Discovery => {
                    leader.stage = Stage::SavingAccepted;
                    self.put_epochs(epoch, current);
                }
                Stage::SavingAccepted => {
                    leader.stage = Stage::EpochAcks;
                    leader.promised.insert(me);
                    self.offer_epoch_to_all();
                }
                Stage::EpochAcks => {
                    leader.stage = Stage::SavingCurrent;
                    self.put_epochs(epoch, epoch);
                }
                Stage::SavingCurrent => {
                    leader.stage = Stage::NewLeaderAcks;
                    // Everything this server holds was durable before it voted.
                    leader.ready.insert(me);
                    if planted(Plant::SnapshotOfUncommitted) {
                        self.committed = self.zxid_proposed;
                        self.apply_committed();
                        self.start_snapshot_job();
                    }
                    self.sync_all();
                }
                Stage::NewLeaderAcks => self.establish(),
                Stage::Serving => return,
            }
        }
    }

    /// A quorum holds our history: it is committed, and clients can be served.
    fn establish(&mut self) {
        self.committed = self.zxid_proposed;
        self.apply_committed();
        if self.halted.is_some() {
            return;
        }
        assert!(self.proposals.is_empty(), "something of the history is not durable");
        let (zxid, me, now) = (self.zxid_proposed, self.config.sid, self.now.mono);
        let Some(leader) = self.leader_mut() else { return };
        leader.stage = Stage::Serving;
        leader.established_at = now;
        leader.acks.note(me, zxid);
        let epoch = leader.epoch;
        self.vote_for_epoch(epoch);
        self.begin_service();
        self.close_orphans();
        self.let_level_ones_serve();
    }

    /// A learner takes everything it has for committed when it may serve. One that has lost us for a moment may have come
    /// back with what is not: it waits until that is.
    fn let_level_ones_serve(&mut self) {
        let committed = self.committed;
        let Some(leader) = self.leader().filter(|leader| leader.is_established()) else { return };
        let waiting = |(chan, handler): (&ChanId, &LearnerHandler)| {
            let waits = handler.stage == HandlerStage::AwaitUpToDate;
            (waits && handler.cursor <= committed.max(Zxid::of_epoch(leader.epoch)))
                .then_some(*chan)
        };
        let waiting: Vec<ChanId> = leader.learners.by_chan.iter().filter_map(waiting).collect();
        for chan in waiting {
            self.send_up_to_date(chan);
        }
    }

    fn offer_epoch_to_all(&mut self) {
        let Some(leader) = self.leader() else { return };
        let greeted = |(chan, handler): (&ChanId, &LearnerHandler)| {
            (handler.stage == HandlerStage::Greeted).then_some(*chan)
        };
        let greeted: Vec<ChanId> = leader.learners.by_chan.iter().filter_map(greeted).collect();
        for chan in greeted {
            self.offer_epoch(chan);
        }
    }

    pub(super) fn offer_epoch(&mut self, chan: ChanId) {
        let epoch = self.reign();
        if let Some(handler) = self.handler_mut(chan) {
            handler.stage = HandlerStage::AwaitAckEpoch;
        }
        let mut data = Vec::new();
        encode_leader_info(&mut data);
        if let Some(peers) = &mut self.peers {
            peers.send(chan, PacketKind::LeaderInfo, Zxid::of_epoch(epoch), Some(&data));
        }
    }

    fn sync_all(&mut self) {
        let Some(leader) = self.leader() else { return };
        let waiting = |(chan, handler): (&ChanId, &LearnerHandler)| {
            matches!(handler.stage, HandlerStage::AwaitSync { .. }).then_some(*chan)
        };
        let waiting: Vec<ChanId> = leader.learners.by_chan.iter().filter_map(waiting).collect();
        for chan in waiting {
            self.start_sync(chan);
        }
    }

    /// A packet of a learner, or of somebody who wants to be one.
    pub(super) fn on_learner_packet(
        &mut self,
        chan: ChanId,
        packet: &Packet<'_>,
    ) -> Result<Done, PeerFault> {
        let Some(leader) = self.leader() else { return Ok(Done::NotYet) };
        if !leader.learners.by_chan.contains_key(&chan) {
            return self.on_greeting(chan, packet);
        }
        match packet.kind {
            PacketKind::AckEpoch => self.on_ack_epoch(chan, packet)?,
            PacketKind::Ack => self.on_ack(chan, packet.zxid)?,
            PacketKind::Ping => self.on_touches(packet.data.unwrap_or_default())?,
            PacketKind::Request => return self.on_forwarded(chan, packet),
            PacketKind::Revalidate => self.on_revalidate(chan, packet.data.unwrap_or_default())?,
            PacketKind::FollowerInfo | PacketKind::ObserverInfo => {
                return Err(PeerFault("it introduced itself twice".into()));
            }
            // A leader says these; Java ignores them from a learner, and so do we.
            PacketKind::Proposal
            | PacketKind::Commit
            | PacketKind::Sync
            | PacketKind::Inform
            | PacketKind::CommitAndActivate
            | PacketKind::NewLeader
            | PacketKind::UpToDate
            | PacketKind::Diff
            | PacketKind::Trunc
            | PacketKind::Snap
            | PacketKind::LeaderInfo
            | PacketKind::InformAndActivate => {}
        }
        Ok(Done::Yes)
    }

    /// The first packet on a learner's link.
    fn on_greeting(&mut self, chan: ChanId, packet: &Packet<'_>) -> Result<Done, PeerFault> {
        let observer = match packet.kind {
            PacketKind::FollowerInfo => false,
            PacketKind::ObserverInfo => true,
            other => return Err(PeerFault(format!("its first packet is {other:?}"))),
        };
        let info = self.introduce(chan, packet)?;
        let accepted = offered_epoch(packet.zxid, self.epochs.accepted, LEAP)?;
        let Some(peers) = &self.peers else { return Ok(Done::Yes) };
        let voter =
            peers.ensemble.is_voter(info.sid) && !observer || planted(Plant::ObserversCount);
        let now = self.now.mono;
        if voter && !planted(Plant::AcksOfFormerLink) {
            self.end_links_of(info.sid);
        }
        let Some(leader) = self.leader_mut() else { return Ok(Done::NotYet) };
        leader.learners.by_chan.insert(chan, LearnerHandler::new(info.sid, observer, voter, now));
        if leader.stage > Stage::Discovery {
            if accepted > leader.epoch
                && voter
                && !planted(Plant::PromiseAheadTurnedAway)
                && !planted(Plant::OlderEpochAccepted)
            {
                // It has promised a later epoch to a leader that failed, and could never join this one.
                let why = format!("server {} has promised epoch {}", info.sid, accepted.0);
                self.rest(&why);
                return Ok(Done::Yes);
            }
            if leader.stage > Stage::SavingAccepted {
                self.offer_epoch(chan);
            }
            return Ok(Done::Yes);
        }
        if accepted >= leader.epoch && !planted(Plant::EpochOfLastZxid) {
            leader.epoch = Epoch(accepted.0 + 1);
        }
        if voter {
            leader.announced.insert(info.sid);
        }
        self.pass_barriers();
        Ok(Done::Yes)
    }

    /// Who begins anew has left whatever link it had, though nobody may have noticed: what it acknowledged there, or is still
    /// to arrive, says nothing of what it holds now.
    fn end_links_of(&mut self, sid: Sid) {
        let Some(learners) = self.learners_mut() else { return };
        let mine = learners.by_chan.iter().filter(|(_, handler)| handler.sid == sid);
        for chan in mine.map(|(chan, _)| *chan).collect::<Vec<_>>() {
            self.give_up(chan, &PeerFault("it has come back on another link".into()));
        }
    }

    /// A learner says who it is.
    pub(super) fn introduce(
        &mut self,
        chan: ChanId,
        packet: &Packet<'_>,
    ) -> Result<LearnerInfo, PeerFault> {
        let info = LearnerInfo::decode(packet.data.unwrap_or_default())?;
        if info.sid == self.config.sid {
            return Err(PeerFault("it says that it is this server".into()));
        }
        let ours = self.peers.as_ref().map_or(0, |peers| peers.ensemble.version);
        if info.config_version > ours {
            let theirs = info.config_version;
            return Err(PeerFault(format!(
                "its configuration has version {theirs:x}, ours {ours:x}"
            )));
        }
        if let Some(link) = self.peers.as_mut().and_then(|peers| peers.link_mut(chan)) {
            link.sid = Some(info.sid);
        }
        Ok(info)
    }

    fn on_ack_epoch(&mut self, chan: ChanId, packet: &Packet<'_>) -> Result<(), PeerFault> {
        let current = decode_ack_epoch(packet.data.unwrap_or_default())?;
        let last = packet.zxid;
        let Some(leader) = self.leader_mut() else { return Ok(()) };
        let stage = leader.stage;
        let (our_epoch, our_last) = leader.summary;
        let Some(handler) = leader.learners.by_chan.get_mut(&chan) else { return Ok(()) };
        if handler.stage != HandlerStage::AwaitAckEpoch {
            return Err(PeerFault("it sent ACKEPOCH out of turn".into()));
        }
        handler.stage = HandlerStage::AwaitSync { last };
        let (sid, voter) = (handler.sid, handler.voter);
        if stage < Stage::SavingCurrent
            && let Some(current) = current
        {
            // `(e,0)` names no txn: it is no more than what was there before epoch e.
            let more = last > our_last && last.counter() != 0;
            let newer = current > our_epoch || current == our_epoch && more;
            if newer && !planted(Plant::NewerHistoryIgnored) {
                // Whoever has more should lead. Going on without it would end in the same place, only later.
                let why = format!(
                    "the history of server {sid} (epoch {}, zxid {last}) is newer than ours (epoch {}, zxid {our_last})",
                    current.0, our_epoch.0
                );
                // Without weight it never could, and what only it has is on no quorum.
                match voter && self.can_lead(sid) {
                    true => self.rest(&why),
                    false => return Err(PeerFault(why)),
                }
                return Ok(());
            }
            if voter && last != Zxid(-1) {
                leader.promised.insert(sid);
            }
        }
        if stage >= Stage::NewLeaderAcks {
            self.start_sync(chan);
        }
        self.pass_barriers();
        Ok(())
    }

    fn on_ack(&mut self, chan: ChanId, zxid: Zxid) -> Result<(), PeerFault> {
        let Some(leader) = self.leader_mut() else { return Ok(()) };
        let new_leader = Zxid::of_epoch(leader.epoch);
        let established = leader.is_established();
        let Some(handler) = leader.learners.by_chan.get_mut(&chan) else { return Ok(()) };
        let (sid, voter) = (handler.sid, handler.voter);
        if zxid == new_leader {
            if handler.stage == HandlerStage::AwaitNewLeaderAck {
                handler.stage = HandlerStage::AwaitUpToDate;
                if voter {
                    leader.ready.insert(sid);
                    // It says so when all that came before is on its disk, also what it had from an earlier link.
                    leader.acks.note(sid, handler.cursor);
                }
                match established {
                    true => self.let_level_ones_serve(),
                    false => self.pass_barriers(),
                }
            }
            // Otherwise it answers UPTODATE.
            return Ok(());
        }
        if zxid.counter() == 0 {
            return Ok(());
        }
        if zxid > handler.cursor {
            return Err(PeerFault(format!("it acknowledged {zxid}, which it was not sent")));
        }
        // Some servers acknowledge txns before NEWLEADER (3.8.0 to 3.8.4), which says nothing of their disk.
        if voter && handler.stage == HandlerStage::Serving {
            leader.acks.note(sid, zxid);
        }
        Ok(())
    }

    fn on_touches(&mut self, data: &[u8]) -> Result<(), PeerFault> {
        let heard = self.listening();
        for (session, _) in decode_touches(data)? {
            self.tracker.touch(session, heard);
        }
        Ok(())
    }

    fn on_revalidate(&mut self, chan: ChanId, data: &[u8]) -> Result<(), PeerFault> {
        let (session, timeout_ms) = decode_revalidate(data)?;
        let heard = self.listening();
        let serves = self.leader().is_some_and(Leader::is_established);
        // A local session of ours is nobody's elsewhere.
        let open = |tracked: &crate::session::Session| !tracked.closing && !tracked.local;
        let lives = self.tracker.get(session).is_some_and(open);
        let valid = serves && lives;
        if valid {
            self.tracker.resume(session, timeout_ms, heard);
            self.tracker.move_to_home(session, Home::At(chan));
            if let Some(conn) = self.tracker.get(session).and_then(|tracked| tracked.conn) {
                // Its client has gone to another server.
                self.drop_conn(conn, crate::effect::DropReason::Replaced);
            }
        }
        let mut reply = Vec::new();
        encode_revalidated(session, valid, &mut reply);
        if let Some(peers) = &mut self.peers {
            peers.send(chan, PacketKind::Revalidate, Zxid(-1), Some(&reply));
        }
        Ok(())
    }

    fn on_forwarded(&mut self, chan: ChanId, packet: &Packet<'_>) -> Result<Done, PeerFault> {
        let request = ForwardedRequest::decode(packet.data.unwrap_or_default())?;
        let Some(leader) = self.leader() else { return Ok(Done::NotYet) };
        if !leader.is_established() {
            return Ok(Done::NotYet);
        }
        if self.has_too_many_syncs(chan) {
            return Err(PeerFault("it asks for sync and does not read the answers".into()));
        }
        let identities = packet.identities.as_deref().unwrap_or_default();
        Ok(self.take_forwarded(chan, &request, identities))
    }

    /// A learner is gone.
    pub(super) fn on_learner_down(&mut self, chan: ChanId) {
        let Some(learners) = self.learners_mut() else { return };
        let Some(handler) = learners.by_chan.remove(&chan) else { return };
        self.tree.end_walk(super::handler::walk_of(chan));
        let Some(leader) = self.leader_mut() else { return };
        if handler.voter && !planted(Plant::AcksOfFormerLink) {
            leader.forget(handler.sid);
        }
    }

    /// Once in a turn.
    pub(super) fn drive_leader(&mut self) {
        self.pass_barriers();
        let me = self.config.sid;
        let mut durable = self.journal.zxid_durable();
        if planted(Plant::LeaderCountsItselfEarly) {
            durable = Some(self.zxid_proposed);
        }
        let Some(leader) = self.leader_mut() else { return };
        if leader.is_established() {
            if let Some(zxid) = durable {
                leader.acks.note(me, zxid);
            }
            let epoch = leader.epoch;
            let quorum = self.peers.as_ref().and_then(|peers| {
                self.leader().and_then(|leader| leader.acks.on_quorum(&[&peers.ensemble]))
            });
            if let Some(zxid) = quorum.filter(|zxid| zxid.epoch() == epoch) {
                self.committed = self.committed.max(zxid);
            }
            let walks =
                |h: &LearnerHandler| h.is_being_fed() || h.stage == HandlerStage::AwaitNewLeaderAck;
            if !planted(Plant::TreeStopsWrites)
                || !self.leader().is_some_and(|l| l.learners.by_chan.values().any(walks))
            {
                self.apply_committed();
            }
            self.let_level_ones_serve();
            if self.counter_used_up && self.proposals.is_empty() {
                return self.rest("the counter of this epoch is used up: the next epoch follows");
            }
        }
        self.work_off_held();
        self.feed_learners();
    }

    /// Half a tick has passed: pings, silence, and whether there is still a quorum to lead.
    pub(super) fn on_leader_time(&mut self) {
        let now = self.now.mono;
        let tick_ms = u64::from(self.config.tick_ms);
        let sync_us = u64::from(self.config.sync_limit) * tick_ms * 1000;
        let init_us = u64::from(self.config.init_limit) * tick_ms * 1000;
        let zxid = self.zxid_proposed;
        let heard = self.listening();
        let Some(leader) = self.leader_mut() else { return };
        leader.ended.forget_before(Instant(heard.0.saturating_sub(2 * sync_us)));
        let mut silent = Vec::new();
        let acks = leader.acks.clone();
        for (chan, handler) in &mut leader.learners.by_chan {
            if handler.is_stuck(acks.of(handler.sid), now, sync_us) {
                silent.push((*chan, sync_us / 1000));
                continue;
            }
            let limit_us = handler.patience_us(init_us, sync_us);
            if now.since(handler.heard_at) > limit_us {
                silent.push((*chan, limit_us / 1000));
            }
        }
        let may_ping = leader.is_established() || !planted(Plant::ImpatientFollower);
        if now >= leader.ping_at && may_ping {
            leader.ping_at = now.plus_ms(tick_ms / 2);
            // A learner waits for us no longer than syncLimit once it has NEWLEADER, so it is pinged from then on.
            let pinged = |(chan, handler): (&ChanId, &LearnerHandler)| {
                handler.has_new_leader().then_some(*chan)
            };
            let pinged: Vec<ChanId> = leader.learners.by_chan.iter().filter_map(pinged).collect();
            if let Some(peers) = &mut self.peers {
                for chan in pinged {
                    peers.send(chan, PacketKind::Ping, zxid, None);
                }
            }
        }
        for (chan, limit_ms) in silent {
            let what = "it said, or made durable, nothing for more than";
            let fault = PeerFault(format!("{what} {limit_ms} ms"));
            self.give_up(chan, &fault);
        }
        self.judge_leadership(init_us, sync_us);
    }

    /// A leader that cannot commit must not go on leading.
    fn judge_leadership(&mut self, init_us: u64, sync_us: u64) {
        let (now, tick_ms, me) = (self.now.mono, u64::from(self.config.tick_ms), self.config.sid);
        let full_since = self.full_since;
        let Some(leader) = self.leader_mut() else { return };
        let full_for = full_since.map(|since| now.since(since.max(leader.established_at)));
        if !leader.is_established() {
            if now.since(leader.progress_at) > init_us && !planted(Plant::LeaderWaitsForEver) {
                self.rest("no quorum of servers came to be led within initLimit");
            }
            return;
        }
        if now < leader.judge_at {
            return;
        }
        leader.judge_at = now.plus_ms(tick_ms);
        let mut present: BTreeSet<Sid> = leader.learners.by_chan.values().map(|h| h.sid).collect();
        present.insert(me);
        let alone = present.len() == 1;
        if !self.quorum_of(&present) && !planted(Plant::NoStepDown) {
            self.rest("too few servers are left to lead");
        } else if full_for.is_some_and(|us| us > sync_us) && !alone {
            self.rest("the disk is full: another server may have room");
        }
    }

    /// Ephemerals whose session is in no table go with a txn, so that every server loses them at the same zxid.
    fn close_orphans(&mut self) {
        let orphans: Vec<SessionId> = self
            .tree
            .ephemeral_owners()
            .filter(|owner| !self.sessions_applied.contains_key(owner))
            .collect();
        for session in orphans {
            // Without room they stay until the next leader comes.
            let _ = self.propose_expiry(session);
        }
    }
}
