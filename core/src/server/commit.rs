//! The way of a write: prepare, log, durable, commit, apply, reply. And the order in which replies leave.

use super::Server;
use super::clients::{ConnState, Waiting};
use super::intake::bare_reply;
use super::journal::{Claim, Room};
use super::read::Reading;
use super::roles::Role;
use crate::effect::{DropReason, Milestone};
use crate::ids::{ChanId, ConnId, SessionId, Xid, Zxid};
use crate::planted::{Plant, planted};
use crate::session::Home;
use crate::time::Instant;
use crate::tree::{Identity, Outcome, identities_grant};
use crate::txn::{Asker, Prep};
use crate::watch::WatchKind;
use crate::wire::{
    CreateKind, ErrorCode, EventType, MultiResult, OpCode, Perms, Reader, Request, RequestHeader,
    SetWatches, Txn, TxnHeader, WatchMode, Writer, begin_frame, end_frame, write_event,
    write_header,
};
use serde::{Deserialize, Serialize};

/// A txn in the log that is not committed yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Proposal {
    pub(super) header: TxnHeader,
    pub(super) txn: Txn,
    /// The tree's digest when it is applied; a leader may not say.
    pub(super) digest: Option<u64>,
    /// Log bytes that have to be durable.
    pub(super) end: u64,
    pub(super) origin: Option<ConnId>,
}

/// Whose wish a txn is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin<'a> {
    /// The server's own.
    Nobody,
    /// A client's of this server.
    Client(ConnId),
    /// A client's of a learner, with what it has proven there.
    Learner { chan: ChanId, ids: &'a [Identity] },
}

/// A txn that is wished for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) origin: Origin<'a>,
    pub(super) session: SessionId,
    pub(super) cxid: Xid,
    pub(super) claim: Claim,
    pub(super) work: Work<'a>,
}

/// What is to become a txn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work<'a> {
    Request(&'a Request<'a>),
    /// A multi that cannot be decoded: unlike any other such request it takes a zxid, as in Java.
    BadMulti,
    OpenSession {
        timeout_ms: i32,
    },
    Expire,
    Reap {
        path: &'a str,
    },
    /// A learner's request that cannot be one: it takes a zxid, so that the learner hears of it.
    Refuse(ErrorCode),
}

/// Why nothing was proposed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// Room in the log is on its way.
    Awaited,
    /// The disk is full.
    Lacking,
}

/// Is the tree what its txns make of it, as far as digests can tell? A tree that was sent holds parts of txns that are
/// still to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Comparable {
    /// From this txn on.
    From(Zxid),
    /// Of which txns there are parts is known when everything is here that was committed when it was sent. `differs` is
    /// the first txn read from the disk whose digest was another one.
    NotYet { differs: Option<Zxid> },
    /// It is, but a name in it has another digest in Java, depending on its locale (storage §2.8).
    NoMore,
}

impl Comparable {
    /// A tree that has just been sent.
    pub(super) const SENT: Self = Self::NotYet { differs: None };

    /// Is its digest the one that belongs to this txn?
    pub(super) fn is_at(self, zxid: Zxid) -> bool {
        matches!(self, Self::From(from) if zxid >= from)
    }

    /// Has it nothing of txns above this one?
    pub(super) fn is_whole_at(self, zxid: Zxid) -> bool {
        self == Self::NoMore || self.is_at(zxid)
    }

    /// May it have parts of any txn? Then it is shown to nobody.
    pub(super) fn is_mixed(self) -> bool {
        matches!(self, Self::NotYet { .. })
    }

    /// Everything is here up to `zxid` that was committed when the tree was sent. Answers what differed on the disk.
    pub(super) fn when_all_is_here(&mut self, zxid: Zxid) -> Option<Zxid> {
        let Self::NotYet { differs } = *self else { return None };
        *self = Self::From(zxid);
        differs
    }
}

impl Server {
    /// Gives a write its zxid and puts it in the log. A write that is not allowed becomes an error txn, which takes a
    /// zxid like any other. On `Err` nothing has changed.
    pub(super) fn propose(&mut self, wish: &Wish<'_>) -> Result<Zxid, Refused> {
        let Some(mut zxid) = self.zxid_next() else { return Err(Refused::Awaited) };
        if planted(Plant::BadRequestOldZxid) && matches!(wish.work, Work::BadMulti) {
            zxid = self.zxid_proposed;
        }
        // Without its snapshot no log may even have a name.
        if !self.snapshot_first {
            self.roll_if_due(zxid);
        }
        if !self.journal.has_file() || self.snapshot_first {
            return Err(match self.journal.no_room() {
                true => Refused::Lacking,
                false => Refused::Awaited,
            });
        }
        let (session, cxid) = (wish.session, wish.cxid);
        let header = TxnHeader { session, cxid, zxid, time_ms: self.now.wall_ms };
        let moved = self.has_moved(wish);
        let standing = self.standing(session);
        let (ids, origin): (&[Identity], Option<ConnId>) = match wish.origin {
            Origin::Nobody => (&[], None),
            Origin::Client(id) => {
                (self.clients.conns.get(&id).map_or(&[], |conn| &conn.ids), Some(id))
            }
            Origin::Learner { ids, .. } => (ids, None),
        };
        self.outstanding.start_draft();
        let mut prep = Prep {
            config: &self.config,
            tree: &self.tree,
            outstanding: &mut self.outstanding,
            asker: Asker { session, standing, ids },
            zxid,
            time_ms: header.time_ms,
        };
        let mut txn = match wish.work {
            _ if moved => error_txn(ErrorCode::SessionMoved),
            Work::Request(request) => prep.request(request).unwrap_or_else(error_txn),
            Work::BadMulti => error_txn(ErrorCode::MarshallingError),
            Work::OpenSession { timeout_ms } => Txn::CreateSession { timeout_ms },
            Work::Expire => prep.close_session(session),
            Work::Reap { path } => {
                prep.reap(path).unwrap_or_else(|| error_txn(ErrorCode::NotEmpty))
            }
            Work::Refuse(code) => error_txn(code),
        };
        let mut digest = self.outstanding.digest();
        let mut room = self.journal.append(&header, &txn, digest, wish.claim);
        if room == Room::TooLong {
            // Learners and Java servers could not read it back (storage §2.1).
            self.outstanding.drop_draft();
            self.outstanding.start_draft();
            txn = error_txn(ErrorCode::BadArguments);
            digest = self.outstanding.digest();
            room = self.journal.append(&header, &txn, digest, wish.claim);
        }
        match room {
            Room::Enough => {}
            Room::Awaited | Room::Lacking | Room::TooLong => {
                self.outstanding.drop_draft();
                let lacking = room == Room::Lacking;
                return Err(if lacking { Refused::Lacking } else { Refused::Awaited });
            }
        }
        self.outstanding.keep();
        self.zxid_proposed = zxid;
        let end = self.journal.appended();
        if self.peers.is_some() {
            self.history.push(zxid, self.journal.last_payload(), self.committed);
        }
        self.proposals.push_back(Proposal { header, txn, digest: Some(digest), end, origin });
        Ok(zxid)
    }

    /// The zxid of the next txn; `None` when this server may not propose one.
    fn zxid_next(&mut self) -> Option<Zxid> {
        let last = self.zxid_proposed;
        match &self.role {
            Role::Alone => Some(last.next()),
            Role::Leading(leader) if leader.is_established() => {
                let first = Zxid::of_epoch(leader.epoch).next();
                if last.counter() >= u32::MAX - 1 && last >= first {
                    self.counter_used_up = true;
                    return None;
                }
                Some(last.next().max(first))
            }
            Role::Resting
            | Role::Looking(_)
            | Role::Following(_)
            | Role::Observing(_)
            | Role::Leading(_) => None,
        }
    }

    /// Has the session gone to another server since this request was sent (client protocol §4.7)?
    fn has_moved(&mut self, wish: &Wish<'_>) -> bool {
        let from = match wish.origin {
            Origin::Nobody => return false,
            Origin::Client(_) => Home::Here,
            Origin::Learner { chan, .. } => Home::At(chan),
        };
        matches!(wish.work, Work::Request(_) | Work::BadMulti)
            && !self.tracker.is_at(wish.session, from)
            && !planted(Plant::MovedSessionServed)
    }

    /// Commits what is durable here, in zxid order: alone, that is a quorum.
    pub(super) fn commit(&mut self) {
        self.committed = self.zxid_proposed;
        self.apply_committed();
    }

    /// Applies what is committed, in zxid order, as far as it is durable here too: what is in memory is never more than
    /// what a restart would find.
    pub(super) fn apply_committed(&mut self) {
        let durable = self.journal.durable();
        let committed = self.committed;
        while let Some(proposal) = self.proposals.pop_front_if(|next| {
            let here = self.journal.is_durable(next.end, durable);
            next.header.zxid <= committed && (here || planted(Plant::AppliedBeforeDurable))
        }) {
            self.apply(proposal);
            if self.halted.is_some() {
                return;
            }
        }
    }

    fn apply(&mut self, proposal: Proposal) {
        let Proposal { header, txn, digest, origin, .. } = proposal;
        let zxid = header.zxid;
        assert!(zxid.follows(self.zxid_applied), "{zxid} does not follow {}", self.zxid_applied);
        let Self { tree, watches, clients, config, figures, .. } = self;
        let outcome = tree.apply(&header, &txn, &mut |change| {
            watches.trigger(&change, &mut |conn, kind, path, acl| {
                let Some(to) = clients.conns.get_mut(&conn) else { return };
                if identities_grant(&config.auth, acl, &to.ids, Perms::READ)
                    || planted(Plant::EventWithoutAcl)
                {
                    to.events_unsent += 32 + path.len() as u64;
                    figures.events[kind.number() as usize - 1] += 1;
                    clients.write(conn, |_, out| write_event(out, zxid, kind, path));
                }
            });
        });
        // The digest went to disk before the change was made: if they differ, one of them is wrong, and replies
        // and log would tell different stories from here on.
        if let Some(digest) = digest.filter(|_| txn.has_digest() && self.comparable.is_at(zxid)) {
            let now = self.tree.digest();
            let leads = self.leads();
            assert!(
                now == digest || !leads,
                "{zxid}: tree digest {now:x}, but the log says {digest:x}"
            );
            if now != digest && self.tree.has_non_ascii() {
                self.figures.digest_mismatches += 1;
                self.comparable = Comparable::NoMore;
                self.report(Milestone::DigestMismatch { zxid });
            } else if now != digest {
                return self.halt(format!(
                    "the tree of this server differs from its leader's: after {zxid} its digest is {now:x}, the \
                     leader's {digest:x}. Nothing more is served from it. Move the data directory aside and start \
                     the server again: it gets the leader's tree. Please report it, with both directories"
                ));
            }
        }
        let origin = origin.or_else(|| self.take_asker(&header, &txn));
        self.zxid_applied = zxid;
        self.figures.committed += 1;
        self.outstanding.forget(zxid);
        if self.comparable.is_whole_at(zxid) {
            self.digests.note(zxid, self.tree.digest());
        }
        match &txn {
            Txn::CreateSession { .. }
                if planted(Plant::SyncedSessionsForgotten) && !self.served => {}
            Txn::CreateSession { timeout_ms } => {
                self.sessions_applied.insert(header.session, *timeout_ms);
                let (session, timeout_ms) = (header.session, *timeout_ms);
                if self.tracker.get(session).is_none() {
                    self.tracker.add(session, timeout_ms, self.listening());
                }
                self.tracker.make_global(session);
                // Its client is told now, and could say nothing before.
                self.tracker.touch(session, self.listening());
                self.report(Milestone::SessionOpened { session, timeout_ms });
            }
            Txn::CloseSession { .. } => {
                self.on_session_closed(header.session, header.cxid, origin);
            }
            _ => {}
        }
        if let Some(id) = origin {
            self.reply_to_write(id, &header, &txn, &outcome);
        }
        while let Some((_, id)) = self.barriers.pop_front_if(|(upto, _)| *upto <= zxid) {
            self.pump(id);
        }
    }

    /// The connection whose forwarded write became this txn. A leader makes one txn of each, in the order they came to it.
    fn take_asker(&mut self, header: &TxnHeader, txn: &Txn) -> Option<ConnId> {
        let forwarded = &mut self.learner_mut()?.forwarded;
        forwarded.pop_front_if(|first| first.became(header, txn))?.conn
    }

    /// Was the txn proposed last the end of a session?
    pub(super) fn closes_last(&self) -> bool {
        self.proposals.back().is_some_and(|last| matches!(last.txn, Txn::CloseSession { .. }))
    }

    fn on_session_closed(&mut self, session: SessionId, cxid: Xid, origin: Option<ConnId>) {
        self.sessions_applied.remove(&session);
        let conn = self.tracker.remove(session).and_then(|tracked| tracked.conn);
        let (heard, remembers) = (self.listening(), self.has_local_sessions());
        if let Some(leader) = self.leader_mut().filter(|_| remembers) {
            leader.ended.note(session, heard);
        }
        self.report(match origin.is_some() || cxid != Xid(0) {
            true => Milestone::SessionClosed { session },
            false => Milestone::SessionExpired { session },
        });
        // The one who asked gets an answer first.
        if let Some(conn) = conn.filter(|conn| Some(*conn) != origin) {
            self.drop_conn(conn, DropReason::SessionEnded);
        }
    }

    fn reply_to_write(&mut self, id: ConnId, header: &TxnHeader, txn: &Txn, outcome: &Outcome) {
        let learns = self.learner().is_some();
        let Some(conn) = self.clients.conns.get_mut(&id) else { return };
        if conn.state == ConnState::Closing {
            return;
        }
        if let Txn::CreateSession { timeout_ms } = txn {
            if conn.state != ConnState::Opening || conn.session != header.session {
                return;
            }
            self.clients.dequeue(id);
            self.hear_of(header.session);
            self.welcome(id, header.session, *timeout_ms);
            return;
        }
        if conn.state == ConnState::Opening {
            // The leader will not have the session.
            return self.drop_conn(id, DropReason::NotServing);
        }
        if matches!(txn, Txn::Error { code } if *code == ErrorCode::SessionMoved.number()) {
            // Its client has gone to another server: this connection is of no use to it (client protocol §1.7).
            return self.drop_conn(id, DropReason::Replaced);
        }
        let zxid = header.zxid;
        let is_it = |waiting: &Waiting| match waiting {
            Waiting::Write { zxid: Zxid::ZERO, xid, done: None, .. } => *xid == header.cxid,
            Waiting::Write { zxid: of, .. } => *of == zxid,
            _ => false,
        };
        let place = conn.queue.iter().position(is_it);
        if place.is_none() && learns {
            // What makes a session global has no place of its own, and the leader has answered it with something else.
            return;
        }
        let place = place.unwrap_or_else(|| panic!("{id} does not wait for {zxid}, which it sent"));
        let refused;
        let txn = match (txn, conn.queue.get(place)) {
            (Txn::Error { .. }, Some(Waiting::Write { refusal: Some(code), .. })) => {
                refused = error_txn(*code);
                &refused
            }
            _ => txn,
        };
        if place > 0 && planted(Plant::ReplyOvertakes) {
            conn.queue.remove(place);
            self.clients.outstanding -= 1;
            self.clients.write(id, |_, out| encode_reply(header.cxid, zxid, txn, outcome, out));
        } else if place > 0 {
            let mut reply = Vec::new();
            encode_reply(header.cxid, zxid, txn, outcome, &mut reply);
            if let Some(Waiting::Write { done, .. }) = conn.queue.get_mut(place) {
                *done = Some(reply);
            }
        } else if let Some(Waiting::Write { since, .. }) = self.clients.dequeue(id) {
            self.clients.write(id, |_, out| encode_reply(header.cxid, zxid, txn, outcome, out));
            self.answered(id, since, true);
        }
        if matches!(txn, Txn::CloseSession { .. }) {
            self.drop_conn(id, DropReason::SessionEnded);
        } else {
            self.pump(id);
        }
    }

    /// Lets go of everything at the head of the connection's order that can be answered.
    pub(super) fn pump(&mut self, id: ConnId) {
        loop {
            let Some(conn) = self.clients.conns.get_mut(&id) else { return };
            let over_budget = conn.unsent() > self.config.limits.output_budget;
            let may_go = match conn.queue.front() {
                None | Some(Waiting::Write { done: None, .. } | Waiting::Sync) => false,
                Some(Waiting::Barrier { upto }) => *upto <= self.zxid_applied,
                // A client that does not read its answers gets no more of them; `Sent` brings us back here.
                Some(Waiting::Read { .. }) => !over_budget,
                Some(Waiting::Write { .. } | Waiting::Answer { .. }) => true,
            };
            if !may_go {
                return;
            }
            let Some(waiting) = self.clients.dequeue(id) else { return };
            match waiting {
                Waiting::Barrier { .. } | Waiting::Sync => {}
                Waiting::Read { frame, identities, since } => {
                    self.execute_read(id, since, &frame, identities);
                }
                Waiting::Write { done, since, .. } => {
                    let mut reply = done.unwrap_or_default();
                    // Replies sent meanwhile show later zxids, and a client must never see it go back.
                    reply[8..16].copy_from_slice(&self.zxid_applied.0.to_be_bytes());
                    self.clients.write(id, |_, out| out.extend_from_slice(&reply));
                    self.answered(id, since, true);
                }
                Waiting::Answer { xid, err, zxid, then_close } => {
                    let zxid = zxid.unwrap_or(self.zxid_applied);
                    self.clients.write(id, |_, out| bare_reply(xid, zxid, err, out));
                    if let Some(why) = then_close {
                        self.drop_conn(id, why);
                    }
                }
            }
        }
    }

    /// Executes a read at the head of its session's order.
    pub(super) fn execute_read(
        &mut self,
        id: ConnId,
        since: Instant,
        frame: &[u8],
        identities: usize,
    ) {
        let mut r = Reader::new(frame);
        let Ok(RequestHeader { xid, kind }) = RequestHeader::decode(&mut r) else { return };
        let op = OpCode::from_number(kind).expect("only known reads are kept");
        let request = Request::decode(op, &mut r);
        let xid = if op == OpCode::Ping { Xid::PING } else { xid };
        let bare = |server: &mut Self, err: Option<ErrorCode>| {
            let zxid = server.zxid_applied;
            let err = err.map_or(0, ErrorCode::number);
            server.clients.write(id, |_, out| bare_reply(xid, zxid, err, out));
        };
        match &request {
            Err(_) => bare(self, Some(ErrorCode::MarshallingError)),
            Ok(Request::SetWatches(watches) | Request::SetWatches2(watches)) => {
                let done = self.set_watches(id, watches);
                bare(self, done.is_none().then_some(ErrorCode::MarshallingError));
            }
            Ok(Request::CheckWatches { path, kind }) => {
                let has = self.watches.has(id, path.as_deref().unwrap_or(""), *kind);
                bare(self, (!has).then_some(ErrorCode::NoWatcher));
            }
            Ok(Request::RemoveWatches { path, kind }) => {
                let had = self.watches.remove(id, path.as_deref().unwrap_or(""), *kind);
                bare(self, (!had).then_some(ErrorCode::NoWatcher));
            }
            Ok(Request::AddWatch { path, mode }) => {
                let kind = match mode {
                    WatchMode::Persistent => WatchKind::Persistent,
                    WatchMode::Recursive => WatchKind::Recursive,
                };
                self.watches.add(id, path.as_deref().unwrap_or(""), kind);
                let zxid = self.zxid_applied;
                self.clients.write(id, |_, out| {
                    let start = begin_frame(out);
                    let mut w = Writer::new(out);
                    write_header(&mut w, xid, zxid, 0);
                    // An ErrorResponse; without it Java clients read behind the end.
                    w.int(0);
                    end_frame(out, start);
                });
            }
            Ok(Request::MultiReadOfWrites) => {
                let zxid = self.zxid_applied;
                self.clients.write(id, |_, out| {
                    let start = begin_frame(out);
                    let mut w = Writer::new(out);
                    write_header(&mut w, xid, zxid, ErrorCode::MarshallingError.number());
                    MultiResult::encode_end(&mut w);
                    end_frame(out, start);
                });
            }
            Ok(request) => self.answer_from_tree(id, xid, request, identities),
        }
        self.answered(id, since, false);
    }

    fn answer_from_tree(&mut self, id: ConnId, xid: Xid, request: &Request<'_>, identities: usize) {
        let Some(session) = self.clients.conns.get(&id).map(|conn| conn.session) else { return };
        let Self { tree, config, clients, zxid_applied, watches, .. } = self;
        let mut wanted = None;
        clients.write(id, |ids, out| {
            let ids = &ids[..identities.min(ids.len())];
            let zxid = *zxid_applied;
            let room = config.limits.output_budget.max(u64::from(config.record_max())) as usize;
            let reading = Reading { auth: &config.auth, tree, session, ids, zxid, room };
            wanted = reading.answer(xid, request, out);
        });
        if let Some((path, kind)) = wanted {
            watches.add(id, path, kind);
        }
    }

    /// Watches of a client that comes back: told at once what it missed, registered otherwise (client protocol
    /// §3.12.5). `None` when a list is null: those before it are done, as in Java.
    fn set_watches(&mut self, id: ConnId, request: &SetWatches<'_>) -> Option<()> {
        let since = request.relative_zxid;
        for path in request.data.as_ref()? {
            let mzxid = self.tree.get(path).map(|node| node.persisted().mzxid);
            self.catch_up(id, path, mzxid, since, WatchKind::Data);
        }
        for path in request.exist.as_ref()? {
            match self.tree.get(path) {
                Some(_) => self.tell_missed(id, EventType::Created, path),
                None => self.watches.add(id, path, WatchKind::Data),
            }
        }
        for path in request.child.as_ref()? {
            let pzxid = self.tree.get(path).map(|node| node.persisted().pzxid);
            self.catch_up(id, path, pzxid, since, WatchKind::Children);
        }
        for path in request.persistent.as_ref()? {
            self.watches.add(id, path, WatchKind::Persistent);
        }
        for path in request.recursive.as_ref()? {
            self.watches.add(id, path, WatchKind::Recursive);
        }
        Some(())
    }

    /// One watch of a client that comes back, given when what it watches last changed.
    fn catch_up(
        &mut self,
        id: ConnId,
        path: &str,
        changed: Option<Zxid>,
        since: Zxid,
        kind: WatchKind,
    ) {
        let event = match kind {
            WatchKind::Children => EventType::ChildrenChanged,
            WatchKind::Data | WatchKind::Persistent | WatchKind::Recursive => {
                EventType::DataChanged
            }
        };
        match changed {
            None => self.tell_missed(id, EventType::Deleted, path),
            Some(_) if planted(Plant::MissedChangeUntold) => self.watches.add(id, path, kind),
            Some(zxid) if planted(Plant::SeenChangeToldAgain) && zxid == since => {
                self.tell_missed(id, event, path);
            }
            Some(zxid) if zxid > since => self.tell_missed(id, event, path),
            Some(_) => self.watches.add(id, path, kind),
        }
    }

    fn tell_missed(&mut self, id: ConnId, kind: EventType, path: &str) {
        self.clients.write(id, |_, out| write_event(out, Zxid(-1), kind, path));
    }

    fn answered(&mut self, id: ConnId, since: Instant, is_write: bool) {
        let ms = self.now.mono.since(since) / 1000;
        self.figures.latency_ms.add(ms);
        match is_write {
            true => self.figures.update_ms.add(ms),
            false => self.figures.read_ms.add(ms),
        }
        if let Some(conn) = self.clients.conns.get_mut(&id) {
            conn.figures.last_zxid = self.zxid_applied;
            conn.figures.last_response = self.now.mono;
            conn.figures.last_latency_ms = ms;
            conn.figures.latency_ms.add(ms);
        }
    }
}

fn error_txn(code: ErrorCode) -> Txn {
    Txn::Error { code: code.number() }
}

/// The reply to a write, from what it became and what came of it.
fn encode_reply(xid: Xid, zxid: Zxid, txn: &Txn, outcome: &Outcome, out: &mut Vec<u8>) {
    let start = begin_frame(out);
    let mut w = Writer::new(out);
    // The multi as a whole succeeds even when its operations do not.
    let err = match txn {
        Txn::Multi(_) => 0,
        Txn::Error { code } => *code,
        _ => outcome.error.map_or(0, ErrorCode::number),
    };
    write_header(&mut w, xid, zxid, err);
    if let (Txn::Multi(parts), 0) = (txn, err) {
        let failed = outcome.error.is_some();
        for (part, outcome) in parts.iter().zip(&outcome.parts) {
            let result = match failed {
                true => MultiResult::Failed(outcome.error),
                false => result_of(part, outcome),
            };
            result.encode(&mut w);
        }
        MultiResult::encode_end(&mut w);
    } else if err == 0 {
        match result_of(txn, outcome) {
            MultiResult::Path(path) => w.string(path),
            MultiResult::PathStat(path, stat) => {
                w.string(path);
                stat.encode(&mut w);
            }
            MultiResult::Stat(stat) => stat.encode(&mut w),
            _ => {}
        }
    }
    end_frame(out, start);
}

fn result_of<'a>(txn: &'a Txn, outcome: &Outcome) -> MultiResult<'a> {
    let stat = outcome.stat.unwrap_or_default();
    match txn {
        Txn::Create { path, kind: CreateKind::Plain { with_stat: false, .. }, .. } => {
            MultiResult::Path(path)
        }
        Txn::Create { path, .. } => MultiResult::PathStat(path, stat),
        Txn::SetData { .. } | Txn::SetAcl { .. } => MultiResult::Stat(stat),
        Txn::Check { .. } => MultiResult::Checked,
        Txn::Delete { .. }
        | Txn::Multi(_)
        | Txn::CreateSession { .. }
        | Txn::CloseSession { .. }
        | Txn::Error { .. } => MultiResult::Deleted,
    }
}
