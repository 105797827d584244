//! Who is alive (client protocol §4.7). Never closes a session: it says which have expired.
//!
//! Time here is *listening time*: the monotonic clock less the stretches in which this process stood still. A session
//! is judged only by time in which the server could have heard it.

use crate::ids::{ChanId, ConnId, SessionId};
use crate::planted::{Plant, planted};
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One live session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) timeout_ms: i32,
    /// Expires when listening time reaches this.
    pub(crate) deadline: Instant,
    /// Its close has been proposed: nothing more is accepted from it.
    pub(crate) closing: bool,
    /// Only this server knows it (client protocol §4.9).
    pub(crate) local: bool,
    /// Where its client is connected.
    pub(crate) conn: Option<ConnId>,
    /// Through which server it sends its requests, as far as a leader knows.
    home: Home,
}

/// Which server a session's requests come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Home {
    /// It has not sent any since this server leads.
    Unknown,
    /// This one.
    Here,
    /// The learner on that link.
    At(ChanId),
}

/// Who knows a session, as far as the server that judges its request can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Every server.
    Global,
    /// This one alone.
    Local,
    /// The learner that sent its request, if anybody.
    Elsewhere,
}

/// All sessions, and when they expire.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionTracker {
    sessions: BTreeMap<SessionId, Session>,
    buckets: Buckets,
    tick_ms: u64,
}

/// Sessions by their deadline: first the global ones, whose expiry is the leader's to decide, then the local ones.
type Buckets = BTreeMap<(bool, Instant), BTreeSet<SessionId>>;

impl SessionTracker {
    pub(crate) fn new(tick_ms: u32) -> Self {
        let tick_ms = u64::from(tick_ms.max(1));
        Self { sessions: BTreeMap::new(), buckets: BTreeMap::new(), tick_ms }
    }

    /// Expiry is decided once a tick, so deadlines are whole ticks: at least the timeout, at most a tick more.
    fn deadline(&self, heard: Instant, timeout_ms: i32) -> Instant {
        let due_ms = heard.as_ms() + timeout_ms.max(0) as u64;
        if planted(Plant::SessionTickShort) {
            return Instant::from_ms(due_ms / self.tick_ms * self.tick_ms);
        }
        Instant::from_ms((due_ms / self.tick_ms + 1) * self.tick_ms)
    }

    /// Begins to track a session that every server knows.
    pub(crate) fn add(&mut self, id: SessionId, timeout_ms: i32, heard: Instant) {
        self.track(id, timeout_ms, heard, false);
    }

    /// Begins to track a session that nobody else knows.
    pub(crate) fn add_local(&mut self, id: SessionId, timeout_ms: i32, heard: Instant) {
        self.track(id, timeout_ms, heard, true);
    }

    fn track(&mut self, id: SessionId, timeout_ms: i32, heard: Instant, local: bool) {
        let deadline = self.deadline(heard, timeout_ms);
        let home = Home::Unknown;
        let session = Session { timeout_ms, deadline, closing: false, local, conn: None, home };
        let before = self.sessions.insert(id, session);
        assert!(before.is_none(), "session {id} was tracked already");
        self.buckets.entry((local, deadline)).or_default().insert(id);
    }

    pub(crate) fn is_local(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.local)
    }

    /// Every server is about to know the session.
    pub(crate) fn make_global(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.local) else {
            return;
        };
        session.local = false;
        let (deadline, closing) = (session.deadline, session.closing);
        if !closing {
            leave_bucket(&mut self.buckets, (true, deadline), id);
            self.buckets.entry((false, deadline)).or_default().insert(id);
        }
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }

    /// Heard of the session: it lives on for its timeout.
    pub(crate) fn touch(&mut self, id: SessionId, heard: Instant) {
        let Some(session) = self.sessions.get(&id) else { return };
        let deadline = self.deadline(heard, session.timeout_ms);
        self.move_to(id, deadline);
    }

    /// The client came back with another timeout.
    pub(crate) fn resume(&mut self, id: SessionId, timeout_ms: i32, heard: Instant) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.timeout_ms = timeout_ms;
        }
        self.touch(id, heard);
    }

    fn move_to(&mut self, id: SessionId, deadline: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.deadline == deadline || session.closing {
            return;
        }
        leave_bucket(&mut self.buckets, (session.local, session.deadline), id);
        session.deadline = deadline;
        self.buckets.entry((session.local, deadline)).or_default().insert(id);
    }

    /// Do the session's requests come from there? The first to ask is believed.
    pub(crate) fn is_at(&mut self, id: SessionId, from: Home) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return true };
        if session.home == Home::Unknown {
            session.home = from;
        }
        session.home == from
    }

    /// The session's client has come to another server.
    pub(crate) fn move_to_home(&mut self, id: SessionId, home: Home) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.home = home;
        }
    }

    /// Forgets every session: the server serves nobody any more.
    pub(crate) fn clear(&mut self) {
        self.sessions.clear();
        self.buckets.clear();
    }

    /// Remembers where the session's client is.
    pub(crate) fn attach(&mut self, id: SessionId, conn: Option<ConnId>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.conn = conn;
        }
    }

    /// Its close is proposed: it cannot expire any more, nor do anything.
    pub(crate) fn start_closing(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.closing = true;
            leave_bucket(&mut self.buckets, (session.local, session.deadline), id);
        }
    }

    /// The session is closed.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        if !session.closing {
            leave_bucket(&mut self.buckets, (session.local, session.deadline), id);
        }
        Some(session)
    }

    /// Global sessions whose time is over, in an order that is the same in every run: each close takes the next zxid.
    pub(crate) fn expired(&self, heard: Instant) -> Vec<SessionId> {
        match planted(Plant::ImmortalSessions) {
            true => Vec::new(),
            false => self.due(false, heard),
        }
    }

    /// Local sessions whose time is over.
    pub(crate) fn expired_local(&self, heard: Instant) -> Vec<SessionId> {
        self.due(true, heard)
    }

    fn due(&self, local: bool, heard: Instant) -> Vec<SessionId> {
        let due = self.buckets.range((local, Instant::default())..=(local, heard));
        due.flat_map(|(_, sessions)| sessions.iter().copied()).collect()
    }
}

fn leave_bucket(buckets: &mut Buckets, at: (bool, Instant), id: SessionId) {
    if let Some(bucket) = buckets.get_mut(&at) {
        bucket.remove(&id);
        if bucket.is_empty() {
            buckets.remove(&at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SessionId = SessionId(1);

    #[test]
    fn a_session_lives_at_least_its_timeout_and_at_most_a_tick_more() {
        let mut tracker = SessionTracker::new(2000);
        tracker.add(ONE, 4000, Instant::from_ms(1999));
        assert_eq!(tracker.expired(Instant::from_ms(5999)), []);
        assert_eq!(tracker.expired(Instant::from_ms(6000)), [ONE]);
        tracker.touch(ONE, Instant::from_ms(2000));
        assert_eq!(tracker.expired(Instant::from_ms(7999)), []);
        assert_eq!(tracker.expired(Instant::from_ms(8000)), [ONE]);
    }

    #[test]
    fn a_local_session_that_becomes_global_expires_as_one() {
        let mut tracker = SessionTracker::new(2000);
        tracker.add_local(ONE, 4000, Instant::default());
        let late = Instant::from_ms(99_000);
        assert_eq!((tracker.expired(late), tracker.expired_local(late)), (vec![], vec![ONE]));
        tracker.make_global(ONE);
        assert_eq!((tracker.expired(late), tracker.expired_local(late)), (vec![ONE], vec![]));
        tracker.touch(ONE, Instant::from_ms(9000));
        assert_eq!((tracker.expired(late), tracker.expired_local(late)), (vec![ONE], vec![]));
        tracker.remove(ONE);
        assert!(tracker.buckets.is_empty());
    }

    #[test]
    fn a_closing_session_expires_no_more_and_leaves_nothing_behind() {
        let mut tracker = SessionTracker::new(2000);
        tracker.add(ONE, 4000, Instant::default());
        tracker.start_closing(ONE);
        tracker.touch(ONE, Instant::from_ms(9000));
        assert_eq!(tracker.expired(Instant::from_ms(99_000)), []);
        assert!(tracker.remove(ONE).is_some());
        assert!(tracker.buckets.is_empty());
    }

    #[test]
    fn a_client_that_comes_back_may_ask_for_another_timeout() {
        let mut tracker = SessionTracker::new(2000);
        tracker.add(ONE, 4000, Instant::default());
        tracker.resume(ONE, 10_000, Instant::from_ms(1000));
        assert_eq!(tracker.expired(Instant::from_ms(11_999)), []);
        assert_eq!(tracker.expired(Instant::from_ms(12_000)), [ONE]);
        tracker.touch(ONE, Instant::from_ms(2000));
        assert_eq!(tracker.expired(Instant::from_ms(13_999)), []);
    }

    #[test]
    fn a_session_is_where_it_first_asks_until_it_moves() {
        let mut tracker = SessionTracker::new(2000);
        tracker.add(ONE, 4000, Instant::default());
        let learner = Home::At(ChanId(3));
        assert!(tracker.is_at(ONE, learner));
        assert!(!tracker.is_at(ONE, Home::Here));
        assert!(tracker.is_at(ONE, learner));
        tracker.move_to_home(ONE, Home::Here);
        assert!(tracker.is_at(ONE, Home::Here));
        assert!(!tracker.is_at(ONE, learner));
    }
}
