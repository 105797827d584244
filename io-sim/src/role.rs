//! What a server is in its ensemble, as far as the world has to know. The one place that asks the core.

use zoetrope_core::{Phase, Server};

/// What a server is, now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It stands alone.
    Alone,
    /// It reads its files, or looks for a leader.
    Looking,
    /// It leads.
    Leader,
    /// It follows a leader and votes.
    Follower,
    /// It follows a leader and has no vote.
    Observer,
}

/// Does the core know ensembles? Until it does, scenarios with `peers` are built, but not run by the tests.
pub fn core_runs_ensembles() -> bool {
    false
}

/// What a server is, now.
pub fn role_of(server: &Server) -> Role {
    match server.status().phase {
        Phase::Standalone => Role::Alone,
        Phase::Recovering | Phase::Halted => Role::Looking,
    }
}

/// Are clients served, now? What such a server has applied is committed.
pub fn serves(server: &Server) -> bool {
    role_of(server) != Role::Looking
}
