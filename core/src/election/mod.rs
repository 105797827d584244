//! Fast leader election (quorum protocol §4): who shall lead, decided by notifications. Sends nothing itself and never
//! touches the log.

mod looking;
mod vote;

pub(crate) use looking::{Elected, Looking, Outcome};
pub(crate) use vote::Vote;
