//! What an operator may want to know of a server: values only, taken by [`Server::status`](crate::Server::status) and its
//! neighbours. Formats nothing.

use crate::ids::{ConnId, Epoch, SessionId, Sid, Xid, Zxid};
use crate::time::Instant;
use crate::wire::{Acl, Stat};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What the server is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Reading its files.
    Recovering,
    /// Looking for a leader, or being brought level.
    Looking,
    /// Serving clients, alone.
    Standalone,
    /// Leading, established.
    Leading,
    /// Following, and serving clients.
    Following,
    /// Observing, and serving clients.
    Observing,
    /// Looking for a leader, and serving clients that do not write.
    ReadOnly,
    /// Stopped for good.
    Halted,
}

impl Phase {
    /// Are clients served?
    pub fn serves(self) -> bool {
        match self {
            Self::Standalone
            | Self::Leading
            | Self::Following
            | Self::Observing
            | Self::ReadOnly => true,
            Self::Recovering | Self::Looking | Self::Halted => false,
        }
    }

    /// What operators call it (`srvr`, `mntr`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Leading => "leader",
            Self::Following => "follower",
            Self::Observing => "observer",
            Self::ReadOnly => "read-only",
            Self::Recovering | Self::Looking | Self::Halted => "looking",
        }
    }
}

/// How far a server of an ensemble has come with its leader, in Java's words (`ZabState`, quorum protocol §1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ZabState {
    /// It looks for a leader, or rests before it does.
    Election,
    /// Which epoch begins is being settled.
    Discovery,
    /// Histories are being brought level.
    Synchronization,
    /// The leader is established, and this server serves with it.
    Broadcast,
}

/// What a leader has to show beside what every server has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LeaderStatus {
    /// Learners that are connected.
    pub learners: u64,
    /// Followers that are level.
    pub synced_followers: u64,
    /// Observers that are level.
    pub synced_observers: u64,
    /// Level followers without a vote.
    pub synced_non_voting: u64,
    /// Txns proposed and not committed.
    pub pending: u64,
}

/// Minimum, maximum and sum of a figure.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Smallest value; 0 when there is none.
    pub min: u64,
    /// Largest value.
    pub max: u64,
    /// Sum of all values.
    pub sum: u64,
    /// Number of values.
    pub count: u64,
}

impl Summary {
    /// Takes one value in.
    pub fn add(&mut self, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.sum += value;
        self.count += 1;
    }

    /// Mean; 0 when there is no value.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }
}

/// A summary that also knows percentiles, to the next power of two.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Histogram {
    /// Minimum, maximum, sum, count.
    pub summary: Summary,
    /// How many values need that many bits.
    buckets: [u64; 32],
}

impl Histogram {
    /// Takes one value in.
    pub fn add(&mut self, value: u64) {
        self.summary.add(value);
        let bits = (64 - value.leading_zeros()).min(31);
        self.buckets[bits as usize] += 1;
    }

    /// A value that `share` of all values do not exceed: the upper end of its bucket, but never above the maximum.
    pub fn percentile(&self, share: f64) -> u64 {
        let wanted = (self.summary.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bits, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return ((1u64 << bits) - 1).min(self.summary.max);
            }
        }
        self.summary.max
    }
}

/// The whole server at a glance (`srvr`, `mntr`).
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// What a leader has to show.
    pub leader: Option<LeaderStatus>,
    /// Observers of this follower that serve, where followers may have some.
    pub synced_observers: Option<u64>,
    /// Whom this observer follows.
    pub observer_master: Option<Sid>,
    /// The epoch whose history it holds.
    pub epoch: Epoch,
    /// zxid of the last txn applied.
    pub zxid_applied: Zxid,
    /// zxid of the last txn proposed.
    pub zxid_proposed: Zxid,
    /// Znodes, counted like Java: the root twice.
    pub znode_count: u64,
    /// Entries of both watch tables.
    pub watch_count: u64,
    /// Ephemeral znodes.
    pub ephemerals_count: u64,
    /// Bytes of all paths and data, like Java.
    pub approximate_data_size: u64,
    /// Digest of the tree (storage §2.8).
    pub digest: u64,
    /// Sessions of the ensemble that this server knows of.
    pub sessions: u64,
    /// Sessions of this server alone: local ones, and those it makes while it is read-only.
    pub local_sessions: u64,
    /// Client connections.
    pub connections: u64,
    /// Requests taken in and not answered.
    pub outstanding: u64,
    /// Frames received.
    pub packets_received: u64,
    /// Frames sent.
    pub packets_sent: u64,
    /// Request bytes received.
    pub bytes_received: u64,
    /// From taking a request in to answering it, ms.
    pub latency_ms: Summary,
    /// The same for reads alone.
    pub read_latency_ms: Histogram,
    /// The same for writes alone.
    pub update_latency_ms: Histogram,
    /// Reply sizes in bytes: last, smallest, largest.
    pub reply_size: (u64, Summary),
    /// Txns committed.
    pub commit_count: u64,
    /// Connect requests.
    pub connection_request_count: u64,
    /// Connections closed by either side.
    pub connection_drop_count: u64,
    /// Sessions resumed.
    pub connection_revalidate_count: u64,
    /// Sessions that timed out.
    pub stale_sessions_expired: u64,
    /// Connections that never sent a connect request.
    pub sessionless_connections_expired: u64,
    /// Failed authentications.
    pub auth_failed_count: u64,
    /// Snapshots taken, with their durations in ms.
    pub snapshot_ms: Summary,
    /// Snapshots that failed.
    pub snapshot_error_count: u64,
    /// Digest mismatches met in the log.
    pub digest_mismatches: u64,
    /// Watch events by type: created, deleted, changed, children.
    pub events: [u64; 4],
    /// The disk is full: writes are refused.
    pub no_room: bool,
    /// Label of the newest durable snapshot.
    pub last_snapshot: Option<Zxid>,
    /// Requests refused by the throttle.
    pub throttled_ops: u64,
    /// Large requests refused.
    pub large_requests_rejected: u64,
}

/// One client connection (`cons`).
#[derive(Clone, PartialEq, Debug)]
pub struct ConnStatus {
    /// Which.
    pub conn: ConnId,
    /// The client's address.
    pub addr: IpAddr,
    /// The client's port.
    pub port: u16,
    /// Came through the TLS port.
    pub secure: bool,
    /// Its session; none before the handshake is done.
    pub session: SessionId,
    /// The driver is told not to read from it.
    pub paused: bool,
    /// Requests taken in and not answered.
    pub outstanding: u64,
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Name of its last operation.
    pub last_op: &'static str,
    /// Wall clock when it connected, ms.
    pub established_ms: i64,
    /// Session timeout, ms.
    pub timeout_ms: i32,
    /// xid of its last request.
    pub last_xid: Xid,
    /// zxid of its last reply.
    pub last_zxid: Zxid,
    /// When it was last answered.
    pub last_response: Instant,
    /// Latency of the last request, ms.
    pub last_latency_ms: u64,
    /// Latencies, ms.
    pub latency_ms: Summary,
}

/// One session (`dump`).
#[derive(Clone, PartialEq, Debug)]
pub struct SessionStatus {
    /// Which.
    pub session: SessionId,
    /// Its timeout, ms.
    pub timeout_ms: i32,
    /// When it expires unless it is touched.
    pub deadline: Instant,
    /// No other server knows it.
    pub local: bool,
}

/// What [`Status`] leaves out, for who looks into a recording.
#[derive(Clone, PartialEq, Debug)]
pub struct Marks {
    /// Whom the last election it took part in made leader.
    pub leader: Option<Sid>,
    /// The txn log that is being written.
    pub log: Option<String>,
    /// Bytes appended to logs since the process started.
    pub log_appended: u64,
    /// How many of them are not known to be durable.
    pub log_in_flight: u64,
    /// The last of the txns that this process has logged and knows to be durable.
    pub zxid_durable: Option<Zxid>,
    /// The txns that learners can be brought level with from memory: those above the first, up to the second.
    pub history: (Zxid, Zxid),
}

/// One znode.
#[derive(Clone, PartialEq, Debug)]
pub struct ZnodeStatus {
    /// Its Stat.
    pub stat: Stat,
    /// Its data.
    pub data: Option<Vec<u8>>,
    /// Who may do what.
    pub acl: Vec<Acl>,
    /// Names of its children, newest first.
    pub children: Vec<String>,
}
