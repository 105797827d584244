//! Frame → typed request → its place in the session's order. Finds the session and its identities; changes no znode.

use super::Server;
use super::clients::{ConnState, Waiting};
use super::commit::{Origin, Refused, Wish, Work};
use super::journal::Claim;
use super::learn::{Asker, Forwarded};
use super::local::asks_for_ephemeral;
use super::peers::Done;
use super::read_only::needs_quorum;
use crate::effect::{DropReason, Effect, Milestone, Refusal};
use crate::ids::{ChanId, ConnId, SessionId, Xid, Zxid};
use crate::planted::{Plant, planted};
use crate::session::Home;
use crate::time::Instant;
use crate::tree::Identity;
use crate::wire::{
    ConnectRequest, ConnectResponse, ErrorCode, ForwardedRequest, Malformed, OpCode, PacketKind,
    Reader, Request, RequestHeader, Writer, begin_frame, encode_request, encode_revalidate,
    end_frame, write_header,
};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use sha1::Digest as _;
use std::borrow::Cow;

/// Was a frame taken in, or must it wait in its connection's inbox?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    Yes,
    NotYet,
}

impl Server {
    /// Whole frames of a client, in order.
    pub(super) fn on_requests(&mut self, id: ConnId, bytes: &[u8]) {
        // Its client lives, whether or not the request may be taken in now.
        if let Some(session) = self.clients.conns.get(&id).map(|conn| conn.session) {
            self.hear_of(session);
        }
        let mut r = Reader::new(bytes);
        while !r.rest().is_empty() {
            let Ok(Some(frame)) = r.buffer() else {
                self.drop_conn(id, DropReason::BadFrame);
                return;
            };
            let Some(conn) = self.clients.conns.get_mut(&id) else { return };
            conn.figures.received += 1;
            self.figures.packets_received += 1;
            self.figures.bytes_received += frame.len() as u64 + 4;
            let since = self.now.mono;
            if !conn.inbox.is_empty() || self.take(id, since, frame) == Taken::NotYet {
                self.hold(id, since, frame);
            }
        }
    }

    /// A session's client lives. A learner tells its leader when that asks.
    pub(super) fn hear_of(&mut self, session: SessionId) {
        let heard = self.listening();
        self.tracker.touch(session, heard);
        // The leader knows nothing of a local one.
        let global = self.tracker.get(session).filter(|tracked| !tracked.local);
        let timeout_ms = global.map(|tracked| tracked.timeout_ms);
        if let (Some(learner), Some(timeout_ms)) = (self.learner_mut(), timeout_ms) {
            learner.touched.insert(session, timeout_ms);
        }
    }

    /// The frame waits, and with it everything the client sends from now on.
    fn hold(&mut self, id: ConnId, since: Instant, frame: &[u8]) {
        let Some(conn) = self.clients.conns.get_mut(&id) else { return };
        conn.inbox.push_back((since, frame.into()));
        if !conn.blocked {
            conn.blocked = true;
            self.clients.blocked.push_back(id);
        }
        if !conn.paused {
            conn.paused = true;
            self.effects.push(Effect::Pause { conn: id });
        }
    }

    /// Takes in what waited, as far as it goes: the connection that waited longest first.
    pub(super) fn take_in_held(&mut self) {
        for _ in 0..self.clients.blocked.len() {
            let Some(id) = self.clients.blocked.pop_front() else { return };
            while let Some(conn) = self.clients.conns.get_mut(&id) {
                conn.blocked = false;
                let Some((since, frame)) = conn.inbox.pop_front() else {
                    if conn.paused
                        && conn.state != ConnState::Closing
                        && !planted(Plant::NeverResumed)
                    {
                        conn.paused = false;
                        self.effects.push(Effect::Resume { conn: id });
                    }
                    break;
                };
                if self.take(id, since, &frame) == Taken::NotYet {
                    if let Some(conn) = self.clients.conns.get_mut(&id) {
                        conn.inbox.push_front((since, frame));
                        conn.blocked = true;
                        self.clients.blocked.push_back(id);
                    }
                    break;
                }
            }
        }
    }

    fn take(&mut self, id: ConnId, since: Instant, frame: &[u8]) -> Taken {
        let Some(conn) = self.clients.conns.get(&id) else { return Taken::Yes };
        match conn.state {
            ConnState::Handshake => self.on_connect(id, frame),
            ConnState::Opening => Taken::NotYet,
            ConnState::Up => self.on_request(id, since, frame),
            ConnState::Closing => Taken::Yes,
        }
    }

    /// The first frame of a connection (client protocol §1.4), its tests in Java's order.
    fn on_connect(&mut self, id: ConnId, frame: &[u8]) -> Taken {
        let Ok(request) = ConnectRequest::decode(frame) else {
            self.drop_conn(id, DropReason::BadHandshake);
            return Taken::Yes;
        };
        if !self.is_serving() {
            self.drop_conn(id, DropReason::NotServing);
            return Taken::Yes;
        }
        if !self.tokens.take(&self.config.limits, self.now.mono) {
            self.drop_conn(id, DropReason::Throttled);
            return Taken::Yes;
        }
        let read_only = self.is_read_only();
        if read_only && request.read_only != Some(true) && !planted(Plant::ReadOnlyTakesWriters) {
            self.drop_conn(id, DropReason::ReadOnly);
            return Taken::Yes;
        }
        if self.is_behind(request.last_zxid_seen) && !planted(Plant::ClientAheadServed) {
            let (session, why) = (request.session, Refusal::ClientAhead);
            self.report(Milestone::SessionRefused { session, why });
            self.drop_conn(id, DropReason::NotServing);
            return Taken::Yes;
        }
        let (min, max) = (self.config.timeout_min(), self.config.timeout_max());
        let timeout_ms = request.timeout_ms.max(min).min(max);
        self.figures.connection_requests += 1;
        if request.session == SessionId::NONE {
            return self.open_session(id, timeout_ms, request.read_only);
        }
        match read_only {
            true => self.resume_read_only_session(id, &request, timeout_ms),
            false => self.resume_session(id, &request, timeout_ms),
        }
        Taken::Yes
    }

    /// Has the client seen more than this server? `(e,0)` is what a leader shows before its first txn: whoever has been
    /// led in that epoch has everything the client can have seen. Not so without a quorum: that this server was offered
    /// the epoch does not mean that it has applied what its leader began with.
    fn is_behind(&self, seen: Zxid) -> bool {
        let alone = self.peers.is_none() || self.is_read_only();
        seen > self.zxid_applied
            && (seen.counter() != 0 || seen.epoch() > self.epochs.current || alone)
    }

    fn open_session(&mut self, id: ConnId, timeout_ms: i32, read_only: Option<bool>) -> Taken {
        while self.tracker.get(self.next_session).is_some()
            || self.sessions_applied.contains_key(&self.next_session)
        {
            self.next_session = self.next_session.next();
        }
        let session = self.next_session;
        if self.is_read_only() {
            self.next_session = session.next();
            self.open_read_only_session(id, session, timeout_ms, read_only);
            return Taken::Yes;
        }
        if self.has_local_sessions() {
            self.open_local_session(id, session, timeout_ms, read_only);
            return Taken::Yes;
        }
        let proposed = match self.learner().is_some() {
            true => {
                let body = timeout_ms.to_be_bytes();
                self.forward(session, Xid(0), OpCode::CreateSession, &body, None);
                if let Some(learner) = self.learner_mut() {
                    let (xid, op, conn) = (Xid(0), OpCode::CreateSession, Some(id));
                    learner.forwarded.push_back(Forwarded { session, xid, op, conn });
                }
                Ok(Zxid::ZERO)
            }
            false => self.propose(&Wish {
                origin: Origin::Client(id),
                session,
                cxid: Xid(0),
                claim: Claim::Session,
                work: Work::OpenSession { timeout_ms },
            }),
        };
        match proposed {
            Ok(zxid) => {
                self.next_session = session.next();
                self.tracker.add(session, timeout_ms, self.listening());
                self.tracker.attach(session, Some(id));
                self.tracker.move_to_home(session, Home::Here);
                if let Some(conn) = self.clients.conns.get_mut(&id) {
                    conn.session = session;
                    conn.read_only = read_only;
                    conn.state = ConnState::Opening;
                }
                let (since, xid) = (self.now.mono, Xid(0));
                self.clients
                    .enqueue(id, Waiting::Write { zxid, xid, since, done: None, refusal: None });
                Taken::Yes
            }
            Err(Refused::Awaited) => Taken::NotYet,
            Err(Refused::Lacking) => {
                self.drop_conn(id, DropReason::NotServing);
                Taken::Yes
            }
        }
    }

    fn resume_session(&mut self, id: ConnId, request: &ConnectRequest<'_>, timeout_ms: i32) {
        let session = request.session;
        // The password comes first: who knows only an id must not be able to cut its owner off.
        let right = request.password == session.password() || planted(Plant::AnyPassword);
        let refusal = if !right {
            Some(Refusal::WrongPassword)
        } else if self.learner().is_some() && !self.tracker.is_local(session) {
            return self.ask_leader(id, request, timeout_ms);
        } else if self.tracker.get(session).is_none_or(|tracked| tracked.closing) {
            Some(Refusal::Unknown)
        } else {
            None
        };
        let read_only = request.read_only;
        match refusal {
            Some(why) => self.refuse_session(id, session, read_only, why),
            None => self.take_session(id, session, read_only, timeout_ms),
        }
    }

    /// Only the leader knows whether the session lives.
    fn ask_leader(&mut self, id: ConnId, request: &ConnectRequest<'_>, timeout_ms: i32) {
        let session = request.session;
        // The leader is about to take this server for the session's home again, and what is still on its way through the
        // former connection must not be done then.
        self.drop_former(session);
        if let Some(conn) = self.clients.conns.get_mut(&id) {
            conn.read_only = request.read_only;
            conn.state = ConnState::Opening;
        }
        if let Some(learner) = self.learner_mut() {
            learner.asked.push_back((session, Asker::Client(id), timeout_ms));
        }
        let mut data = Vec::new();
        encode_revalidate(session, timeout_ms, &mut data);
        self.say(PacketKind::Revalidate, Zxid(-1), Some(&data));
    }

    /// The leader has answered.
    pub(super) fn on_session_checked(
        &mut self,
        id: ConnId,
        session: SessionId,
        timeout_ms: i32,
        valid: bool,
    ) {
        let Some(conn) = self.clients.conns.get(&id) else { return };
        if conn.state != ConnState::Opening {
            return;
        }
        let read_only = conn.read_only;
        if !valid {
            return self.refuse_session(id, session, read_only, Refusal::Unknown);
        }
        self.keep_session(session, timeout_ms);
        self.take_session(id, session, read_only, timeout_ms);
    }

    /// The leader says that the session lives.
    pub(super) fn keep_session(&mut self, session: SessionId, timeout_ms: i32) {
        if self.tracker.get(session).is_none_or(|tracked| tracked.closing) {
            // A close that went through this server and came too late for the leader closes nothing.
            self.tracker.remove(session);
            self.tracker.add(session, timeout_ms, self.listening());
        }
    }

    pub(super) fn refuse_session(
        &mut self,
        id: ConnId,
        session: SessionId,
        read_only: Option<bool>,
        why: Refusal,
    ) {
        self.report(Milestone::SessionRefused { session, why });
        let response = ConnectResponse::refused(read_only.map(|_| self.is_read_only()));
        self.clients.write(id, |_, out| response.encode(out));
        self.drop_conn(id, DropReason::SessionEnded);
    }

    /// The session lives, and its client is here now.
    pub(super) fn take_session(
        &mut self,
        id: ConnId,
        session: SessionId,
        read_only: Option<bool>,
        timeout_ms: i32,
    ) {
        self.drop_former(session);
        self.tracker.resume(session, timeout_ms, self.listening());
        self.tracker.attach(session, Some(id));
        self.tracker.move_to_home(session, Home::Here);
        self.figures.revalidated += 1;
        self.report(Milestone::SessionResumed { session, timeout_ms });
        if let Some(conn) = self.clients.conns.get_mut(&id) {
            conn.session = session;
            conn.read_only = read_only;
        }
        self.welcome(id, session, timeout_ms);
        // What the session sent through its former connection may still be in flight.
        let in_flight = self.zxid_proposed > self.zxid_applied && !self.is_read_only();
        if in_flight && self.learner().is_none() {
            self.wait_for_proposals(id);
        }
    }

    /// A session's client has left the connection it had here.
    fn drop_former(&mut self, session: SessionId) {
        if let Some(old) = self.tracker.get(session).and_then(|tracked| tracked.conn) {
            self.drop_conn(old, DropReason::Replaced);
        }
    }

    /// The session is there: the client may begin.
    pub(super) fn welcome(&mut self, id: ConnId, session: SessionId, timeout_ms: i32) {
        let is_read_only = self.is_read_only();
        let Some(conn) = self.clients.conns.get_mut(&id) else { return };
        conn.state = ConnState::Up;
        let read_only = conn.read_only.map(|_| is_read_only);
        let password = session.password();
        let response = ConnectResponse { timeout_ms, session, password, read_only };
        self.clients.write(id, |_, out| response.encode(out));
    }

    fn wait_for_proposals(&mut self, id: ConnId) {
        let upto = self.zxid_proposed;
        self.clients.enqueue(id, Waiting::Barrier { upto });
        self.barriers.push_back((upto, id));
    }

    fn on_request(&mut self, id: ConnId, since: Instant, frame: &[u8]) -> Taken {
        let mut r = Reader::new(frame);
        let Ok(header) = RequestHeader::decode(&mut r) else {
            self.drop_conn(id, DropReason::BadFrame);
            return Taken::Yes;
        };
        let read_only = self.is_read_only();
        let op = OpCode::from_number(header.kind)
            .filter(|op| is_for_clients(*op) || read_only && needs_quorum(*op));
        let Some(conn) = self.clients.conns.get_mut(&id) else { return Taken::Yes };
        let session = conn.session;
        conn.figures.last_op = op;
        conn.figures.last_xid = header.xid;
        let Some(op) = op else {
            let then_close = Some(DropReason::UnknownOperation { kind: header.kind });
            let err = ErrorCode::Unimplemented.number();
            let zxid = Some(Zxid(-1));
            return self.answer(id, Waiting::Answer { xid: header.xid, err, zxid, then_close });
        };
        if self.reads_nothing(id) {
            return Taken::NotYet;
        }
        match op {
            OpCode::Auth => return self.on_auth(id, header.xid, &mut r),
            OpCode::Sasl => return self.on_sasl(id, header.xid, &mut r),
            _ if !self.is_authenticated_enough(id) => {
                let then_close = Some(DropReason::AuthRequired);
                let err = ErrorCode::SessionClosedRequireSaslAuth.number();
                let zxid = Some(Zxid::ZERO);
                return self.answer(id, Waiting::Answer { xid: header.xid, err, zxid, then_close });
            }
            _ => {}
        }
        if self.is_too_large(frame.len()) {
            self.figures.large_rejected += 1;
            self.drop_conn(id, DropReason::TooLarge);
            return Taken::Yes;
        }
        if self.must_wait(id, op) {
            return Taken::NotYet;
        }
        if self.waited_too_long(op, since) {
            self.figures.throttled_ops += 1;
            return self.refuse(id, header.xid, ErrorCode::ThrottledOp);
        }
        let closing = |tracked: &crate::session::Session| {
            tracked.closing && !planted(Plant::ClosedSessionServed)
        };
        if self.tracker.get(session).is_none_or(closing) {
            return self.refuse(id, header.xid, ErrorCode::SessionExpired);
        }
        if read_only && needs_quorum(op) {
            return self.refuse(id, header.xid, ErrorCode::NotReadOnly);
        }
        if read_only && op == OpCode::CloseSession {
            let answer = self.close_read_only_session(session, header.xid);
            return self.answer(id, answer);
        }
        if is_write(op) {
            return self.on_write(id, since, header.xid, op, &mut r);
        }
        let idle = self.clients.conns.get(&id).is_some_and(|conn| conn.queue.is_empty())
            || planted(Plant::ReadOvertakesWrite);
        let learns = self.learner().is_some() && !planted(Plant::SyncAnsweredHere);
        let sync_waits = op == OpCode::Sync && (learns || self.zxid_proposed > self.zxid_applied);
        if idle && !sync_waits {
            self.execute_read(id, since, frame, usize::MAX);
            return Taken::Yes;
        }
        if sync_waits && learns {
            self.forward(session, header.xid, OpCode::Sync, r.rest(), Some(id));
            if let Some(learner) = self.learner_mut() {
                learner.syncs.push_back(Asker::Client(id));
            }
            self.clients.enqueue(id, Waiting::Sync);
        } else if sync_waits {
            self.wait_for_proposals(id);
        }
        let identities = self.clients.conns.get(&id).map_or(0, |conn| conn.ids.len());
        self.answer(id, Waiting::Read { frame: frame.into(), identities, since })
    }

    fn on_write(
        &mut self,
        id: ConnId,
        since: Instant,
        xid: Xid,
        op: OpCode,
        r: &mut Reader<'_>,
    ) -> Taken {
        let body = r.rest();
        let request = Request::decode(op, r);
        let Some(session) = self.clients.conns.get(&id).map(|conn| conn.session) else {
            return Taken::Yes;
        };
        let local = self.tracker.is_local(session) && !planted(Plant::LocalOwnsEphemeral);
        if local && op == OpCode::CloseSession {
            self.close_local_session(session);
            let then_close = Some(DropReason::SessionEnded);
            return self.answer(id, Waiting::Answer { xid, err: 0, zxid: None, then_close });
        }
        let mut refusal = None;
        if local && request.as_ref().is_ok_and(asks_for_ephemeral) {
            if !self.config.local_sessions_upgrading {
                // The leader refuses it too, but cannot know why. A multi's results are the leader's, as in Java.
                refusal = Some(ErrorCode::EphemeralOnLocalSession).filter(|_| op != OpCode::Multi);
            } else if let Err(refused) = self.upgrade(session) {
                return match refused {
                    Refused::Awaited => Taken::NotYet,
                    Refused::Lacking => self.refuse(id, xid, ErrorCode::SystemError),
                };
            }
        }
        if self.learner().is_some() {
            // What cannot be decoded goes no further: a Java leader would give it a zxid twice.
            if request.is_err() {
                return self.refuse(id, xid, ErrorCode::MarshallingError);
            }
            let zxid = Zxid::ZERO;
            self.forward_write(id, session, xid, op, body);
            self.clients.enqueue(id, Waiting::Write { zxid, xid, since, done: None, refusal });
            return Taken::Yes;
        }
        let work = match &request {
            Ok(request) => Work::Request(request),
            Err(malformed) if op == OpCode::Multi && *malformed != Malformed::NullAcl => {
                Work::BadMulti
            }
            Err(_) => return self.refuse(id, xid, ErrorCode::MarshallingError),
        };
        let claim = match op {
            OpCode::CloseSession | OpCode::Delete => Claim::Release,
            _ => Claim::Ordinary,
        };
        let origin = Origin::Client(id);
        match self.propose(&Wish { origin, session, cxid: xid, claim, work }) {
            Ok(zxid) => {
                if op == OpCode::CloseSession && self.closes_last() {
                    self.tracker.start_closing(session);
                }
                self.clients
                    .enqueue(id, Waiting::Write { zxid, xid, since, done: None, refusal: None });
                Taken::Yes
            }
            Err(Refused::Awaited) => Taken::NotYet,
            Err(Refused::Lacking) => self.refuse(id, xid, ErrorCode::SystemError),
        }
    }

    /// A learner's client writes: the leader decides.
    fn forward_write(&mut self, id: ConnId, session: SessionId, xid: Xid, op: OpCode, body: &[u8]) {
        if op == OpCode::CloseSession {
            self.tracker.start_closing(session);
        }
        self.forward(session, xid, op, body, Some(id));
        if let Some(learner) = self.learner_mut() {
            learner.forwarded.push_back(Forwarded { session, xid, op, conn: Some(id) });
        }
    }

    /// Sends a request on to the leader, with what its client has proven here.
    pub(super) fn forward(
        &mut self,
        session: SessionId,
        xid: Xid,
        op: OpCode,
        body: &[u8],
        conn: Option<ConnId>,
    ) {
        let Some(chan) = self.learner().and_then(|learner| learner.chan) else { return };
        let conn = conn.and_then(|id| self.clients.conns.get(&id));
        let ids: Option<Vec<(&str, &str)>> =
            conn.map(|conn| conn.ids.iter().map(|id| (&*id.scheme, &*id.id)).collect());
        if let Some(peers) = &mut self.peers {
            let request = ForwardedRequest { session, xid, kind: op.number(), body };
            peers.write(chan, |out| encode_request(&request, ids.as_deref(), out));
        }
    }

    /// The leader has answered a `sync`: everything committed before it is known here.
    pub(super) fn finish_sync(&mut self, id: ConnId) {
        let (committed, applied) = (self.committed, self.zxid_applied);
        let Some(conn) = self.clients.conns.get_mut(&id) else { return };
        let waits = |waiting: &&mut Waiting| matches!(waiting, Waiting::Sync);
        let Some(waiting) = conn.queue.iter_mut().find(waits) else { return };
        // What is committed may still be on its way to our disk.
        *waiting = Waiting::Barrier { upto: committed };
        if committed > applied {
            self.barriers.push_back((committed, id));
        }
        self.pump(id);
    }

    /// A request that a learner has sent on.
    pub(super) fn take_forwarded(
        &mut self,
        chan: ChanId,
        request: &ForwardedRequest<'_>,
        identities: &[(Cow<'_, str>, Cow<'_, str>)],
    ) -> Done {
        let ids: Vec<Identity> =
            identities.iter().map(|(scheme, id)| Identity::new(scheme, id)).collect();
        let session = request.session;
        let op = request.op();
        if op == Some(OpCode::Sync) {
            self.queue_sync(chan, self.zxid_proposed);
            return Done::Yes;
        }
        let op = op.filter(|op| {
            is_write(*op) || matches!(op, OpCode::CreateSession | OpCode::DeleteContainer)
        });
        let decoded = op.map(|op| Request::decode(op, &mut Reader::new(request.body)));
        let timeout_ms = Reader::new(request.body).int();
        let open = match self.tracker.get(session) {
            Some(tracked) => !tracked.closing,
            None => op != Some(OpCode::CloseSession) && self.may_live_elsewhere(session),
        };
        let work = match (op, &decoded) {
            (Some(OpCode::CreateSession), _) => match timeout_ms {
                Ok(timeout_ms) => Work::OpenSession { timeout_ms },
                Err(_) => Work::Refuse(ErrorCode::MarshallingError),
            },
            _ if !open => Work::Refuse(ErrorCode::SessionExpired),
            (Some(_), Some(Ok(request))) => Work::Request(request),
            (Some(OpCode::Multi), _) => Work::BadMulti,
            (Some(_), _) => Work::Refuse(ErrorCode::MarshallingError),
            (None, _) => Work::Refuse(ErrorCode::Unimplemented),
        };
        let claim = match op {
            Some(OpCode::CloseSession | OpCode::Delete) => Claim::Release,
            Some(OpCode::CreateSession) => Claim::Session,
            _ => Claim::Ordinary,
        };
        let origin = Origin::Learner { chan, ids: &ids };
        let wish = Wish { origin, session, cxid: request.xid, claim, work };
        if self.propose(&wish).is_err() {
            return Done::NotYet;
        }
        match (op, timeout_ms) {
            (Some(OpCode::CreateSession), Ok(timeout_ms)) => {
                if self.tracker.get(session).is_none() {
                    self.tracker.add(session, timeout_ms, self.listening());
                }
                self.tracker.move_to_home(session, Home::At(chan));
            }
            (Some(OpCode::CloseSession), _) if self.closes_last() => {
                self.tracker.start_closing(session);
            }
            _ => {}
        }
        Done::Yes
    }

    /// Refuses a request in its turn.
    fn refuse(&mut self, id: ConnId, xid: Xid, code: ErrorCode) -> Taken {
        let err = code.number();
        self.answer(id, Waiting::Answer { xid, err, zxid: None, then_close: None })
    }

    fn answer(&mut self, id: ConnId, waiting: Waiting) -> Taken {
        self.clients.enqueue(id, waiting);
        self.pump(id);
        Taken::Yes
    }

    /// Has the client left so much unread that nothing more is done for it, not even what is answered out of turn?
    fn reads_nothing(&self, id: ConnId) -> bool {
        let conn = self.clients.conns.get(&id);
        conn.is_some_and(|conn| conn.unsent() > self.config.limits.output_budget)
    }

    /// Is there a limit that this request has to respect?
    fn must_wait(&self, id: ConnId, op: OpCode) -> bool {
        let limits = &self.config.limits;
        let Some(conn) = self.clients.conns.get(&id) else { return false };
        let releases = matches!(op, OpCode::CloseSession | OpCode::Delete | OpCode::Ping);
        if (is_write(op) || op == OpCode::Sync) && self.leader_is_behind() {
            return true;
        }
        if self.clients.unsent > limits.output_total && !releases {
            return true;
        }
        let throttled = limits.throttle_max_requests > 0
            && self.clients.outstanding >= u64::from(limits.throttle_max_requests);
        let crowded = self.clients.outstanding >= u64::from(limits.outstanding_max);
        (crowded && !conn.queue.is_empty()) || throttled
    }

    /// Would a large request exceed what large requests may occupy on their way to the disk?
    fn is_too_large(&self, len: usize) -> bool {
        let limits = &self.config.limits;
        limits.large_request_threshold.is_some_and(|least| len > least as usize)
            && self.journal.in_flight() + len as u64 > limits.large_request_max_bytes
    }

    fn waited_too_long(&self, op: OpCode, since: Instant) -> bool {
        let wait_ms = u64::from(self.config.limits.throttled_op_wait_ms);
        wait_ms > 0
            && self.now.mono.since(since) > wait_ms * 1000
            && !matches!(op, OpCode::Ping | OpCode::CloseSession)
    }

    fn is_authenticated_enough(&self, id: ConnId) -> bool {
        let enforced = &self.config.auth.enforced_schemes;
        enforced.is_empty()
            || self.clients.conns.get(&id).is_some_and(|conn| {
                conn.ids.iter().any(|proven| enforced.iter().any(|s| **s == *proven.scheme))
            })
    }

    /// Out of band: answered at once, and whatever is received after it sees the new identity.
    fn on_auth(&mut self, id: ConnId, xid: Xid, r: &mut Reader<'_>) -> Taken {
        let Ok(Request::Auth { scheme, auth }) = Request::decode(OpCode::Auth, r) else {
            self.drop_conn(id, DropReason::BadFrame);
            return Taken::Yes;
        };
        let proven = self.prove(id, scheme.as_deref().unwrap_or(""), auth);
        let err = if proven { 0 } else { ErrorCode::AuthFailed.number() };
        self.clients.write(id, |_, out| bare_reply(xid, Zxid::ZERO, err, out));
        if !proven {
            self.figures.auth_failed += 1;
            self.drop_conn(id, DropReason::AuthFailed);
        }
        Taken::Yes
    }

    fn prove(&mut self, id: ConnId, scheme: &str, auth: Option<&[u8]>) -> bool {
        let config = &self.config.auth;
        let Some(conn) = self.clients.conns.get_mut(&id) else { return false };
        match (scheme, auth) {
            ("ip", _) => true,
            ("x509", _) => conn.ids.iter().any(|proven| &*proven.scheme == "x509"),
            ("ensemble", Some(name)) => {
                config.ensemble_names.iter().any(|known| known.as_bytes() == name)
            }
            ("digest", Some(secret)) if !config.digest_disabled => {
                let identity = digest_identity(secret);
                let is_super = config.super_digest.as_deref() == Some(&*identity.id);
                (!is_super || conn.prove(Identity::new("super", ""))) && conn.prove(identity)
            }
            _ => false,
        }
    }

    /// No SASL login is configured: the client is told so by a null token and goes on without.
    fn on_sasl(&mut self, id: ConnId, xid: Xid, r: &mut Reader<'_>) -> Taken {
        let Ok(Request::Sasl { token: Some(_) }) = Request::decode(OpCode::Sasl, r) else {
            self.drop_conn(id, DropReason::BadFrame);
            return Taken::Yes;
        };
        self.clients.write(id, |_, out| {
            let start = begin_frame(out);
            let mut w = Writer::new(out);
            write_header(&mut w, xid, Zxid::ZERO, 0);
            w.buffer(None);
            end_frame(out, start);
        });
        Taken::Yes
    }

    /// Cuts a client off once its replies are out; its watches go at once.
    pub(super) fn drop_conn(&mut self, id: ConnId, why: DropReason) {
        let Some(conn) = self.clients.conns.get(&id) else { return };
        if conn.state == ConnState::Closing {
            return;
        }
        let session = conn.session;
        self.clients.close(id, why);
        self.detach(id, session);
        self.report(Milestone::ConnDropped { conn: id, why });
    }

    /// The connection serves its session no more.
    pub(super) fn detach(&mut self, id: ConnId, session: SessionId) {
        self.watches.remove_conn(id);
        self.figures.conns_dropped += 1;
        if self.tracker.get(session).is_some_and(|tracked| tracked.conn == Some(id)) {
            self.tracker.attach(session, None);
        }
    }
}

/// A reply without a body.
pub(super) fn bare_reply(xid: Xid, zxid: Zxid, err: i32, out: &mut Vec<u8>) {
    let start = begin_frame(out);
    write_header(&mut Writer::new(out), xid, zxid, err);
    end_frame(out, start);
}

/// `user:password` → `user:BASE64(SHA1(user:password))`.
fn digest_identity(secret: &[u8]) -> Identity {
    let user = secret.split(|b| *b == b':').next().unwrap_or_default();
    let hash = base64::engine::general_purpose::STANDARD.encode(sha1::Sha1::digest(secret));
    Identity::new("digest", &format!("{}:{hash}", String::from_utf8_lossy(user)))
}

/// May a client send this operation? deleteContainer and createSession are the servers' own: Java takes them from
/// anybody, without looking at ACL or session.
fn is_for_clients(op: OpCode) -> bool {
    !matches!(op, OpCode::Check | OpCode::Error | OpCode::DeleteContainer | OpCode::CreateSession)
}

/// Does this operation become a txn?
fn is_write(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Multi
            | OpCode::Reconfig
            | OpCode::CloseSession
    )
}

/// The token bucket for connect requests (client protocol §4.6).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tokens {
    used: u32,
    filled: Instant,
}

impl Tokens {
    fn take(&mut self, limits: &crate::config::Limits, now: Instant) -> bool {
        if limits.connection_tokens == 0 {
            return true;
        }
        let fill_us = u64::from(limits.connection_fill_ms.max(1)) * 1000;
        let fills = now.since(self.filled) / fill_us;
        self.filled = Instant(self.filled.0 + fills * fill_us);
        let filled = fills.saturating_mul(u64::from(limits.connection_fill_count));
        self.used = u64::from(self.used).saturating_sub(filled) as u32;
        if self.used >= limits.connection_tokens {
            return false;
        }
        self.used += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_java() {
        let id = digest_identity(b"super:test");
        assert_eq!(&*id.id, "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
    }

    #[test]
    fn the_bucket_fills_with_time() {
        let limits = crate::config::Limits { connection_tokens: 2, ..Default::default() };
        let mut tokens = Tokens::default();
        let at = |ms| Instant::from_ms(ms);
        let taken: Vec<bool> =
            [0, 0, 0, 1, 1].map(|ms| tokens.take(&limits, at(ms))).into_iter().collect();
        assert_eq!(taken, [true, true, false, true, false]);
    }
}
