//! The judge of an ensemble: what its servers say to each other is checked by [`Protocol`]; what each of them says to its
//! clients by an oracle of its own. The one order that the protocol has shown to be committed is executed once for all.

use crate::checkers::{Lives, Protocol, epoch};
use crate::execution::{Asked, Record, Rules};
use crate::model::Model;
use crate::oracle::Oracle;
use crate::request::asks_for_ephemeral;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use zoetrope_core::wire::{ConnectResponse, OpCode, Reader, RequestHeader, Txn};
use zoetrope_core::{ChanId, Config, ConnId, Server, Sid};
use zoetrope_io_sim::{At, Judge, Left, LocalSessions, Op, Peer, Role, Verdict, role_of, serves};

/// The judge of an ensemble.
#[derive(Clone, Debug)]
pub(crate) struct Together {
    protocol: Protocol,
    oracles: BTreeMap<Sid, Oracle>,
    /// The tree as all that is committed makes it.
    model: Model,
    /// What each server has applied as its last turn ended; and what the leader had, of each txn that is not committed yet.
    applied: BTreeMap<Sid, i64>,
    proposed_at: BTreeMap<i64, i64>,
    /// Where each session was welcomed last.
    homes: BTreeMap<i64, (Sid, ConnId)>,
    unsaid: BTreeMap<Sid, Unsaid>,
    /// zxid of the txn that creates a session.
    births: BTreeMap<i64, i64>,
    local: LocalSessions,
    /// Sessions that have asked for an ephemeral.
    askers: BTreeSet<i64>,
    /// Sessions whose end is committed.
    ended: BTreeSet<i64>,
    /// Sessions whose clients have asked for their end.
    leaving: BTreeSet<i64>,
    lives: Lives,
    /// A disk was full: what a leader was sent may wait until it leads no more.
    was_full: bool,
}

/// Sessions that a learner has heard of, and has not said to be alive since.
#[derive(Clone, Default, Debug)]
struct Unsaid {
    /// Since it last answered a ping, and before.
    fresh: BTreeMap<i64, ConnId>,
    old: BTreeMap<i64, ConnId>,
}

impl Unsaid {
    /// It answers a ping, and names these. What it heard while it made the answer may wait for the next one.
    fn answers(&mut self, sid: Sid, named: &[i64]) -> Verdict {
        for session in named {
            self.fresh.remove(session);
            self.old.remove(session);
        }
        if let Some((session, conn)) = self.old.first_key_value() {
            return Err(format!(
                "E11: server {sid} answers its leader's ping, and does not say that session {session:#x} of {conn} lives"
            ));
        }
        self.old = std::mem::take(&mut self.fresh);
        Ok(())
    }

    fn forget(&mut self, gone: impl Fn(i64, ConnId) -> bool) {
        for heard in [&mut self.fresh, &mut self.old] {
            heard.retain(|session, conn| !gone(*session, *conn));
        }
    }
}

impl Together {
    /// The judge of an ensemble whose servers have these settings.
    pub(crate) fn new(config: &Config, local: LocalSessions) -> Self {
        let ensemble = config.ensemble.clone().unwrap_or_default();
        let oracle = |sid: &Sid| (*sid, Oracle::of_ensemble(local));
        let oracles = ensemble.members.keys().map(oracle).collect();
        let mut protocol = Protocol::new(ensemble);
        protocol.syncs_max = (config.snap_syncs_max as usize, config.diff_syncs_max as usize);
        Self {
            protocol,
            oracles,
            model: Model::new(),
            applied: BTreeMap::new(),
            proposed_at: BTreeMap::new(),
            homes: BTreeMap::new(),
            unsaid: BTreeMap::new(),
            births: BTreeMap::new(),
            local,
            askers: BTreeSet::new(),
            ended: BTreeSet::new(),
            leaving: BTreeSet::new(),
            lives: Lives::default(),
            was_full: false,
        }
    }

    fn oracle(&mut self, sid: Sid) -> &mut Oracle {
        let local = self.local;
        self.oracles.entry(sid).or_insert_with(|| Oracle::of_ensemble(local))
    }

    /// Txns nobody had seen before. A server has logged or sent them first, so it leads.
    fn proposed(&mut self, at: At, fresh: &[i64]) -> Verdict {
        let applied = self.applied.get(&at.sid).copied().unwrap_or(0);
        self.proposed_at.extend(fresh.iter().map(|zxid| (*zxid, applied)));
        let record = |zxid: &i64| Ok((*zxid, self.record(*zxid)?));
        let fresh = fresh.iter().map(record).collect::<Result<Vec<_>, String>>()?;
        for (_, Record { header, txn, .. }) in &fresh {
            let session = header.session.0;
            let expired = matches!(txn, Txn::CloseSession { .. }) && header.cxid.0 == 0;
            if expired && !self.was_full && !self.leaving.contains(&session) {
                self.lives.expires(at, session)?;
            }
        }
        for (zxid, Record { header, txn, .. }) in &fresh {
            let session = header.session.0;
            match txn {
                Txn::CreateSession { timeout_ms } => {
                    self.lives.begins(session, *timeout_ms);
                    let wanted = match self.local {
                        LocalSessions::Off => true,
                        LocalSessions::Kept => false,
                        LocalSessions::Upgraded => self.askers.contains(&session),
                    };
                    if !wanted {
                        return Err(format!(
                            "P2: {zxid:#x} creates session {session:#x}, which is local and has no use for it"
                        ));
                    }
                    self.births.insert(session, *zxid);
                    self.oracles.values_mut().for_each(|oracle| oracle.begins(session));
                }
                Txn::CloseSession { .. } => {
                    self.oracles.values_mut().for_each(|oracle| oracle.ends(session));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn record(&self, zxid: i64) -> Result<Record, String> {
        let bytes = self.protocol.history.bytes(zxid).unwrap_or_default();
        Record::decode(bytes).map_err(|e| format!("P1: {zxid:#x} cannot be read: {e}"))
    }

    /// What has become committed is executed once, and told to every oracle.
    fn spread(&mut self) -> Verdict {
        for zxid in std::mem::take(&mut self.protocol.news) {
            let mut record = self.record(zxid)?;
            record.applied = self.proposed_at.remove(&zxid).unwrap_or(0);
            let session = record.header.session.0;
            let closes = matches!(record.txn, Txn::CloseSession { .. });
            if self.ended.contains(&session) && !matches!(record.txn, Txn::Error { .. }) && !closes
            {
                return Err(format!(
                    "P2: session {session:#x} has ended, and {zxid:#x} is done for it: {:?}",
                    record.txn
                ));
            }
            if closes {
                self.ended.insert(session);
            }
            let mut oracles = self.oracles.iter();
            let asked = oracles.find_map(|(sid, oracle)| Some((*sid, oracle.asked(&record)?)));
            let origin = asked.map(|(sid, (conn, _))| (sid, conn));
            let asked = asked.map(|(_, (_, asked))| asked);
            if let Some(Asked { has_moved: true, .. }) = asked
                && !matches!(record.txn, Txn::Error { .. })
            {
                return Err(format!(
                    "S2: {zxid:#x} was asked by session {session:#x} where it had been before: {:?}",
                    record.txn
                ));
            }
            let rules = Rules { together: true, local: self.local };
            let executed = Arc::new(record.execute(&mut self.model, asked, rules)?);
            for (sid, oracle) in &mut self.oracles {
                let conn = origin.filter(|(of, _)| of == sid).map(|(_, conn)| conn);
                oracle.committed(executed.clone(), conn);
            }
        }
        Ok(())
    }

    /// An oracle that has to begin again is told of everything again. Nobody is connected to its server.
    fn begins_anew(&mut self, sid: Sid) -> Verdict {
        self.spread()?;
        let Self { protocol, oracles, local, .. } = self;
        let Some(oracle) = oracles.get_mut(&sid) else { return Ok(()) };
        oracle.begins_anew();
        let (mut model, rules) = (Model::new(), Rules { together: true, local: *local });
        for bytes in protocol.history.committed() {
            let executed = Record::decode(bytes)?.execute(&mut model, None, rules)?;
            oracle.committed(Arc::new(executed), None);
        }
        Ok(())
    }

    /// Whatever a reply shows is committed.
    fn shown_by_replies(&mut self, at: At, replies: &[(ConnId, Vec<u8>)]) -> Verdict {
        for (id, bytes) in replies {
            let mut greeting = self.oracle(at.sid).awaits_welcome(*id);
            let mut r = Reader::new(bytes);
            while let Ok(Some(frame)) = r.buffer() {
                let zxid = match std::mem::take(&mut greeting) {
                    // It may still be local, and its upgrade under way.
                    true if self.local != LocalSessions::Off => 0,
                    true => {
                        let session = ConnectResponse::decode(frame).map_or(0, |r| r.session.0);
                        self.births.get(&session).copied().unwrap_or(0)
                    }
                    false => {
                        let mut r = Reader::new(frame);
                        r.int().and_then(|_| r.long()).unwrap_or(0)
                    }
                };
                if zxid > 0 && self.oracle(at.sid).is_read_only(*id) {
                    // Nobody could commit anything by that.
                    self.protocol.must_be_committed(at.sid, zxid)?;
                } else if zxid > 0 {
                    let why = format_args!("a reply of server {} to {id}", at.sid);
                    self.protocol.commit(zxid, why)?;
                }
            }
        }
        Ok(())
    }
}

impl Judge for Together {
    fn appended(&mut self, at: At, records: &[u8]) -> Verdict {
        let fresh = self.protocol.appended(at, records)?;
        self.proposed(at, &fresh)
    }

    fn opened(&mut self, at: At, conn: ConnId, addr: IpAddr) {
        self.oracle(at.sid).opened(at, conn, addr);
    }

    fn heard(&mut self, at: At, conn: ConnId, frame: &[u8]) -> Verdict {
        let header = RequestHeader::decode(&mut Reader::new(frame));
        let session = self.oracle(at.sid).session_of(conn);
        if session > 0 {
            self.lives.heard(at, session);
        }
        if session > 0 && self.local == LocalSessions::Upgraded && asks_for_ephemeral(frame) {
            self.askers.insert(session);
        }
        let xid = header.as_ref().map_or(0, |header| header.xid.0);
        if session > 0
            && header.is_ok_and(|h| OpCode::from_number(h.kind) == Some(OpCode::CloseSession))
        {
            self.leaving.insert(session);
            self.oracles.values_mut().for_each(|oracle| oracle.ends(session));
        }
        if self.births.contains_key(&session) && !self.leaving.contains(&session) {
            self.unsaid.entry(at.sid).or_default().fresh.insert(session, conn);
        }
        let (known, home) = (self.protocol.history.head(), self.homes.get(&session).copied());
        let oracle = self.oracle(at.sid);
        oracle.knows(known);
        oracle.heard(at, conn, frame)?;
        if home.is_some_and(|home| home != (at.sid, conn)) {
            oracle.has_moved(conn, xid);
        }
        Ok(())
    }

    fn answered(&mut self, at: At, replies: &[(ConnId, Vec<u8>)]) -> Verdict {
        self.shown_by_replies(at, replies)?;
        self.spread()?;
        let told = |e: String| format!("server {}: {e}", at.sid);
        let oracle = self.oracle(at.sid);
        let greeted: Vec<ConnId> =
            replies.iter().map(|(id, _)| *id).filter(|id| oracle.awaits_welcome(*id)).collect();
        oracle.answered(at, replies).map_err(told)?;
        let welcomed = greeted.into_iter().filter(|id| !oracle.is_read_only(*id));
        let homes: Vec<_> = welcomed.map(|id| (oracle.session_of(id), (at.sid, id))).collect();
        self.homes.extend(homes.into_iter().filter(|(session, _)| *session > 0));
        Ok(())
    }

    fn closed(&mut self, at: At, conn: ConnId, by_server: bool) -> Verdict {
        self.unsaid.entry(at.sid).or_default().forget(|_, id| id == conn);
        self.oracle(at.sid).closed(at, conn, by_server)
    }

    fn crashed(&mut self, at: At) {
        self.protocol.crashed(at);
        self.unsaid.remove(&at.sid);
        self.oracle(at.sid).crashed(at);
    }

    fn serving(&mut self, _at: At, _server: &Server) -> Verdict {
        Ok(())
    }

    fn stalled(&mut self, at: At, us: u64) {
        self.lives.stalled(at, us);
        self.oracle(at.sid).stalled(at, us);
    }

    fn passed(&mut self, at: At, server: &Server) -> Verdict {
        self.oracle(at.sid).check_local_sessions(at.now, server)?;
        if server.status().digest_mismatches > 0 {
            return Err(format!("D-e: what {} found on its disk has other digests", at.sid));
        }
        // Who leads knows every session; others know those that came to them.
        if role_of(server) != Role::Leader {
            return Ok(());
        }
        let zxid = server.zxid_applied();
        if !self.protocol.is_leader(at.sid, epoch(zxid.0)) {
            return Ok(());
        }
        let known: Vec<i64> = server.sessions().map(|session| session.session.0).collect();
        let missing =
            self.oracle(at.sid).sessions().into_iter().find(|session| !known.contains(session));
        match missing {
            Some(session) => Err(format!(
                "P2: at {zxid} session {session:#x} lives, but the leader {} has lost it",
                at.sid
            )),
            None => Ok(()),
        }
    }

    fn room(&mut self, at: At, full: bool) {
        self.was_full |= full;
        // A leader without room refuses the writes of every server's clients.
        self.oracles.values_mut().for_each(|oracle| oracle.room(at, full));
    }

    fn submitted(&mut self, at: At, op: &Op) -> Verdict {
        self.protocol.submitted(at, op)
    }

    fn performed(&mut self, at: At, op: &Op) -> Verdict {
        self.protocol.performed(at, op)
    }

    fn left(&mut self, at: At, left: Left<'_>) -> Verdict {
        let forgot = left.forgot;
        self.protocol.left(at, left);
        if forgot { self.begins_anew(at.sid) } else { Ok(()) }
    }

    fn booted(&mut self, at: At) -> Verdict {
        self.protocol.booted(at)
    }

    fn peer_up(&mut self, at: At, peer: Peer) {
        self.protocol.peer_up(at, peer);
    }

    fn peer_sent(&mut self, at: At, chan: ChanId, bytes: &[u8]) -> Verdict {
        let fresh = self.protocol.peer_sent(at, chan, bytes)?;
        for (sid, named) in std::mem::take(&mut self.protocol.alive) {
            let Self { unsaid, ended, leaving, .. } = self;
            let unsaid = unsaid.entry(sid).or_default();
            unsaid.forget(|session, _| ended.contains(&session) || leaving.contains(&session));
            unsaid.answers(sid, &named)?;
        }
        self.proposed(at, &fresh)
    }

    fn peer_heard(&mut self, at: At, chan: ChanId, bytes: &[u8]) -> Verdict {
        self.protocol.peer_heard(at, chan, bytes)?;
        for session in std::mem::take(&mut self.protocol.touched) {
            self.lives.heard(at, session);
        }
        Ok(())
    }

    fn peer_down(&mut self, at: At, chan: ChanId) {
        self.protocol.peer_down(at, chan);
    }

    fn turned(&mut self, at: At, server: &Server) -> Verdict {
        self.applied.insert(at.sid, server.zxid_applied().0);
        self.protocol.turned(at.sid, role_of(server))?;
        let read_only = role_of(server) == Role::ReadOnly;
        self.oracle(at.sid).serves_read_only(at.sid, read_only)?;
        if !serves(server) && !read_only {
            self.oracle(at.sid).serves_nobody();
            self.unsaid.remove(&at.sid);
            return Ok(());
        }
        if read_only {
            self.protocol.must_be_committed(at.sid, server.zxid_applied().0)?;
        }
        let (zxid, digest) = (server.zxid_applied().0, server.tree_digest());
        self.protocol.shows(at.sid, zxid, digest)?;
        self.spread()?;
        let txn = self.protocol.history.txn(zxid);
        self.oracle(at.sid).shows(at.sid, txn, digest)
    }
}
