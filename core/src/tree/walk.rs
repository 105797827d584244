//! The walk of a snapshot over a tree that goes on changing (design: no stall, no second copy).
//!
//! The file is labelled with the zxid applied when the walk began. Znodes created during the walk are left out: the
//! log has their creation, so replay makes them, with the ACL they were created with. Everything else is written as it is
//! when the walk comes by, which replay makes right (storage §1.5). An ACL that came into the table after the walk
//! began cannot be named in the file, so the one before stands for it; the log has the setACL.

use super::acl::AclId;
use super::data_tree::{DataTree, NodeId};
use crate::planted::{Plant, planted};
use crate::wire::StatPersisted;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Names a walk: several snapshots may be under way, one to the disk and others to learners.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct WalkId(pub(crate) u64);

/// Where the walk is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Walk {
    next: Option<NodeId>,
    /// Created during the walk.
    new: BTreeSet<NodeId>,
    /// The ACLs of znodes before their first setACL during the walk.
    acl_before: BTreeMap<NodeId, AclId>,
    /// Path of the last znode. Siblings share all but its end.
    path: String,
    /// The parent of the last znode, and how many bytes of the path name it.
    parent: Option<(NodeId, usize)>,
}

/// A znode as it goes into the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit<'a> {
    pub(crate) path: &'a str,
    pub(crate) data: Option<&'a [u8]>,
    pub(crate) acl: AclId,
    pub(crate) stat: &'a StatPersisted,
}

impl Walk {
    pub(super) fn on_remove(&mut self, tree: &DataTree, id: NodeId) {
        if self.next == Some(id) {
            self.next = tree.after(id);
        }
        if self.parent.as_ref().is_some_and(|(parent, _)| *parent == id) {
            self.parent = None;
        }
        self.acl_before.remove(&id);
        self.new.remove(&id);
    }

    pub(super) fn on_insert(&mut self, id: NodeId) {
        self.new.insert(id);
    }

    pub(super) fn on_acl_change(&mut self, id: NodeId, old: AclId) {
        self.acl_before.entry(id).or_insert(old);
    }
}

impl DataTree {
    /// Begins a walk. The caller has written the ACL table.
    pub(crate) fn start_walk(&mut self, walk: WalkId) {
        let (next, new) = (Some(NodeId::ROOT), BTreeSet::new());
        let begun =
            Walk { next, new, acl_before: BTreeMap::new(), path: String::new(), parent: None };
        let before = self.walks.insert(walk, begun);
        assert!(before.is_none(), "{walk:?} is under way already");
    }

    /// Ends a walk, finished or not.
    pub(crate) fn end_walk(&mut self, walk: WalkId) {
        self.walks.remove(&walk);
    }

    /// Ends this walk and all with greater numbers.
    pub(crate) fn end_walks_from(&mut self, first: WalkId) {
        self.walks.split_off(&first);
    }

    /// Visits znodes until `visit` answers false; true when the walk is over.
    pub(crate) fn walk_on(&mut self, id: WalkId, mut visit: impl FnMut(Visit<'_>) -> bool) -> bool {
        let mut walk = self.walks.remove(&id).expect("a walk was started");
        let mut go_on = true;
        while let (true, Some(at)) = (go_on, walk.next) {
            walk.next = self.after(at);
            let node = self.node(at);
            let newcomers =
                planted(Plant::SnapshotAclStays) || planted(Plant::CreationLeavesParent);
            if walk.new.contains(&at) && !newcomers {
                continue;
            }
            self.path_in_walk(&mut walk, at);
            let acl = walk.acl_before.get(&at).copied().unwrap_or(node.acl_id());
            let (data, stat) = (node.data(), node.persisted());
            go_on = visit(Visit { path: &walk.path, data, acl, stat });
        }
        let over = walk.next.is_none();
        self.walks.insert(id, walk);
        over
    }

    fn path_in_walk(&self, walk: &mut Walk, id: NodeId) {
        if id == NodeId::ROOT {
            return;
        }
        let node = self.node(id);
        match walk.parent {
            Some((parent, above)) if parent == node.parent() => walk.path.truncate(above),
            _ => {
                walk.path = match node.parent() {
                    NodeId::ROOT => String::new(),
                    parent => self.path_of(parent),
                };
                walk.parent = Some((node.parent(), walk.path.len()));
            }
        }
        walk.path.push('/');
        walk.path.push_str(node.name());
    }

    /// ACLs in use, by number.
    pub(crate) fn acl_table(
        &self,
    ) -> impl ExactSizeIterator<Item = (AclId, &std::sync::Arc<[crate::wire::Acl]>)> {
        self.acls.iter()
    }
}
