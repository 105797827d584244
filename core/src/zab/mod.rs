//! ZAB, apart from messages: the recent txns a leader hands out, who has acknowledged what, and how a learner is brought
//! level (quorum protocol §8, §9). Pure.

mod acks;
mod history;
mod sync_plan;

pub(crate) use acks::Acks;
pub(crate) use history::History;
pub use sync_plan::SyncBranch;
pub(crate) use sync_plan::{SyncPlan, plan_sync};
