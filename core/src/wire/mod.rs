//! Bytes to records and back, exactly as ZooKeeper's jute writes them. No meaning, no state, no panic:
//! whatever arrives from outside ends in a value or in [`Malformed`].
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod acl;
mod codec;
mod connect;
mod election;
mod error_code;
mod op_code;
mod quorum;
#[cfg(test)]
mod quorum_tests;
mod reply;
mod request;
mod stat;
mod txn_record;

pub use acl::{Acl, Perms, decode_acl_vector, encode_acl_vector};
pub use codec::{Malformed, Reader, Writer};
pub use connect::{ConnectRequest, ConnectResponse};
pub use election::{
    Hello, Notification, PeerState, decode_hello, decode_notification, encode_hello,
    encode_notification,
};
pub use error_code::ErrorCode;
pub use op_code::OpCode;
pub use quorum::{
    ForwardedRequest, LearnerInfo, Packet, PacketKind, QUORUM_PROTOCOL, decode_ack_epoch,
    decode_designated_leader, decode_leader_info, decode_packet, decode_revalidate,
    decode_revalidated, decode_touches, encode_ack_epoch, encode_designated_leader,
    encode_leader_info, encode_packet, encode_request, encode_revalidate, encode_revalidated,
    encode_touches,
};
pub use reply::{EventType, MultiResult, begin_frame, end_frame, write_event, write_header};
pub use request::{
    AclSpec, Create, MultiOp, Path, ReadOp, Request, RequestHeader, SetWatches, WatchMode,
    WatcherType,
};
pub use stat::{Stat, StatPersisted};
pub use txn_record::{
    AclMemo, CreateKind, Txn, TxnHeader, decode_txn, decode_txn_with, encode_txn,
};
