//! What happened when, at which server or client: values that can be compared, printed and drawn. [`Traced`] stands
//! between a world and its judge, changes nothing, and is paid for only where it is used.

mod client;
mod event;
mod flight;
mod link;
mod recorder;
mod state;
mod words;

pub use event::{DiskOp, Event, Frame, Lane, Message, What};
pub use flight::FlightTrace;
pub use recorder::{Record, Traced};
pub use state::State;
