//! Reply frames: header, watch events, multi results (client protocol §2.1, §3.7, §3.12.4).

use super::codec::Writer;
use super::error_code::ErrorCode;
use super::op_code::OpCode;
use super::stat::Stat;
use crate::ids::{Xid, Zxid};

/// Starts a frame whose length is not known yet; give the answer to [`end_frame`].
pub fn begin_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    start
}

/// Writes the length in front of a frame begun at `start`.
pub fn end_frame(out: &mut [u8], start: usize) {
    let len = (out.len() - start).saturating_sub(4) as u32;
    if let Some(prefix) = out.get_mut(start..start + 4) {
        prefix.copy_from_slice(&len.to_be_bytes());
    }
}

/// ReplyHeader, 16 bytes.
pub fn write_header(w: &mut Writer<'_>, xid: Xid, zxid: Zxid, err: i32) {
    w.int(xid.0);
    w.long(zxid.0);
    w.int(err);
}

/// What happened to a watched znode (client protocol §3.12.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EventType {
    /// It was created.
    Created,
    /// It was deleted.
    Deleted,
    /// Its data was replaced.
    DataChanged,
    /// A child was created or deleted.
    ChildrenChanged,
}

impl EventType {
    /// The number on the wire.
    pub fn number(self) -> i32 {
        match self {
            Self::Created => 1,
            Self::Deleted => 2,
            Self::DataChanged => 3,
            Self::ChildrenChanged => 4,
        }
    }

    /// The type of that number.
    pub fn from_number(n: i32) -> Option<Self> {
        match n {
            1 => Some(Self::Created),
            2 => Some(Self::Deleted),
            3 => Some(Self::DataChanged),
            4 => Some(Self::ChildrenChanged),
            _ => None,
        }
    }
}

/// A whole watch event frame.
pub fn write_event(out: &mut Vec<u8>, zxid: Zxid, kind: EventType, path: &str) {
    const SYNC_CONNECTED: i32 = 3;
    let start = begin_frame(out);
    let mut w = Writer::new(out);
    write_header(&mut w, Xid::EVENT, zxid, 0);
    w.int(kind.number());
    w.int(SYNC_CONNECTED);
    w.string(path);
    end_frame(out, start);
}

/// One entry of a multi's or multiRead's answer.
#[derive(Clone, PartialEq, Debug)]
pub enum MultiResult<'a> {
    /// create: the path.
    Path(&'a str),
    /// create2, createContainer, createTTL: path and Stat.
    PathStat(&'a str, Stat),
    /// delete.
    Deleted,
    /// setData.
    Stat(Stat),
    /// check.
    Checked,
    /// getData.
    Data(Option<&'a [u8]>, Stat),
    /// getChildren.
    Children(Vec<&'a str>),
    /// A failure; `None` is the code 0 of an operation rolled back.
    Failed(Option<ErrorCode>),
}

impl MultiResult<'_> {
    /// Appends header and payload of the entry.
    pub fn encode(&self, w: &mut Writer<'_>) {
        let (kind, err) = match self {
            Self::Path(_) => (OpCode::Create, 0),
            Self::PathStat(..) => (OpCode::Create2, 0),
            Self::Deleted => (OpCode::Delete, 0),
            Self::Stat(_) => (OpCode::SetData, 0),
            Self::Checked => (OpCode::Check, 0),
            Self::Data(..) => (OpCode::GetData, 0),
            Self::Children(_) => (OpCode::GetChildren, 0),
            Self::Failed(code) => (OpCode::Error, code.map_or(0, ErrorCode::number)),
        };
        w.int(kind.number());
        w.bool(false);
        w.int(err);
        match self {
            Self::Path(path) => w.string(path),
            Self::PathStat(path, stat) => {
                w.string(path);
                stat.encode(w);
            }
            Self::Deleted | Self::Checked => {}
            Self::Stat(stat) => stat.encode(w),
            Self::Data(data, stat) => {
                w.buffer(*data);
                stat.encode(w);
            }
            Self::Children(names) => w.strings(names),
            Self::Failed(_) => w.int(err),
        }
    }

    /// Appends the entry that ends a multi, in requests and in answers.
    pub fn encode_end(w: &mut Writer<'_>) {
        w.int(OpCode::Error.number());
        w.bool(true);
        w.int(-1);
    }
}
