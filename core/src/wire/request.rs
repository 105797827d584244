//! Client requests: header and bodies (client protocol §1.3, §2.4, §3.7), borrowed from their frame.

use super::acl::Perms;
use super::codec::{Malformed, Reader, Writer};
use super::op_code::OpCode;
use super::reply::{MultiResult, begin_frame, end_frame};
use crate::ids::{Xid, Zxid};
use std::borrow::Cow;

/// What a path field holds: some operations tell null from every string.
pub type Path<'a> = Option<Cow<'a, str>>;

/// First eight bytes of every request but the connect request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestHeader {
    /// Echoed in the reply.
    pub xid: Xid,
    /// Operation number; it may name nothing.
    pub kind: i32,
}

impl RequestHeader {
    /// Reads it from the front of a request.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { xid: Xid(r.int()?), kind: r.int()? })
    }
}

/// An ACL entry as a client sends it, before it is checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AclSpec<'a> {
    /// Not validated.
    pub perms: Perms,
    /// May be null.
    pub scheme: Option<Cow<'a, str>>,
    /// May be null.
    pub id: Option<Cow<'a, str>>,
}

/// create, create2, createContainer and createTTL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Create<'a> {
    /// Which of the four; decides the txn type and the form of the reply.
    pub op: OpCode,
    /// Path as requested, without the sequential suffix.
    pub path: Path<'a>,
    /// Null and empty differ.
    pub data: Option<&'a [u8]>,
    /// Null counts as empty.
    pub acl: Vec<AclSpec<'a>>,
    /// Create mode, 0 to 6 when valid.
    pub flags: i32,
    /// Time to live, ms; −1 where the request has none.
    pub ttl_ms: i64,
}

/// One operation of a multi.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum MultiOp<'a> {
    Create(Create<'a>),
    /// A createTTL whose mode names nothing: fails alone, with BadArguments.
    BadCreate,
    Delete {
        path: Cow<'a, str>,
        version: i32,
    },
    SetData {
        path: Cow<'a, str>,
        data: Option<&'a [u8]>,
        version: i32,
    },
    Check {
        path: Cow<'a, str>,
        version: i32,
    },
}

/// One operation of a multiRead. Its watch flag is decoded and ignored.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum ReadOp<'a> {
    GetData { path: Path<'a> },
    GetChildren { path: Path<'a> },
}

/// Paths to watch again after a reconnect. A null list is found out only when its turn comes: what stands in those
/// before it is done by then.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs)]
pub struct SetWatches<'a> {
    /// Last zxid the client saw.
    pub relative_zxid: Zxid,
    pub data: Option<Vec<Cow<'a, str>>>,
    pub exist: Option<Vec<Cow<'a, str>>>,
    pub child: Option<Vec<Cow<'a, str>>>,
    pub persistent: Option<Vec<Cow<'a, str>>>,
    pub recursive: Option<Vec<Cow<'a, str>>>,
}

/// Mode of addWatch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum WatchMode {
    Persistent,
    Recursive,
}

/// Which watches checkWatches and removeWatches mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum WatcherType {
    Children,
    Data,
    Any,
    Persistent,
    Recursive,
}

/// A decoded request body.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Request<'a> {
    Create(Create<'a>),
    Delete {
        path: Path<'a>,
        version: i32,
    },
    Exists {
        path: Path<'a>,
        watch: bool,
    },
    GetData {
        path: Path<'a>,
        watch: bool,
    },
    SetData {
        path: Path<'a>,
        data: Option<&'a [u8]>,
        version: i32,
    },
    GetAcl {
        path: Path<'a>,
    },
    SetAcl {
        path: Path<'a>,
        acl: Vec<AclSpec<'a>>,
        version: i32,
    },
    GetChildren {
        path: Path<'a>,
        watch: bool,
    },
    GetChildren2 {
        path: Path<'a>,
        watch: bool,
    },
    Sync {
        path: Path<'a>,
    },
    Ping,
    Multi(Vec<MultiOp<'a>>),
    MultiRead(Vec<ReadOp<'a>>),
    /// A multiRead made of writes: answered MarshallingError with an empty multi body.
    MultiReadOfWrites,
    Reconfig,
    CheckWatches {
        path: Path<'a>,
        kind: WatcherType,
    },
    RemoveWatches {
        path: Path<'a>,
        kind: WatcherType,
    },
    Auth {
        scheme: Option<Cow<'a, str>>,
        auth: Option<&'a [u8]>,
    },
    SetWatches(SetWatches<'a>),
    SetWatches2(SetWatches<'a>),
    Sasl {
        token: Option<&'a [u8]>,
    },
    GetEphemerals {
        prefix: Path<'a>,
    },
    GetAllChildrenNumber {
        path: Path<'a>,
    },
    AddWatch {
        path: Path<'a>,
        mode: WatchMode,
    },
    WhoAmI,
    CloseSession,
}

impl<'a> Request<'a> {
    /// Reads the body of `op`. Bytes behind it are ignored. The operations that clients may not send
    /// (check, deleteContainer, createSession, error) are refused as unknown.
    pub fn decode(op: OpCode, r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Self::Create(decode_create(op, r)?)
            }
            OpCode::Delete => Self::Delete { path: r.string()?, version: r.int()? },
            OpCode::Exists => Self::Exists { path: r.string()?, watch: r.bool()? },
            OpCode::GetData => Self::GetData { path: r.string()?, watch: r.bool()? },
            OpCode::SetData => {
                Self::SetData { path: r.string()?, data: r.buffer()?, version: r.int()? }
            }
            OpCode::GetAcl => Self::GetAcl { path: r.string()? },
            OpCode::SetAcl => {
                Self::SetAcl { path: r.string()?, acl: decode_acl_specs(r)?, version: r.int()? }
            }
            OpCode::GetChildren => Self::GetChildren { path: r.string()?, watch: r.bool()? },
            OpCode::GetChildren2 => Self::GetChildren2 { path: r.string()?, watch: r.bool()? },
            OpCode::Sync => Self::Sync { path: r.string()? },
            OpCode::Ping => Self::Ping,
            OpCode::Multi => Self::Multi(decode_multi(r)?),
            OpCode::MultiRead => decode_multi_read(r)?,
            OpCode::Reconfig => {
                for _ in 0..3 {
                    r.string()?;
                }
                r.long()?;
                Self::Reconfig
            }
            OpCode::CheckWatches => {
                Self::CheckWatches { path: r.string()?, kind: decode_watcher_type(r)? }
            }
            OpCode::RemoveWatches => {
                Self::RemoveWatches { path: r.string()?, kind: decode_watcher_type(r)? }
            }
            OpCode::Auth => {
                r.int()?;
                Self::Auth { scheme: r.string()?, auth: r.buffer()? }
            }
            OpCode::SetWatches => Self::SetWatches(decode_set_watches(r, false)?),
            OpCode::SetWatches2 => Self::SetWatches2(decode_set_watches(r, true)?),
            OpCode::Sasl => Self::Sasl { token: r.buffer()? },
            OpCode::GetEphemerals => Self::GetEphemerals { prefix: r.string()? },
            OpCode::GetAllChildrenNumber => Self::GetAllChildrenNumber { path: r.string()? },
            OpCode::AddWatch => Self::AddWatch { path: r.string()?, mode: decode_watch_mode(r)? },
            OpCode::WhoAmI => Self::WhoAmI,
            OpCode::CloseSession => Self::CloseSession,
            OpCode::Check | OpCode::DeleteContainer | OpCode::CreateSession | OpCode::Error => {
                return Err(Malformed::Unknown(op.number()));
            }
        })
    }

    /// Operation number of this request.
    pub fn op(&self) -> OpCode {
        match self {
            Self::Create(create) => create.op,
            Self::Delete { .. } => OpCode::Delete,
            Self::Exists { .. } => OpCode::Exists,
            Self::GetData { .. } => OpCode::GetData,
            Self::SetData { .. } => OpCode::SetData,
            Self::GetAcl { .. } => OpCode::GetAcl,
            Self::SetAcl { .. } => OpCode::SetAcl,
            Self::GetChildren { .. } => OpCode::GetChildren,
            Self::GetChildren2 { .. } => OpCode::GetChildren2,
            Self::Sync { .. } => OpCode::Sync,
            Self::Ping => OpCode::Ping,
            Self::Multi(_) => OpCode::Multi,
            Self::MultiRead(_) | Self::MultiReadOfWrites => OpCode::MultiRead,
            Self::Reconfig => OpCode::Reconfig,
            Self::CheckWatches { .. } => OpCode::CheckWatches,
            Self::RemoveWatches { .. } => OpCode::RemoveWatches,
            Self::Auth { .. } => OpCode::Auth,
            Self::SetWatches(_) => OpCode::SetWatches,
            Self::SetWatches2(_) => OpCode::SetWatches2,
            Self::Sasl { .. } => OpCode::Sasl,
            Self::GetEphemerals { .. } => OpCode::GetEphemerals,
            Self::GetAllChildrenNumber { .. } => OpCode::GetAllChildrenNumber,
            Self::AddWatch { .. } => OpCode::AddWatch,
            Self::WhoAmI => OpCode::WhoAmI,
            Self::CloseSession => OpCode::CloseSession,
        }
    }

    /// Appends the whole frame, as a client sends it.
    pub fn encode(&self, xid: Xid, out: &mut Vec<u8>) {
        let start = begin_frame(out);
        let mut w = Writer::new(out);
        w.int(xid.0);
        w.int(self.op().number());
        self.encode_body(&mut w);
        end_frame(out, start);
    }

    fn encode_body(&self, w: &mut Writer<'_>) {
        match self {
            Self::Create(create) => encode_create(create, w),
            Self::Delete { path, version } => {
                encode_path(path, w);
                w.int(*version);
            }
            Self::Exists { path, watch }
            | Self::GetData { path, watch }
            | Self::GetChildren { path, watch }
            | Self::GetChildren2 { path, watch } => {
                encode_path(path, w);
                w.bool(*watch);
            }
            Self::SetData { path, data, version } => {
                encode_path(path, w);
                w.buffer(*data);
                w.int(*version);
            }
            Self::GetAcl { path } | Self::Sync { path } | Self::GetAllChildrenNumber { path } => {
                encode_path(path, w);
            }
            Self::SetAcl { path, acl, version } => {
                encode_path(path, w);
                encode_acl_specs(acl, w);
                w.int(*version);
            }
            Self::Multi(ops) => {
                for op in ops {
                    encode_multi_op(op, w);
                }
                MultiResult::encode_end(w);
            }
            Self::MultiRead(ops) => encode_multi_read(ops, w),
            Self::MultiReadOfWrites => {
                encode_multi_header(OpCode::Delete, w);
                w.string("/");
                w.int(-1);
                MultiResult::encode_end(w);
            }
            Self::Reconfig => {
                for _ in 0..3 {
                    w.buffer(None);
                }
                w.long(-1);
            }
            Self::CheckWatches { path, kind } | Self::RemoveWatches { path, kind } => {
                encode_path(path, w);
                w.int(match kind {
                    WatcherType::Children => 1,
                    WatcherType::Data => 2,
                    WatcherType::Any => 3,
                    WatcherType::Persistent => 4,
                    WatcherType::Recursive => 5,
                });
            }
            Self::Auth { scheme, auth } => {
                w.int(0);
                encode_path(scheme, w);
                w.buffer(*auth);
            }
            Self::SetWatches(watches) => encode_set_watches(watches, false, w),
            Self::SetWatches2(watches) => encode_set_watches(watches, true, w),
            Self::Sasl { token } => w.buffer(*token),
            Self::GetEphemerals { prefix } => encode_path(prefix, w),
            Self::AddWatch { path, mode } => {
                encode_path(path, w);
                w.int(match mode {
                    WatchMode::Persistent => 0,
                    WatchMode::Recursive => 1,
                });
            }
            Self::Ping | Self::WhoAmI | Self::CloseSession => {}
        }
    }
}

fn decode_create<'a>(op: OpCode, r: &mut Reader<'a>) -> Result<Create<'a>, Malformed> {
    Ok(Create {
        op,
        path: r.string()?,
        data: r.buffer()?,
        acl: decode_acl_specs(r)?,
        flags: r.int()?,
        ttl_ms: if op == OpCode::CreateTtl { r.long()? } else { -1 },
    })
}

fn encode_create(create: &Create<'_>, w: &mut Writer<'_>) {
    encode_path(&create.path, w);
    w.buffer(create.data);
    encode_acl_specs(&create.acl, w);
    w.int(create.flags);
    if create.op == OpCode::CreateTtl {
        w.long(create.ttl_ms);
    }
}

fn encode_path(path: &Path<'_>, w: &mut Writer<'_>) {
    w.buffer(path.as_ref().map(|p| p.as_bytes()));
}

fn decode_acl_specs<'a>(r: &mut Reader<'a>) -> Result<Vec<AclSpec<'a>>, Malformed> {
    let n = r.count()?.unwrap_or(0);
    let mut all = Vec::with_capacity(n.min(r.rest().len() / 12));
    for _ in 0..n {
        all.push(AclSpec { perms: Perms(r.int()?), scheme: r.string()?, id: r.string()? });
    }
    Ok(all)
}

fn encode_acl_specs(acl: &[AclSpec<'_>], w: &mut Writer<'_>) {
    w.count(acl.len());
    for entry in acl {
        w.int(entry.perms.0);
        encode_path(&entry.scheme, w);
        encode_path(&entry.id, w);
    }
}

fn decode_watcher_type(r: &mut Reader<'_>) -> Result<WatcherType, Malformed> {
    Ok(match r.int()? {
        1 => WatcherType::Children,
        2 => WatcherType::Data,
        3 => WatcherType::Any,
        4 => WatcherType::Persistent,
        5 => WatcherType::Recursive,
        n => return Err(Malformed::Unknown(n)),
    })
}

fn decode_watch_mode(r: &mut Reader<'_>) -> Result<WatchMode, Malformed> {
    match r.int()? {
        0 => Ok(WatchMode::Persistent),
        1 => Ok(WatchMode::Recursive),
        n => Err(Malformed::Unknown(n)),
    }
}

fn decode_set_watches<'a>(r: &mut Reader<'a>, all: bool) -> Result<SetWatches<'a>, Malformed> {
    let mut watches = SetWatches {
        relative_zxid: Zxid(r.long()?),
        data: r.strings()?,
        exist: r.strings()?,
        child: r.strings()?,
        persistent: Some(Vec::new()),
        recursive: Some(Vec::new()),
    };
    if all {
        watches.persistent = r.strings()?;
        watches.recursive = r.strings()?;
    }
    Ok(watches)
}

fn encode_set_watches(watches: &SetWatches<'_>, all: bool, w: &mut Writer<'_>) {
    w.long(watches.relative_zxid.0);
    let mut put = |list: &Option<Vec<Cow<'_, str>>>| match list {
        Some(list) => w.strings(list),
        None => w.int(-1),
    };
    put(&watches.data);
    put(&watches.exist);
    put(&watches.child);
    if all {
        put(&watches.persistent);
        put(&watches.recursive);
    }
}

/// Reads the header of a multi entry: its operation, or `None` at the end.
fn decode_multi_header(r: &mut Reader<'_>) -> Result<Option<i32>, Malformed> {
    let kind = r.int()?;
    let done = r.bool()?;
    r.int()?;
    Ok((!done).then_some(kind))
}

fn encode_multi_header(op: OpCode, w: &mut Writer<'_>) {
    w.int(op.number());
    w.bool(false);
    w.int(-1);
}

fn decode_multi<'a>(r: &mut Reader<'a>) -> Result<Vec<MultiOp<'a>>, Malformed> {
    let mut ops = Vec::new();
    while let Some(kind) = decode_multi_header(r)? {
        ops.push(decode_multi_op(kind, r)?);
    }
    Ok(ops)
}

fn decode_multi_op<'a>(kind: i32, r: &mut Reader<'a>) -> Result<MultiOp<'a>, Malformed> {
    Ok(match OpCode::from_number(kind) {
        Some(
            op @ (OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl),
        ) => {
            let before = *r;
            let create = decode_create(op, r)?;
            let has_mode = (0..=6).contains(&create.flags);
            if op != OpCode::CreateTtl && has_mode && has_null_acl(before) {
                return Err(Malformed::NullAcl);
            }
            reinterpret_create(create)?
        }
        Some(OpCode::Delete) => MultiOp::Delete { path: r.some_string()?, version: r.int()? },
        Some(OpCode::SetData) => {
            MultiOp::SetData { path: r.some_string()?, data: r.buffer()?, version: r.int()? }
        }
        Some(OpCode::Check) => MultiOp::Check { path: r.some_string()?, version: r.int()? },
        _ => return Err(Malformed::Unknown(kind)),
    })
}

/// Is the ACL of this create null, rather than empty?
fn has_null_acl(mut r: Reader<'_>) -> bool {
    r.buffer().is_ok() && r.buffer().is_ok() && r.count() == Ok(None)
}

/// What a create inside a multi becomes: there, unlike alone, the mode outweighs the operation (client protocol §3.7).
fn reinterpret_create(create: Create<'_>) -> Result<MultiOp<'_>, Malformed> {
    if create.path.is_none() {
        return Err(Malformed::Null);
    }
    let op = match (create.op, create.flags) {
        (_, 4) => OpCode::CreateContainer,
        (OpCode::CreateTtl, 5 | 6) => OpCode::CreateTtl,
        (OpCode::CreateTtl, 0..=3) => OpCode::Create,
        (OpCode::CreateTtl, _) => return Ok(MultiOp::BadCreate),
        (op, 0..=3) => op,
        (_, flags) => return Err(Malformed::Unknown(flags)),
    };
    let ttl_ms = if op == OpCode::CreateTtl { create.ttl_ms } else { -1 };
    Ok(MultiOp::Create(Create { op, ttl_ms, ..create }))
}

fn encode_multi_op(op: &MultiOp<'_>, w: &mut Writer<'_>) {
    match op {
        MultiOp::Create(create) => {
            encode_multi_header(create.op, w);
            encode_create(create, w);
        }
        MultiOp::BadCreate => {
            encode_multi_header(OpCode::CreateTtl, w);
            let create = Create {
                op: OpCode::CreateTtl,
                path: Some("/".into()),
                data: None,
                acl: Vec::new(),
                flags: 7,
                ttl_ms: 1,
            };
            encode_create(&create, w);
        }
        MultiOp::Delete { path, version } => {
            encode_multi_header(OpCode::Delete, w);
            w.string(path);
            w.int(*version);
        }
        MultiOp::SetData { path, data, version } => {
            encode_multi_header(OpCode::SetData, w);
            w.string(path);
            w.buffer(*data);
            w.int(*version);
        }
        MultiOp::Check { path, version } => {
            encode_multi_header(OpCode::Check, w);
            w.string(path);
            w.int(*version);
        }
    }
}

fn encode_multi_read(ops: &[ReadOp<'_>], w: &mut Writer<'_>) {
    for op in ops {
        let (code, path) = match op {
            ReadOp::GetData { path } => (OpCode::GetData, path),
            ReadOp::GetChildren { path } => (OpCode::GetChildren, path),
        };
        encode_multi_header(code, w);
        encode_path(path, w);
        w.bool(false);
    }
    MultiResult::encode_end(w);
}

fn decode_multi_read<'a>(r: &mut Reader<'a>) -> Result<Request<'a>, Malformed> {
    let mut reads = Vec::new();
    let mut writes = 0;
    while let Some(kind) = decode_multi_header(r)? {
        match OpCode::from_number(kind) {
            Some(op @ (OpCode::GetData | OpCode::GetChildren)) => {
                let path = r.string()?;
                let _watch = r.bool()?;
                reads.push(match op {
                    OpCode::GetData => ReadOp::GetData { path },
                    _ => ReadOp::GetChildren { path },
                });
            }
            _ => {
                decode_multi_op(kind, r)?;
                writes += 1;
            }
        }
        if writes > 0 && !reads.is_empty() {
            return Err(Malformed::Unknown(kind));
        }
    }
    Ok(if writes > 0 { Request::MultiReadOfWrites } else { Request::MultiRead(reads) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As observed of Java 3.9: only a flag that names no mode outweighs an ACL that is null.
    #[test]
    fn a_null_acl_in_a_multi_spoils_it_in_its_own_way() {
        let decoded = |op: OpCode, path: Option<&str>, flags: i32| {
            let mut bytes = Vec::new();
            let mut w = Writer::new(&mut bytes);
            w.int(op.number());
            w.bool(false);
            w.int(-1);
            w.buffer(path.map(str::as_bytes));
            w.buffer(Some(b"x"));
            w.int(-1);
            w.int(flags);
            if op == OpCode::CreateTtl {
                w.long(1);
            }
            Request::decode(OpCode::Multi, &mut Reader::new(&bytes)).map(|_| ())
        };
        for op in [OpCode::Create, OpCode::Create2, OpCode::CreateContainer] {
            for path in [Some("/a"), None] {
                for flags in [0, 4, 5, 6] {
                    assert_eq!(decoded(op, path, flags), Err(Malformed::NullAcl));
                }
                assert_ne!(decoded(op, path, 7), Err(Malformed::NullAcl));
            }
        }
        assert_ne!(decoded(OpCode::CreateTtl, Some("/a"), 5), Err(Malformed::NullAcl));
    }

    fn open() -> Vec<AclSpec<'static>> {
        vec![AclSpec { perms: Perms::ALL, scheme: Some("world".into()), id: Some("anyone".into()) }]
    }

    fn create(op: OpCode, flags: i32, ttl_ms: i64) -> Create<'static> {
        Create { op, path: Some("/m".into()), data: None, acl: open(), flags, ttl_ms }
    }

    fn roundtrip(request: &Request<'_>) {
        let mut frame = Vec::new();
        request.encode(Xid(7), &mut frame);
        let mut r = Reader::new(&frame[4..]);
        let header = RequestHeader::decode(&mut r).unwrap();
        assert_eq!(header.xid, Xid(7));
        let op = OpCode::from_number(header.kind).unwrap();
        assert_eq!(&Request::decode(op, &mut r).unwrap(), request);
        assert!(r.rest().is_empty());
    }

    #[test]
    fn every_request_reads_back_as_it_was_written() {
        let path = || Some(Cow::from("/a"));
        let watches = SetWatches {
            relative_zxid: Zxid(9),
            data: Some(vec!["/a".into()]),
            exist: Some(vec![]),
            child: None,
            persistent: Some(vec![]),
            recursive: Some(vec![]),
        };
        for request in [
            Request::Create(create(OpCode::Create, 1, -1)),
            Request::Create(create(OpCode::CreateTtl, 5, 1000)),
            Request::Delete { path: path(), version: -1 },
            Request::Exists { path: None, watch: true },
            Request::GetData { path: path(), watch: false },
            Request::SetData { path: path(), data: Some(b"x"), version: 3 },
            Request::GetAcl { path: path() },
            Request::SetAcl { path: path(), acl: open(), version: 0 },
            Request::GetChildren { path: path(), watch: true },
            Request::GetChildren2 { path: path(), watch: true },
            Request::Sync { path: None },
            Request::Ping,
            Request::Multi(vec![
                MultiOp::Create(create(OpCode::Create2, 2, -1)),
                MultiOp::Delete { path: "/m".into(), version: 1 },
                MultiOp::SetData { path: "/m".into(), data: None, version: 1 },
                MultiOp::Check { path: "/m".into(), version: 1 },
                MultiOp::BadCreate,
            ]),
            Request::MultiRead(vec![
                ReadOp::GetData { path: Some("/a".into()) },
                ReadOp::GetChildren { path: None },
            ]),
            Request::MultiReadOfWrites,
            Request::Reconfig,
            Request::CheckWatches { path: path(), kind: WatcherType::Any },
            Request::RemoveWatches { path: path(), kind: WatcherType::Recursive },
            Request::Auth { scheme: Some("digest".into()), auth: Some(b"u:p") },
            Request::SetWatches(watches.clone()),
            Request::SetWatches2(SetWatches { recursive: Some(vec!["/r".into()]), ..watches }),
            Request::Sasl { token: Some(b"") },
            Request::GetEphemerals { prefix: path() },
            Request::GetAllChildrenNumber { path: path() },
            Request::AddWatch { path: path(), mode: WatchMode::Recursive },
            Request::WhoAmI,
            Request::CloseSession,
        ] {
            roundtrip(&request);
        }
    }

    #[test]
    fn in_a_multi_the_mode_outweighs_the_operation() {
        let become_of = |op, flags| match reinterpret_create(create(op, flags, 10)) {
            Ok(MultiOp::Create(c)) => Ok(Some((c.op, c.ttl_ms))),
            Ok(_) => Ok(None),
            Err(e) => Err(e),
        };
        assert_eq!(become_of(OpCode::Create, 4), Ok(Some((OpCode::CreateContainer, -1))));
        assert_eq!(become_of(OpCode::CreateTtl, 2), Ok(Some((OpCode::Create, -1))));
        assert_eq!(become_of(OpCode::CreateTtl, 6), Ok(Some((OpCode::CreateTtl, 10))));
        assert_eq!(become_of(OpCode::CreateTtl, 7), Ok(None));
        assert_eq!(become_of(OpCode::Create2, 5), Err(Malformed::Unknown(5)));
    }
}
