//! Everything a server may ask for. Effects are `Copy`: bytes are spans that stay valid until the next
//! [`Server::effects`](crate::Server::effects).
//!
//! Effects of one device are carried out in order, of different devices in any order.

use crate::ids::{ChanId, ConnId, SessionId, Sid, Zxid};
use crate::input::{Device, Link};
use crate::time::Instant;
use crate::wire::PeerState;
use crate::zab::SyncBranch;
use serde::{Deserialize, Serialize};

/// Bytes of this turn; resolved by [`Turn::bytes`](crate::Turn::bytes).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Number of bytes.
    pub len: usize,
}

/// A file of the data directories; its place is [`Turn::place`](crate::Turn::place).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct FileId(pub u32);

/// One of the two data directories (which may be the same).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Dir {
    /// `dataLogDir/version-2`.
    Log,
    /// `dataDir/version-2`.
    Snapshot,
}

/// Where a file is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FilePlace {
    /// Its directory.
    pub dir: Dir,
    /// Its name there.
    pub name: String,
}

/// What a timer is for. Each exists once; setting it again moves it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Timer {
    /// Session expiry and stall detection.
    Tick,
    /// Search for empty containers and expired TTL znodes.
    Containers,
    /// The disk was full; ask again.
    Room,
    /// Removal of old files.
    Purge,
    /// An election: a notification is overdue, or the outcome stands.
    Election,
    /// Links to other servers: pings, their answers, and attempts to connect.
    Peers,
}

/// One thing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// Room device: make the file (create it if it is missing) really hold zeros behind its present end up to `upto`,
    /// and make them durable. Answered by `Reserved` or `NoRoom`. May run beside the log device: the core
    /// appends only where an answer has come.
    Reserve {
        /// Which file.
        file: FileId,
        /// Length it shall have.
        upto: u64,
    },
    /// Log device: write at an offset inside reserved room.
    Append {
        /// Which file.
        file: FileId,
        /// Offset.
        at: u64,
        /// What.
        bytes: Span,
    },
    /// Log device: make everything appended to the file so far durable; answered by `Durable`.
    Fsync {
        /// Which file.
        file: FileId,
        /// Echoed.
        branch: u32,
        /// Echoed.
        upto: u64,
    },
    /// Log device: give the file its other name. Durable only after [`Effect::FsyncDir`].
    Rename {
        /// What it is called.
        from: FileId,
        /// What it shall be called.
        to: FileId,
    },
    /// Log device: make the names in the log directory durable.
    FsyncDir,
    /// Log device: end the file at `at` and make that durable.
    Truncate {
        /// Which file.
        file: FileId,
        /// Its new length.
        at: u64,
    },
    /// Log device: remove the file, which may be a snapshot, and make that durable before anything behind it is done.
    Discard {
        /// Which.
        file: FileId,
    },
    /// Epochs device: replace both epoch files durably; answered by `EpochsDurable`.
    PutEpochs {
        /// Echoed.
        generation: u32,
        /// Highest epoch promised to a leader.
        accepted: u32,
        /// Epoch of the history on disk.
        current: u32,
    },
    /// Snapshot device: write the next bytes of the snapshot under way (offset 0 starts a new one, under a
    /// temporary name). Answered by `SnapWritten` or `SnapFailed`.
    SnapSlice {
        /// Offset, before compression.
        at: u64,
        /// What.
        bytes: Span,
    },
    /// Snapshot device: make the snapshot durable, give it its name, make that durable too. Answered by
    /// `SnapDurable` or `SnapFailed`.
    SnapFinish {
        /// Its final name.
        file: FileId,
        /// Its label, echoed.
        zxid: Zxid,
    },
    /// Read up to `len` bytes; answered by `ReadDone` or `ReadFailed`. Compressed files are read as what
    /// they decompress to.
    Read {
        /// Which file.
        file: FileId,
        /// Offset, after decompression.
        at: u64,
        /// How many bytes.
        len: u32,
    },
    /// Room device, or of a snapshot the snapshot device: remove a file that recovery does not need. No answer. What is
    /// reserved next may use its room, in the end.
    Remove {
        /// Which.
        file: FileId,
    },
    /// Send packets to another server.
    SendPeer {
        /// On which link.
        chan: ChanId,
        /// The packets.
        bytes: Span,
    },
    /// Try once to open a link to another server, unless there is one or an attempt is under way. Answered by `PeerUp`
    /// or `Unreachable`.
    Connect {
        /// To whom.
        sid: Sid,
        /// What for.
        link: Link,
    },
    /// Send what was given to a link so far, then drop it. No `PeerDown` is expected.
    Disconnect {
        /// Which.
        chan: ChanId,
    },
    /// Stop reading from a link.
    PausePeer {
        /// Which.
        chan: ChanId,
    },
    /// Read from it again.
    ResumePeer {
        /// Which.
        chan: ChanId,
    },
    /// Send [`Turn::reply`](crate::Turn::reply) of this connection. Once per connection and turn.
    Reply {
        /// To whom.
        conn: ConnId,
    },
    /// Stop reading from this client.
    Pause {
        /// From whom.
        conn: ConnId,
    },
    /// Read from it again.
    Resume {
        /// From whom.
        conn: ConnId,
    },
    /// Send what it has been replied so far, then end the connection. No `Closed` is expected.
    Close {
        /// Whose.
        conn: ConnId,
    },
    /// Deliver `Timer` at that moment or soon after.
    SetTimer {
        /// Which.
        id: Timer,
        /// When.
        at: Instant,
    },
    /// Something a test or a log may want to know.
    Report(Milestone),
    /// Stop for good; [`Turn::halted`](crate::Turn::halted) says why.
    Halt,
}

/// Something a test or a log may want to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Milestone {
    /// A snapshot could not be used; an older one is tried.
    SnapshotSkipped {
        file: FileId,
    },
    /// The tree stands as `snapshot` and `replayed` log records say. `None`: an empty database.
    Recovered {
        snapshot: Option<FileId>,
        replayed: u64,
        zxid: Zxid,
    },
    /// The log ended in a record that was being written when power was lost; it was cut off.
    TornTail {
        file: FileId,
        at: u64,
    },
    /// A zero-length log that was being created when power was lost.
    EmptyLogRemoved {
        file: FileId,
    },
    /// A record's digest differs from the tree's.
    DigestMismatch {
        zxid: Zxid,
    },
    /// Ephemerals of a session that no longer exists were removed.
    DeadSessionCleaned {
        session: SessionId,
    },
    /// Clients are served from here on.
    Serving {
        zxid: Zxid,
    },
    /// There is no quorum: clients that can do without writing are served from here on.
    ServingReadOnly {
        zxid: Zxid,
    },
    /// A snapshot is being taken.
    SnapshotStarted {
        zxid: Zxid,
    },
    /// It is durable under its name.
    SnapshotTaken {
        zxid: Zxid,
        bytes: u64,
    },
    /// It could not be written; the log has everything.
    SnapshotFailed {
        zxid: Zxid,
    },
    /// A file is no longer needed.
    Purged {
        file: FileId,
    },
    SessionOpened {
        session: SessionId,
        timeout_ms: i32,
    },
    /// One that no other server knows.
    LocalSessionOpened {
        session: SessionId,
        timeout_ms: i32,
    },
    /// A local session is about to be known to every server.
    SessionUpgraded {
        session: SessionId,
    },
    SessionResumed {
        session: SessionId,
        timeout_ms: i32,
    },
    SessionRefused {
        session: SessionId,
        why: Refusal,
    },
    SessionExpired {
        session: SessionId,
    },
    SessionClosed {
        session: SessionId,
    },
    /// A client was cut off.
    ConnDropped {
        conn: ConnId,
        why: DropReason,
    },
    /// The disk is full: writes are refused.
    RoomLost,
    /// There is room again: writes are accepted.
    RoomFound,
    /// This process stood still that long; sessions are not judged by that time.
    Stalled {
        us: u64,
    },
    /// A link or a role was given up; [`Turn::fault`](crate::Turn::fault) says whose and why.
    PeerFault {
        number: usize,
    },
    /// The server does something else in its ensemble.
    RoleChanged {
        state: PeerState,
    },
    /// This leader begins to bring a learner level, up to that zxid for now.
    SyncStarted {
        sid: Sid,
        branch: SyncBranch,
        zxid: Zxid,
    },
    /// This learner is brought level by its leader: kind of packet (DIFF 13, TRUNC 14, SNAP 15), and its zxid.
    SyncBegun {
        kind: i32,
        zxid: Zxid,
    },
    /// A learner is level and serves.
    LearnerServes {
        sid: Sid,
    },
    /// A device failed.
    DeviceFailed {
        device: Device,
    },
}

/// Why a session was not resumed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Refusal {
    Unknown,
    WrongPassword,
    /// The client has seen a zxid that this server has not.
    ClientAhead,
    /// Without a quorum nobody knows whether it lives.
    ReadOnly,
}

/// Why a connection was closed by the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum DropReason {
    /// The first frame is no connect request.
    BadHandshake,
    /// A request too short for its header, or an authentication request that cannot be decoded.
    BadFrame,
    /// An operation that does not exist.
    UnknownOperation {
        kind: i32,
    },
    AuthFailed,
    /// Authentication is required.
    AuthRequired,
    /// The session went on through another connection.
    Replaced,
    /// The session was closed or expired.
    SessionEnded,
    /// Watch events it does not read have filled its output budget.
    SlowReader,
    /// No connect request within the time for it.
    Idle,
    /// Too many new connections at once.
    Throttled,
    /// Too many bytes of large requests are in flight.
    TooLarge,
    /// The server is shutting down, or does not serve.
    NotServing,
    /// The server is read-only, and this client, or its session, needs a quorum.
    ReadOnly,
}
