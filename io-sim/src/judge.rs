//! What a run tells whoever watches it, and how it ended.

use crate::coverage::Coverage;
use crate::device::Op;
use crate::disk::Keep;
use crate::scenario::{Fault, Step};
use std::collections::BTreeSet;
use std::net::IpAddr;
use zoetrope_core::{ChanId, ConnId, Link, Milestone, Server, Sid, SyncBranch, Turn};

/// `Err` ends the run: a promise was broken.
pub type Verdict = Result<(), String>;

/// Where and when something happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    /// Simulated time, µs.
    pub now: u64,
    /// At which server.
    pub sid: Sid,
}

/// What a server's disk says after a loss of power.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a> {
    /// Names and contents of all files.
    pub files: &'a [(String, Vec<u8>)],
    /// `acceptedEpoch` and `currentEpoch`, if they are there.
    pub epochs: Option<(u32, u32)>,
    /// Something that was synced may be gone, or be something else.
    pub forgot: bool,
}

/// Watches a run.
pub trait Judge {
    /// The server appended these records to its log.
    fn appended(&mut self, at: At, records: &[u8]) -> Verdict;
    /// A client connected, from this address.
    fn opened(&mut self, at: At, conn: ConnId, addr: IpAddr);
    /// A whole frame reached the server.
    fn heard(&mut self, at: At, conn: ConnId, frame: &[u8]) -> Verdict;
    /// The server sent these bytes, all of one turn.
    fn answered(&mut self, at: At, replies: &[(ConnId, Vec<u8>)]) -> Verdict;
    /// The connection is over; `by_server` when the server ended it.
    fn closed(&mut self, at: At, conn: ConnId, by_server: bool) -> Verdict;
    /// The server is gone, with the power or by itself.
    fn crashed(&mut self, at: At);
    /// The server serves, after reading its files or joining a leader.
    fn serving(&mut self, at: At, server: &Server) -> Verdict;
    /// The process stood still for that long, until about now.
    fn stalled(&mut self, at: At, us: u64);
    /// Some time has passed.
    fn passed(&mut self, at: At, server: &Server) -> Verdict;
    /// The disk is full, or has room again.
    fn room(&mut self, at: At, full: bool);

    /// The server asked a device for this.
    fn submitted(&mut self, _at: At, _op: &Op) -> Verdict {
        Ok(())
    }
    /// A device really did this.
    fn performed(&mut self, _at: At, _op: &Op) -> Verdict {
        Ok(())
    }
    /// Power was lost, and this is left.
    fn left(&mut self, _at: At, _left: Left<'_>) -> Verdict {
        Ok(())
    }
    /// A server starts.
    fn booted(&mut self, _at: At) -> Verdict {
        Ok(())
    }
    /// A link came up; `other` is really there, and began the link unless `began`.
    fn peer_up(&mut self, _at: At, _peer: Peer) {}
    /// The server sent these bytes to another one.
    fn peer_sent(&mut self, _at: At, _chan: ChanId, _bytes: &[u8]) -> Verdict {
        Ok(())
    }
    /// These bytes of another server reached this one.
    fn peer_heard(&mut self, _at: At, _chan: ChanId, _bytes: &[u8]) -> Verdict {
        Ok(())
    }
    /// This end of a link is gone.
    fn peer_down(&mut self, _at: At, _chan: ChanId) {}
    /// A turn is over; what the server sent in it has been told.
    fn turned(&mut self, _at: At, _server: &Server) -> Verdict {
        Ok(())
    }

    // What is no judge's business, for those who only look.

    /// It is told of devices and turns also where a server stands alone.
    fn watches_everything(&self) -> bool {
        false
    }
    /// A step of the scenario begins.
    fn begins(&mut self, _now: u64, _step: &Step) {}
    /// A fault happens.
    fn harmed(&mut self, _at: At, _fault: &Fault) {}
    /// A fault that lasts is over.
    fn mended(&mut self, _now: u64, _what: &'static str) {}
    /// A machine loses its power.
    fn power_lost(&mut self, _at: At, _keep: Keep) {}
    /// A server reports something.
    fn reported(&mut self, _at: At, _milestone: &Milestone, _turn: &Turn<'_>) {}
    /// A client connects.
    fn connects(&mut self, _at: At, _client: usize, _conn: ConnId) {}
    /// A client sends these bytes.
    fn asks(&mut self, _now: u64, _client: usize, _conn: ConnId, _bytes: &[u8]) {}
    /// These bytes reach a client.
    fn gets(&mut self, _now: u64, _client: usize, _conn: ConnId, _bytes: &[u8]) {}
    /// The run ends, because a promise was broken.
    fn broken(&mut self, _now: u64, _violation: &str) {}
}

/// A link that came up, seen from one end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// This end.
    pub chan: ChanId,
    /// The other end.
    pub far: ChanId,
    /// The server there.
    pub other: Sid,
    /// What for.
    pub link: Link,
    /// This end asked for the link.
    pub began: bool,
}

/// What a run did.
#[derive(Clone, Default, Debug)]
pub struct Figures {
    /// Requests that were answered.
    pub requests: u64,
    /// Inputs the core absorbed.
    pub inputs: u64,
    /// Faults that happened, crashes included.
    pub faults: u64,
    /// Crashes.
    pub crashes: u64,
    /// Crashes that caught unsynced bytes.
    pub unsynced_crashes: u64,
    /// A leader was taken from its followers: it crashed, stood still, or was cut off.
    pub forced_changes: u64,
    /// Ways in which learners were brought level.
    pub branches: BTreeSet<SyncBranch>,
    /// Times a follower began to bring an observer level.
    pub master_syncs: u64,
    /// Sessions whose end a server has learned of that their clients had not asked for.
    pub expired: u64,
    /// Times a server began to serve read-only.
    pub read_only_stints: u64,
    /// Disks that had forgotten something, and that a server would not start on.
    pub refused_disks: u64,
    /// Requests that were answered by a read-only server.
    pub read_only_answers: u64,
    /// Which faults have met which moments of servers.
    pub coverage: Coverage,
    /// Steps of the scenario that were begun.
    pub steps: u64,
    /// Simulated time, µs.
    pub simulated_us: u64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The broken promise, if one was.
    pub violation: Option<String>,
    /// Equal for equal runs.
    pub trace: u64,
    /// What it did.
    pub figures: Figures,
}
