//! What lasts between events: what servers are and how far their disks have come, and whom clients are connected to.

use super::pairs::Place;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use zoetrope_core::{ConnId, Zxid};
use zoetrope_io_sim::{Role, State};

/// What a server was from which event on, column by column.
#[derive(Default, Debug, Serialize)]
pub(super) struct ServerTrack {
    lane: usize,
    at: Vec<Place>,
    role: Vec<u8>,
    written: Vec<i64>,
    durable: Vec<i64>,
    applied: Vec<i64>,
    accepted: Vec<i64>,
    current: Vec<i64>,
    sessions: Vec<u64>,
    connections: Vec<u64>,
    outstanding: Vec<u64>,
}

/// Names of the roles, by the number that stands for each.
pub(super) const ROLES: [&str; 7] =
    ["no process", "alone", "looking", "read-only", "leader", "follower", "observer"];

fn number(role: Option<Role>) -> u8 {
    match role {
        None => 0,
        Some(Role::Alone) => 1,
        Some(Role::Looking) => 2,
        Some(Role::ReadOnly) => 3,
        Some(Role::Leader) => 4,
        Some(Role::Follower) => 5,
        Some(Role::Observer) => 6,
    }
}

impl ServerTrack {
    /// Of the server in that lane.
    pub(super) fn new(lane: usize) -> Self {
        Self { lane, ..Self::default() }
    }

    /// From that event on it is this. Of several states without an event between, the last is kept.
    pub(super) fn push(&mut self, at: Place, state: &State) {
        if self.at.last() == Some(&at) {
            self.pop();
        }
        let (accepted, current) =
            state.epochs.map_or((-1, -1), |(a, c)| (i64::from(a), i64::from(c)));
        self.at.push(at);
        self.role.push(number(state.role));
        self.written.push(state.written.0);
        self.durable.push(state.durable.0);
        self.applied.push(state.applied.0);
        self.accepted.push(accepted);
        self.current.push(current);
        self.sessions.push(state.sessions);
        self.connections.push(state.connections);
        self.outstanding.push(state.outstanding);
    }

    fn pop(&mut self) {
        self.at.pop();
        self.role.pop();
        for column in [&mut self.written, &mut self.durable, &mut self.applied] {
            column.pop();
        }
        self.accepted.pop();
        self.current.pop();
        for column in [&mut self.sessions, &mut self.connections, &mut self.outstanding] {
            column.pop();
        }
    }

    /// Every zxid there is.
    pub(super) fn zxids(&self) -> impl Iterator<Item = i64> + '_ {
        [&self.written, &self.durable, &self.applied].into_iter().flatten().copied()
    }

    /// Puts the place of a zxid among all of them in its stead: epochs leave gaps that no picture has room for.
    pub(super) fn rank(&mut self, ranks: &BTreeMap<i64, i64>) {
        for column in [&mut self.written, &mut self.durable, &mut self.applied] {
            column.iter_mut().for_each(|zxid| *zxid = ranks[zxid]);
        }
    }
}

/// Zxids in order, and the place of each.
pub(super) fn ranked(tracks: &mut [ServerTrack]) -> Vec<String> {
    let all: BTreeSet<i64> = tracks.iter().flat_map(ServerTrack::zxids).collect();
    let ranks = all.iter().zip(0..).map(|(zxid, rank)| (*zxid, rank)).collect();
    tracks.iter_mut().for_each(|track| track.rank(&ranks));
    all.into_iter().map(|zxid| Zxid(zxid).to_string()).collect()
}

/// Whom a client was connected to from which event on.
#[derive(Default, Debug, Serialize)]
pub(super) struct ClientTrack {
    lane: usize,
    at: Vec<Place>,
    /// Lane of the server; −1: nobody.
    server: Vec<i64>,
    /// Number of a text that says which session; −1: none yet.
    session: Vec<i64>,
    #[serde(skip)]
    conn: Option<ConnId>,
}

impl ClientTrack {
    /// Of the client in that lane.
    pub(super) fn new(lane: usize) -> Self {
        Self { lane, ..Self::default() }
    }

    pub(super) fn connects(&mut self, at: Place, conn: ConnId, server: usize) {
        self.conn = Some(conn);
        self.push(at, server as i64, -1);
    }

    pub(super) fn has_session(&mut self, at: Place, conn: ConnId, text: u32) {
        if self.conn == Some(conn) {
            let server = self.server.last().copied().unwrap_or(-1);
            self.push(at, server, i64::from(text));
        }
    }

    pub(super) fn closed(&mut self, at: Place, conn: ConnId) {
        if self.conn == Some(conn) {
            self.conn = None;
            self.push(at, -1, -1);
        }
    }

    /// Lane of the server it is connected to.
    pub(super) fn server_lane(&self) -> Option<usize> {
        self.server.last().and_then(|lane| usize::try_from(*lane).ok())
    }

    fn push(&mut self, at: Place, server: i64, session: i64) {
        if self.at.last() == Some(&at) {
            self.at.pop();
            self.server.pop();
            self.session.pop();
        }
        self.at.push(at);
        self.server.push(server);
        self.session.push(session);
    }
}
