//! The heart of Zoetrope: a ZooKeeper server as a value.
//!
//! It changes when it is told what happened ([`Input`]) and answers with a list of things to do ([`Effect`]).
//! It never waits, reads a clock, opens a file or spawns anything, and its only chance is the seed it was given.

pub mod ids;
pub mod time;
pub mod wire;
