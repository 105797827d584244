//! Txn header and bodies as they stand in the log and in proposals (storage §2.3, §2.4, §2.6).

use super::acl::{Acl, decode_acl_vector, encode_acl_vector};
use super::codec::{Malformed, Reader, Writer};
use super::op_code::OpCode;
use crate::ids::{SessionId, Xid, Zxid};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// First 32 bytes of every txn, without the type, which the [`Txn`] knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TxnHeader {
    /// Who asked; 0 for the server's own deletions.
    pub session: SessionId,
    /// The client's number for it.
    pub cxid: Xid,
    /// Its name for ever.
    pub zxid: Zxid,
    /// Wall clock of the server that prepared it, ms.
    pub time_ms: i64,
}

/// What a create makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CreateKind {
    /// Txn type create (1) or create2 (15), persistent or owned by the session.
    Plain {
        /// Logged as create2.
        with_stat: bool,
        /// Ends with its session.
        ephemeral: bool,
    },
    /// Removed when it has lost its last child.
    Container,
    /// Removed when it is childless and unmodified for that long.
    Ttl {
        /// Milliseconds, 1 to 2^40 − 1.
        ttl_ms: i64,
    },
}

/// A decided change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Txn {
    Create {
        path: Box<str>,
        data: Option<Arc<[u8]>>,
        acl: Arc<[Acl]>,
        kind: CreateKind,
        /// The parent's stored cversion afterwards; −1 stands for "one more than it is".
        parent_cversion: i32,
    },
    Delete {
        path: Box<str>,
        /// The server's own deletion of a container or an expired TTL znode.
        by_server: bool,
    },
    SetData {
        path: Box<str>,
        data: Option<Arc<[u8]>>,
        /// The version afterwards.
        version: i32,
        reconfig: bool,
    },
    SetAcl {
        path: Box<str>,
        acl: Arc<[Acl]>,
        /// The aversion afterwards.
        version: i32,
    },
    /// Only inside a multi; checked when it was prepared, so it changes nothing.
    Check {
        path: Box<str>,
        version: i32,
    },
    Multi(Vec<Txn>),
    CreateSession {
        timeout_ms: i32,
    },
    /// Ephemerals that go with the session; `None` in logs of servers before 3.6.
    CloseSession {
        paths: Option<Vec<Box<str>>>,
    },
    Error {
        code: i32,
    },
}

impl Txn {
    /// Its type in the header.
    pub fn op(&self) -> OpCode {
        match self {
            Self::Create { kind: CreateKind::Plain { with_stat: false, .. }, .. } => OpCode::Create,
            Self::Create { kind: CreateKind::Plain { with_stat: true, .. }, .. } => OpCode::Create2,
            Self::Create { kind: CreateKind::Container, .. } => OpCode::CreateContainer,
            Self::Create { kind: CreateKind::Ttl { .. }, .. } => OpCode::CreateTtl,
            Self::Delete { by_server: false, .. } => OpCode::Delete,
            Self::Delete { by_server: true, .. } => OpCode::DeleteContainer,
            Self::SetData { reconfig: false, .. } => OpCode::SetData,
            Self::SetData { reconfig: true, .. } => OpCode::Reconfig,
            Self::SetAcl { .. } => OpCode::SetAcl,
            Self::Check { .. } => OpCode::Check,
            Self::Multi(_) => OpCode::Multi,
            Self::CreateSession { .. } => OpCode::CreateSession,
            Self::CloseSession { .. } => OpCode::CloseSession,
            Self::Error { .. } => OpCode::Error,
        }
    }

    /// Does a digest stand behind it in the log? Only a lone error has none.
    pub fn has_digest(&self) -> bool {
        !matches!(self, Self::Error { .. })
    }

    fn encode_body(&self, w: &mut Writer<'_>) {
        match self {
            Self::Create { path, data, acl, kind, parent_cversion } => {
                w.string(path);
                w.buffer(data.as_deref());
                encode_acl_vector(acl, w);
                match kind {
                    CreateKind::Plain { ephemeral, .. } => {
                        w.bool(*ephemeral);
                        w.int(*parent_cversion);
                    }
                    CreateKind::Container => w.int(*parent_cversion),
                    CreateKind::Ttl { ttl_ms } => {
                        w.int(*parent_cversion);
                        w.long(*ttl_ms);
                    }
                }
            }
            Self::Delete { path, .. } => w.string(path),
            Self::SetData { path, data, version, .. } => {
                w.string(path);
                w.buffer(data.as_deref());
                w.int(*version);
            }
            Self::SetAcl { path, acl, version } => {
                w.string(path);
                encode_acl_vector(acl, w);
                w.int(*version);
            }
            Self::Check { path, version } => {
                w.string(path);
                w.int(*version);
            }
            Self::Multi(ops) => {
                w.count(ops.len());
                let mut body = Vec::new();
                for op in ops {
                    body.clear();
                    op.encode_body(&mut Writer::new(&mut body));
                    w.int(op.op().number());
                    w.buffer(Some(&body));
                }
            }
            Self::CreateSession { timeout_ms } => w.int(*timeout_ms),
            // A missing list before a digest is ambiguous to Java, so a list is always written.
            Self::CloseSession { paths } => w.strings(paths.as_deref().unwrap_or_default()),
            Self::Error { code } => w.int(*code),
        }
    }
}

/// Digest version written and understood (storage §2.8).
const DIGEST_VERSION: i32 = 2;

/// Appends header, body and digest: the payload of a log entry and of a PROPOSAL.
///
/// `digest` is the tree digest after this txn; a lone error has none whatever is given.
pub fn encode_txn(header: &TxnHeader, txn: &Txn, digest: Option<u64>, out: &mut Vec<u8>) {
    let mut w = Writer::new(out);
    w.long(header.session.0);
    w.int(header.cxid.0);
    w.long(header.zxid.0);
    w.long(header.time_ms);
    w.int(txn.op().number());
    txn.encode_body(&mut w);
    if let Some(digest) = digest.filter(|_| txn.has_digest()) {
        w.int(DIGEST_VERSION);
        w.long(digest as i64);
    }
}

/// The last ACL that was read. Most txns of a log have the same one, and its bytes say where it ends.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct AclMemo {
    bytes: Vec<u8>,
    list: Option<Arc<[Acl]>>,
}

/// Reads the payload of a log entry: header, txn, and the digest where one of the known version stands there.
pub fn decode_txn(payload: &[u8]) -> Result<(TxnHeader, Txn, Option<u64>), Malformed> {
    decode_txn_with(payload, &mut AclMemo::default())
}

/// The same for many payloads.
pub fn decode_txn_with(
    payload: &[u8],
    memo: &mut AclMemo,
) -> Result<(TxnHeader, Txn, Option<u64>), Malformed> {
    let mut r = Reader::new(payload);
    let session = SessionId(r.long()?);
    let cxid = Xid(r.int()?);
    let header = TxnHeader { session, cxid, zxid: Zxid(r.long()?), time_ms: r.long()? };
    let kind = r.int()?;
    let txn = match OpCode::from_number(kind) {
        Some(OpCode::Check) | None => return Err(Malformed::Unknown(kind)),
        Some(op) => decode_body(op, &mut r, memo)?,
    };
    let digest = match r.int() {
        Ok(DIGEST_VERSION) => Some(r.long()? as u64),
        Ok(_) | Err(_) => None,
    };
    Ok((header, txn, digest))
}

fn decode_body(op: OpCode, r: &mut Reader<'_>, memo: &mut AclMemo) -> Result<Txn, Malformed> {
    Ok(match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            decode_create(op, r, memo)?
        }
        OpCode::Delete | OpCode::DeleteContainer => {
            Txn::Delete { path: path(r)?, by_server: op == OpCode::DeleteContainer }
        }
        OpCode::SetData | OpCode::Reconfig => Txn::SetData {
            path: path(r)?,
            data: r.buffer()?.map(Arc::from),
            version: r.int()?,
            reconfig: op == OpCode::Reconfig,
        },
        OpCode::SetAcl => Txn::SetAcl { path: path(r)?, acl: acl(r, memo)?, version: r.int()? },
        OpCode::Check => Txn::Check { path: path(r)?, version: r.int()? },
        OpCode::Multi => decode_multi(r, memo)?,
        OpCode::CreateSession => Txn::CreateSession { timeout_ms: r.int()? },
        OpCode::CloseSession => decode_close_session(r)?,
        OpCode::Error => Txn::Error { code: r.int()? },
        OpCode::Exists
        | OpCode::GetData
        | OpCode::GetAcl
        | OpCode::GetChildren
        | OpCode::Sync
        | OpCode::Ping
        | OpCode::GetChildren2
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::MultiRead
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::Sasl
        | OpCode::GetEphemerals
        | OpCode::GetAllChildrenNumber
        | OpCode::SetWatches2
        | OpCode::AddWatch
        | OpCode::WhoAmI => return Err(Malformed::Unknown(op.number())),
    })
}

fn path(r: &mut Reader<'_>) -> Result<Box<str>, Malformed> {
    Ok(r.some_string()?.into())
}

fn acl(r: &mut Reader<'_>, memo: &mut AclMemo) -> Result<Arc<[Acl]>, Malformed> {
    let bytes = r.rest();
    if let Some(list) = memo.list.as_ref().filter(|_| bytes.starts_with(&memo.bytes)) {
        r.take(memo.bytes.len())?;
        return Ok(list.clone());
    }
    let list: Arc<[Acl]> = decode_acl_vector(r)?.ok_or(Malformed::Null)?.into();
    let used = bytes.len() - r.rest().len();
    memo.bytes.clear();
    memo.bytes.extend_from_slice(bytes.get(..used).unwrap_or_default());
    memo.list = Some(list.clone());
    Ok(list)
}

fn decode_create(op: OpCode, r: &mut Reader<'_>, memo: &mut AclMemo) -> Result<Txn, Malformed> {
    let path = path(r)?;
    let data = r.buffer()?.map(Arc::from);
    let acl = acl(r, memo)?;
    let (kind, parent_cversion) = match op {
        OpCode::CreateContainer => (CreateKind::Container, r.int()?),
        OpCode::CreateTtl => {
            let parent_cversion = r.int()?;
            (CreateKind::Ttl { ttl_ms: r.long()? }, parent_cversion)
        }
        _ => {
            let ephemeral = r.bool()?;
            let kind = CreateKind::Plain { with_stat: op == OpCode::Create2, ephemeral };
            // Servers before 3.4 end the record here, and never wrote a digest behind it.
            (kind, if r.rest().is_empty() { -1 } else { r.int()? })
        }
    };
    Ok(Txn::Create { path, data, acl, kind, parent_cversion })
}

fn decode_close_session(r: &mut Reader<'_>) -> Result<Txn, Malformed> {
    // Twelve bytes that begin with the digest version are a digest behind a missing list: as a list of
    // two paths they would have to be two strings of together zero bytes and four bytes too many.
    let bodyless = r.rest().len() == 12 && Reader::new(r.rest()).int() == Ok(DIGEST_VERSION);
    if r.rest().is_empty() || bodyless {
        return Ok(Txn::CloseSession { paths: None });
    }
    let paths = r.strings()?.ok_or(Malformed::Null)?;
    Ok(Txn::CloseSession { paths: Some(paths.into_iter().map(Into::into).collect()) })
}

fn decode_multi(r: &mut Reader<'_>, memo: &mut AclMemo) -> Result<Txn, Malformed> {
    let n = r.count()?.ok_or(Malformed::Null)?;
    let mut ops = Vec::with_capacity(n.min(r.rest().len() / 8));
    for _ in 0..n {
        let kind = r.int()?;
        let body = r.buffer()?.ok_or(Malformed::Null)?;
        let op = match OpCode::from_number(kind) {
            Some(
                op @ (OpCode::Create
                | OpCode::Create2
                | OpCode::CreateContainer
                | OpCode::CreateTtl
                | OpCode::Delete
                | OpCode::DeleteContainer
                | OpCode::SetData
                | OpCode::Check
                | OpCode::Error),
            ) => op,
            _ => return Err(Malformed::Unknown(kind)),
        };
        ops.push(decode_body(op, &mut Reader::new(body), memo)?);
    }
    Ok(Txn::Multi(ops))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Perms;

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        digits
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn records_of_a_java_server_read_and_write_back_identically() {
        for text in [
            "0100000e0e0d0000 00000000 0000000100000001 000001a2039b29a9 fffffff6 00002710
             00000002 0000000051c6d660",
            "0100000e0e0d0000 00000001 0000000100000002 000001a2039b29c5 00000001 00000002 2f61
             00000005 68656c6c6f 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00
             00000001 00000002 00000001860a562e",
            "0100000e0e0d0000 00000007 0000000100000008 000001a2039b2a07 ffffffff fffffffa",
            "0100000e0e0d0000 0000000d 000000010000000e 000001a2039b2a2f 0000000e 00000004
             0000000d 0000000a 00000002 2f61 00000002 00000001 0000002c 00000003 2f6d31 00000001 64
             00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00 00000003 00000005
             00000010 00000002 2f61 00000002 6d6d 00000002 00000002 00000007 00000003 2f6d31
             00000002 00000003f24008f9",
        ] {
            let bytes = unhex(text);
            let (header, txn, digest) = decode_txn(&bytes).unwrap();
            let mut again = Vec::new();
            encode_txn(&header, &txn, digest, &mut again);
            assert_eq!(again, bytes);
        }
    }

    #[test]
    fn an_acl_that_was_read_before_is_told_from_one_that_only_begins_like_it() {
        let acls = [
            vec![Acl::new(Perms(31), "world", "anyone")],
            vec![Acl::new(Perms(31), "world", "anyone"), Acl::new(Perms(1), "ip", "::1")],
            vec![Acl::new(Perms(31), "world", "anyone")],
            vec![Acl::new(Perms(1), "world", "anyone")],
        ];
        let header = TxnHeader { session: SessionId(1), cxid: Xid(1), zxid: Zxid(1), time_ms: 1 };
        let mut memo = AclMemo::default();
        for acl in acls {
            let txn = Txn::SetAcl { path: "/a".into(), acl: acl.into(), version: 3 };
            let mut bytes = Vec::new();
            encode_txn(&header, &txn, Some(7), &mut bytes);
            assert_eq!(decode_txn_with(&bytes, &mut memo), Ok((header, txn, Some(7))));
        }
    }

    #[test]
    fn a_close_session_without_a_list_is_told_from_one_with_two_paths() {
        let header = unhex("0100000e0e0d0000 00000000 0000000100000001 000001a2039b29a9 fffffff5");
        let decode = |tail: &str| decode_txn(&[header.clone(), unhex(tail)].concat()).unwrap();
        let none = Txn::CloseSession { paths: None };
        assert_eq!(decode("").1, none);
        assert_eq!(decode("00000002 0000000051c6d660").1, none);
        assert_eq!(decode("00000002 0000000051c6d660").2, Some(0x51c6d660));
        assert_eq!(decode("00000000").1, Txn::CloseSession { paths: Some(vec![]) });
    }
}
