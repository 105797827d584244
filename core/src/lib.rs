//! The heart of Zoetrope: a ZooKeeper server as a value.
//!
//! It changes when it is told what happened ([`Input`]) and answers with a list of things to do ([`Effect`]).
//! It never waits, reads a clock, opens a file or spawns anything, and its only chance is the seed it was given.

pub mod calendar;
mod config;
mod effect;
mod election;
mod ensemble;
mod ensemble_text;
pub mod flight;
mod ids;
mod input;
mod journal;
mod planted;
pub mod properties;
mod recovery;
mod server;
mod session;
mod snapshot;
mod status;
mod time;
mod tree;
mod txn;
mod watch;
pub mod wire;
mod zab;

/// This build has known mistakes in it; a server refuses to be made of it.
pub const PLANTED_BUGS: bool = cfg!(feature = "planted-bugs");

pub use config::{Auth, Compression, Config, Containers, Limits, Storage};
pub use effect::{Dir, DropReason, Effect, FileId, FilePlace, Milestone, Refusal, Span, Timer};
pub use ensemble::{Ensemble, HostPort, Member, PeerAddress};
pub use ensemble_text::EnsembleError;
pub use ids::{ChanId, ConnId, Epoch, SessionId, Sid, Xid, Zxid};
pub use input::{Command, Device, Input, Link};
#[cfg(feature = "planted-bugs")]
pub use planted::plant;
pub use planted::{Plant, planted};
pub use server::{Listing, Server, Turn};
pub use status::{
    ConnStatus, Histogram, LeaderStatus, Marks, Phase, SessionStatus, Status, Summary, ZabState,
    ZnodeStatus,
};
pub use time::{Instant, Now};
pub use zab::SyncBranch;
