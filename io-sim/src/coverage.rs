//! Which faults have met which phases of the protocol: what was never tried is a hole in what a run can show.

use crate::disk::Keep;
use crate::role::{self, Role};
use crate::scenario::{Fault, Files, Harm};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zoetrope_core::{Phase, Server, ZabState};

/// What a server was doing when something happened to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// No process runs.
    Down,
    /// It reads its files.
    Recovering,
    /// It stands alone, and nothing is in flight.
    Alone,
    /// It stands alone, and txns are in flight.
    AloneWriting,
    /// It looks for a leader.
    Election,
    /// It looks for a leader, and serves those who read.
    ReadOnly,
    /// It leads, and the epoch is not settled.
    LeaderDiscovery,
    /// It leads, and no quorum holds its history yet.
    LeaderSynchronization,
    /// It leads, and nothing is in flight.
    Leads,
    /// It leads, and proposals are in flight.
    LeadsWriting,
    /// A learner has not promised the epoch yet.
    LearnerDiscovery,
    /// A learner is being brought level, by DIFF or TRUNC.
    LearnerSynchronization,
    /// A learner receives the leader's tree, or writes it down.
    LearnerTree,
    /// It follows, and nothing is in flight.
    Follows,
    /// It follows, and proposals are in flight.
    FollowsWriting,
    /// It observes.
    Observes,
    /// Beside any of these: a snapshot is being written.
    Snapshot,
}

impl Moment {
    /// All there are, in the order of a server's life.
    pub const ALL: [Self; 17] = [
        Self::Down,
        Self::Recovering,
        Self::Alone,
        Self::AloneWriting,
        Self::Election,
        Self::ReadOnly,
        Self::LeaderDiscovery,
        Self::LeaderSynchronization,
        Self::Leads,
        Self::LeadsWriting,
        Self::LearnerDiscovery,
        Self::LearnerSynchronization,
        Self::LearnerTree,
        Self::Follows,
        Self::FollowsWriting,
        Self::Observes,
        Self::Snapshot,
    ];

    /// What a table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Recovering => "recovering",
            Self::Alone => "alone",
            Self::AloneWriting => "alone, txns in flight",
            Self::Election => "election",
            Self::ReadOnly => "read-only",
            Self::LeaderDiscovery => "leader, discovery",
            Self::LeaderSynchronization => "leader, synchronization",
            Self::Leads => "leader, broadcast",
            Self::LeadsWriting => "leader, txns in flight",
            Self::LearnerDiscovery => "learner, discovery",
            Self::LearnerSynchronization => "learner, DIFF or TRUNC",
            Self::LearnerTree => "learner, SNAP",
            Self::Follows => "follower, broadcast",
            Self::FollowsWriting => "follower, txns in flight",
            Self::Observes => "observer, broadcast",
            Self::Snapshot => "beside a snapshot",
        }
    }

    fn is_alone(self) -> bool {
        matches!(self, Self::Alone | Self::AloneWriting)
    }

    /// Does a server serve in it that belongs to an ensemble whose other servers may serve too?
    fn serves_together(self) -> bool {
        matches!(
            self,
            Self::Leads
                | Self::LeadsWriting
                | Self::Follows
                | Self::FollowsWriting
                | Self::Observes
                | Self::Snapshot
        )
    }

    /// Is it that moment for the server? `None`: no process runs.
    pub(crate) fn is_of(self, server: Option<&Server>) -> bool {
        match self {
            Self::Snapshot => server.is_some_and(Server::writes_snapshot),
            other => other == Self::of(server),
        }
    }

    /// What that server does; `None`: no process runs.
    fn of(server: Option<&Server>) -> Self {
        let Some(server) = server else { return Self::Down };
        let writing = server.has_txns_in_flight();
        let pick = |quiet, busy| if writing { busy } else { quiet };
        let role = role::role_of(server);
        match (server.zab_state(), role) {
            (_, Role::ReadOnly) => Self::ReadOnly,
            _ if server.phase() == Phase::Recovering => Self::Recovering,
            (None, _) => pick(Self::Alone, Self::AloneWriting),
            (Some(ZabState::Election), _) => Self::Election,
            (Some(ZabState::Discovery), _) if server.is_leading() => Self::LeaderDiscovery,
            (Some(ZabState::Synchronization), _) if server.is_leading() => {
                Self::LeaderSynchronization
            }
            (Some(ZabState::Discovery), _) => Self::LearnerDiscovery,
            (Some(ZabState::Synchronization), _) if server.takes_tree() => Self::LearnerTree,
            (Some(ZabState::Synchronization), _) => Self::LearnerSynchronization,
            (Some(ZabState::Broadcast), Role::Leader) => pick(Self::Leads, Self::LeadsWriting),
            (Some(ZabState::Broadcast), Role::Observer) => Self::Observes,
            (Some(ZabState::Broadcast), _) => pick(Self::Follows, Self::FollowsWriting),
        }
    }
}

/// Names of the faults that are counted, as scenarios write them.
pub const FAULTS: [&str; 42] = [
    "crash, nothing kept",
    "crash, all kept",
    "crash, some kept",
    "crash, torn",
    "crash, garbage",
    "kill",
    "restart-all",
    "rolling-restart",
    "stall",
    "wall-jump",
    "drift",
    "disk-full",
    "files-full, logs",
    "files-full, snapshots",
    "disk-stall",
    "snapshot-stall",
    "slow-disk",
    "fsync-error",
    "read-error",
    "lying-fsync",
    "wipe",
    "damage, bit-rot",
    "damage, lost-write",
    "damage, misdirected-write",
    "damage, no-epochs",
    "damage, old-epochs",
    "damage, old-copy",
    "partition",
    "isolate",
    "one-way",
    "clog",
    "slow-link",
    "churn",
    "half-open",
    "stale-votes",
    "stale-votes, far round",
    "corrupt",
    "disconnect",
    "slow-reader",
    "silence",
    "linger",
    "snapshot",
];

/// The name under which a fault is counted; `None`: it is the end of one.
pub fn name_of(fault: &Fault) -> Option<&'static str> {
    Some(match fault {
        Fault::Crash { keep, .. } => crash_name(*keep),
        Fault::Kill { .. } => "kill",
        Fault::RestartAll { .. } => "restart-all",
        Fault::RollingRestart { .. } => "rolling-restart",
        Fault::Stall(_) => "stall",
        Fault::WallJump(_) => "wall-jump",
        Fault::Drift(_) => "drift",
        Fault::DiskFull(_) => "disk-full",
        Fault::FilesFull { files: Files::Logs, .. } => "files-full, logs",
        Fault::FilesFull { files: Files::Snapshots, .. } => "files-full, snapshots",
        Fault::DiskStall(_) => "disk-stall",
        Fault::SnapshotStall(_) => "snapshot-stall",
        Fault::SlowDisk { .. } => "slow-disk",
        Fault::FsyncError => "fsync-error",
        Fault::ReadError => "read-error",
        Fault::LyingFsync { .. } => "lying-fsync",
        Fault::Wipe { .. } => "wipe",
        Fault::Damage { what: Harm::BitRot, .. } => "damage, bit-rot",
        Fault::Damage { what: Harm::LostWrite, .. } => "damage, lost-write",
        Fault::Damage { what: Harm::MisdirectedWrite, .. } => "damage, misdirected-write",
        Fault::Damage { what: Harm::NoEpochs, .. } => "damage, no-epochs",
        Fault::Damage { what: Harm::OldEpochs, .. } => "damage, old-epochs",
        Fault::Damage { what: Harm::OldCopy, .. } => "damage, old-copy",
        Fault::Partition { .. } => "partition",
        Fault::Isolate(_) => "isolate",
        Fault::OneWay { .. } => "one-way",
        Fault::Clog { .. } => "clog",
        Fault::SlowLink { .. } => "slow-link",
        Fault::Churn => "churn",
        Fault::HalfOpen { .. } => "half-open",
        Fault::StaleVotes { round: Some(_), .. } => "stale-votes, far round",
        Fault::StaleVotes { .. } => "stale-votes",
        Fault::Corrupt { .. } => "corrupt",
        Fault::Disconnect => "disconnect",
        Fault::SlowReader { .. } => "slow-reader",
        Fault::Silence { .. } => "silence",
        Fault::Linger { .. } => "linger",
        Fault::Snapshot => "snapshot",
        Fault::Heal => return None,
    })
}

/// The name of a loss of power.
pub(crate) fn crash_name(keep: Keep) -> &'static str {
    match keep {
        Keep::Nothing => "crash, nothing kept",
        Keep::All => "crash, all kept",
        Keep::Some => "crash, some kept",
        Keep::Torn => "crash, torn",
        Keep::Garbage => "crash, garbage",
    }
}

/// Why a fault cannot meet a server at that moment.
pub fn why_never(fault: &str, moment: Moment) -> Option<&'static str> {
    let first = fault.split(',').next().unwrap_or(fault);
    let of_links = matches!(
        first,
        "partition"
            | "isolate"
            | "one-way"
            | "clog"
            | "slow-link"
            | "churn"
            | "half-open"
            | "stale-votes"
            | "corrupt"
    );
    let of_many = matches!(fault, "restart-all" | "rolling-restart");
    let costs = matches!(first, "wipe" | "damage" | "lying-fsync");
    let of_process = matches!(fault, "kill" | "stall" | "rolling-restart");
    let of_clients = matches!(fault, "slow-reader" | "silence" | "linger");
    match moment {
        _ if moment.is_alone() && (of_links || of_many) => Some("who stands alone has no others"),
        _ if costs && !moment.serves_together() => Some(
            "it may cost what is committed: only where all servers serve and their quorum can spare one",
        ),
        Moment::Down if of_process => Some("there is no process"),
        Moment::Down | Moment::Recovering if of_clients => Some("no client is connected"),
        _ => None,
    }
}

/// How often which fault has met which moment.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Coverage(BTreeMap<(&'static str, Moment), u64>);

impl Coverage {
    /// It has happened to a server that does that.
    pub(crate) fn note(&mut self, fault: &'static str, server: Option<&Server>) {
        *self.0.entry((fault, Moment::of(server))).or_default() += 1;
        if server.is_some_and(Server::writes_snapshot) {
            *self.0.entry((fault, Moment::Snapshot)).or_default() += 1;
        }
    }

    /// Fault, moment, how often.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Moment, u64)> + '_ {
        self.0.iter().map(|((fault, moment), times)| (*fault, *moment, *times))
    }
}
