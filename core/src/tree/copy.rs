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

#[cfg(test)]
mod tests {
    use super::super::data_tree::Owner;
    use super::*;
    use crate::ids::SessionId;
    use crate::wire::{Acl, Perms, StatPersisted};
    use bincode::config::standard;
    use std::sync::Arc;

    fn add(tree: &mut DataTree, path: &str) {
        let owner = if path.ends_with('e') { SessionId(7).0 } else { 0 };
        let stat = StatPersisted { ephemeral_owner: owner, ..StatPersisted::default() };
        let acl: Arc<[Acl]> = Arc::from([Acl::world(Perms::READ)]);
        tree.load(path, Some(Arc::from(path.as_bytes())), Some(&acl), stat).unwrap();
    }

    fn remove(tree: &mut DataTree, path: &str) {
        tree.remove(tree.find(path).unwrap(), path);
    }

    /// All paths with their data, Stat and ACL, in the order of a walk.
    fn contents(tree: &DataTree) -> Vec<String> {
        let ids = std::iter::successors(Some(NodeId::ROOT), |id| tree.after(*id));
        let show = |id: NodeId| {
            let (node, path) = (tree.node(id), tree.path_of(id));
            assert_eq!(tree.find(&path), Some(id));
            format!("{path} {:?} {:?} {:?}", node.data(), tree.stat(node), tree.acl(node))
        };
        ids.map(show).collect()
    }

    /// The tree as a recording keeps it, which lacks its znodes.
    fn without_znodes(tree: &DataTree) -> DataTree {
        let bytes = bincode::serde::encode_to_vec(tree, standard()).unwrap();
        bincode::serde::decode_from_slice(&bytes, standard()).unwrap().0
    }

    #[test]
    fn a_copy_is_the_tree_as_it_is_at_the_end_whatever_happens_meanwhile() {
        let mut tree = DataTree::new(1, false);
        for n in 0..20 {
            add(&mut tree, &format!("/n{n}"));
        }
        remove(&mut tree, "/n3");
        tree.start_copy();
        let mut slots = Vec::new();
        let mut copy = |tree: &mut DataTree, count: usize| {
            for _ in 0..count {
                let Some((slot, node)) = tree.copy_slot() else { return };
                let (slot, node) = (slot as usize, node.clone());
                match slot < slots.len() {
                    true => slots[slot] = node,
                    false => slots.push(node),
                }
            }
        };
        assert_eq!(tree.copy_left(), Some((24, false)));
        copy(&mut tree, 10);
        assert_eq!(tree.copy_left(), Some((14, false)));
        let n0 = tree.find("/n0").unwrap();
        tree.change_data(n0, "/n0", None, |stat| stat.version = 9);
        assert_eq!(tree.copy_left(), Some((15, false)), "it has to be copied again");
        for path in ["/n6", "/n19"] {
            let id = tree.find(path).unwrap();
            assert!(id >= NodeId(10));
            tree.change_data(id, path, None, |stat| stat.version = 9);
        }
        assert_eq!(tree.copy_left(), Some((15, false)), "their turn is still to come");
        copy(&mut tree, 14);
        assert!(tree.copy_left().is_some_and(|(left, once)| left > 0 && once));
        // Slots that were copied become free, are used again, and new ones come behind.
        remove(&mut tree, "/n1");
        remove(&mut tree, "/n15");
        for path in ["/n5/e", "/n5/f", "/n5/g", "/n5/h", "/n5/i"] {
            add(&mut tree, path);
        }
        copy(&mut tree, usize::MAX);
        assert_eq!(tree.copy_left(), Some((0, true)));
        let mut again = without_znodes(&tree);
        tree.end_copy();
        assert_eq!((tree.copy_left(), tree.copy_slot().is_none()), (None, true));
        again.set_slots(slots).unwrap();
        assert_eq!(contents(&again), contents(&tree));
        assert_eq!(
            (again.len(), again.digest(), again.size()),
            (tree.len(), tree.digest(), tree.size())
        );
        assert_eq!(again.ephemerals_of(SessionId(7)), ["/n5/e"]);
        // The same slot is used next.
        for tree in [&mut tree, &mut again] {
            add(tree, "/next");
        }
        assert_eq!(again.find("/next"), tree.find("/next"));
    }

    #[test]
    fn a_copy_of_several_blocks_is_whole() {
        let mut tree = DataTree::new(1, false);
        for n in 0..BLOCK {
            add(&mut tree, &format!("/n{n}"));
        }
        tree.start_copy();
        let slots: Vec<_> = std::iter::from_fn(|| Some(tree.copy_slot()?.1.clone())).collect();
        assert_eq!(slots.len(), BLOCK + 4);
        let mut again = without_znodes(&tree);
        again.set_slots(slots).unwrap();
        assert_eq!(again.blocks.iter().map(Vec::len).collect::<Vec<_>>(), [BLOCK, 4]);
        assert_eq!(contents(&again), contents(&tree));
    }

    #[test]
    fn slots_that_are_no_tree_are_refused() {
        let mut tree = DataTree::new(1, false);
        for path in ["/a", "/b", "/c"] {
            add(&mut tree, path);
        }
        remove(&mut tree, "/a");
        let whole = tree.blocks[0].clone();
        let freed = tree.free[0];
        let refused = |change: &dyn Fn(&mut Vec<Znode>, &mut DataTree)| {
            let (mut slots, mut again) = (whole.clone(), without_znodes(&tree));
            change(&mut slots, &mut again);
            again.set_slots(slots).err()
        };
        assert_eq!(refused(&|_, _| {}), None);
        assert_eq!(refused(&|slots, _| slots.clear()), Some("a free znode is none".into()));
        let no_root = Some("there is no root".to_owned());
        assert_eq!(refused(&|_, tree| tree.free.push(NodeId::ROOT)), no_root);
        let empty = |slots: &mut Vec<Znode>, tree: &mut DataTree| {
            slots.clear();
            tree.free.clear();
        };
        assert_eq!(refused(&empty), no_root);
        let b = tree.find("/b").unwrap().0 as usize;
        let in_the_air = Some(format!("znode {b} hangs in the air"));
        for nowhere in [freed, NodeId(whole.len() as u32)] {
            assert_eq!(refused(&|slots, _| slots[b].parent = nowhere), in_the_air);
            assert_eq!(refused(&|slots, _| slots[b].first_child = nowhere), in_the_air);
            assert_eq!(refused(&|slots, _| slots[b].next = nowhere), in_the_air);
            assert_eq!(refused(&|slots, _| slots[b].prev = nowhere), in_the_air);
        }
        assert_eq!(refused(&|slots, _| slots[b].parent = NodeId::NONE), in_the_air);
        // Nothing is asked of a slot that is free.
        assert_eq!(refused(&|slots, _| slots[freed.0 as usize].next = NodeId(99)), None);
        assert_eq!(tree.owner(tree.get("/b").unwrap()), Owner::Nobody);
    }
}
