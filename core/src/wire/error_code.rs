//! Error numbers and their names (client protocol §2.5). The only place for these numbers.
//!
//! Clients throw on codes they do not know, so no code is ever invented.

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// The number on the wire and in error txns.
            pub fn number(self) -> i32 {
                match self { $(Self::$name => $number,)* }
            }

            /// The code of that number, if there is one.
            pub fn from_number(n: i32) -> Option<Self> {
                match n { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

error_codes! {
    /// The server cannot store the write: its disk is full (docs/compatibility.md).
    SystemError = -1;
    /// An operation of a multi behind the one that failed.
    RuntimeInconsistency = -2;
    /// The request cannot be decoded.
    MarshallingError = -5;
    /// No such operation, or it is switched off.
    Unimplemented = -6;
    /// Bad path, flags, TTL or configuration.
    BadArguments = -8;
    /// The new configuration has no synced quorum.
    NewConfigNoQuorum = -13;
    /// Another reconfig is under way.
    ReconfigInProgress = -14;
    /// The znode, or its parent, is missing.
    NoNode = -101;
    /// The identities of the connection do not allow it.
    NoAuth = -102;
    /// The version given is not the present one.
    BadVersion = -103;
    /// An ephemeral cannot have children.
    NoChildrenForEphemerals = -108;
    /// The znode is there already.
    NodeExists = -110;
    /// The znode has children.
    NotEmpty = -111;
    /// The session has ended or is about to.
    SessionExpired = -112;
    /// An ACL entry that means nothing here.
    InvalidAcl = -114;
    /// Authentication failed.
    AuthFailed = -115;
    /// The session was taken over through another server; never sent.
    SessionMoved = -118;
    /// A write on a read-only server.
    NotReadOnly = -119;
    /// A local session cannot own ephemerals.
    EphemeralOnLocalSession = -120;
    /// No such watch on this connection.
    NoWatcher = -121;
    /// Reconfiguration is switched off.
    ReconfigDisabled = -123;
    /// The connection has to authenticate first.
    SessionClosedRequireSaslAuth = -124;
    /// A hard quota would be exceeded.
    QuotaExceeded = -125;
    /// The request waited too long in front of the server.
    ThrottledOp = -127;
}
