//! Runs servers in a simulated world: one clock, one seed, and every cruelty a name.
//!
//! [`World`] holds the servers with their disks, their clients and the network between all of them, and does one thing at
//! a time. What it did is told to a [`Judge`], which may end the run. A run is a pure function of its [`Scenario`], so a
//! failure is a scenario, and a scenario is a file.

mod branch;
mod client;
mod conns;
mod coverage;
mod device;
mod disk;
mod expect;
mod faults;
mod flight;
mod host;
mod judge;
mod mistake;
mod net;
mod peers;
mod rng;
mod role;
mod scenario;
mod scenario_error;
mod scenario_text;
mod schedule;
mod swarm;
mod trace;
mod turns;
mod world;

pub use client::{Client, Life};
pub use coverage::{Coverage, FAULTS, Moment, name_of, why_never};
pub use device::{Op, Queue, device_op};
pub use disk::{Disk, Keep};
pub use judge::{At, Figures, Judge, Left, Outcome, Peer, Verdict};
pub use mistake::Mistake;
pub use rng::{Rng, Streams};
pub use role::{Role, role_of, serves};
pub use scenario::{
    Fault, Files, Harm, LocalSessions, Operation, RoleName, Scenario, Step, Target,
};
pub use scenario_error::ScenarioError;
pub use swarm::{swarm, swarm_ensemble};
pub use trace::{DiskOp, Event, FlightTrace, Frame, Lane, Message, Record, State, Traced, What};
pub use world::{World, settings};
