//! From a client's write to a decided change.

mod outstanding;
mod prep;

pub(crate) use outstanding::Outstanding;
pub(crate) use prep::{Asker, Prep};
