//! Operation numbers and their names (client protocol §2.3). The only place for these numbers.

use serde::{Deserialize, Serialize};

macro_rules! op_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $label:literal;)*) => {
        /// What a request asks for, or what a txn did.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        pub enum OpCode { $($(#[$doc])* $name,)* }

        impl OpCode {
            /// The number on the wire.
            pub fn number(self) -> i32 {
                match self { $(Self::$name => $number,)* }
            }

            /// The operation of that number, if there is one.
            pub fn from_number(n: i32) -> Option<Self> {
                match n { $($number => Some(Self::$name),)* _ => None }
            }

            /// Four-letter name in `cons` (client protocol §5.3).
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

op_codes! {
    /// Create a znode; answers its path.
    Create = 1, "CREA";
    /// Delete a znode without children.
    Delete = 2, "DELE";
    /// Stat of a znode; may watch it even when it is missing.
    Exists = 3, "EXIS";
    /// Data and Stat.
    GetData = 4, "GETD";
    /// Replace the data.
    SetData = 5, "SETD";
    /// ACL and Stat.
    GetAcl = 6, "GETA";
    /// Replace the ACL.
    SetAcl = 7, "SETA";
    /// Names of the children.
    GetChildren = 8, "GETC";
    /// Wait until this server has applied what the leader had proposed.
    Sync = 9, "SYNC";
    /// Keep the session alive.
    Ping = 11, "PING";
    /// Names of the children and Stat.
    GetChildren2 = 12, "GETC";
    /// Version check, only inside a multi.
    Check = 13, "CHEC";
    /// Several writes, one txn.
    Multi = 14, "MULT";
    /// Create, answering path and Stat.
    Create2 = 15, "CREA";
    /// Change the members of the ensemble.
    Reconfig = 16, "RECO";
    /// Is there such a watch on this connection?
    CheckWatches = 17, "CHKW";
    /// Remove watches of this connection.
    RemoveWatches = 18, "REMW";
    /// Create a container znode.
    CreateContainer = 19, "CREA";
    /// The server's own deletion of an empty container or an expired TTL znode.
    DeleteContainer = 20, "DELE";
    /// Create a znode with a time to live.
    CreateTtl = 21, "CREA";
    /// Several reads, one reply.
    MultiRead = 22, "MLTR";
    /// Add an identity to the connection.
    Auth = 100, "NA";
    /// Re-register one-shot watches after a reconnect.
    SetWatches = 101, "SETW";
    /// One round of a SASL exchange.
    Sasl = 102, "NA";
    /// Ephemerals of this session.
    GetEphemerals = 103, "GETE";
    /// Number of descendants.
    GetAllChildrenNumber = 104, "GETACN";
    /// Re-register all kinds of watches after a reconnect.
    SetWatches2 = 105, "STW2";
    /// Add a persistent watch.
    AddWatch = 106, "ADDW";
    /// Identities of this connection.
    WhoAmI = 107, "HOMI";
    /// Open a session.
    CreateSession = -10, "SESS";
    /// End a session.
    CloseSession = -11, "CLOS";
    /// A write that was refused; txns and multi results only.
    Error = -1, "NA";
}
