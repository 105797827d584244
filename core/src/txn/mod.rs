//! From a client's write to a decided change.

mod outstanding;
mod prep;
#[cfg(test)]
mod prep_tests;

pub(crate) use outstanding::Outstanding;
pub(crate) use prep::{Asker, Prep};
