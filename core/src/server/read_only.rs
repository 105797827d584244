//! Read-only mode (client protocol §1.9): without a quorum a server goes on answering those clients that said they can live
//! with that. Its tree stands still meanwhile: what it shows is committed, and nothing that is sent here changes it.
//!
//! Sessions made here live here only. The ensemble never hears of them, and none of its own are continued: whether they
//! live is the quorum's to say.

use super::Server;
use super::clients::Waiting;
use super::roles::Role;
use crate::effect::{DropReason, Milestone, Refusal};
use crate::ids::{ConnId, SessionId, Xid, Zxid};
use crate::planted::{Plant, planted};
use crate::time::Instant;
use crate::wire::{ConnectRequest, OpCode};

/// Shortest time a server looks for a leader before it serves read-only, ms.
const LONELY_MS: u64 = 2_000;

impl Server {
    /// Are clients served without a quorum?
    pub(super) fn is_read_only(&self) -> bool {
        self.served && matches!(self.role, Role::Looking(_))
    }

    /// When this server begins to serve read-only, unless an election ends before; `None`: it does not, or does already.
    pub(super) fn read_only_at(&self) -> Option<Instant> {
        // After a start nobody knows how much of the log was ever committed: that a quorum has to say once. The same goes
        // for what a leader that failed had sent, of which there may be parts that a reader must not see.
        let knows = self.joined
            && self.zxid_applied <= self.committed
            && (!self.comparable.is_mixed() || planted(Plant::ReadOnlyShowsParts))
            || planted(Plant::ReadOnlyShowsUncommitted);
        let may = self.config.read_only_mode && !self.served && knows && !self.draining;
        let wait_ms = LONELY_MS.max(u64::from(self.config.tick_ms));
        may.then(|| self.looking_since.plus_ms(wait_ms))
    }

    /// Once in a turn of a server that looks for a leader.
    pub(super) fn serve_read_only_when_due(&mut self) {
        if !matches!(self.role, Role::Looking(_)) {
            return;
        }
        if self.read_only_at().is_some_and(|at| at <= self.now.mono) {
            assert!(self.tracker.len() == 0, "sessions were left over from the role before");
            self.served = true;
            if planted(Plant::ReadOnlySpoilsHistory) {
                self.history = crate::zab::History::starting_after(Zxid(self.zxid_applied.0 / 2));
            }
            self.report(Milestone::ServingReadOnly { zxid: self.zxid_applied });
        }
    }

    pub(super) fn open_read_only_session(
        &mut self,
        id: ConnId,
        session: SessionId,
        timeout_ms: i32,
        read_only: Option<bool>,
    ) {
        self.tracker.add(session, timeout_ms, self.listening());
        self.tracker.attach(session, Some(id));
        if let Some(conn) = self.clients.conns.get_mut(&id) {
            conn.session = session;
            conn.read_only = read_only;
        }
        self.report(Milestone::SessionOpened { session, timeout_ms });
        self.welcome(id, session, timeout_ms);
    }

    /// A client comes back to a server that is read-only. A session that neither this server nor its tree knows is no
    /// loss, whether it lives or not: its client has seen no txn later than the tree (that was looked at before), so no
    /// answer to anything that such a session did.
    pub(super) fn resume_read_only_session(
        &mut self,
        id: ConnId,
        request: &ConnectRequest<'_>,
        timeout_ms: i32,
    ) {
        let (session, read_only) = (request.session, request.read_only);
        if self.sessions_applied.contains_key(&session) {
            // It may live or not. Its client tries on until it meets somebody who knows.
            self.report(Milestone::SessionRefused { session, why: Refusal::ReadOnly });
            return self.drop_conn(id, DropReason::ReadOnly);
        }
        if request.password != session.password() {
            return self.refuse_session(id, session, read_only, Refusal::WrongPassword);
        }
        match self.tracker.get(session) {
            Some(_) => self.take_session(id, session, read_only, timeout_ms),
            None => self.refuse_session(id, session, read_only, Refusal::Unknown),
        }
    }

    /// The client closes its session, which nobody but this server knows.
    pub(super) fn close_read_only_session(&mut self, session: SessionId, xid: Xid) -> Waiting {
        self.tracker.remove(session);
        self.report(Milestone::SessionClosed { session });
        let then_close = Some(DropReason::SessionEnded);
        Waiting::Answer { xid, err: 0, zxid: None, then_close }
    }

    /// Ends the sessions whose time is over; there is nothing to write down.
    pub(super) fn expire_read_only_sessions(&mut self) {
        for session in self.tracker.expired(self.listening()) {
            let conn = self.tracker.remove(session).and_then(|tracked| tracked.conn);
            self.figures.expired += 1;
            self.report(Milestone::SessionExpired { session });
            if let Some(conn) = conn {
                self.drop_conn(conn, DropReason::SessionEnded);
            }
        }
    }
}

/// Is this operation refused without a quorum? `sync` as well: there is nobody to be level with.
pub(super) fn needs_quorum(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Create
            | OpCode::Create2
            | OpCode::CreateTtl
            | OpCode::CreateContainer
            | OpCode::Delete
            | OpCode::DeleteContainer
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Reconfig
            | OpCode::Multi
            | OpCode::Sync
    )
}
