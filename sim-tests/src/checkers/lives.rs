//! When leaders heard of sessions: none of them may expire one before its time.

use std::collections::BTreeMap;
use zoetrope_core::Sid;
use zoetrope_io_sim::At;

/// What a server has heard of a session.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at: u64,
    /// How long the server had stood still until then, µs.
    stalled: u64,
}

/// Who has heard of whom.
#[derive(Clone, Default, Debug)]
pub(crate) struct Lives {
    heard: BTreeMap<(Sid, i64), Heard>,
    timeouts_ms: BTreeMap<i64, i32>,
    stalled: BTreeMap<Sid, u64>,
}

impl Lives {
    /// A session was created with this timeout.
    pub(crate) fn begins(&mut self, session: i64, timeout_ms: i32) {
        self.timeouts_ms.insert(session, timeout_ms);
    }

    /// A server was told that the session's client lives: by the client, or by a learner.
    pub(crate) fn heard(&mut self, at: At, session: i64) {
        let stalled = self.stalled.get(&at.sid).copied().unwrap_or(0);
        self.heard.insert((at.sid, session), Heard { at: at.now, stalled });
    }

    /// The server stood still for that long. What is shorter than a tick is not told from a slow turn.
    pub(crate) fn stalled(&mut self, at: At, us: u64) {
        if us > 2_120_000 {
            *self.stalled.entry(at.sid).or_default() += us;
        }
    }

    /// A leader ends a session whose client has not asked for it. Whatever became of the server since it heard of the
    /// session, it has given it its whole time from then on, or from later on.
    pub(crate) fn expires(&self, at: At, session: i64) -> Result<(), String> {
        let known = (self.heard.get(&(at.sid, session)), self.timeouts_ms.get(&session));
        let (Some(heard), Some(timeout_ms)) = known else { return Ok(()) };
        let stalled = self.stalled.get(&at.sid).copied().unwrap_or(0) - heard.stalled;
        let silent = at.now.saturating_sub(heard.at);
        // Clocks may run a little fast; the timeout is the server's to measure.
        if silent.saturating_sub(stalled) < *timeout_ms as u64 * 940 {
            return Err(format!(
                "E10: server {} ends session {session:#x}, whose timeout is {timeout_ms} ms, {} ms after it heard of \
                 it, {} ms of which it stood still",
                at.sid,
                silent / 1000,
                stalled / 1000
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_its_time_where_it_was_heard_of() {
        let mut lives = Lives::default();
        let at = |sid, ms: u64| At { now: ms * 1000, sid: Sid(sid) };
        lives.begins(7, 10_000);
        lives.heard(at(1, 5_000), 7);
        assert!(lives.expires(at(1, 14_000), 7).is_err());
        assert_eq!(lives.expires(at(1, 15_000), 7), Ok(()));
        assert_eq!(lives.expires(at(2, 14_000), 7), Ok(()), "that one has heard nothing");
        lives.stalled(at(1, 9_000), 4_000_000);
        assert!(lives.expires(at(1, 18_000), 7).is_err(), "it could not hear all that time");
        assert_eq!(lives.expires(at(1, 19_000), 7), Ok(()));
    }
}
