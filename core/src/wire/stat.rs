//! Stat as clients see it (client protocol §1.3): 68 bytes.

use super::codec::{Malformed, Reader, Writer};
use crate::ids::Zxid;
use serde::{Deserialize, Serialize};

/// Versions, times and counts of a znode.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stat {
    /// zxid that created the znode.
    pub czxid: Zxid,
    /// zxid that last changed its data.
    pub mzxid: Zxid,
    /// Wall clock of the creation, ms.
    pub ctime: i64,
    /// Wall clock of the last change of its data, ms.
    pub mtime: i64,
    /// Changes of the data.
    pub version: i32,
    /// Creations and deletions of children.
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// Session that owns it; 0 for anything but a normal ephemeral.
    pub ephemeral_owner: i64,
    /// Bytes of data; 0 for null.
    pub data_length: i32,
    /// Children now.
    pub num_children: i32,
    /// zxid that last created or deleted a child.
    pub pzxid: Zxid,
}

impl Stat {
    /// Appends the 68 bytes.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.long(self.czxid.0);
        w.long(self.mzxid.0);
        w.long(self.ctime);
        w.long(self.mtime);
        w.int(self.version);
        w.int(self.cversion);
        w.int(self.aversion);
        w.long(self.ephemeral_owner);
        w.int(self.data_length);
        w.int(self.num_children);
        w.long(self.pzxid.0);
    }

    /// Reads the 68 bytes.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            czxid: Zxid(r.long()?),
            mzxid: Zxid(r.long()?),
            ctime: r.long()?,
            mtime: r.long()?,
            version: r.int()?,
            cversion: r.int()?,
            aversion: r.int()?,
            ephemeral_owner: r.long()?,
            data_length: r.int()?,
            num_children: r.int()?,
            pzxid: Zxid(r.long()?),
        })
    }
}

/// Stat of a znode as it is stored: 60 bytes in snapshots (storage §2.5).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct StatPersisted {
    /// zxid that created the znode.
    pub czxid: Zxid,
    /// zxid that last changed its data.
    pub mzxid: Zxid,
    /// Wall clock of the creation, ms.
    pub ctime: i64,
    /// Wall clock of the last change of its data, ms.
    pub mtime: i64,
    /// Changes of the data.
    pub version: i32,
    /// Creations of children only: what sequential names are made of. Clients see another number.
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// Session id, or the mark of a container or TTL znode, or 0.
    pub ephemeral_owner: i64,
    /// zxid that last created or deleted a child.
    pub pzxid: Zxid,
}

impl StatPersisted {
    /// Appends the 60 bytes in the order of snapshots.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.long(self.czxid.0);
        w.long(self.mzxid.0);
        w.long(self.ctime);
        w.long(self.mtime);
        w.int(self.version);
        w.int(self.cversion);
        w.int(self.aversion);
        w.long(self.ephemeral_owner);
        w.long(self.pzxid.0);
    }

    /// Reads the 60 bytes in the order of snapshots.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            czxid: Zxid(r.long()?),
            mzxid: Zxid(r.long()?),
            ctime: r.long()?,
            mtime: r.long()?,
            version: r.int()?,
            cversion: r.int()?,
            aversion: r.int()?,
            ephemeral_owner: r.long()?,
            pzxid: Zxid(r.long()?),
        })
    }
}
