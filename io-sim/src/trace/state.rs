//! What a server is, and how far its disk has come: what a picture shows between events.

use super::event::zxids;
use crate::device::Op;
use crate::judge::Left;
use crate::role::Role;
use std::collections::BTreeMap;
use zoetrope_core::{Server, Zxid};

/// What a server is at some moment.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct State {
    /// `None`: no process runs.
    pub role: Option<Role>,
    /// Last txn its log device has written.
    pub written: Zxid,
    /// Last txn that a loss of power leaves to it.
    pub durable: Zxid,
    /// Last txn in its tree.
    pub applied: Zxid,
    /// `acceptedEpoch` and `currentEpoch` on its disk, where they are known.
    pub epochs: Option<(u32, u32)>,
    /// Sessions it knows of, those of its own included.
    pub sessions: u64,
    /// Clients that are connected to it.
    pub connections: u64,
    /// Requests it has taken in and not answered.
    pub outstanding: u64,
}

/// A server whose state is followed.
#[derive(Clone, Default, Debug)]
pub(super) struct Watched {
    state: State,
    told: State,
    /// Where each txn of a log ends.
    logs: BTreeMap<String, Vec<(u64, Zxid)>>,
    /// How far each log is durable.
    synced: BTreeMap<String, u64>,
    /// What stands in no log that was written since the process began.
    base: Zxid,
}

impl Watched {
    /// The state, if it is another one than last time.
    pub(super) fn news(&mut self) -> Option<State> {
        if self.state == self.told {
            return None;
        }
        self.told = self.state.clone();
        Some(self.told.clone())
    }

    /// The process is gone. What it had written is told again when the next one has read it.
    pub(super) fn gone(&mut self) {
        self.state.role = None;
        (self.state.sessions, self.state.connections, self.state.outstanding) = (0, 0, 0);
        self.base = self.state.durable;
        self.logs.clear();
        self.synced.clear();
    }

    /// A new process has read the disk.
    pub(super) fn recovered(&mut self, zxid: Zxid) {
        self.base = zxid;
        self.logs.clear();
        self.synced.clear();
        self.mark();
    }

    /// Power was lost, and this is left.
    pub(super) fn left(&mut self, left: &Left<'_>) {
        self.state.epochs = left.epochs;
    }

    /// A turn is over.
    pub(super) fn turned(&mut self, role: Role, server: &Server) {
        let status = server.status();
        self.state.role = Some(role);
        self.state.applied = status.zxid_applied;
        self.state.sessions = status.sessions + status.local_sessions;
        self.state.connections = status.connections;
        self.state.outstanding = status.outstanding;
    }

    /// A device did this.
    pub(super) fn performed(&mut self, op: &Op) {
        match op {
            Op::Append { name, at, bytes } => {
                let end = at + bytes.len() as u64;
                let txns = zxids(bytes).into_iter().map(|zxid| (end, zxid));
                self.logs.entry(name.clone()).or_default().extend(txns);
            }
            // Everything that was written before it; the position it carries is the core's own.
            Op::Fsync { name, .. } => {
                let end = self.logs.get(name).and_then(|txns| txns.last());
                self.synced.insert(name.clone(), end.map_or(0, |(end, _)| *end));
            }
            Op::Rename { from, to } => {
                if let Some(txns) = self.logs.remove(from) {
                    self.logs.insert(to.clone(), txns);
                }
                if let Some(upto) = self.synced.remove(from) {
                    self.synced.insert(to.clone(), upto);
                }
            }
            Op::Truncate { name, at } => self.cut(name, *at),
            Op::Discard { name } | Op::Remove { name } => self.cut(name, 0),
            // A snapshot holds nothing that is not durable, and that of another server's tree stands for a log.
            Op::Finish { zxid, .. } => self.base = self.base.max(*zxid),
            Op::Epochs { accepted, current, .. } => self.state.epochs = Some((*accepted, *current)),
            Op::Reserve { .. } | Op::FsyncDir | Op::Slice { .. } => return,
        }
        self.mark();
    }

    /// A log ends there from now on. What this process found on its disk is read again after a cut.
    fn cut(&mut self, name: &str, at: u64) {
        if let Some(txns) = self.logs.get_mut(name) {
            txns.retain(|(end, _)| *end <= at);
        }
        if let Some(upto) = self.synced.get_mut(name) {
            *upto = at.min(*upto);
        }
    }

    fn mark(&mut self) {
        let last = |txns: &Vec<(u64, Zxid)>, upto| {
            txns.iter().rev().find(|(end, _)| *end <= upto).map(|(_, zxid)| *zxid)
        };
        let durable = |(name, txns)| last(txns, self.synced.get(name).copied().unwrap_or(0));
        let written = self.logs.values().filter_map(|txns| last(txns, u64::MAX)).max();
        let durable = self.logs.iter().filter_map(durable).max();
        self.state.durable = durable.unwrap_or_default().max(self.base);
        self.state.written = written.unwrap_or_default().max(self.base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of a log, as far as its zxid and its length are read.
    fn record(zxid: i64) -> Vec<u8> {
        let mut bytes = [&[0; 8][..], &32u32.to_be_bytes()].concat();
        bytes.extend([0; 12]);
        bytes.extend(zxid.to_be_bytes());
        bytes.resize(45, 0);
        bytes
    }

    #[test]
    fn what_is_written_becomes_durable_by_fsync_and_is_gone_behind_a_cut() {
        let mut watched = Watched::default();
        watched.recovered(Zxid(3));
        let name = || "log.4".to_owned();
        let marks = |w: &Watched| (w.state.durable.0, w.state.written.0);
        let fsync = Op::Fsync { name: name(), branch: 0, upto: 9000 };
        watched.performed(&Op::Append { name: name(), at: 16, bytes: record(4) });
        assert_eq!(marks(&watched), (3, 4));
        watched.performed(&fsync);
        watched.performed(&Op::Append { name: name(), at: 61, bytes: record(5) });
        assert_eq!(marks(&watched), (4, 5));
        watched.performed(&fsync);
        assert_eq!(marks(&watched), (5, 5));
        watched.performed(&Op::Truncate { name: name(), at: 61 });
        assert_eq!(marks(&watched), (4, 4));
        assert!(watched.news().is_some() && watched.news().is_none());
        watched.performed(&Op::Append { name: name(), at: 61, bytes: record(6) });
        watched.gone();
        assert_eq!(marks(&watched), (4, 6));
        watched.performed(&Op::Epochs { generation: 1, accepted: 2, current: 1 });
        assert_eq!((marks(&watched), watched.state.epochs), ((4, 4), Some((2, 1))));
    }
}
