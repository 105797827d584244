//! Runs a server in a simulated world: one clock, one seed, and every cruelty a name.
//!
//! [`World`] holds a server, its disk, its clients and the network between them, and does one thing at a time. What it
//! did is told to a [`Judge`], which may end the run. A run is a pure function of its [`Scenario`], so a failure is a
//! scenario, and a scenario is a file.

mod client;
mod disk;
mod rng;
mod scenario;
mod schedule;
mod swarm;
mod world;

pub use disk::Keep;
pub use rng::{Rng, Streams};
pub use scenario::{Fault, Operation, Scenario, ScenarioError, Step};
pub use swarm::swarm;
pub use world::{Figures, Judge, Mistake, Outcome, World};
