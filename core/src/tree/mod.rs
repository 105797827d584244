//! The tree of znodes. A committed txn cannot fail here; whether it may happen was decided by `txn::prep`.

mod acl;
mod apply;
mod copy;
mod data_tree;
mod digest;
pub(crate) mod path;
mod quota;
mod walk;

pub(crate) use acl::{Identity, OPEN, fix_up, identities_grant, mask_digests};
pub(crate) use apply::{Change, Outcome, owner_of};
pub(crate) use data_tree::{DataTree, NodeId, Owner, Znode};
pub(crate) use digest::{DigestLog, crc_of_path_and_data, node_digest};
pub(crate) use quota::{Limits as QuotaLimits, limits_path, stats_path};
pub(crate) use walk::WalkId;
