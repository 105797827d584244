//! The events of a trace.

use crate::device::Op;
use crate::disk::Keep;
use crate::role::Role;
use crate::scenario::{Fault, Step};
use std::fmt;
use zoetrope_core::{ChanId, ConnId, Link, Sid, Zxid};

/// Something that happened.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Simulated time, µs.
    pub now: u64,
    /// Where.
    pub lane: Lane,
    /// What.
    pub what: What,
}

/// Where something happens. A lane of a picture.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Lane {
    /// The run as a whole.
    World,
    /// A server.
    Server(Sid),
    /// A client, by its number.
    Client(usize),
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// A step of the scenario begins.
    Step(Step),
    /// Something was done to a server, or to the network around it.
    Fault(Fault),
    /// A fault that lasts is over.
    Mended(&'static str),
    /// The machine lost its power.
    PowerLost(Keep),
    /// The process is gone.
    Gone,
    /// A process starts.
    Booted,
    /// The process stood still that long, µs, until about now.
    Stalled(u64),
    /// The disk is full, or has room again.
    Room {
        /// It is full.
        full: bool,
    },
    /// It is something else in its ensemble, and has applied this.
    Role {
        /// What it is.
        role: Role,
        /// Its last txn applied.
        zxid: Zxid,
    },
    /// The server reports something.
    Reported(String),
    /// A device is asked for this.
    Asked(DiskOp),
    /// A device has done this.
    Done(DiskOp),
    /// A link to that server is up.
    LinkUp {
        /// This end.
        chan: ChanId,
        /// The other server.
        other: Sid,
        /// What for.
        link: Link,
    },
    /// This end of a link is gone.
    LinkDown {
        /// This end.
        chan: ChanId,
        /// The other server.
        other: Sid,
        /// What it was for.
        link: Link,
    },
    /// Sent to another server.
    Sent(Message),
    /// Heard from another server.
    Heard(Message),
    /// A client connects to that server.
    Connects(ConnId, Sid),
    /// A connection is over; the server ended it, or the client.
    Closed {
        /// Which.
        conn: ConnId,
        /// The server did.
        by_server: bool,
    },
    /// A request leaves its client.
    Asks(Frame),
    /// A request reaches its server.
    Takes(Frame),
    /// A server answers, or tells of a watched znode.
    Answers(Frame),
    /// An answer reaches its client.
    Gets(Frame),
    /// A promise was broken.
    Violation(String),
}

/// An operation of a device, without the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskOp {
    /// What scenario files call it.
    pub label: &'static str,
    /// Of which file, how far, which txns.
    pub detail: String,
}

/// A packet or a vote between two servers. What was sent and what was heard of it have the same `from` and `number`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The end of the link that sent it.
    pub from: ChanId,
    /// Which message of that end, from 0.
    pub number: u64,
    /// Whom it is sent to, or heard from.
    pub other: Sid,
    /// On what kind of link.
    pub link: Link,
    /// Its type.
    pub name: &'static str,
    /// What it is about, if that is a zxid.
    pub zxid: Option<Zxid>,
    /// The rest, in words.
    pub detail: String,
}

/// A request, an answer or a watch event. It is the same at both ends: connection, direction and `number`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Its connection.
    pub conn: ConnId,
    /// Which frame of that connection and direction, from 0.
    pub number: u64,
    /// Its `xid`; of no meaning in a handshake.
    pub xid: i32,
    /// What it is, in words.
    pub text: String,
}

impl DiskOp {
    pub(crate) fn of(op: &Op) -> Self {
        let detail = match op {
            Op::Reserve { name, upto, .. } => format!("{name} up to {upto}"),
            Op::Append { name, at, bytes } => {
                let zxids = zxids(bytes);
                let txns = match (zxids.first(), zxids.last()) {
                    (Some(one), Some(two)) if one == two => format!(", txn {one}"),
                    (Some(one), Some(two)) => format!(", txns {one} to {two}"),
                    _ => String::new(),
                };
                format!("{name} at {at}, {} bytes{txns}", bytes.len())
            }
            Op::Fsync { name, upto, .. } => format!("{name} up to {upto}"),
            Op::Rename { from, to } => format!("{from} to {to}"),
            Op::FsyncDir => String::new(),
            Op::Truncate { name, at } => format!("{name} at {at}"),
            Op::Discard { name } | Op::Remove { name } => name.clone(),
            Op::Epochs { accepted, current, .. } => {
                format!("accepted {accepted}, current {current}")
            }
            Op::Slice { at, bytes } => format!("at {at}, {} bytes", bytes.len()),
            Op::Finish { name, zxid } => format!("{name}, which names {zxid}"),
        };
        Self { label: op.label(), detail }
    }
}

/// zxids of the records of a stretch of log (storage §1.3).
pub(super) fn zxids(bytes: &[u8]) -> Vec<Zxid> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while let Some(len) = rest.get(8..12).and_then(|len| len.try_into().ok()) {
        let end = 13 + u32::from_be_bytes(len) as usize;
        let (Some(zxid), Some(behind)) = (rest.get(24..32), rest.get(end..)) else { break };
        let Ok(zxid) = zxid.try_into() else { break };
        all.push(Zxid(i64::from_be_bytes(zxid)));
        rest = behind;
    }
    all
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World => f.pad("world"),
            Self::Server(sid) => f.pad(&format!("server {sid}")),
            Self::Client(number) => f.pad(&format!("client {number}")),
        }
    }
}

impl fmt::Display for DiskOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.label, self.detail)
    }
}

impl Message {
    fn write(&self, f: &mut fmt::Formatter<'_>, way: &str) -> fmt::Result {
        write!(f, "{way} {}: {}", self.other, self.name)?;
        if let Some(zxid) = self.zxid {
            write!(f, " {zxid}")?;
        }
        if !self.detail.is_empty() {
            write!(f, ", {}", self.detail)?;
        }
        Ok(())
    }
}

impl Frame {
    fn write(&self, f: &mut fmt::Formatter<'_>, way: &str) -> fmt::Result {
        write!(f, "{way} {}: {}", self.conn, self.text)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "step {step:?}"),
            Self::Fault(fault) => write!(f, "fault {fault:?}"),
            Self::Mended(what) => write!(f, "{what} is mended"),
            Self::PowerLost(keep) => {
                write!(f, "power is lost, of what is not synced it keeps {keep:?}")
            }
            Self::Gone => f.write_str("the process is gone"),
            Self::Booted => f.write_str("a process starts"),
            Self::Stalled(us) => write!(f, "the process stood still for {} ms", us / 1000),
            Self::Room { full: true } => f.write_str("the disk is full"),
            Self::Room { full: false } => f.write_str("the disk has room again"),
            Self::Role { role, zxid } => write!(f, "role {role:?}, applied {zxid}"),
            Self::Reported(text) => f.write_str(text),
            Self::Asked(op) => write!(f, "disk asked: {op}"),
            Self::Done(op) => write!(f, "disk done: {op}"),
            Self::LinkUp { other, link, .. } => write!(f, "link up: {link:?} with {other}"),
            Self::LinkDown { other, link, .. } => write!(f, "link down: {link:?} with {other}"),
            Self::Sent(message) => message.write(f, "->"),
            Self::Heard(message) => message.write(f, "<-"),
            Self::Connects(conn, sid) => write!(f, "connects to server {sid} as {conn}"),
            Self::Closed { conn, by_server: true } => write!(f, "closes {conn}"),
            Self::Closed { conn, by_server: false } => write!(f, "{conn} was closed"),
            Self::Asks(frame) => frame.write(f, "asks"),
            Self::Takes(frame) => frame.write(f, "takes"),
            Self::Answers(frame) => frame.write(f, "answers"),
            Self::Gets(frame) => frame.write(f, "gets"),
            Self::Violation(text) => write!(f, "VIOLATION: {text}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, us) = (self.now / 1_000_000, self.now % 1_000_000);
        write!(f, "{s:>6}.{us:06}  {:<10}{}", self.lane, self.what)
    }
}
