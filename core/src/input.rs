//! Everything that can happen to a server. Bytes are borrowed; the core copies what it keeps.

use crate::effect::{FileId, Timer};
use crate::ids::{ChanId, ConnId, Sid, Zxid};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One fact. Facts about a connection or a link that is no longer known are ignored, so a driver may be late.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Input<'a> {
    /// A client connected. TLS and what it proved are known at the door.
    Opened {
        /// New and never used again.
        conn: ConnId,
        /// The client's address; becomes its `ip` identity.
        addr: IpAddr,
        /// The client's port, for operators.
        port: u16,
        /// Came through the TLS port.
        secure: bool,
        /// What its certificate proved: scheme and id.
        #[serde(borrow)]
        identities: Vec<(&'a str, &'a str)>,
    },
    /// One or more whole frames of a client, in order, each with its length prefix.
    Requests {
        /// Who sent them.
        conn: ConnId,
        /// The frames.
        #[serde(serialize_with = "crate::flight::bytes::serialize")]
        bytes: &'a [u8],
    },
    /// The connection is gone; its session is not.
    Closed {
        /// Which.
        conn: ConnId,
    },
    /// The socket took all reply bytes of `conn` up to the `upto`th since it opened: credit for more.
    Sent {
        /// Which.
        conn: ConnId,
        /// Bytes since the connection opened.
        upto: u64,
    },
    /// A link to another server is up. An election link replaces the one there was to that server, which is down.
    PeerUp {
        /// The server at the other end; `None` where it has to say so itself: on a quorum link that it opened.
        sid: Option<Sid>,
        /// New and never used again.
        chan: ChanId,
        /// What the link is for.
        link: Link,
        /// Its address.
        addr: IpAddr,
    },
    /// Answers [`Effect::Connect`](crate::Effect::Connect): there is no link, and nobody tries any more.
    Unreachable {
        /// To whom.
        sid: Sid,
        /// What for.
        link: Link,
    },
    /// Bytes of another server, in order: whole frames with their length prefix on an election link, cut anywhere on a
    /// quorum link, whose packets have no frames.
    PeerFrames {
        /// Which link.
        chan: ChanId,
        /// The bytes.
        #[serde(serialize_with = "crate::flight::bytes::serialize")]
        bytes: &'a [u8],
    },
    /// A link is gone.
    PeerDown {
        /// Which.
        chan: ChanId,
    },
    /// The socket of a link took all bytes up to the `upto`th since it came up.
    PeerSent {
        /// Which.
        chan: ChanId,
        /// Bytes since the link came up.
        upto: u64,
    },
    /// Answers [`Effect::Reserve`](crate::Effect::Reserve): the file holds durable zeros, or what was
    /// appended, up to `upto`.
    Reserved {
        /// Which file.
        file: FileId,
        /// Its allocated length.
        upto: u64,
    },
    /// Answers [`Effect::Reserve`](crate::Effect::Reserve): the disk is full.
    NoRoom {
        /// Which file could not grow.
        file: FileId,
    },
    /// Every log byte below `upto` of this branch survives a loss of power.
    Durable {
        /// Truncation starts a new branch; completions of older ones mean nothing.
        branch: u32,
        /// Bytes of log since the server started.
        upto: u64,
    },
    /// The epoch files of this generation survive a loss of power.
    EpochsDurable {
        /// Which.
        generation: u32,
    },
    /// The snapshot's bytes below `upto` were written.
    SnapWritten {
        /// Bytes of the snapshot under way.
        upto: u64,
    },
    /// The snapshot, its name and its directory survive a loss of power.
    SnapDurable {
        /// Its label.
        zxid: Zxid,
    },
    /// The snapshot could not be written (full disk); the driver has dropped what there was of it.
    SnapFailed,
    /// Answers [`Effect::Read`](crate::Effect::Read). Fewer bytes than asked for: the file ends there.
    ReadDone {
        /// Which file.
        file: FileId,
        /// Offset of the first byte, after decompression.
        at: u64,
        /// What stands there.
        #[serde(serialize_with = "crate::flight::bytes::serialize")]
        bytes: &'a [u8],
    },
    /// Answers [`Effect::Read`](crate::Effect::Read): the file cannot be read there.
    ReadFailed {
        /// Which file.
        file: FileId,
        /// Where.
        at: u64,
        /// What the system said.
        error: &'a str,
    },
    /// A device refused to work. What it had not confirmed may or may not be on disk: the server halts.
    Failed {
        /// Which.
        device: Device,
        /// What the system said.
        error: &'a str,
    },
    /// A timer set by [`Effect::SetTimer`](crate::Effect::SetTimer) has come.
    Timer {
        /// Which.
        id: Timer,
    },
    /// An operator asks for something.
    Command(Command),
}

/// What a link between two servers is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Link {
    /// Votes.
    Election,
    /// Proposals, acknowledgements, forwarded requests.
    Quorum,
    /// The same between an observer and a follower (`observerMasterPort`).
    ObserverMaster,
}

/// A thing that works in order and fails for good. Order across devices exists only through completions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Device {
    /// The txn log.
    Log,
    /// `acceptedEpoch` and `currentEpoch`.
    Epochs,
    /// Snapshots.
    Snapshot,
}

/// What an operator may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Take a snapshot now.
    Snapshot,
    /// Remove files that recovery does not need.
    Purge,
    /// Give up leadership. A standalone server has none to give up.
    StepDown,
    /// Reset the statistics of the server (`srst`).
    ResetStats,
    /// Reset the statistics of all connections (`crst`).
    ResetConnStats,
    /// Accept nothing more and close every client connection; sessions go on.
    Drain,
}
