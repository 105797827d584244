//! Connections of this server's clients: what each has sent that waits, and what it has been answered. No protocol.

use crate::effect::DropReason;
use crate::ids::{ConnId, SessionId, Xid, Zxid};
use crate::status::Summary;
use crate::time::{Instant, Now};
use crate::tree::Identity;
use crate::wire::{ErrorCode, OpCode};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum ConnState {
    /// Its connect request has not come.
    Handshake,
    /// Its session is being created.
    Opening,
    /// It serves its session.
    Up,
    /// It is told to go; whatever it still sends is ignored.
    Closing,
}

/// A request that has its place in the session's order and no answer yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Waiting {
    /// Answered when its txn is applied; `done` holds an answer that must not leave yet. The zxid of a forwarded one is
    /// zero: the leader gives it. Whatever error it refuses with, the client is told `refusal` if there is one.
    Write {
        zxid: Zxid,
        xid: Xid,
        since: Instant,
        done: Option<Vec<u8>>,
        refusal: Option<ErrorCode>,
    },
    /// Executed when all before it are answered, by the identities the connection had when it came.
    Read { frame: Box<[u8]>, identities: usize, since: Instant },
    /// Nothing of this session goes on before that zxid is applied.
    Barrier { upto: Zxid },
    /// Nothing goes on before the leader has answered the session's `sync`.
    Sync,
    /// An answer that only waits for its turn.
    Answer { xid: Xid, err: i32, zxid: Option<Zxid>, then_close: Option<DropReason> },
}

/// One client connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Conn {
    pub(super) addr: IpAddr,
    pub(super) port: u16,
    pub(super) secure: bool,
    /// Only ever grows.
    pub(super) ids: Vec<Identity>,
    pub(super) state: ConnState,
    pub(super) session: SessionId,
    /// What the connect request said of read-only mode; decides the form of the response.
    pub(super) read_only: Option<bool>,
    pub(super) queue: VecDeque<Waiting>,
    /// Frames that may not be taken in yet, and when they came.
    pub(super) inbox: VecDeque<(Instant, Box<[u8]>)>,
    /// Is it in the queue of those that wait to be taken in?
    pub(super) blocked: bool,
    pub(super) paused: bool,
    pub(super) out: Vec<u8>,
    /// Bytes ever put into `out`.
    pub(super) produced: u64,
    /// Bytes the socket has taken.
    pub(super) sent: u64,
    /// Bytes of watch events among those not taken.
    pub(super) events_unsent: u64,
    pub(super) close: Option<DropReason>,
    pub(super) figures: ConnFigures,
}

/// What `cons` shows of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ConnFigures {
    pub(super) established: Now,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) last_op: Option<OpCode>,
    pub(super) last_xid: Xid,
    pub(super) last_zxid: Zxid,
    pub(super) last_response: Instant,
    pub(super) last_latency_ms: u64,
    pub(super) latency_ms: Summary,
}

impl Conn {
    pub(super) fn new(addr: IpAddr, port: u16, secure: bool, ids: Vec<Identity>, now: Now) -> Self {
        Self {
            addr,
            port,
            secure,
            ids,
            state: ConnState::Handshake,
            session: SessionId::NONE,
            read_only: None,
            queue: VecDeque::new(),
            inbox: VecDeque::new(),
            blocked: false,
            paused: false,
            out: Vec::new(),
            produced: 0,
            sent: 0,
            events_unsent: 0,
            close: None,
            figures: ConnFigures {
                established: now,
                received: 0,
                sent: 0,
                last_op: None,
                last_xid: Xid(0),
                last_zxid: Zxid::ZERO,
                last_response: Instant::default(),
                last_latency_ms: 0,
                latency_ms: Summary::default(),
            },
        }
    }

    /// Reply bytes the client has not taken.
    pub(super) fn unsent(&self) -> u64 {
        self.produced - self.sent
    }

    /// Adds an identity once; false when there are too many of them.
    pub(super) fn prove(&mut self, identity: Identity) -> bool {
        if self.ids.contains(&identity) {
            return true;
        }
        let size = |id: &Identity| 2 * size_of::<Box<str>>() + id.scheme.len() + id.id.len();
        let fits = self.ids.iter().map(size).sum::<usize>() + size(&identity) <= IDENTITIES_MAX;
        if fits {
            self.ids.push(identity);
        }
        fits
    }
}

/// Bytes that the identities of one connection may take. Every ACL is held against each of them.
const IDENTITIES_MAX: usize = 64 << 10;

/// All connections, and those with something to send or waiting to be taken in.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Clients {
    pub(super) conns: BTreeMap<ConnId, Conn>,
    /// Have bytes in `out`, or are to be closed, since the last turn.
    pub(super) dirty: Vec<ConnId>,
    /// Have frames in their inbox, oldest first.
    pub(super) blocked: VecDeque<ConnId>,
    /// Unsent bytes of all connections.
    pub(super) unsent: u64,
    /// Requests taken in and not answered.
    pub(super) outstanding: u64,
    /// Frames ever put into an output.
    pub(super) frames_sent: u64,
    /// Sizes of frames: the last, and all of them.
    pub(super) reply_size: (u64, Summary),
}

impl Clients {
    /// Gives access to a connection's output, and counts what is put there.
    pub(super) fn write(&mut self, id: ConnId, put: impl FnOnce(&[Identity], &mut Vec<u8>)) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.out.is_empty() && conn.close.is_none() {
            self.dirty.push(id);
        }
        let before = conn.out.len();
        put(&conn.ids, &mut conn.out);
        let more = (conn.out.len() - before) as u64;
        conn.produced += more;
        self.unsent += more;
        self.reply_size.0 = more;
        self.reply_size.1.add(more);
        conn.figures.sent += 1;
        self.frames_sent += 1;
    }

    /// The connection ends when its replies are out.
    pub(super) fn close(&mut self, id: ConnId, why: DropReason) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.out.is_empty() && conn.close.is_none() {
            self.dirty.push(id);
        }
        conn.close.get_or_insert(why);
        conn.state = ConnState::Closing;
        self.outstanding -= conn.queue.len() as u64;
        conn.queue.clear();
        conn.inbox.clear();
    }

    /// Forgets a connection.
    pub(super) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        let conn = self.conns.remove(&id)?;
        self.unsent -= conn.unsent();
        self.outstanding -= conn.queue.len() as u64;
        Some(conn)
    }

    /// A request takes its place in the order of its session.
    pub(super) fn enqueue(&mut self, id: ConnId, waiting: Waiting) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.queue.push_back(waiting);
            self.outstanding += 1;
        }
    }

    /// The request at the head of the order is answered.
    pub(super) fn dequeue(&mut self, id: ConnId) -> Option<Waiting> {
        let waiting = self.conns.get_mut(&id)?.queue.pop_front()?;
        self.outstanding -= 1;
        Some(waiting)
    }
}
