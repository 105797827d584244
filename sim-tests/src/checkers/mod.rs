//! Checks of what an ensemble promises, one file per subject: the packets on a link, the disk, the order of txns, what
//! leaders have heard of sessions, and what binds them.

mod disk;
mod ensemble;
mod history;
mod links;
mod lives;
mod packet;
mod votes;

pub(crate) use ensemble::Protocol;
pub(crate) use history::{epoch, names_no_txn};
pub(crate) use lives::Lives;
