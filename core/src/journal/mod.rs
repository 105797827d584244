//! The txn log on disk: its records, its files, and how a server comes back from them. Does no I/O: bytes come
//! in as they were read, and go out as they shall be written.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(test)]
mod golden;
mod names;
mod record;
mod scan;
#[cfg(test)]
mod scan_tests;
mod tail;

pub(crate) use names::{
    log_name, log_zxid, logs_to_replay, purgeable, snapshot_between, snapshot_candidates,
    snapshot_name, snapshot_zxid,
};
pub(crate) use record::{
    FILE_HEADER_LEN, PREFIX_LEN, ROOM_UNIT, encode_file_header, encode_payload, encode_record,
    was_cut_to_fit,
};
pub(crate) use scan::{Record, Scanner, Verdict};
