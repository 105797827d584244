//! Limits and timings of a server, named after their keys in zoo.cfg. Never reads a file.

use crate::ensemble::Ensemble;
use crate::ids::Sid;
use serde::{Deserialize, Serialize};

/// Settings of the core. [`Config::default`] is what Java 3.9 does without a setting, but for purging.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// `myid`; its low byte is the top byte of session ids. 1 for a standalone server.
    pub sid: Sid,
    /// The servers of zoo.cfg; `None`: this one stands alone.
    pub ensemble: Option<Ensemble>,
    /// `initLimit`: ticks a learner may take to connect and catch up without making progress.
    pub init_limit: u32,
    /// `syncLimit`: ticks a learner may be silent.
    pub sync_limit: u32,
    /// `forceSnapshotSync`: learners always get the whole tree.
    pub force_snapshot_sync: bool,
    /// `leader.maxConcurrentSnapSyncs`: learners that are sent the tree at a time before observers are turned away.
    pub snap_syncs_max: u32,
    /// `leader.maxConcurrentDiffSyncs`: the same for learners that are sent txns only.
    pub diff_syncs_max: u32,
    /// `observerMasterPort` is set: followers have observers of their own, and observers turn to them instead of the leader.
    pub observer_masters: bool,
    /// `observerMaster.sizeLimit`: bytes of recent txns kept for learners where `observer_masters` is set.
    pub observer_history: u64,
    /// `tickTime`, ms.
    pub tick_ms: u32,
    /// `minSessionTimeout`, ms; `None`: two ticks.
    pub min_session_timeout_ms: Option<i32>,
    /// `maxSessionTimeout`, ms; `None`: twenty ticks.
    pub max_session_timeout_ms: Option<i32>,
    /// Requests and connections.
    pub limits: Limits,
    /// Who may do what.
    pub auth: Auth,
    /// Log and snapshots.
    pub storage: Storage,
    /// Containers and TTL znodes.
    pub containers: Containers,
    /// `extendedTypesEnabled`: TTL znodes may be created.
    pub extended_types: bool,
    /// `emulate353TTLNodes`: the owner coding of 3.5.3 is understood.
    pub emulate_353_ttl: bool,
    /// `enforceQuota`: hard limits refuse writes.
    pub enforce_quota: bool,
    /// `reconfigEnabled`.
    pub reconfig_enabled: bool,
    /// `readonlymode.enabled`: without a quorum, clients are served that can do without writing.
    pub read_only_mode: bool,
    /// `localSessionsEnabled`: new sessions are known to their server only. Means nothing to a server that stands alone.
    pub local_sessions: bool,
    /// `localSessionsUpgradingEnabled`: a local session that asks for an ephemeral becomes global, instead of being
    /// refused.
    pub local_sessions_upgrading: bool,
}

/// How much a client may ask for before it has to wait.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// `jute.maxbuffer`: bytes of the longest request frame, and with `extrasize` of a log record.
    pub frame_max: u32,
    /// `jute.maxbuffer.extrasize`: bytes a log record may be longer than a frame.
    pub frame_extra: u32,
    /// `globalOutstandingLimit`: requests in flight before reading stops.
    pub outstanding_max: u32,
    /// Reply bytes a client may leave unread before its requests wait.
    pub output_budget: u64,
    /// Reply bytes all clients together may leave unread before requests wait; close, delete and ping pass.
    pub output_total: u64,
    /// Bytes of watch events a client may leave unread before it is cut off.
    pub event_budget: u64,
    /// Bytes another server may leave unread before what can wait for it waits; a few times as many end the link.
    pub peer_budget: u64,
    /// Bytes of the tree that a learner is sent in one turn.
    pub tree_slice: u32,
    /// `request_throttle_max_requests`; 0: no limit.
    pub throttle_max_requests: u32,
    /// `request_throttle_stall_time`, ms.
    pub throttle_stall_ms: u32,
    /// `throttled_op_wait_time`, ms; 0: never refused.
    pub throttled_op_wait_ms: u32,
    /// `largeRequestThreshold`, bytes; `None`: no request is large.
    pub large_request_threshold: Option<u32>,
    /// `largeRequestMaxBytes`.
    pub large_request_max_bytes: u64,
    /// `nio.sessionlessCnxnTimeout`, ms.
    pub handshake_ms: u32,
    /// `connection_throttle_tokens`; 0: no limit.
    pub connection_tokens: u32,
    /// `connection_throttle_fill_time`, ms.
    pub connection_fill_ms: u32,
    /// `connection_throttle_fill_count`.
    pub connection_fill_count: u32,
}

/// Authentication settings.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Auth {
    /// `skipACL=yes`.
    pub skip_acl: bool,
    /// `DigestAuthenticationProvider.superDigest`: `super:BASE64`.
    pub super_digest: Option<String>,
    /// `DigestAuthenticationProvider.enabled=false`.
    pub digest_disabled: bool,
    /// An x509 provider is registered.
    pub x509: bool,
    /// A SASL provider is registered.
    pub sasl: bool,
    /// `letAnySaslUserDoX`.
    pub any_sasl_user: Option<String>,
    /// `enforce.auth.schemes`, if `enforce.auth.enabled`; empty: not enforced.
    pub enforced_schemes: Vec<String>,
    /// `ensembleAuthName`.
    pub ensemble_names: Vec<String>,
}

/// Settings of log and snapshots.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Storage {
    /// `snapCount`: records between snapshots, half of it at least.
    pub snap_count: u32,
    /// `snapSizeLimitInKb` in bytes; `None`: off.
    pub snap_size_limit: Option<u64>,
    /// `txnLogSizeLimitInKb` in bytes; `None`: off.
    pub log_size_limit: Option<u64>,
    /// Room asked for at a time, bytes; at most `preAllocSize`.
    pub reserve_step: u64,
    /// Room that only closing sessions and deletes may use while the disk is full, bytes.
    pub held_reserve: u64,
    /// `forceSync=no`: do not wait for the disk. Loses acknowledged writes with the power.
    pub force_sync: bool,
    /// `snapshot.compression.method`.
    pub compression: Compression,
    /// `snapshot.trust.empty`: logs without a snapshot are replayed from nothing.
    pub trust_empty_snapshot: bool,
    /// `test.allowDiscontinuousProposals`: gaps between zxids in the log are accepted.
    pub allow_gaps: bool,
    /// `autopurge.snapRetainCount`; `None`: never purge.
    pub snap_retain: Option<u32>,
    /// `autopurge.purgeInterval` in ms; 0: after each snapshot only.
    pub purge_interval_ms: u64,
    /// Bytes of a snapshot slice.
    pub slice_bytes: u32,
}

/// How new snapshots are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
}

impl Compression {
    /// What stands behind the zxid in the file's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Snappy => ".snappy",
        }
    }

    /// How a file of that name is read: by the text after its last dot, in any case (storage §1.2).
    pub fn of_name(name: &str) -> Self {
        match name.rsplit('.').next() {
            Some(suffix) if suffix.eq_ignore_ascii_case("gz") => Self::Gzip,
            Some(suffix) if suffix.eq_ignore_ascii_case("snappy") => Self::Snappy,
            Some(_) | None => Self::None,
        }
    }
}

/// Settings of the search for empty containers and expired TTL znodes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Containers {
    /// `znode.container.checkIntervalMs`.
    pub check_interval_ms: u64,
    /// `znode.container.maxPerMinute`.
    pub max_per_minute: u32,
    /// `znode.container.maxNeverUsedIntervalMs`; 0: a container that never had a child stays.
    pub never_used_ms: i64,
}

impl Config {
    /// Lowest timeout a session may have, ms.
    pub fn timeout_min(&self) -> i32 {
        self.min_session_timeout_ms.unwrap_or((self.tick_ms * 2) as i32)
    }

    /// Highest timeout a session may have, ms.
    pub fn timeout_max(&self) -> i32 {
        self.max_session_timeout_ms.unwrap_or((self.tick_ms * 20) as i32)
    }

    /// Bytes of the longest log record that is written or read.
    pub fn record_max(&self) -> u32 {
        self.limits.frame_max.saturating_add(self.limits.frame_extra)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sid: Sid(1),
            ensemble: None,
            init_limit: 10,
            sync_limit: 5,
            force_snapshot_sync: false,
            snap_syncs_max: 10,
            diff_syncs_max: 100,
            observer_masters: false,
            observer_history: 32 << 20,
            tick_ms: 3000,
            min_session_timeout_ms: None,
            max_session_timeout_ms: None,
            limits: Limits::default(),
            auth: Auth::default(),
            storage: Storage::default(),
            containers: Containers::default(),
            extended_types: false,
            emulate_353_ttl: false,
            enforce_quota: false,
            reconfig_enabled: false,
            read_only_mode: false,
            local_sessions: false,
            local_sessions_upgrading: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_max: 0xf_ffff,
            frame_extra: 0xf_ffff,
            outstanding_max: 1000,
            output_budget: 4 << 20,
            output_total: 512 << 20,
            event_budget: 32 << 20,
            peer_budget: 4 << 20,
            tree_slice: 256 << 10,
            throttle_max_requests: 0,
            throttle_stall_ms: 100,
            throttled_op_wait_ms: 0,
            large_request_threshold: None,
            large_request_max_bytes: 100 << 20,
            handshake_ms: 10_000,
            connection_tokens: 0,
            connection_fill_ms: 1,
            connection_fill_count: 1,
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            snap_count: 100_000,
            snap_size_limit: Some(4 << 30),
            log_size_limit: None,
            reserve_step: 4 << 20,
            held_reserve: 256 << 10,
            force_sync: true,
            compression: Compression::None,
            trust_empty_snapshot: false,
            allow_gaps: false,
            snap_retain: Some(3),
            purge_interval_ms: 0,
            slice_bytes: 64 << 10,
        }
    }
}

impl Default for Containers {
    fn default() -> Self {
        Self { check_interval_ms: 60_000, max_per_minute: 10_000, never_used_ms: 0 }
    }
}
