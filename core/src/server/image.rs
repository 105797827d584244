//! The whole server as bytes, for the flight recorder (`flight/`): what of it is copied beside its running, and what at the end.

use super::Server;
use crate::effect::FileId;
use crate::flight::Checkpoint;
use crate::ids::{ChanId, Sid};
use crate::status::{Marks, ZnodeStatus};
use crate::tree::Znode;
use std::collections::BTreeMap;

impl Server {
    pub(crate) fn sid(&self) -> Sid {
        self.config.sid
    }

    /// A tree that is on its way in, from the disk or from a leader, is not copied.
    fn can_be_copied(&self) -> bool {
        !self.is_reading_disk() && !self.is_receiving_tree()
    }

    /// From here on changes are noted. False when it has to wait.
    pub(crate) fn start_copy(&mut self) -> bool {
        if self.can_be_copied() {
            self.tree.start_copy();
            self.history.start_copy();
        }
        self.can_be_copied()
    }

    pub(crate) fn end_copy(&mut self) {
        self.tree.end_copy();
        self.history.end_copy();
    }

    /// Znodes that are still to be copied, and whether each was copied once; `None`: what was copied is of no use any more.
    pub(crate) fn copy_left(&self) -> Option<(usize, bool)> {
        self.tree.copy_left().filter(|_| self.history.is_being_copied() && self.can_be_copied())
    }

    pub(crate) fn copy_slot(&mut self) -> Option<(u32, &Znode)> {
        self.tree.copy_slot()
    }

    pub(crate) fn copy_block(&mut self, all: bool) -> Option<(u64, &[u8])> {
        self.history.copy_block(all)
    }

    /// The server as it is to be written down: what it handed out last is done with, as if the next input had come.
    pub(crate) fn without_output(&mut self) -> &Self {
        self.let_go_of_output();
        self
    }

    /// Completes a copy that was read: `self` is the rest.
    pub(crate) fn complete(
        mut self,
        slots: Vec<Znode>,
        blocks: BTreeMap<u64, Vec<u8>>,
    ) -> Result<Self, String> {
        self.tree.set_slots(slots)?;
        self.history.set_blocks(blocks)?;
        Ok(self)
    }

    /// What it is, in short.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            phase: self.phase().name().to_owned(),
            epochs: (self.epochs.accepted, self.epochs.current),
            zxid_applied: self.zxid_applied,
            zxid_committed: self.committed,
            zxid_proposed: self.zxid_proposed,
            tree: self.tree.digest(),
            znodes: self.tree.len() as u64,
            sessions: (self.sessions_applied.len() as u64, self.tracker.len() as u64),
            connections: self.clients.conns.len() as u64,
            watches: self.watches.len() as u64,
        }
    }

    /// What its status leaves out.
    pub fn marks(&self) -> Marks {
        let name = |file: FileId| self.files[file.0 as usize].name.clone();
        Marks {
            leader: self.chosen.map(|chosen| chosen.vote.leader),
            log: self.journal.file().map(name),
            log_appended: self.journal.appended(),
            log_in_flight: self.journal.in_flight(),
            zxid_durable: self.journal.zxid_durable(),
            history: (self.history.base(), self.history.last()),
        }
    }

    /// Who is at the other end of a link, if that is known.
    pub fn peer_of(&self, chan: ChanId) -> Option<Sid> {
        self.peers.as_ref()?.link(chan)?.sid
    }

    /// A znode as it is applied.
    pub fn znode(&self, path: &str) -> Option<ZnodeStatus> {
        let id = self.tree.find(path)?;
        let node = self.tree.node(id);
        Some(ZnodeStatus {
            stat: self.tree.stat(node),
            data: node.data().map(<[u8]>::to_vec),
            acl: self.tree.acl(node).to_vec(),
            children: self.tree.children(id).map(str::to_owned).collect(),
        })
    }
}
