//! Snapshots as bytes: writing one in slices, reading one in chunks (storage §2.5, §2.9). Knows no tree and does
//! no I/O; compression is the driver's.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod read;
mod write;

#[cfg(test)]
pub(crate) use read::Trailer;
pub(crate) use read::{Flaw, Item, Next, SnapshotReader};
pub(crate) use write::SnapshotWriter;

/// "ZKSN", the first four bytes of every snapshot.
const MAGIC: i32 = 0x5a4b_534e;
/// Version of the format.
const VERSION: i32 = 2;
/// Version of the digest that is written and understood (storage §2.8).
const DIGEST_VERSION: i32 = 2;
/// Ends the list of znodes, and every seal.
const END: &str = "/";
/// Ends a snapshot that is sent to a learner.
const SIGNATURE: &str = "BenWasHere";
