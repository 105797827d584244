//! Local sessions (client protocol §4.9): known to the server they were opened at and to nobody else, until they ask for
//! an ephemeral. Says nothing to other servers but the upgrade.

use super::Server;
use super::commit::{Origin, Refused, Wish, Work};
use super::journal::Claim;
use super::learn::Forwarded;
use crate::effect::{DropReason, Milestone};
use crate::ids::{ConnId, SessionId, Xid};
use crate::session::{Home, Standing};
use crate::time::Instant;
use crate::wire::{Create, MultiOp, OpCode, Request};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

impl Server {
    /// Are new sessions local? Never those of a server that stands alone, as in Java.
    pub(super) fn has_local_sessions(&self) -> bool {
        self.config.local_sessions && self.peers.is_some()
    }

    /// Opens a session of this server: no txn, no zxid, so it waits for nobody.
    pub(super) fn open_local_session(
        &mut self,
        id: ConnId,
        session: SessionId,
        timeout_ms: i32,
        read_only: Option<bool>,
    ) {
        self.next_session = session.next();
        self.tracker.add_local(session, timeout_ms, self.listening());
        self.tracker.attach(session, Some(id));
        self.tracker.move_to_home(session, Home::Here);
        if let Some(conn) = self.clients.conns.get_mut(&id) {
            conn.session = session;
            conn.read_only = read_only;
        }
        self.report(Milestone::LocalSessionOpened { session, timeout_ms });
        self.welcome(id, session, timeout_ms);
    }

    /// Its client has closed it. What it has sent before is answered as if nothing had happened: no leader asks whether
    /// a local session lives.
    pub(super) fn close_local_session(&mut self, session: SessionId) {
        self.tracker.remove(session);
        self.report(Milestone::SessionClosed { session });
    }

    /// Ends the local sessions whose time is over: nobody else could.
    pub(super) fn expire_local_sessions(&mut self) {
        for session in self.tracker.expired_local(self.listening()) {
            let conn = self.tracker.remove(session).and_then(|tracked| tracked.conn);
            self.figures.expired += 1;
            self.report(Milestone::SessionExpired { session });
            if let Some(conn) = conn {
                self.drop_conn(conn, DropReason::SessionEnded);
            }
        }
    }

    /// Makes a local session known to every server, ahead of the request that needs it.
    pub(super) fn upgrade(&mut self, session: SessionId) -> Result<(), Refused> {
        let Some(timeout_ms) = self.tracker.get(session).map(|tracked| tracked.timeout_ms) else {
            return Ok(());
        };
        let cxid = Xid(0);
        if self.learner().is_some() {
            self.forward(session, cxid, OpCode::CreateSession, &timeout_ms.to_be_bytes(), None);
            if let Some(learner) = self.learner_mut() {
                let (xid, op) = (cxid, OpCode::CreateSession);
                learner.forwarded.push_back(Forwarded { session, xid, op, conn: None });
            }
        } else {
            let (claim, work) = (Claim::Session, Work::OpenSession { timeout_ms });
            self.propose(&Wish { origin: Origin::Nobody, session, cxid, claim, work })?;
        }
        self.tracker.make_global(session);
        self.report(Milestone::SessionUpgraded { session });
        Ok(())
    }

    /// Who knows the session whose request is prepared here?
    pub(super) fn standing(&self, session: SessionId) -> Standing {
        match self.tracker.get(session) {
            _ if !self.has_local_sessions() => Standing::Global,
            Some(tracked) if tracked.local => Standing::Local,
            Some(_) => Standing::Global,
            None => Standing::Elsewhere,
        }
    }

    /// A leader does not know the session a learner speaks for: may it be a local one of that learner's? Java believes
    /// so whenever it was not opened at the leader. We refuse those that have just ended as well: their last requests may
    /// still be on their way, and what came after the end of a session must not be done.
    pub(super) fn may_live_elsewhere(&self, session: SessionId) -> bool {
        self.has_local_sessions()
            && session != SessionId::NONE
            && session.opened_at() != self.config.sid.0 as u8
            && self.leader().is_some_and(|leader| !leader.ended.holds(session))
    }
}

/// Global sessions that ended a short while ago.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    sessions: BTreeSet<SessionId>,
    oldest_first: VecDeque<(Instant, SessionId)>,
}

impl Ended {
    pub(super) fn note(&mut self, session: SessionId, heard: Instant) {
        self.sessions.insert(session);
        self.oldest_first.push_back((heard, session));
    }

    /// Forgets what ended before `since`: whoever has said nothing since then is no learner any more.
    pub(super) fn forget_before(&mut self, since: Instant) {
        while let Some((_, session)) = self.oldest_first.pop_front_if(|(at, _)| *at < since) {
            self.sessions.remove(&session);
        }
    }

    fn holds(&self, session: SessionId) -> bool {
        self.sessions.contains(&session)
    }
}

/// Does the request create an ephemeral, which needs a session that every server knows? As in Java, a multi is looked at
/// as far as its first creation without a legal mode, and TTL znodes and containers do not count.
pub(super) fn asks_for_ephemeral(request: &Request<'_>) -> bool {
    let is_plain = |create: &Create<'_>| matches!(create.op, OpCode::Create | OpCode::Create2);
    let is_ephemeral = |create: &Create<'_>| is_plain(create) && matches!(create.flags, 1 | 3);
    let is_legal = |op: &&MultiOp<'_>| match op {
        MultiOp::Create(create) => !is_plain(create) || (0..=6).contains(&create.flags),
        MultiOp::BadCreate => false,
        MultiOp::Delete { .. } | MultiOp::SetData { .. } | MultiOp::Check { .. } => true,
    };
    match request {
        Request::Create(create) => is_ephemeral(create),
        Request::Multi(ops) => ops
            .iter()
            .take_while(is_legal)
            .any(|op| matches!(op, MultiOp::Create(create) if is_ephemeral(create))),
        _ => false,
    }
}
