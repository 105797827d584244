//! ACL entries as records (client protocol §1.3, §3.9.1).

use super::codec::{Malformed, Reader, Writer};
use serde::{Deserialize, Serialize};

/// Permission bits. Not validated anywhere: 0 and values beyond 31 are stored as they come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Perms(pub i32);

impl Perms {
    /// Read data and children.
    pub const READ: Self = Self(1);
    /// Change data.
    pub const WRITE: Self = Self(2);
    /// Create children.
    pub const CREATE: Self = Self(4);
    /// Delete children.
    pub const DELETE: Self = Self(8);
    /// Change the ACL.
    pub const ADMIN: Self = Self(16);
    /// All of them.
    pub const ALL: Self = Self(31);
    /// Either is enough to see an ACL.
    pub const READ_OR_ADMIN: Self = Self(17);

    /// Does this entry grant one of `asked`?
    pub fn grants(self, asked: Self) -> bool {
        self.0 & asked.0 != 0
    }
}

/// Who may do what.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Acl {
    /// What is granted.
    pub perms: Perms,
    /// How the id is matched: `world`, `digest`, `ip`, `x509`, `sasl`.
    pub scheme: Box<str>,
    /// Whom it is granted to.
    pub id: Box<str>,
}

impl Acl {
    /// An entry.
    pub fn new(perms: Perms, scheme: &str, id: &str) -> Self {
        Self { perms, scheme: scheme.into(), id: id.into() }
    }

    /// `world:anyone` with `perms`.
    pub fn world(perms: Perms) -> Self {
        Self::new(perms, "world", "anyone")
    }
}

/// Appends a vector of entries.
pub fn encode_acl_vector(acl: &[Acl], w: &mut Writer<'_>) {
    w.count(acl.len());
    for entry in acl {
        w.int(entry.perms.0);
        w.string(&entry.scheme);
        w.string(&entry.id);
    }
}

/// Reads a vector of stored entries; `None` for a null vector, null strings are refused.
pub fn decode_acl_vector(r: &mut Reader<'_>) -> Result<Option<Vec<Acl>>, Malformed> {
    let Some(n) = r.count()? else { return Ok(None) };
    let mut all = Vec::with_capacity(n.min(r.rest().len() / 12));
    for _ in 0..n {
        let perms = Perms(r.int()?);
        let scheme = r.some_string()?;
        let id = r.some_string()?;
        all.push(Acl::new(perms, &scheme, &id));
    }
    Ok(Some(all))
}
