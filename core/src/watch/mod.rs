//! Watches: who is interested in what, and what a change means to them.

mod manager;

pub(crate) use manager::{WatchKind, WatchManager};
