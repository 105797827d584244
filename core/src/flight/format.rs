//! What stands in a file, and how a record is framed.

use super::codec;
use crate::config::Config;
use crate::ids::{Epoch, Sid, Zxid};
use crate::input::Input;
use crate::server::Listing;
use crate::time::Now;
use serde::{Deserialize, Serialize};

/// How a file begins; the last byte is the version of the format.
pub const MAGIC: &[u8; 8] = b"ZOEFLT\0\x01";

/// Names the build: its version, and a hash over the sources of this crate.
pub const BUILD: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (core ", env!("ZOETROPE_CORE_BUILD"), ")");

/// Whose recording it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct About {
    /// The server.
    pub sid: Sid,
    /// The seed of its process.
    pub seed: u64,
    /// When the file was begun: what stands in it begins then, or a moment later.
    pub begun: Now,
}

/// What a server is at some moment: enough to see that two are not the same.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// What the server does, as operators call it.
    pub phase: String,
    /// `acceptedEpoch` and `currentEpoch`.
    pub epochs: (Epoch, Epoch),
    /// The last txn applied.
    pub zxid_applied: Zxid,
    /// The last txn known to be committed.
    pub zxid_committed: Zxid,
    /// The last txn logged.
    pub zxid_proposed: Zxid,
    /// The digest of the tree (storage §2.8).
    pub tree: u64,
    /// Znodes, the root counted once.
    pub znodes: u64,
    /// Sessions the applied txns know, and sessions this server keeps time for.
    pub sessions: (u64, u64),
    /// Client connections.
    pub connections: u64,
    /// Entries of both watch tables.
    pub watches: u64,
}

/// Why a file ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum End {
    /// The next one goes on where it ends.
    Continued,
    /// The process was told to stop.
    Stopped,
    /// What follows could not be written fast enough, or not at all.
    Gap,
}

/// A record.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) enum Record<'a> {
    /// The first of a file.
    About(About),
    /// The state to begin with: a server was made of this, before its first input.
    Born { config: Box<Config>, now: Now, listing: Listing },
    /// Slots of the tree, each with its number, one behind the other. The last copy of a slot counts.
    Slots(#[serde(serialize_with = "codec::bytes::serialize")] &'a [u8]),
    /// A block of recent txns, by its number.
    Block(u64, #[serde(serialize_with = "codec::bytes::serialize")] &'a [u8]),
    /// The state to begin with is complete: the rest of the server.
    Rest(#[serde(serialize_with = "codec::bytes::serialize")] &'a [u8]),
    /// The server absorbed this.
    Input(Moment, #[serde(borrow)] Input<'a>),
    /// A turn was ended.
    Turn(Moment),
    /// What it came to: the CRC-32 over its effects and their bytes.
    Did(u32),
    /// Behind a turn.
    Checkpoint(Box<Checkpoint>),
    /// The last of a file.
    End(End),
}

/// A moment, by what has passed since the one before: µs and ms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Moment(i64, i64);

impl Moment {
    pub(super) fn new(now: Now, before: Now) -> Self {
        let mono = now.mono.0.wrapping_sub(before.mono.0) as i64;
        Self(mono, now.wall_ms.wrapping_sub(before.wall_ms))
    }

    pub(super) fn after(self, before: Now) -> Now {
        let mono = before.mono.0.wrapping_add(self.0 as u64);
        Now { mono: crate::time::Instant(mono), wall_ms: before.wall_ms.wrapping_add(self.1) }
    }
}

/// Appends a record.
pub(super) fn put(record: &Record<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME]);
    codec::encode(record, out);
    let body = &out[start + FRAME..];
    let (len, sum) = (body.len() as u32, crc32fast::hash(body));
    assert!(body.len() <= u32::MAX as usize, "a record of {} bytes", body.len());
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..start + FRAME].copy_from_slice(&sum.to_le_bytes());
}

/// Bytes in front of each record.
const FRAME: usize = 8;

/// Appends how a file begins.
pub(super) fn put_head(about: &About, out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    out.push(BUILD.len() as u8);
    out.extend_from_slice(BUILD.as_bytes());
    put(&Record::About(about.clone()), out);
}

/// Takes the record that begins at `at`, and says where the next one begins. `Err` says why there is none.
pub(super) fn take(bytes: &[u8], at: usize) -> Result<(Record<'_>, usize), &'static str> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some((len, rest)) = rest.split_first_chunk::<4>() else { return Err(CUT) };
    let Some((sum, rest)) = rest.split_first_chunk::<4>() else { return Err(CUT) };
    let len = u32::from_le_bytes(*len) as usize;
    let body = rest.get(..len).ok_or(CUT)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err("the record's checksum is wrong");
    }
    match codec::decode(body) {
        Ok((record, used)) if used == len => Ok((record, at + FRAME + len)),
        Ok(_) | Err(_) => Err("the record is none"),
    }
}

/// The file ends in the middle of a record.
const CUT: &str = "the file ends in the middle of a record";
