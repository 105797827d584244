//! What operators may see: figures counted on the way, and values taken from the rooms. Formats nothing.

use super::Server;
use super::clients::ConnState;
use super::handler::{HandlerStage, LearnerHandler};
use super::roles::Role;
use super::{lead, learn::LearnerStage};
use crate::ids::{ConnId, SessionId, Sid, Zxid};
use crate::status::{
    ConnStatus, Histogram, LeaderStatus, Phase, SessionStatus, Status, Summary, ZabState,
};
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Counted since the start, or since `srst`.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) packets_received: u64,
    pub(super) packets_sent_before: u64,
    pub(super) bytes_received: u64,
    pub(super) latency_ms: Summary,
    pub(super) read_ms: Histogram,
    pub(super) update_ms: Histogram,
    pub(super) committed: u64,
    pub(super) connection_requests: u64,
    pub(super) conns_dropped: u64,
    pub(super) revalidated: u64,
    pub(super) expired: u64,
    pub(super) sessionless: u64,
    pub(super) auth_failed: u64,
    pub(super) snapshot_ms: Summary,
    pub(super) snapshot_errors: u64,
    pub(super) digest_mismatches: u64,
    pub(super) events: [u64; 4],
    pub(super) last_snapshot: Option<Zxid>,
    pub(super) throttled_ops: u64,
    pub(super) large_rejected: u64,
}

impl Figures {
    /// What `srst` sets back, when `sent` frames have been sent.
    pub(super) fn reset(&mut self, sent: u64) {
        self.packets_received = 0;
        self.packets_sent_before = sent;
        self.bytes_received = 0;
        self.latency_ms = Summary::default();
        self.read_ms = Histogram::default();
        self.update_ms = Histogram::default();
    }
}

impl Server {
    /// zxid of the last txn applied.
    pub fn zxid_applied(&self) -> Zxid {
        self.zxid_applied
    }

    /// Digest of the tree after it (storage §2.8).
    pub fn tree_digest(&self) -> u64 {
        self.tree.digest()
    }

    /// What the server does.
    pub fn phase(&self) -> Phase {
        let reading = self.is_reading_disk();
        match (&self.halted, &self.role) {
            (Some(_), _) => Phase::Halted,
            (None, _) if reading && !self.started => Phase::Recovering,
            (None, Role::Alone) => Phase::Standalone,
            (None, _) if !self.served => Phase::Looking,
            (None, Role::Leading(_)) => Phase::Leading,
            (None, Role::Following(_)) => Phase::Following,
            (None, Role::Observing(_)) => Phase::Observing,
            (None, Role::Looking(_)) => Phase::ReadOnly,
            (None, Role::Resting) => Phase::Looking,
        }
    }

    /// How far it has come with its leader; `None` for a server that stands alone.
    pub fn zab_state(&self) -> Option<ZabState> {
        Some(match &self.role {
            Role::Alone => return None,
            Role::Resting | Role::Looking(_) => ZabState::Election,
            Role::Leading(leader) => match leader.stage {
                lead::Stage::Discovery | lead::Stage::SavingAccepted | lead::Stage::EpochAcks => {
                    ZabState::Discovery
                }
                lead::Stage::SavingCurrent | lead::Stage::NewLeaderAcks => {
                    ZabState::Synchronization
                }
                lead::Stage::Serving => ZabState::Broadcast,
            },
            Role::Following(learner) | Role::Observing(learner) => match learner.stage {
                LearnerStage::Connecting { .. }
                | LearnerStage::AwaitLeaderInfo
                | LearnerStage::SavingAccepted { .. } => ZabState::Discovery,
                LearnerStage::AwaitPlan
                | LearnerStage::Truncating
                | LearnerStage::Receiving(_)
                | LearnerStage::SavingTree
                | LearnerStage::Syncing
                | LearnerStage::SettlingHistory
                | LearnerStage::SavingCurrent
                | LearnerStage::AwaitUpToDate => ZabState::Synchronization,
                LearnerStage::Serving => ZabState::Broadcast,
            },
        })
    }

    /// Was it elected, established or not?
    pub fn is_leading(&self) -> bool {
        self.leader().is_some()
    }

    /// Is a leader's tree on its way into this server, or onto its disk?
    pub fn takes_tree(&self) -> bool {
        let stage = self.learner().map(|learner| &learner.stage);
        matches!(stage, Some(LearnerStage::Receiving(_) | LearnerStage::SavingTree))
    }

    /// Are there txns that it has logged, or is about to log, and not applied?
    pub fn has_txns_in_flight(&self) -> bool {
        !self.proposals.is_empty()
    }

    /// Is a snapshot being written?
    pub fn writes_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    fn leader_status(&self) -> Option<LeaderStatus> {
        let leader = self.leader()?;
        let mut status =
            LeaderStatus { pending: self.proposals.len() as u64, ..Default::default() };
        for handler in leader.learners.by_chan.values() {
            status.learners += 1;
            let level = handler.stage == HandlerStage::Serving;
            status.synced_observers += u64::from(level && handler.observer);
            status.synced_followers += u64::from(level && !handler.observer);
            status.synced_non_voting += u64::from(level && !handler.observer && !handler.voter);
        }
        Some(status)
    }

    fn synced_observers(&self) -> Option<u64> {
        let learners = self.learners().filter(|_| self.admits_observers())?;
        let level = |handler: &&LearnerHandler| handler.stage == HandlerStage::Serving;
        Some(learners.by_chan.values().filter(level).count() as u64)
    }

    fn observer_master(&self) -> Option<Sid> {
        match &self.role {
            Role::Observing(learner) if self.served => Some(learner.master()),
            _ => None,
        }
    }

    /// The server at a glance.
    pub fn status(&self) -> Status {
        let figures = &self.figures;
        let local_sessions =
            self.tracker.iter().filter(|(_, tracked)| tracked.local).count() as u64;
        Status {
            phase: self.phase(),
            leader: self.leader_status(),
            synced_observers: self.synced_observers(),
            observer_master: self.observer_master(),
            epoch: self.epochs.current,
            zxid_applied: self.zxid_applied,
            zxid_proposed: self.zxid_proposed,
            znode_count: self.tree.len() as u64 + 1,
            watch_count: self.watches.len() as u64,
            ephemerals_count: self.tree.ephemeral_count() as u64,
            approximate_data_size: self.tree.size(),
            digest: self.tree.digest(),
            sessions: match self.is_read_only() {
                true => self.sessions_applied.len() as u64,
                false => self.tracker.len() as u64 - local_sessions,
            },
            local_sessions: match self.is_read_only() {
                true => self.tracker.len() as u64,
                false => local_sessions,
            },
            connections: self.clients.conns.len() as u64,
            outstanding: self.clients.outstanding,
            packets_received: figures.packets_received,
            packets_sent: self.clients.frames_sent - figures.packets_sent_before,
            bytes_received: figures.bytes_received,
            latency_ms: figures.latency_ms,
            read_latency_ms: figures.read_ms.clone(),
            update_latency_ms: figures.update_ms.clone(),
            reply_size: self.clients.reply_size,
            commit_count: figures.committed,
            connection_request_count: figures.connection_requests,
            connection_drop_count: figures.conns_dropped,
            connection_revalidate_count: figures.revalidated,
            stale_sessions_expired: figures.expired,
            sessionless_connections_expired: figures.sessionless,
            auth_failed_count: figures.auth_failed,
            snapshot_ms: figures.snapshot_ms,
            snapshot_error_count: figures.snapshot_errors,
            digest_mismatches: figures.digest_mismatches,
            events: figures.events,
            no_room: self.journal.no_room(),
            last_snapshot: figures.last_snapshot,
            throttled_ops: figures.throttled_ops,
            large_requests_rejected: figures.large_rejected,
        }
    }

    /// Client connections, oldest first.
    pub fn connections(&self) -> impl Iterator<Item = ConnStatus> + '_ {
        let open = self.clients.conns.iter().filter(|(_, conn)| conn.state != ConnState::Closing);
        open.map(|(id, conn)| {
            let figures = &conn.figures;
            ConnStatus {
                conn: *id,
                addr: conn.addr,
                port: conn.port,
                secure: conn.secure,
                session: conn.session,
                paused: conn.paused,
                outstanding: conn.queue.len() as u64,
                received: figures.received,
                sent: figures.sent,
                last_op: figures.last_op.map_or("NA", crate::wire::OpCode::label),
                established_ms: figures.established.wall_ms,
                timeout_ms: self.tracker.get(conn.session).map_or(0, |s| s.timeout_ms),
                last_xid: figures.last_xid,
                last_zxid: figures.last_zxid,
                last_response: figures.last_response,
                last_latency_ms: figures.last_latency_ms,
                latency_ms: figures.latency_ms,
            }
        })
    }

    /// Where a client comes from; also of one that is being let go.
    pub fn peer(&self, conn: ConnId) -> Option<(IpAddr, u16)> {
        self.clients.conns.get(&conn).map(|conn| (conn.addr, conn.port))
    }

    /// Sessions by id.
    pub fn sessions(&self) -> impl Iterator<Item = SessionStatus> + '_ {
        self.tracker.iter().map(|(session, tracked)| SessionStatus {
            session,
            timeout_ms: tracked.timeout_ms,
            deadline: Instant(tracked.deadline.0 + self.stalled_us),
            local: tracked.local,
        })
    }

    /// Sessions that own ephemerals, with their paths.
    pub fn ephemerals(&self) -> impl Iterator<Item = (SessionId, Vec<String>)> + '_ {
        self.tree.ephemeral_owners().map(|session| (session, self.tree.ephemerals_of(session)))
    }

    /// The data-watch table (`wchp`): path, and the connections that watch it.
    pub fn data_watches(&self) -> impl Iterator<Item = (String, Vec<ConnId>)> + '_ {
        self.watches.data_watches().map(|(path, conns)| (path.to_owned(), conns.collect()))
    }

    /// Digests kept every 128 zxids (`hash`), oldest first.
    pub fn digests(&self) -> impl Iterator<Item = (Zxid, u64)> + '_ {
        self.digests.iter()
    }
}
