//! What clients were promised. The committed order is read off the server's own log; whatever the server says to a
//! client must be what the model says at that point of the order, and what it forgets over a crash must be something
//! nobody was told.

use crate::checkers::{epoch, names_no_txn};
use crate::execution::{Asked, Executed, Record, Rules, SESSION_EXPIRED, SESSION_MOVED};
use crate::model::{Answer, Context, Entry, Happening, Model, allowed, parent_of};
use crate::request::{decode, is_write, needs_quorum, operation};
use base64::Engine as _;
use sha1::Digest as _;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use zoetrope_core::wire::{
    ConnectRequest, ConnectResponse, OpCode, Reader, Request, RequestHeader, SetWatches, Txn,
    WatchMode, WatcherType,
};
use zoetrope_core::{ConnId, Server, Sid};
use zoetrope_io_sim::{At, Judge, LocalSessions};

/// A request the server has heard and not answered.
#[derive(Clone, Debug)]
struct Waiting {
    xid: i32,
    frame: Vec<u8>,
    ids: Vec<(String, String)>,
    /// What the log made of it, and what must be answered.
    decided: Option<(i64, Answer)>,
    /// The last txn that was known to be committed when it came.
    known: i64,
    /// Another server had welcomed the session by then.
    has_moved: bool,
}

impl Waiting {
    /// Is it the write that has this place in the log?
    fn is_for(&self, xid: i32) -> bool {
        self.decided.is_none() && self.xid == xid && is_write(&self.frame)
    }

    fn asked(&self) -> Asked<'_> {
        Asked { frame: &self.frame, ids: &self.ids, has_moved: self.has_moved }
    }
}

/// An event a connection has to hear.
#[derive(Clone, Debug)]
struct Expected {
    zxid: i64,
    kind: i32,
    path: Arc<str>,
    /// Whether it may see it depends on an authentication that is on its way.
    optional: bool,
}

const NOT_READ_ONLY: i32 = -119;

const STANDARD: u8 = 1;
const PERSISTENT: u8 = 2;
const RECURSIVE: u8 = 4;

#[derive(Clone, Default, Debug)]
struct Conn {
    session: i64,
    /// Its connect request, until it is answered.
    greeting: Option<Vec<u8>>,
    /// Identities as of the last request heard, and as of the last one answered.
    ids: Vec<(String, String)>,
    proven: Vec<(String, String)>,
    waiting: VecDeque<Waiting>,
    auths: VecDeque<(String, String)>,
    data_watches: BTreeMap<String, u8>,
    child_watches: BTreeMap<String, u8>,
    expected: VecDeque<Expected>,
    /// Events of a setWatches that is about to be answered.
    catch_up: Vec<(i32, String)>,
    last_zxid: i64,
    /// Its server had no quorum when it came, and writes nothing.
    read_only: bool,
}

/// A txn that no client of this server has seen the effects of.
#[derive(Clone, Debug)]
struct Next {
    what: What,
    /// The connection of this server that asked for it.
    origin: Option<ConnId>,
    /// How many identities each connection had proven by then, where it was more than its address.
    proven: BTreeMap<ConnId, usize>,
}

#[derive(Clone, Debug)]
enum What {
    /// It is in the log of a server alone.
    Logged(Record),
    /// It is committed, and came to this.
    Executed(Arc<Executed>),
}

impl Next {
    fn zxid(&self) -> i64 {
        match &self.what {
            What::Logged(record) => record.header.zxid.0,
            What::Executed(executed) => executed.zxid,
        }
    }

    /// The session that begins with it.
    fn begins(&self) -> Option<i64> {
        match &self.what {
            What::Logged(record) => record.creates_session().then_some(record.header.session.0),
            What::Executed(executed) => executed.begins.map(|_| executed.session),
        }
    }
}

#[derive(Clone, Debug)]
struct Lease {
    timeout_ms: i32,
    /// When the server last heard of it, and how long it had stood still until then, µs.
    heard: u64,
    stalled: u64,
}

/// The judge.
#[derive(Clone, Debug)]
pub(crate) struct Oracle {
    model: Model,
    ahead: VecDeque<Next>,
    last_proposed: i64,
    conns: BTreeMap<ConnId, Conn>,
    leases: BTreeMap<i64, Lease>,
    stalled: u64,
    full: bool,
    /// Sessions whose end was asked for or has been logged.
    ending: BTreeSet<i64>,
    /// The server is one of several: the order is told by who watches them all.
    together: bool,
    /// Sessions it has made since it is read-only.
    lonely: BTreeSet<i64>,
    local: LocalSessions,
    /// Sessions opened at this server that no other knows.
    locals: BTreeSet<i64>,
    /// Sessions whose creation was proposed, somewhere.
    born: BTreeSet<i64>,
    /// The last txn that is known to be committed by now, somewhere.
    known: i64,
}

/// What a client has seen, as far as it names a txn. `(e,0)` does not: a server of that epoch may show it or the txn before.
fn named(zxid: i64) -> i64 {
    if names_no_txn(zxid) { 0 } else { zxid }
}

impl Oracle {
    pub(crate) fn new() -> Self {
        Self {
            model: Model::new(),
            ahead: VecDeque::new(),
            last_proposed: 0,
            conns: BTreeMap::new(),
            leases: BTreeMap::new(),
            stalled: 0,
            full: false,
            ending: BTreeSet::new(),
            together: false,
            lonely: BTreeSet::new(),
            local: LocalSessions::Off,
            locals: BTreeSet::new(),
            born: BTreeSet::new(),
            known: 0,
        }
    }

    /// The judge of one server of an ensemble.
    pub(crate) fn of_ensemble(local: LocalSessions) -> Self {
        Self { together: true, local, ..Self::new() }
    }

    /// How many identities each connection has proven, where it is more than its address.
    fn proven_by_now(&self) -> BTreeMap<ConnId, usize> {
        let several = self.conns.iter().filter(|(_, conn)| conn.proven.len() > 1);
        several.map(|(id, conn)| (*id, conn.proven.len())).collect()
    }

    // What is different in an ensemble.

    /// The next txn of the one order, and the connection of this server that asked for it.
    pub(crate) fn committed(&mut self, executed: Arc<Executed>, origin: Option<ConnId>) {
        let proven = self.proven_by_now();
        self.ahead.push_back(Next { what: What::Executed(executed), origin, proven });
    }

    /// Its server has nothing left of what it had, or less: what it shows next may be older than what it has shown.
    pub(crate) fn begins_anew(&mut self) {
        self.model = Model::new();
        self.ahead.clear();
    }

    /// That txn is committed, and what comes from now on may ask to be level with it.
    pub(crate) fn knows(&mut self, zxid: i64) {
        self.known = zxid;
    }

    /// A `sync` promises that its server has caught up with all that was committed when it came. Not with what another
    /// leader has committed meanwhile: that of this server need not have noticed (quorum protocol §15, B14).
    fn check_sync(waiting: &Waiting, zxid: i64) -> Result<(), String> {
        let is_sync = matches!(decode(&waiting.frame), Some(Request::Sync { .. }));
        if is_sync && zxid < waiting.known && epoch(zxid) == epoch(waiting.known) {
            return Err(format!(
                "S1: a sync is answered at {zxid:#x}, but {:#x} was committed before it came",
                waiting.known
            ));
        }
        Ok(())
    }

    /// What was asked last through a connection, under that xid, came when another server had welcomed its session.
    pub(crate) fn has_moved(&mut self, id: ConnId, xid: i32) {
        let last = self.conns.get_mut(&id).and_then(|conn| conn.waiting.back_mut());
        if let Some(last) = last.filter(|last| last.xid == xid) {
            last.has_moved = true;
        }
    }

    /// The end of a session was asked for or proposed, somewhere.
    pub(crate) fn ends(&mut self, session: i64) {
        self.ending.insert(session);
    }

    /// The creation of a session was proposed, somewhere.
    pub(crate) fn begins(&mut self, session: i64) {
        self.born.insert(session);
        self.locals.remove(&session);
    }

    /// The server's role is over, and with it the sessions that nobody else knew.
    pub(crate) fn serves_nobody(&mut self) {
        self.locals.clear();
    }

    /// What the server says of its local sessions: none of them is everybody's, and none lives on in silence.
    pub(crate) fn check_local_sessions(&self, now: u64, server: &Server) -> Result<(), String> {
        for session in server.sessions().filter(|session| session.local) {
            let id = session.session.0;
            if self.local == LocalSessions::Off || self.born.contains(&id) {
                return Err(format!("P2: session {id:#x} is local, but was created for all"));
            }
            self.check_silence(now, id)?;
        }
        Ok(())
    }

    /// Is the next frame to this connection its welcome?
    pub(crate) fn awaits_welcome(&self, id: ConnId) -> bool {
        self.conns.get(&id).is_some_and(|conn| conn.greeting.is_some())
    }

    /// Was its client told that it cannot write?
    pub(crate) fn is_read_only(&self, id: ConnId) -> bool {
        self.conns.get(&id).is_some_and(|conn| conn.read_only)
    }

    /// A turn has ended: whoever was let in must be one whom such a server lets in.
    pub(crate) fn serves_read_only(&mut self, sid: Sid, read_only: bool) -> Result<(), String> {
        if !read_only {
            self.lonely.clear();
        }
        let let_in = |conn: &Conn| conn.session > 0 && conn.greeting.is_none();
        match self.conns.iter().find(|(_, conn)| let_in(conn) && conn.read_only != read_only) {
            None => Ok(()),
            Some((id, conn)) => Err(format!(
                "R2: server {sid} is {}read-only, and {id} of session {:#x} is there",
                if read_only { "" } else { "not " },
                conn.session
            )),
        }
    }

    /// The session that speaks through a connection.
    pub(crate) fn session_of(&self, id: ConnId) -> i64 {
        self.conns.get(&id).map_or(0, |conn| conn.session)
    }

    /// The server has applied everything up to `zxid`, and its tree has this digest.
    pub(crate) fn shows(&mut self, sid: Sid, zxid: i64, digest: u64) -> Result<(), String> {
        self.advance(zxid)?;
        let ours = self.model.digest;
        match ours == digest {
            true => Ok(()),
            false => Err(format!(
                "D-e: the tree of {sid} at {zxid:#x} has the digest {digest:x}, the model's {ours:x}"
            )),
        }
    }

    /// Sessions the model has.
    pub(crate) fn sessions(&self) -> Vec<i64> {
        self.model.sessions.keys().copied().collect()
    }

    /// The connection of this server that asked for a txn, and what it said. Clients write only when they were
    /// welcomed, and no session uses an xid twice.
    pub(crate) fn asked(&self, record: &Record) -> Option<(ConnId, Asked<'_>)> {
        let (session, xid) = (record.header.session.0, record.header.cxid.0);
        if session == 0 || record.creates_session() {
            return None;
        }
        let mut mine = self.conns.iter().filter(|(_, conn)| conn.session == session);
        mine.find_map(|(id, conn)| {
            let waiting = conn.waiting.iter().find(|w| w.is_for(xid))?;
            Some((*id, waiting.asked()))
        })
    }

    // The committed order.

    /// Executes everything up to `zxid`, or takes over what came of it.
    fn advance(&mut self, zxid: i64) -> Result<(), String> {
        // An ensemble says itself when something is missing.
        let waits = |next: &Next| next.zxid() <= zxid;
        while self.model.zxid < zxid && (!self.together || self.ahead.front().is_some_and(waits)) {
            let Some(next) = self.ahead.pop_front() else {
                return Err(format!("a reply shows zxid {zxid:#x}, which was never logged"));
            };
            let Next { what, origin, proven } = next;
            let executed = match what {
                What::Executed(executed) => {
                    executed.apply_to(&mut self.model);
                    executed
                }
                What::Logged(record) => Arc::new(self.execute(&record, origin)?),
            };
            self.happened(&executed, origin, &proven);
        }
        Ok(())
    }

    /// A record of a server alone.
    fn execute(&mut self, record: &Record, origin: Option<ConnId>) -> Result<Executed, String> {
        let (zxid, xid) = (record.header.zxid, record.header.cxid.0);
        let asked = match origin.and_then(|id| self.conns.get(&id)) {
            None => None,
            Some(conn) => match conn.waiting.iter().find(|w| w.is_for(xid)) {
                Some(waiting) => Some(waiting.asked()),
                None => {
                    return Err(format!(
                        "{zxid}: the log has {:?}, for which nobody waits any more",
                        record.txn
                    ));
                }
            },
        };
        let rules = Rules { together: false, local: self.local };
        record.execute(&mut self.model, asked, rules)
    }

    /// What a txn that was just executed means for those who are connected.
    fn happened(
        &mut self,
        executed: &Executed,
        origin: Option<ConnId>,
        proven: &BTreeMap<ConnId, usize>,
    ) {
        if let (Some(answer), Some(id)) = (&executed.answer, origin)
            && let Some(conn) = self.conns.get_mut(&id)
            && conn.session == executed.session
            && let Some(waiting) = conn.waiting.iter_mut().find(|w| w.is_for(executed.xid))
        {
            waiting.decided = Some((executed.zxid, answer.clone()));
        }
        self.tell_watchers(executed, proven);
        if executed.ends {
            self.leases.remove(&executed.session);
        }
    }

    /// Which connections hear of what the last txn did, in order. What a connection had `proven` when the txn was
    /// logged counts; what it proved since may have come before the txn was applied, or behind.
    fn tell_watchers(&mut self, executed: &Executed, proven: &BTreeMap<ConnId, usize>) {
        let zxid = executed.zxid;
        for Happening { kind, path, acl, parent_acl } in &executed.happenings {
            for (id, conn) in &mut self.conns {
                let proven = proven.get(id).copied().unwrap_or(1);
                let heard = conn.fire_data(path);
                if heard {
                    conn.expect(zxid, *kind, path, acl, proven);
                }
                if *kind == 2 && conn.fire_child(path) && !heard {
                    conn.expect(zxid, *kind, path, acl, proven);
                }
                let parent = parent_of(path);
                if *kind != 3 && conn.fire_child(parent) {
                    conn.expect(zxid, 4, parent, parent_acl, proven);
                }
            }
        }
    }

    // What the server says.

    /// One frame to one client.
    fn frame(&mut self, now: u64, id: ConnId, frame: &[u8]) -> Result<(), String> {
        let conn =
            self.conns.get_mut(&id).ok_or_else(|| format!("{id} is answered, but closed"))?;
        if let Some(greeting) = conn.greeting.take() {
            return self.welcome(now, id, &greeting, frame);
        }
        let mut r = Reader::new(frame);
        let head = (r.int(), r.long(), r.int());
        let (Ok(xid), Ok(zxid), Ok(err)) = head else {
            return Err(format!("{id}: a reply of {} bytes", frame.len()));
        };
        match xid {
            -1 => self.event(id, zxid, &mut r),
            -4 => {
                let proven =
                    conn.auths.pop_front().ok_or_else(|| format!("{id}: nobody asked for auth"))?;
                if !conn.proven.contains(&proven) {
                    conn.proven.push(proven);
                }
                if (zxid, err) == (0, 0) {
                    Ok(())
                } else {
                    Err(format!("{id}: auth answered {err}"))
                }
            }
            _ => self.reply(id, xid, zxid, err, r.rest()),
        }
    }

    fn welcome(
        &mut self,
        now: u64,
        id: ConnId,
        greeting: &[u8],
        frame: &[u8],
    ) -> Result<(), String> {
        let request = ConnectRequest::decode(greeting).map_err(|e| e.to_string())?;
        let response = ConnectResponse::decode(frame).map_err(|e| e.to_string())?;
        if response.read_only.is_some() != request.read_only.is_some() {
            return Err(format!("{id}: the read-only byte is there or not, unlike in the request"));
        }
        let asked = request.session.0;
        let stalled = self.stalled;
        if response.timeout_ms <= 0 {
            let known = match self.together {
                true => self.model.sessions.contains_key(&asked) || self.lives_here(now, asked),
                false => self.leases.contains_key(&asked),
            };
            let lives = known && !self.ending.contains(&asked);
            if lives && request.password == request.session.password() {
                return Err(format!("{id}: session {asked:#x} lives and was refused"));
            }
            return Ok(());
        }
        let session = response.session.0;
        if asked != 0 && request.password != request.session.password() {
            return Err(format!("{id}: session {asked:#x} is continued with a wrong password"));
        }
        if response.read_only == Some(true) {
            return self.welcome_read_only(id, &request, session);
        }
        let unknown = self.local != LocalSessions::Off
            && !self.locals.contains(&asked)
            && !self.born.contains(&asked);
        if asked == 0 && self.local != LocalSessions::Off {
            if self.born.contains(&session) {
                return Err(format!("P2: new session {session:#x} is not local"));
            }
            self.locals.insert(session);
        } else if asked == 0 {
            self.advance_to_session(session)?;
        } else if unknown {
            return Err(format!(
                "P2: {id}: session {asked:#x} is of another server, and was taken"
            ));
        } else if session != asked || !(self.together || self.leases.contains_key(&asked)) {
            return Err(format!("{id}: asked for session {asked:#x}, got {session:#x}"));
        }
        let lease = Lease { timeout_ms: response.timeout_ms, heard: now, stalled };
        self.leases.insert(session, lease);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.session = session;
            if self.together {
                // What the client has seen at another server must not be undone here.
                conn.last_zxid = named(request.last_zxid_seen.0);
            }
        }
        Ok(())
    }

    /// Without a quorum: a session of this server alone.
    fn welcome_read_only(
        &mut self,
        id: ConnId,
        request: &ConnectRequest<'_>,
        session: i64,
    ) -> Result<(), String> {
        let asked = request.session.0;
        if request.read_only != Some(true) {
            return Err(format!("R2: {id} wants to write, and a read-only server lets it in"));
        }
        if self.model.sessions.contains_key(&session) {
            return Err(format!(
                "R3: {id} goes on with {session:#x} where nobody can keep it alive"
            ));
        }
        if asked != 0 && (asked != session || !self.lonely.contains(&asked)) {
            return Err(format!("R3: {id} asked for session {asked:#x}, got {session:#x}"));
        }
        self.lonely.insert(session);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.session = session;
            conn.read_only = true;
            conn.last_zxid = named(request.last_zxid_seen.0);
        }
        Ok(())
    }

    /// Where a welcome stands in the order: a new session's where its creation does.
    fn place_of_welcome(&self, frame: &[u8]) -> i64 {
        let session = ConnectResponse::decode(frame).map_or(0, |response| response.session.0);
        let begins = |next: &&Next| next.begins() == Some(session);
        self.ahead.iter().find(begins).map_or(0, Next::zxid)
    }

    /// The welcome to a new session says that its creation is committed.
    fn advance_to_session(&mut self, session: i64) -> Result<(), String> {
        if self.model.sessions.contains_key(&session) {
            return Ok(());
        }
        let Some(birth) = self.ahead.iter().find(|next| next.begins() == Some(session)) else {
            return Err(format!(
                "session {session:#x} was opened, but its creation was not logged"
            ));
        };
        self.advance(birth.zxid())
    }

    fn event(&mut self, id: ConnId, zxid: i64, r: &mut Reader<'_>) -> Result<(), String> {
        let (Ok(kind), Ok(_), Ok(Some(path))) = (r.int(), r.int(), r.string()) else {
            return Err(format!("{id}: an event that cannot be read"));
        };
        let path = path.into_owned();
        if zxid == -1 {
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.catch_up.push((kind, path));
            }
            return Ok(());
        }
        self.advance(zxid)?;
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        while let Some(next) = conn.expected.pop_front() {
            if (next.zxid, next.kind, &*next.path) == (zxid, kind, &*path) {
                return Ok(());
            }
            if !next.optional {
                return Err(format!(
                    "{id}: heard event {kind} of {path} at {zxid:#x}, due was {next:?}"
                ));
            }
        }
        Err(format!("{id}: heard event {kind} of {path} at {zxid:#x}, which it has no watch for"))
    }

    fn reply(
        &mut self,
        id: ConnId,
        xid: i32,
        zxid: i64,
        err: i32,
        body: &[u8],
    ) -> Result<(), String> {
        let conn = self.conns.get_mut(&id).ok_or("gone")?;
        if zxid >= 0 && zxid < conn.last_zxid {
            return Err(format!("{id}: zxid went back from {:#x} to {zxid:#x}", conn.last_zxid));
        }
        conn.last_zxid = conn.last_zxid.max(zxid);
        self.advance(zxid)?;
        let conn = self.conns.get_mut(&id).ok_or("gone")?;
        if let Some(late) = conn.expected.iter().find(|e| !e.optional && e.zxid <= zxid) {
            return Err(format!("{id}: a reply at {zxid:#x} comes before the event {late:?}"));
        }
        let Some(waiting) = conn.waiting.pop_front() else {
            return Err(format!("{id}: xid {xid} is answered, but nothing was asked"));
        };
        if waiting.xid != xid {
            return Err(format!("{id}: xid {xid} is answered before xid {}", waiting.xid));
        }
        let story = || format!("{id} xid {xid} zxid {zxid:#x} {:?}", decode(&waiting.frame));
        if self.is_read_only(id) && needs_quorum(&waiting.frame) {
            return match (err, body.is_empty()) {
                (NOT_READ_ONLY, true) => Ok(()),
                _ => Err(format!("R2: {}: answered {err} without a quorum", story())),
            };
        }
        if self.is_read_only(id) && matches!(decode(&waiting.frame), Some(Request::CloseSession)) {
            self.lonely.remove(&self.session_of(id));
            return match err {
                0 => Ok(()),
                _ => Err(format!("R3: {}: answered {err}", story())),
            };
        }
        if let Some((_, answer)) = &waiting.decided {
            let said = if err == 0 { Ok(body.to_vec()) } else { Err(err) };
            if said != *answer {
                return Err(format!("{}: answered {said:?}, the model says {answer:?}", story()));
            }
            return Ok(());
        }
        if err == 0 {
            Self::check_sync(&waiting, zxid).map_err(|e| format!("{e} ({})", story()))?;
        }
        if err != 0 && self.may_refuse(id, &waiting.frame, err) {
            return Ok(());
        }
        let session = self.conns[&id].session;
        let closes = matches!(decode(&waiting.frame), Some(Request::CloseSession));
        if closes && err == 0 && body.is_empty() && self.locals.remove(&session) {
            return Ok(());
        }
        if is_write(&waiting.frame) {
            return Err(format!("{}: answered {err} without a place in the log", story()));
        }
        let ids = waiting.ids.clone();
        let cx = Context { session, ids, ..Context::at(zxid) };
        let expected =
            self.read(id, &waiting.frame, &cx).map_err(|e| format!("{}: {e}", story()))?;
        let op = operation(&waiting.frame);
        let said = if err == 0 { Ok(sorted(op, body)) } else { Err(err) };
        let expected = expected.map(|body| sorted(op, &body));
        if said != expected {
            return Err(format!("{}: answered {said:?}, the model says {expected:?}", story()));
        }
        Ok(())
    }

    /// Refusals that take no zxid.
    fn may_refuse(&self, id: ConnId, frame: &[u8], err: i32) -> bool {
        match err {
            -1 => self.full && is_write(frame),
            -5 => decode(frame).is_none(),
            -6 => operation(frame).is_none(),
            SESSION_EXPIRED => self.ending.contains(&self.conns[&id].session),
            SESSION_MOVED => self.together,
            _ => false,
        }
    }

    /// Reads, and what else is answered without the log.
    fn read(&mut self, id: ConnId, frame: &[u8], cx: &Context) -> Result<Answer, String> {
        let Some(request) = decode(frame) else { return Ok(Err(-5)) };
        let conn = self.conns.get_mut(&id).ok_or("gone")?;
        let there = |conn: &Conn, path: &str, kind: &WatcherType| {
            let data = conn.data_watches.get(path).copied().unwrap_or(0);
            let child = conn.child_watches.get(path).copied().unwrap_or(0);
            match kind {
                WatcherType::Children => child & STANDARD != 0,
                WatcherType::Data => data & STANDARD != 0,
                WatcherType::Any => data | child != 0,
                WatcherType::Persistent => (data | child) & PERSISTENT != 0,
                WatcherType::Recursive => data & RECURSIVE != 0,
            }
        };
        Ok(match &request {
            Request::AddWatch { path, mode } => {
                let path = path.as_deref().unwrap_or("").to_owned();
                match mode {
                    WatchMode::Persistent => {
                        *conn.data_watches.entry(path.clone()).or_default() |= PERSISTENT;
                        *conn.child_watches.entry(path).or_default() |= PERSISTENT;
                    }
                    WatchMode::Recursive => {
                        *conn.data_watches.entry(path).or_default() |= RECURSIVE
                    }
                }
                Ok(vec![0; 4])
            }
            Request::CheckWatches { path, kind } => {
                let path = path.as_deref().unwrap_or("");
                if there(conn, path, kind) { Ok(Vec::new()) } else { Err(-121) }
            }
            Request::RemoveWatches { path, kind } => {
                let path = path.as_deref().unwrap_or("");
                let had = there(conn, path, kind);
                if had {
                    conn.remove_watch(path, *kind);
                }
                if had { Ok(Vec::new()) } else { Err(-121) }
            }
            Request::SetWatches(watches) | Request::SetWatches2(watches) => {
                conn.set_watches(watches, &self.model)?;
                Ok(Vec::new())
            }
            request => {
                let answer = self.model.read(request, cx);
                conn.register(request, answer.as_ref().err().copied());
                answer
            }
        })
    }

    /// Is it a session that only this server knows, and that cannot have expired?
    fn lives_here(&self, now: u64, session: i64) -> bool {
        let fresh = |lease: &Lease| now.saturating_sub(lease.heard) < lease.timeout_ms as u64 * 940;
        self.locals.contains(&session) && self.leases.get(&session).is_some_and(fresh)
    }

    /// Has the session been silent for longer than its timeout, and lives?
    fn check_silence(&self, now: u64, session: i64) -> Result<(), String> {
        const TICK_US: u64 = 2_000_000;
        let Some(lease) = self.leases.get(&session) else { return Ok(()) };
        let silent = now.saturating_sub(lease.heard);
        let stalled = self.stalled - lease.stalled;
        let most = lease.timeout_ms as u64 * 1060 + 3 * TICK_US + stalled + 6_000_000;
        if silent > most && !self.full && !self.ending.contains(&session) {
            return Err(format!(
                "session {session:#x} has been silent for {} ms and lives",
                silent / 1000
            ));
        }
        Ok(())
    }

    /// Was this session right to expire at `now`?
    fn check_expiry(&self, now: u64, session: i64) -> Result<(), String> {
        let Some(lease) = self.leases.get(&session) else { return Ok(()) };
        let silent = now.saturating_sub(lease.heard);
        let stalled = self.stalled - lease.stalled;
        let heard_in_vain = silent.saturating_sub(stalled);
        // Clocks may run a little fast; the timeout is the server's to measure.
        if heard_in_vain < lease.timeout_ms as u64 * 940 {
            return Err(format!(
                "session {session:#x} with a timeout of {} ms expired {} ms after it was heard, {} ms of which the \
                 server stood still",
                lease.timeout_ms,
                silent / 1000,
                stalled / 1000
            ));
        }
        Ok(())
    }
}

impl Judge for Oracle {
    fn appended(&mut self, at: At, records: &[u8]) -> Result<(), String> {
        let mut rest = records;
        while rest.len() > 12 {
            let len = u32::from_be_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
            let mut record = Record::decode(&rest[12..12 + len])
                .map_err(|e| format!("a record of its own: {e}"))?;
            record.applied = self.model.zxid;
            let header = &record.header;
            rest = &rest[13 + len..];
            if header.zxid.0 != self.last_proposed + 1 {
                return Err(format!(
                    "{} follows {:#x} in the log",
                    header.zxid, self.last_proposed
                ));
            }
            self.last_proposed = header.zxid.0;
            let session = header.session.0;
            let origin = self.asked(&record).map(|(id, _)| id);
            if matches!(record.txn, Txn::CloseSession { .. }) {
                if origin.is_none() && header.cxid.0 == 0 {
                    self.check_expiry(at.now, session)?;
                }
                self.ending.insert(session);
            }
            let proven = self.proven_by_now();
            self.ahead.push_back(Next { what: What::Logged(record), origin, proven });
        }
        Ok(())
    }

    fn opened(&mut self, _at: At, id: ConnId, addr: IpAddr) {
        let ip = ("ip".to_owned(), addr.to_string());
        let ids = vec![ip];
        self.conns
            .insert(id, Conn { ids: ids.clone(), proven: ids, session: -1, ..Conn::default() });
    }

    fn heard(&mut self, at: At, id: ConnId, frame: &[u8]) -> Result<(), String> {
        let stalled = self.stalled;
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        if conn.session == -1 && conn.greeting.is_none() {
            conn.greeting = Some(frame.to_vec());
            conn.session = 0;
            return Ok(());
        }
        if let Some(lease) = self.leases.get_mut(&conn.session) {
            lease.heard = at.now;
            lease.stalled = stalled;
        }
        let Ok(header) = RequestHeader::decode(&mut Reader::new(frame)) else { return Ok(()) };
        let request = decode(frame);
        if let Some(Request::Auth { auth: Some(secret), .. }) = request {
            let user = String::from_utf8_lossy(secret.split(|b| *b == b':').next().unwrap_or(b""));
            let hash = base64::engine::general_purpose::STANDARD.encode(sha1::Sha1::digest(secret));
            let proven = ("digest".to_owned(), format!("{user}:{hash}"));
            conn.auths.push_back(proven.clone());
            if !conn.ids.contains(&proven) {
                conn.ids.push(proven);
            }
            return Ok(());
        }
        if matches!(request, Some(Request::CloseSession)) {
            self.ending.insert(conn.session);
        }
        let (ids, xid) = (conn.ids.clone(), header.xid.0);
        let (frame, known) = (frame.to_vec(), self.known);
        conn.waiting.push_back(Waiting { xid, frame, ids, decided: None, known, has_moved: false });
        Ok(())
    }

    fn answered(&mut self, at: At, replies: &[(ConnId, Vec<u8>)]) -> Result<(), String> {
        // Frames of one connection are in order; between connections the zxid is the order.
        let mut streams: Vec<(ConnId, VecDeque<&[u8]>)> =
            replies.iter().map(|(id, bytes)| (*id, frames(bytes))).collect();
        loop {
            let next = streams.iter().enumerate().filter_map(|(n, (id, frames))| {
                let greeting = self.conns.get(id).is_some_and(|conn| conn.greeting.is_some());
                let place =
                    |frame| if greeting { self.place_of_welcome(frame) } else { zxid_of(frame) };
                frames.front().map(|frame| (place(frame), n))
            });
            let Some((_, n)) = next.min() else { return Ok(()) };
            let (id, frames) = &mut streams[n];
            let (id, frame) = (*id, frames.pop_front().unwrap_or_default());
            self.frame(at.now, id, frame)?;
        }
    }

    fn closed(&mut self, _at: At, id: ConnId, _by_server: bool) -> Result<(), String> {
        self.conns.remove(&id);
        Ok(())
    }

    fn crashed(&mut self, _at: At) {
        self.conns.clear();
        self.locals.clear();
        // What was asked for may or may not have been logged.
        if !self.together {
            self.ending.clear();
        }
    }

    fn serving(&mut self, at: At, server: &Server) -> Result<(), String> {
        let status = server.status();
        let zxid = status.zxid_applied.0;
        if zxid < self.model.zxid {
            return Err(format!(
                "clients were told of {:#x}, but after the restart the server has {zxid:#x} only",
                self.model.zxid
            ));
        }
        self.advance(zxid)?;
        self.ahead.clear();
        self.last_proposed = zxid;
        let ours = self.model.digest;
        if status.digest != ours {
            return Err(format!(
                "after the restart the digest at {zxid:#x} is {:x}, not {ours:x}",
                status.digest
            ));
        }
        let sessions: Vec<i64> = server.sessions().map(|s| s.session.0).collect();
        let expected: Vec<i64> = self.model.sessions.keys().copied().collect();
        if sessions != expected {
            return Err(format!(
                "after the restart there are sessions {sessions:x?}, not {expected:x?}"
            ));
        }
        // Everyone gets a full timeout from here.
        let stalled = self.stalled;
        self.leases = server
            .sessions()
            .map(|s| (s.session.0, Lease { timeout_ms: s.timeout_ms, heard: at.now, stalled }))
            .collect();
        if !status.phase.serves() || status.digest_mismatches > 0 {
            return Err(format!("after the restart: {status:?}"));
        }
        Ok(())
    }

    fn stalled(&mut self, _at: At, us: u64) {
        // What is shorter than a tick is not told from a slow turn, and clocks may run fast.
        if us > 2_120_000 {
            self.stalled += us;
        }
    }

    fn passed(&mut self, at: At, server: &Server) -> Result<(), String> {
        let mut sessions = server.sessions();
        sessions.try_for_each(|session| self.check_silence(at.now, session.session.0))
    }

    fn room(&mut self, _at: At, full: bool) {
        // Refusals may still be on their way when room returns, so they stay legal from the first lack of it on.
        self.full |= full;
    }
}

impl Conn {
    fn expect(&mut self, zxid: i64, kind: i32, path: &str, acl: &[Entry], proven: usize) {
        let sees = allowed(acl, &self.proven[..proven], 1).is_ok();
        let will_see = allowed(acl, &self.ids, 1).is_ok();
        if sees || will_see {
            let optional = sees != will_see;
            self.expected.push_back(Expected { zxid, kind, path: path.into(), optional });
        }
    }

    fn fire_data(&mut self, path: &str) -> bool {
        let here = fire(&mut self.data_watches, path);
        let mut above = path;
        while above != "/" {
            above = parent_of(above);
            if self.data_watches.get(above).is_some_and(|modes| modes & RECURSIVE != 0) {
                return true;
            }
        }
        here
    }

    fn fire_child(&mut self, path: &str) -> bool {
        fire(&mut self.child_watches, path)
    }

    /// What a client that comes back is told at once, and what it watches from here on.
    fn set_watches(&mut self, watches: &SetWatches<'_>, model: &Model) -> Result<(), String> {
        let mut due = Vec::new();
        let since = watches.relative_zxid.0;
        for path in watches.data.iter().flatten() {
            match model.nodes.get(&**path) {
                None => due.push((2, path.to_string())),
                Some(node) if node.mzxid > since => due.push((3, path.to_string())),
                Some(_) => *self.data_watches.entry(path.to_string()).or_default() |= STANDARD,
            }
        }
        for path in watches.exist.iter().flatten() {
            match model.nodes.get(&**path) {
                Some(_) => due.push((1, path.to_string())),
                None => *self.data_watches.entry(path.to_string()).or_default() |= STANDARD,
            }
        }
        for path in watches.child.iter().flatten() {
            match model.nodes.get(&**path) {
                None => due.push((2, path.to_string())),
                Some(node) if node.pzxid > since => due.push((4, path.to_string())),
                Some(_) => *self.child_watches.entry(path.to_string()).or_default() |= STANDARD,
            }
        }
        for path in watches.persistent.iter().flatten() {
            *self.data_watches.entry(path.to_string()).or_default() |= PERSISTENT;
            *self.child_watches.entry(path.to_string()).or_default() |= PERSISTENT;
        }
        for path in watches.recursive.iter().flatten() {
            *self.data_watches.entry(path.to_string()).or_default() |= RECURSIVE;
        }
        let told = std::mem::take(&mut self.catch_up);
        if told != due {
            return Err(format!("told {told:?} of what was missed, should be {due:?}"));
        }
        Ok(())
    }

    fn register(&mut self, request: &Request<'_>, error: Option<i32>) {
        match request {
            Request::Exists { path, watch: true } if matches!(error, None | Some(-101)) => {
                let path = path.as_deref().unwrap_or("").to_owned();
                *self.data_watches.entry(path).or_default() |= STANDARD;
            }
            Request::GetData { path, watch: true } if error.is_none() => {
                let path = path.as_deref().unwrap_or("").to_owned();
                *self.data_watches.entry(path).or_default() |= STANDARD;
            }
            Request::GetChildren { path, watch: true }
            | Request::GetChildren2 { path, watch: true }
                if error.is_none() =>
            {
                let path = path.as_deref().unwrap_or("").to_owned();
                *self.child_watches.entry(path).or_default() |= STANDARD;
            }
            _ => {}
        }
    }

    fn remove_watch(&mut self, path: &str, kind: WatcherType) {
        let (data, child) = match kind {
            WatcherType::Children => (0, STANDARD),
            WatcherType::Data => (STANDARD, 0),
            WatcherType::Any => (7, 7),
            WatcherType::Persistent => (PERSISTENT, PERSISTENT),
            WatcherType::Recursive => (RECURSIVE, 0),
        };
        for (table, modes) in [(&mut self.data_watches, data), (&mut self.child_watches, child)] {
            if let Some(present) = table.get_mut(path) {
                *present &= !modes;
                if *present == 0 {
                    table.remove(path);
                }
            }
        }
    }
}

fn fire(table: &mut BTreeMap<String, u8>, path: &str) -> bool {
    let Some(modes) = table.get_mut(path) else { return false };
    *modes &= !STANDARD;
    if *modes == 0 {
        table.remove(path);
    }
    true
}

fn frames(bytes: &[u8]) -> VecDeque<&[u8]> {
    let mut r = Reader::new(bytes);
    std::iter::from_fn(|| r.buffer().ok().flatten()).collect()
}

/// Where a frame stands in the order; what has no zxid stands at once.
fn zxid_of(frame: &[u8]) -> i64 {
    let mut r = Reader::new(frame);
    match (r.int(), r.long()) {
        (Ok(_), Ok(zxid)) => zxid.max(0),
        _ => 0,
    }
}

/// Lists whose order is nobody's promise, in order.
fn sorted(op: Option<OpCode>, body: &[u8]) -> Vec<u8> {
    let lists = [OpCode::GetChildren, OpCode::GetChildren2, OpCode::GetEphemerals];
    if !op.is_some_and(|op| lists.contains(&op)) {
        return body.to_vec();
    }
    let mut r = Reader::new(body);
    let Ok(Some(names)) = r.strings() else { return body.to_vec() };
    let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
    names.sort();
    let mut out = Vec::new();
    zoetrope_core::wire::Writer::new(&mut out).strings(&names);
    out.extend_from_slice(r.rest());
    out
}
