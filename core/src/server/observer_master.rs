//! A follower that has observers of its own (ZooKeeper's ObserverMaster, quorum protocol §10.2), and an observer's choice
//! among such followers.
//!
//! An observer is fed as a leader would feed it, from what this follower has applied, and what its clients want goes on to
//! the leader, who believes that this follower's own clients want it. Answers that name nobody come back in the order of
//! the questions, so one queue says whose they are.

use super::Server;
use super::handler::{HandlerStage, LearnerHandler, Learners};
use super::learn::{Asker, LEAP, offered_epoch};
use super::peers::{Done, PeerFault};
use super::roles::Role;
use crate::effect::DropReason;
use crate::ids::{ChanId, Epoch, SessionId, Sid, Zxid};
use crate::input::Link;
use crate::planted::{Plant, planted};
use crate::session::Home;
use crate::time::Instant;
use crate::wire::{
    ForwardedRequest, OpCode, Packet, PacketKind, decode_revalidate, decode_touches,
    encode_request, encode_revalidated,
};
use serde::{Deserialize, Serialize};

/// What a follower knows of its observers.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Observers {
    pub(super) learners: Learners,
    ping_at: Instant,
}

/// The followers an observer may turn to.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Masters {
    /// All voters, in an order of this server's own, so that not all observers crowd at the same one.
    order: Vec<Sid>,
    /// How many were tried.
    tried: usize,
}

/// Questions to the leader that may be open at a time before observers' packets wait.
const ASKED_MAX: usize = 64 << 10;

impl Server {
    /// Whom an observer shall follow: the next voter, but for the leader, who has no port for that. Where nobody else
    /// votes, the leader itself. So it is where the tree holds parts of txns that are still to come: a follower may have
    /// applied less than the one that sent this tree, and the tree would be shown before it is whole.
    pub(super) fn choose_master(&mut self, leader: Sid) -> (Sid, Link) {
        let whole = !self.comparable.is_mixed() || planted(Plant::PartsShown);
        let turns = self.config.observer_masters && whole;
        let Some(peers) = self.peers.as_ref().filter(|_| turns) else {
            return (leader, Link::Quorum);
        };
        if self.masters.order.is_empty() {
            let mut order: Vec<Sid> = peers.ensemble.voters().collect();
            for n in (1..order.len()).rev() {
                order.swap(n, (self.chance.draw() % (n as u64 + 1)) as usize);
            }
            self.masters.order = order;
        }
        let Masters { order, tried } = &mut self.masters;
        for _ in 0..order.len() {
            let sid = order[*tried % order.len()];
            *tried += 1;
            if sid != leader {
                return (sid, Link::ObserverMaster);
            }
        }
        (leader, Link::Quorum)
    }

    /// May somebody who comes to the observers' port stay? He is heard as soon as this server is level itself.
    pub(super) fn admits_observers(&self) -> bool {
        self.config.observer_masters && matches!(self.role, Role::Following(_))
    }

    /// Has this follower applied everything that its leader began with? Then whatever of earlier epochs it has not will
    /// never be committed.
    fn is_level_with_its_leader(&self) -> bool {
        self.learner().is_some_and(|learner| {
            learner.is_serving() && self.zxid_applied >= learner.committed_at_first()
        })
    }

    /// Has an observer txns of this epoch that are not applied here yet? It has been told of them because they are
    /// committed, so they must not be cut off.
    pub(super) fn knows_less_than(&self, last: Zxid) -> bool {
        matches!(self.role, Role::Following(_))
            && last.epoch() == self.epochs.current
            && last.counter() != 0
            && last > self.zxid_applied
    }

    /// A packet of an observer, or of somebody who wants to be one.
    pub(super) fn on_observer_packet(
        &mut self,
        chan: ChanId,
        packet: &Packet<'_>,
    ) -> Result<Done, PeerFault> {
        if !self.is_level_with_its_leader() {
            return Ok(Done::NotYet);
        }
        if self.handler(chan).is_none() {
            self.on_observers_greeting(chan, packet)?;
            return Ok(Done::Yes);
        }
        match packet.kind {
            PacketKind::AckEpoch => self.on_observers_last(chan, packet.zxid)?,
            PacketKind::Ack => self.on_observers_ack(chan, packet.zxid)?,
            PacketKind::Ping => self.on_observers_touches(packet.data.unwrap_or_default())?,
            PacketKind::Request => return self.pass_request_on(chan, packet),
            PacketKind::Revalidate => return self.pass_question_on(chan, packet),
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

    fn on_observers_greeting(
        &mut self,
        chan: ChanId,
        packet: &Packet<'_>,
    ) -> Result<(), PeerFault> {
        if packet.kind != PacketKind::ObserverInfo {
            let kind = packet.kind;
            return Err(PeerFault(format!(
                "only observers may follow a follower, it sent {kind:?}"
            )));
        }
        let info = self.introduce(chan, packet)?;
        let ours = self.epochs.current;
        let accepted = offered_epoch(packet.zxid, ours, LEAP)?;
        if accepted > ours {
            return Err(PeerFault(format!(
                "it has promised epoch {}, the leader of this server leads {}",
                accepted.0, ours.0
            )));
        }
        let now = self.now.mono;
        if let Some(learners) = self.learners_mut() {
            learners.by_chan.insert(chan, LearnerHandler::new(info.sid, true, false, now));
        }
        self.offer_epoch(chan);
        Ok(())
    }

    /// It has accepted the epoch, and says where its history ends.
    fn on_observers_last(&mut self, chan: ChanId, last: Zxid) -> Result<(), PeerFault> {
        let current = self.epochs.current;
        let Some(handler) = self.handler_mut(chan) else { return Ok(()) };
        if handler.stage != HandlerStage::AwaitAckEpoch {
            return Err(PeerFault("it sent ACKEPOCH out of turn".into()));
        }
        if last >= Zxid::of_epoch(Epoch(current.0 + 1)) {
            return Err(PeerFault(format!(
                "its history ends at {last}, the leader of this server leads epoch {}",
                current.0
            )));
        }
        handler.stage = HandlerStage::AwaitSync { last };
        self.start_sync(chan);
        Ok(())
    }

    fn on_observers_ack(&mut self, chan: ChanId, zxid: Zxid) -> Result<(), PeerFault> {
        if zxid.counter() != 0 {
            return Err(PeerFault(format!("it acknowledged {zxid}, but it has no vote")));
        }
        let waits = HandlerStage::AwaitNewLeaderAck;
        if self.handler(chan).is_some_and(|handler| handler.stage == waits) {
            self.send_up_to_date(chan);
        }
        // Otherwise it answers UPTODATE.
        Ok(())
    }

    /// The sessions of its clients that live: the leader is told when it asks this server.
    fn on_observers_touches(&mut self, data: &[u8]) -> Result<(), PeerFault> {
        let heard = self.listening();
        for (session, timeout_ms) in decode_touches(data)? {
            if self.tracker.get(session).is_none_or(|tracked| tracked.local) {
                continue;
            }
            self.tracker.touch(session, heard);
            if let Some(learner) = self.learner_mut() {
                learner.touched.insert(session, timeout_ms);
            }
        }
        Ok(())
    }

    /// Must observers wait, because the leader has not read, or not answered, what it was asked?
    fn leader_is_asked_enough(&self) -> bool {
        let open = |learner: &super::learn::Learner| learner.syncs.len() + learner.asked.len();
        self.leader_is_behind() || self.learner().is_some_and(|l| open(l) >= ASKED_MAX)
    }

    /// A request of an observer's client goes on to the leader as it came.
    fn pass_request_on(&mut self, chan: ChanId, packet: &Packet<'_>) -> Result<Done, PeerFault> {
        let request = ForwardedRequest::decode(packet.data.unwrap_or_default())?;
        if self.leader_is_asked_enough() {
            return Ok(Done::NotYet);
        }
        // The leader takes all sessions that come through this server for its own, so it cannot tell one that has gone
        // from one observer to another, and what it had sent before would be done behind what it has sent since.
        let opens = request.op() == Some(OpCode::CreateSession);
        if !opens && !self.tracker.is_at(request.session, Home::At(chan)) {
            return Err(PeerFault(format!(
                "it speaks for session {}, whose client has gone to another server",
                request.session
            )));
        }
        if request.op() == Some(OpCode::Sync)
            && let Some(learner) = self.learner_mut()
        {
            learner.syncs.push_back(Asker::Observer(chan));
        }
        let identities = packet.identities.as_ref().map(|ids| {
            let borrowed = ids.iter().map(|(scheme, id)| (&**scheme, &**id));
            borrowed.collect::<Vec<_>>()
        });
        let leader = self.learner().and_then(|learner| learner.chan);
        if let (Some(leader), Some(peers)) = (leader, &mut self.peers) {
            peers.write(leader, |out| encode_request(&request, identities.as_deref(), out));
        }
        Ok(Done::Yes)
    }

    /// Only the leader knows whether a session lives.
    fn pass_question_on(&mut self, chan: ChanId, packet: &Packet<'_>) -> Result<Done, PeerFault> {
        let data = packet.data.unwrap_or_default();
        let (session, timeout_ms) = decode_revalidate(data)?;
        if self.leader_is_asked_enough() {
            return Ok(Done::NotYet);
        }
        if let Some(learner) = self.learner_mut() {
            learner.asked.push_back((session, Asker::Observer(chan), timeout_ms));
        }
        self.say(PacketKind::Revalidate, Zxid(-1), Some(data));
        Ok(Done::Yes)
    }

    /// The leader has said whether the session of an observer's client lives.
    pub(super) fn pass_answer_on(
        &mut self,
        chan: ChanId,
        session: SessionId,
        timeout_ms: i32,
        valid: bool,
    ) {
        if self.handler(chan).is_none() {
            return;
        }
        if valid {
            self.keep_session(session, timeout_ms);
            self.tracker.move_to_home(session, Home::At(chan));
            if let Some(conn) = self.tracker.get(session).and_then(|tracked| tracked.conn) {
                // Its client has gone to the observer.
                self.drop_conn(conn, DropReason::Replaced);
            }
        }
        let mut reply = Vec::new();
        encode_revalidated(session, valid, &mut reply);
        if let Some(peers) = &mut self.peers {
            peers.send(chan, PacketKind::Revalidate, Zxid(-1), Some(&reply));
        }
    }

    /// Half a tick has passed: pings, and silence.
    pub(super) fn on_observers_time(&mut self) {
        let now = self.now.mono;
        let tick_ms = u64::from(self.config.tick_ms);
        let sync_us = u64::from(self.config.sync_limit) * tick_ms * 1000;
        let init_us = u64::from(self.config.init_limit) * tick_ms * 1000;
        let Role::Following(learner) = &mut self.role else { return };
        let observers = &mut learner.observers;
        let limit = |handler: &LearnerHandler| handler.patience_us(init_us, sync_us);
        let all = || observers.learners.by_chan.iter();
        let silent: Vec<(ChanId, u64)> = all()
            .filter(|(_, handler)| now.since(handler.heard_at) > limit(handler))
            .map(|(chan, handler)| (*chan, limit(handler) / 1000))
            .collect();
        let pinged: Vec<ChanId> = match now >= observers.ping_at {
            true => all().filter(|(_, h)| h.has_new_leader()).map(|(chan, _)| *chan).collect(),
            false => Vec::new(),
        };
        if now >= observers.ping_at {
            observers.ping_at = now.plus_ms(tick_ms / 2);
        }
        let zxid = self.zxid_applied;
        for chan in pinged {
            if let Some(peers) = &mut self.peers {
                peers.send(chan, PacketKind::Ping, zxid, None);
            }
        }
        for (chan, limit_ms) in silent {
            self.give_up(chan, &PeerFault(format!("it said nothing for more than {limit_ms} ms")));
        }
    }
}
