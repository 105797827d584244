//! What a server is in its ensemble, as far as the world has to know. The one place that asks the core.

use zoetrope_core::{Phase, Server};

/// What a server is, now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It stands alone.
    Alone,
    /// It reads its files, or looks for a leader.
    Looking,
    /// It looks for a leader, and serves clients that do not write.
    ReadOnly,
    /// It leads.
    Leader,
    /// It follows a leader and votes.
    Follower,
    /// It follows a leader and has no vote.
    Observer,
}

/// What a server is, now.
pub fn role_of(server: &Server) -> Role {
    match server.phase() {
        Phase::Standalone => Role::Alone,
        Phase::Leading => Role::Leader,
        Phase::Following => Role::Follower,
        Phase::Observing => Role::Observer,
        Phase::ReadOnly => Role::ReadOnly,
        Phase::Recovering | Phase::Looking | Phase::Halted => Role::Looking,
    }
}

/// Are clients served that want to write, now? What such a server has applied is committed.
pub fn serves(server: &Server) -> bool {
    !matches!(role_of(server), Role::Looking | Role::ReadOnly)
}
