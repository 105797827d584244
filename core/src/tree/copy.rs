//! The copy of a tree that goes on changing, slot by slot (flight recorder). Unlike the walk of a snapshot it ends with exactly
//! the tree there is: what changes behind it is copied again, and the last of it in one go.

use super::data_tree::{BLOCK, DataTree, NodeId, Znode};
use std::collections::BTreeSet;

/// Where the copy is.
#[derive(Clone, Default, Debug)]
pub(super) struct Copying {
    /// The first slot that was not copied yet.
    next: u32,
    /// Slots before it that have changed since.
    dirty: BTreeSet<u32>,
}

impl Copying {
    /// A znode is about to be changed.
    pub(super) fn changes(&mut self, id: NodeId) {
        if id.0 < self.next {
            self.dirty.insert(id.0);
        }
    }
}

impl DataTree {
    /// Begins a copy; one that was under way is forgotten.
    pub(crate) fn start_copy(&mut self) {
        self.copying = Some(Copying::default());
    }

    /// Ends it, finished or not.
    pub(crate) fn end_copy(&mut self) {
        self.copying = None;
    }

    /// Slots that are still to be copied, and whether each has been copied once; `None` when this is not the tree whose
    /// copy was begun.
    pub(crate) fn copy_left(&self) -> Option<(usize, bool)> {
        let copying = self.copying.as_ref()?;
        let new = self.slots() - copying.next as usize;
        Some((new + copying.dirty.len(), new == 0))
    }

    /// The next slot to be copied: free ones too, because their order decides what later znodes are.
    pub(crate) fn copy_slot(&mut self) -> Option<(u32, &Znode)> {
        let slots = self.slots();
        let copying = self.copying.as_mut()?;
        let slot = match (copying.next as usize) < slots {
            true => {
                copying.next += 1;
                copying.next - 1
            }
            false => copying.dirty.pop_first()?,
        };
        Some((slot, self.node(NodeId(slot))))
    }

    fn slots(&self) -> usize {
        // All blocks but the last are full.
        self.blocks.last().map_or(0, |last| (self.blocks.len() - 1) * BLOCK + last.len())
    }

    /// Gives a copy its znodes; `Err` where they are no tree.
    pub(crate) fn set_slots(&mut self, slots: Vec<Znode>) -> Result<(), String> {
        let len = slots.len();
        let mut free = vec![false; len];
        for id in &self.free {
            *free.get_mut(id.0 as usize).ok_or("a free znode is none")? = true;
        }
        if len == 0 || free[0] {
            return Err("there is no root".to_owned());
        }
        let is_there = |id: NodeId| free.get(id.0 as usize).is_some_and(|free| !free);
        let fits = |id: NodeId| id == NodeId::NONE || is_there(id);
        for (slot, node) in slots.iter().enumerate().filter(|(slot, _)| !free[*slot]) {
            let has_parent = is_there(node.parent) || slot == 0;
            if !has_parent || ![node.first_child, node.next, node.prev].into_iter().all(fits) {
                return Err(format!("znode {slot} hangs in the air"));
            }
        }
        let mut slots = slots.into_iter();
        loop {
            let mut block = Vec::with_capacity(BLOCK);
            block.extend(slots.by_ref().take(BLOCK));
            if block.is_empty() {
                break;
            }
            self.blocks.push(block);
        }
        for slot in (1..len).filter(|slot| !free[*slot]) {
            self.index_copied(NodeId(slot as u32));
        }
        Ok(())
    }
}
