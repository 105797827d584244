//! Sessions: what a client holds from its first connect to its closing or expiry.

mod tracker;

pub(crate) use tracker::{Home, Session, SessionTracker, Standing};
