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
            let newcomers = planted(Plant::SnapshotAclStays)
                || planted(Plant::CreationLeavesParent)
                || planted(Plant::ReplayLowersParent);
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

#[cfg(test)]
mod tests {
    use super::super::data_tree::Owner;
    use super::*;
    use crate::wire::{Acl, Perms};
    use std::sync::Arc;

    const WALK: WalkId = WalkId(3);

    fn acl(perms: Perms) -> Arc<[Acl]> {
        Arc::from([Acl::world(perms)])
    }

    fn add(tree: &mut DataTree, path: &str, perms: Perms) {
        let stat = StatPersisted::default();
        tree.load(path, Some(Arc::from(path.as_bytes())), Some(&acl(perms)), stat).unwrap();
    }

    fn remove(tree: &mut DataTree, path: &str) {
        let id = tree.find(path).unwrap();
        tree.remove(id, path);
    }

    fn tree(paths: &[&str]) -> DataTree {
        let mut tree = DataTree::without_nodes(1, false);
        paths.iter().for_each(|path| add(&mut tree, path, Perms::ALL));
        tree
    }

    /// The next so many znodes, and whether that was all.
    fn steps(tree: &mut DataTree, walk: WalkId, count: usize) -> (Vec<String>, bool) {
        let mut visited = Vec::new();
        let over = tree.walk_on(walk, |visit| {
            if !visit.path.is_empty() {
                assert_eq!(visit.data, Some(visit.path.as_bytes()));
            }
            visited.push(visit.path.to_owned());
            visited.len() < count
        });
        (visited, over)
    }

    #[test]
    fn every_znode_is_visited_once_parents_first() {
        let mut tree = tree(&["/a", "/a/x", "/a/x/1", "/a/y", "/b", "/b/z"]);
        let all = ["", "/b", "/b/z", "/a", "/a/y", "/a/x", "/a/x/1"];
        for count in [1, 2, 3, 7, 100] {
            tree.start_walk(WALK);
            let mut visited = Vec::new();
            loop {
                let (some, over) = steps(&mut tree, WALK, count);
                assert!(over || some.len() == count);
                visited.extend(some);
                if over {
                    break;
                }
            }
            assert_eq!(visited, all, "{count} at a time");
            tree.end_walk(WALK);
        }
    }

    /// The log has them, with the ACL they were created with (ZOOKEEPER-3306).
    #[test]
    fn what_is_created_meanwhile_is_left_out() {
        let mut tree = tree(&["/a", "/b", "/b/x"]);
        tree.start_walk(WALK);
        assert_eq!(steps(&mut tree, WALK, 2), (vec!["".into(), "/b".into()], false));
        add(&mut tree, "/b/new", Perms::READ);
        add(&mut tree, "/a/new", Perms::READ);
        // Deleted and created again, perhaps in the same slot.
        remove(&mut tree, "/b/x");
        add(&mut tree, "/b/x", Perms::READ);
        assert_eq!(steps(&mut tree, WALK, 9), (vec!["/a".into()], true));
        tree.end_walk(WALK);
        tree.start_walk(WALK);
        assert_eq!(steps(&mut tree, WALK, 9).0.len(), 6, "the next walk knows them");
    }

    #[test]
    fn a_walk_goes_on_whatever_is_deleted_under_it() {
        let paths = ["/a", "/a/x", "/b", "/b/y", "/b/z"];
        // Behind "/b/z" comes "/b/y".
        for (gone, rest) in [
            (&["/b/y"][..], &["/a", "/a/x"][..]),
            (&["/b/z"], &["/b/y", "/a", "/a/x"]),
            (&["/b/z", "/b/y", "/b"], &["/a", "/a/x"]),
            (&["/b/y", "/a/x", "/a"], &[]),
        ] {
            let mut tree = tree(&paths);
            tree.start_walk(WALK);
            assert_eq!(steps(&mut tree, WALK, 3).0, ["", "/b", "/b/z"]);
            for path in gone {
                remove(&mut tree, path);
            }
            assert_eq!(
                steps(&mut tree, WALK, 9),
                (rest.iter().map(|p| (*p).into()).collect(), true),
                "{gone:?}"
            );
        }
    }

    /// The file names only ACLs of the table it begins with; the log has the setACL.
    #[test]
    fn an_acl_is_named_as_it_was_when_the_walk_began() {
        let mut tree = tree(&["/a", "/b"]);
        let named: BTreeSet<AclId> = tree.acl_table().map(|(id, _)| id).collect();
        let of = |tree: &DataTree, path: &str| tree.get(path).unwrap().acl_id();
        let (a, b) = (of(&tree, "/a"), of(&tree, "/b"));
        tree.start_walk(WALK);
        for perms in [Perms::READ, Perms::WRITE] {
            tree.change_acl(tree.find("/a").unwrap(), &acl(perms));
        }
        let mut visited = Vec::new();
        let over = tree.walk_on(WALK, |visit| {
            visited.push((visit.path.to_owned(), visit.acl));
            true
        });
        assert!(over);
        assert_eq!(visited[1..], [("/b".to_owned(), b), ("/a".to_owned(), a)]);
        assert!(visited[1..].iter().all(|(_, acl)| named.contains(acl)));
        tree.end_walk(WALK);
        tree.start_walk(WALK);
        let now = of(&tree, "/a");
        assert_ne!(now, a);
        tree.walk_on(WALK, |visit| {
            assert!(visit.path != "/a" || visit.acl == now, "the next walk has the new one");
            true
        });
    }

    #[test]
    fn several_walks_do_not_disturb_each_other() {
        let mut tree = tree(&["/a"]);
        let (first, second, third) = (WalkId(0), WalkId(1), WalkId(2));
        tree.start_walk(first);
        add(&mut tree, "/b", Perms::ALL);
        tree.start_walk(second);
        tree.start_walk(third);
        assert_eq!(steps(&mut tree, second, 1), (vec!["".into()], false));
        assert_eq!(steps(&mut tree, first, 9), (vec!["".into(), "/a".into()], true));
        assert_eq!(steps(&mut tree, second, 9), (vec!["/b".into(), "/a".into()], true));
        tree.end_walks_from(second);
        assert_eq!(tree.walks.keys().collect::<Vec<_>>(), [&first]);
        tree.end_walk(first);
        assert!(tree.walks.is_empty());
    }

    /// An owner is part of the Stat that is written.
    #[test]
    fn a_visit_shows_the_stat_as_it_is_kept() {
        let mut tree = DataTree::without_nodes(1, false);
        let ephemeral_owner = Owner::Ttl { ms: 5 }.stored();
        let stat = StatPersisted { ephemeral_owner, version: 3, ..StatPersisted::default() };
        tree.load("/t", None, None, stat).unwrap();
        tree.start_walk(WALK);
        let mut seen = None;
        tree.walk_on(WALK, |visit| {
            seen = Some((visit.data.map(<[u8]>::to_vec), *visit.stat));
            true
        });
        assert_eq!(seen, Some((None, stat)));
    }
}
