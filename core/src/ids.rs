//! One number, one type: every identifier that crosses the protocol, with its own arithmetic and nobody else's.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Names one txn for ever: epoch in the high 32 bits, counter in the low 32 (client protocol §4.3).
///
/// Signed like on the wire, because Java compares zxids as signed numbers: −1 is "before everything".
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Zxid(pub i64);

impl Zxid {
    /// No txn at all; a fresh database.
    pub const ZERO: Self = Self(0);

    /// The reign this zxid belongs to.
    pub fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }

    /// Position inside the epoch.
    pub fn counter(self) -> u32 {
        self.0 as u32
    }

    /// The zxid that follows this one. A leader must leave its epoch before the counter is used up; a standalone
    /// server goes on into the next one, as in Java.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Zxid {
    /// May this txn come right after that one? Counters have no gaps, and every epoch begins with 1.
    #[must_use]
    pub fn follows(self, before: Self) -> bool {
        self.0 == before.0.wrapping_add(1) || self.epoch() > before.epoch() && self.counter() == 1
    }

    /// The zxid of a leadership itself: no txn has it (quorum protocol §1.2).
    #[must_use]
    pub fn of_epoch(epoch: Epoch) -> Self {
        Self(i64::from(epoch.0) << 32)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// The reign of one leader.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Epoch(pub u32);

/// A session, opaque to clients. The top byte is the id of the server that created it.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct SessionId(pub i64);

impl SessionId {
    /// "No session": what a client sends first and what a refusal carries.
    pub const NONE: Self = Self(0);

    /// The first id of a server that starts at `wall_ms` (client protocol §1.5).
    ///
    /// The wall clock is used where Java takes a boot-relative one: it does not repeat after a reboot.
    pub fn seed(server: Sid, wall_ms: i64) -> Self {
        let middle = ((wall_ms as u64) << 24) >> 8;
        let id = middle as i64 | (server.0 << 56);
        // The container marker must never be a session id.
        Self(if id == i64::MIN { id + 1 } else { id })
    }

    /// The id after this one; never [`SessionId::NONE`].
    #[must_use]
    pub fn next(self) -> Self {
        match self.0.wrapping_add(1) {
            0 => Self(1),
            id => Self(id),
        }
    }

    /// Low byte of the id of the server that opened it.
    #[must_use]
    pub fn opened_at(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// The 16 bytes that prove ownership of the session; every server derives the same (client protocol §1.6).
    pub fn password(self) -> [u8; 16] {
        const MASK: u64 = (1 << 48) - 1;
        let mut state = ((self.0 as u64) ^ 0xB341_5C00 ^ 0x5_DEEC_E66D) & MASK;
        let mut bytes = [0u8; 16];
        for chunk in bytes.chunks_exact_mut(4) {
            state = state.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB) & MASK;
            chunk.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
        }
        bytes
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A server of the ensemble (`myid`); 1 for a standalone server where a session id needs one. Its low byte is the top
/// byte of the ids of sessions opened there.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Sid(pub i64);

impl Sid {
    /// What an observer votes for: nobody (quorum protocol §4.4).
    pub const NOBODY: Self = Self(i64::MIN);
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One TCP life of a client. Chosen by the driver, never used twice.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct ConnId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// One TCP life of a link to another server. Chosen by the driver, never used twice.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct ChanId(pub u64);

/// Number a client gives to a request; echoed, never validated.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Xid(pub i32);

impl Xid {
    /// xid of every watch event.
    pub const EVENT: Self = Self(-1);
    /// xid of every ping reply.
    pub const PING: Self = Self(-2);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn passwords_are_those_of_a_java_server() {
        for (id, password) in [
            (0x0100001042510000_i64, "95e0e91cfeae4b7bfb819abc77229731"),
            (0x0100001042510005, "f485cc1c1e29a8d3c5d09e9599cefd32"),
            (0x01000020f1eb0003, "045770e5b8b1238558779c0c8e408180"),
            (0x8f00000000001234_u64 as i64, "3c18abe05b0e6182741d625d127c15b0"),
        ] {
            assert_eq!(hex(&SessionId(id).password()), password);
        }
    }

    #[test]
    fn a_session_seed_carries_its_server_and_is_never_the_container_marker() {
        assert_eq!(SessionId::seed(Sid(1), 0x10_4251).0, 0x0100_0010_4251_0000);
        assert_eq!(SessionId::seed(Sid(0x80), 0).0, i64::MIN + 1);
        assert_eq!(SessionId(-1).next(), SessionId(1));
    }
}
