//! Packets between a leader and its learners, and what stands in their data (quorum protocol §5). Knows no dialogue.

use super::codec::{Malformed, Reader, Writer};
use super::op_code::OpCode;
use crate::ids::{Epoch, SessionId, Sid, Xid, Zxid};
use std::borrow::Cow;

/// Protocol version that both sides name (§5.2); older ones have another dialogue and are no longer spoken.
pub const QUORUM_PROTOCOL: i32 = 0x1_0000;

/// Identities of one request that are read at most. A connection has a handful.
const IDENTITIES_MAX: usize = 4096;

macro_rules! packet_kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// What a packet is (§5.2).
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum PacketKind { $($(#[$doc])* $name = $number,)* }

        impl PacketKind {
            /// The number on the wire.
            pub fn number(self) -> i32 {
                self as i32
            }

            /// The type of that number, if there is one.
            pub fn from_number(n: i32) -> Option<Self> {
                match n { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

packet_kinds! {
    /// A learner's client wants something only the leader can do: [`ForwardedRequest`].
    Request = 1;
    /// A txn to be logged.
    Proposal = 2;
    /// What has this zxid is on the sender's disk.
    Ack = 3;
    /// The txn of this zxid is decided.
    Commit = 4;
    /// Are you there? A learner answers with the sessions it heard of: [`decode_touches`].
    Ping = 5;
    /// A client resumed its session at a learner: [`decode_revalidate`].
    Revalidate = 6;
    /// Everything proposed before the learner's sync request has been sent.
    Sync = 7;
    /// A decided txn, for an observer.
    Inform = 8;
    /// [`Commit`](Self::Commit) of a reconfiguration: [`decode_designated_leader`].
    CommitAndActivate = 9;
    /// The learner has all that the leader's history begins with; data is the last configuration seen.
    NewLeader = 10;
    /// A voter's greeting: [`LearnerInfo`].
    FollowerInfo = 11;
    /// The learner may serve clients.
    UpToDate = 12;
    /// Proposals follow that the learner lacks.
    Diff = 13;
    /// The learner has to forget what is behind this zxid.
    Trunc = 14;
    /// A snapshot follows, outside of any packet.
    Snap = 15;
    /// An observer's greeting: [`LearnerInfo`].
    ObserverInfo = 16;
    /// The epoch that is about to begin: [`decode_leader_info`].
    LeaderInfo = 17;
    /// The learner will follow nobody older: [`decode_ack_epoch`].
    AckEpoch = 18;
    /// [`Inform`](Self::Inform) of a reconfiguration; the txn stands behind the designated leader.
    InformAndActivate = 19;
}

/// One packet (§5.1). The bytes are borrowed from the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Its type.
    pub kind: PacketKind,
    /// What it is about; the meaning depends on the type.
    pub zxid: Zxid,
    /// Null and empty differ: an answered PING has data without bytes.
    pub data: Option<&'a [u8]>,
    /// Scheme and id of what a client has proven; REQUEST only.
    pub identities: Option<Vec<(Cow<'a, str>, Cow<'a, str>)>>,
}

/// Reads the packet at the front of a stream; with it its length. `Ok(None)`: not all of it has come.
///
/// The data, and the identities together, may have `data_max` bytes (§1.1). What is wrong is said as soon as it
/// can be seen, so nobody has to buffer more than two such lengths; nothing is allocated before all has come.
pub fn decode_packet(
    bytes: &[u8],
    data_max: usize,
) -> Result<Option<(Packet<'_>, usize)>, Malformed> {
    match whole_packet(bytes, data_max) {
        Ok(packet) => Ok(Some(packet)),
        Err(Malformed::Eof) => Ok(None),
        Err(wrong) => Err(wrong),
    }
}

/// Here an end that comes too early only means that more is to come.
fn whole_packet(bytes: &[u8], data_max: usize) -> Result<(Packet<'_>, usize), Malformed> {
    let mut r = Reader::new(bytes);
    let number = r.int()?;
    let kind = PacketKind::from_number(number).ok_or(Malformed::Unknown(number))?;
    let zxid = Zxid(r.long()?);
    let data = bounded_buffer(&mut r, data_max)?;
    let count = identity_count(&mut r)?;
    let identities = r;
    skip_identities(&mut r, count.unwrap_or(0), data_max)?;
    let len = bytes.len() - r.rest().len();
    let identities = count.map(|n| read_identities(identities, n)).transpose()?;
    Ok((Packet { kind, zxid, data, identities }, len))
}

fn bounded_buffer<'a>(r: &mut Reader<'a>, max: usize) -> Result<Option<&'a [u8]>, Malformed> {
    match r.int()? {
        -1 => Ok(None),
        n => match usize::try_from(n) {
            Ok(len) if len <= max => r.take(len).map(Some),
            Ok(_) | Err(_) => Err(Malformed::Length(n)),
        },
    }
}

fn identity_count(r: &mut Reader<'_>) -> Result<Option<usize>, Malformed> {
    match r.int()? {
        -1 => Ok(None),
        n => match usize::try_from(n) {
            Ok(count) if count <= IDENTITIES_MAX => Ok(Some(count)),
            Ok(_) | Err(_) => Err(Malformed::Length(n)),
        },
    }
}

fn skip_identities(r: &mut Reader<'_>, count: usize, mut budget: usize) -> Result<(), Malformed> {
    for _ in 0..count * 2 {
        let text = bounded_buffer(r, budget)?.ok_or(Malformed::Null)?;
        budget = budget.saturating_sub(text.len());
    }
    Ok(())
}

type Identities<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

fn read_identities(mut r: Reader<'_>, count: usize) -> Result<Identities<'_>, Malformed> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push((r.some_string()?, r.some_string()?));
    }
    Ok(all)
}

/// Appends a packet without identities.
pub fn encode_packet(kind: PacketKind, zxid: Zxid, data: Option<&[u8]>, out: &mut Vec<u8>) {
    let mut w = Writer::new(out);
    w.int(kind.number());
    w.long(zxid.0);
    w.buffer(data);
    w.int(-1);
}

/// Appends a REQUEST packet. `identities`: scheme and id of each; `None` for what no client asked for, like the
/// beginning and the end of sessions.
pub fn encode_request(
    request: &ForwardedRequest<'_>,
    identities: Option<&[(&str, &str)]>,
    out: &mut Vec<u8>,
) {
    let mut w = Writer::new(out);
    w.int(PacketKind::Request.number());
    w.long(-1);
    w.count(ForwardedRequest::HEAD + request.body.len());
    w.long(request.session.0);
    w.int(request.xid.0);
    w.int(request.kind);
    w.raw(request.body);
    let Some(identities) = identities else { return w.int(-1) };
    w.count(identities.len());
    for (scheme, id) in identities {
        w.string(scheme);
        w.string(id);
    }
}

/// Data of REQUEST: what a learner's client asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForwardedRequest<'a> {
    /// Whose request it is.
    pub session: SessionId,
    /// The client's number for it.
    pub xid: Xid,
    /// Operation number; it may name nothing.
    pub kind: i32,
    /// What stood behind the header of the client's frame.
    pub body: &'a [u8],
}

impl<'a> ForwardedRequest<'a> {
    const HEAD: usize = 16;

    /// Reads the data of a REQUEST. Everything behind the head is the body.
    pub fn decode(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(data);
        let (session, xid, kind) = (SessionId(r.long()?), Xid(r.int()?), r.int()?);
        Ok(Self { session, xid, kind, body: r.rest() })
    }

    /// The operation, if the number names one.
    pub fn op(&self) -> Option<OpCode> {
        OpCode::from_number(self.kind)
    }
}

/// Data of FOLLOWERINFO and OBSERVERINFO: who is calling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LearnerInfo {
    /// The learner.
    pub sid: Sid,
    /// [`QUORUM_PROTOCOL`]; 1 where it is not said.
    pub protocol_version: i32,
    /// Version of the configuration it goes by; 0 where it is not said.
    pub config_version: i64,
}

impl LearnerInfo {
    /// Reads the data; old learners say less.
    pub fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(data);
        let sid = Sid(r.long()?);
        let protocol_version = r.int().unwrap_or(1);
        Ok(Self { sid, protocol_version, config_version: r.long().unwrap_or(0) })
    }

    /// Appends all 20 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer::new(out);
        w.long(self.sid.0);
        w.int(self.protocol_version);
        w.long(self.config_version);
    }
}

/// Appends the data of LEADERINFO: the leader's protocol version.
pub fn encode_leader_info(out: &mut Vec<u8>) {
    Writer::new(out).int(QUORUM_PROTOCOL);
}

/// Reads the data of LEADERINFO: the leader's protocol version.
pub fn decode_leader_info(data: &[u8]) -> Result<i32, Malformed> {
    Reader::new(data).int()
}

/// Appends the data of ACKEPOCH: the epoch of the learner's history; `None` tells the leader not to count on it.
pub fn encode_ack_epoch(current: Option<Epoch>, out: &mut Vec<u8>) {
    Writer::new(out).int(current.map_or(-1, |epoch| epoch.0 as i32));
}

/// Reads the data of ACKEPOCH. No history has a negative epoch.
pub fn decode_ack_epoch(data: &[u8]) -> Result<Option<Epoch>, Malformed> {
    match Reader::new(data).int()? {
        -1 => Ok(None),
        n => u32::try_from(n).map(|n| Some(Epoch(n))).map_err(|_| Malformed::Unknown(n)),
    }
}

/// Appends the data of a PING's answer: sessions that were heard of, with their timeouts in ms.
pub fn encode_touches(touches: &[(SessionId, i32)], out: &mut Vec<u8>) {
    let mut w = Writer::new(out);
    for (session, timeout_ms) in touches {
        w.long(session.0);
        w.int(*timeout_ms);
    }
}

/// Reads the data of a PING's answer to its end.
pub fn decode_touches(data: &[u8]) -> Result<Vec<(SessionId, i32)>, Malformed> {
    let mut r = Reader::new(data);
    let mut touches = Vec::with_capacity(data.len() / 12);
    while !r.rest().is_empty() {
        touches.push((SessionId(r.long()?), r.int()?));
    }
    Ok(touches)
}

/// Appends a learner's REVALIDATE data: a session and the timeout it asked for, ms.
pub fn encode_revalidate(session: SessionId, timeout_ms: i32, out: &mut Vec<u8>) {
    encode_touches(&[(session, timeout_ms)], out);
}

/// Reads a learner's REVALIDATE data.
pub fn decode_revalidate(data: &[u8]) -> Result<(SessionId, i32), Malformed> {
    let mut r = Reader::new(data);
    Ok((SessionId(r.long()?), r.int()?))
}

/// Appends a leader's REVALIDATE data: is the session alive?
pub fn encode_revalidated(session: SessionId, valid: bool, out: &mut Vec<u8>) {
    let mut w = Writer::new(out);
    w.long(session.0);
    w.bool(valid);
}

/// Reads a leader's REVALIDATE data.
pub fn decode_revalidated(data: &[u8]) -> Result<(SessionId, bool), Malformed> {
    let mut r = Reader::new(data);
    Ok((SessionId(r.long()?), r.bool()?))
}

/// Appends the data of COMMITANDACTIVATE, or the beginning of that of INFORMANDACTIVATE: who shall lead.
pub fn encode_designated_leader(leader: Sid, out: &mut Vec<u8>) {
    Writer::new(out).long(leader.0);
}

/// Reads who shall lead, and what stands behind it: the txn of an INFORMANDACTIVATE.
pub fn decode_designated_leader(data: &[u8]) -> Result<(Sid, &[u8]), Malformed> {
    let mut r = Reader::new(data);
    let leader = Sid(r.long()?);
    Ok((leader, r.rest()))
}
