//! Changes proposed but not yet applied: what the tree will be when everything in flight is committed. No rules.

use crate::ids::{SessionId, Zxid};
use crate::planted::{Plant, planted};
use crate::tree::{DataTree, Owner, node_digest};
use crate::wire::{Acl, StatPersisted};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A znode as it will be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeState {
    pub(crate) stat: StatPersisted,
    pub(crate) children: u32,
    pub(crate) acl: Arc<[Acl]>,
    pub(crate) crc: u32,
    pub(crate) data_len: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pending {
    zxid: Zxid,
    /// `None`: it will be gone.
    state: Option<NodeState>,
}

/// All changes in flight, and the digest of the tree behind them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outstanding {
    changes: BTreeMap<Box<str>, Pending>,
    order: VecDeque<(Zxid, Box<str>)>,
    digest: u64,
    draft: Option<Draft>,
}

/// What to restore when a draft is dropped.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Draft {
    digest: u64,
    order_len: usize,
    replaced: Vec<Option<Pending>>,
}

impl Outstanding {
    /// Nothing in flight over a tree of that digest.
    pub(crate) fn new(digest: u64) -> Self {
        Self { changes: BTreeMap::new(), order: VecDeque::new(), digest, draft: None }
    }

    /// The digest of the tree when everything in flight is applied.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The znode as it will be.
    pub(crate) fn lookup(&self, tree: &DataTree, path: &str) -> Option<NodeState> {
        let path = if path.is_empty() { "/" } else { path };
        if let Some(pending) = self.changes.get(path) {
            return pending.state.clone();
        }
        let node = tree.get(path)?;
        Some(NodeState {
            stat: *node.persisted(),
            children: node.child_count(),
            acl: tree.acl(node).clone(),
            crc: node.crc(),
            data_len: node.data().map_or(0, <[u8]>::len),
        })
    }

    /// From here on changes can be taken back, until [`Self::keep`] or [`Self::drop_draft`].
    pub(crate) fn start_draft(&mut self) {
        assert!(self.draft.is_none(), "a draft inside a draft");
        let (digest, order_len) = (self.digest, self.order.len());
        self.draft = Some(Draft { digest, order_len, replaced: Vec::new() });
    }

    /// The changes since [`Self::start_draft`] stand.
    pub(crate) fn keep(&mut self) {
        self.draft = None;
    }

    /// How many changes the draft has: a mark to go back to with [`Self::take_back_to`].
    pub(crate) fn mark(&self) -> (usize, u64) {
        (self.draft.as_ref().map_or(0, |draft| draft.replaced.len()), self.digest)
    }

    /// Takes the changes since `mark` back; those before it stay drafted.
    pub(crate) fn take_back_to(&mut self, mark: (usize, u64)) {
        let mut draft = self.draft.take().expect("only drafted changes can be taken back");
        while draft.replaced.len() > mark.0 {
            let before = draft.replaced.pop().expect("counted");
            let (_, path) = self.order.pop_back().expect("each change was queued");
            let has_children =
                |pending: &Pending| pending.state.as_ref().is_some_and(|s| s.children > 0);
            if planted(Plant::FailedMultiLeavesParent)
                && self.changes.get(&path).is_some_and(has_children)
            {
                self.order.push_front((Zxid(0), path));
                continue;
            }
            match before {
                Some(pending) => self.changes.insert(path, pending),
                None => self.changes.remove(&path),
            };
        }
        self.digest = mark.1;
        self.draft = Some(draft);
    }

    /// As if nothing had been changed since [`Self::start_draft`].
    pub(crate) fn drop_draft(&mut self) {
        let digest = self.draft.as_ref().expect("a draft was started").digest;
        self.take_back_to((0, digest));
        let draft = self.draft.take().expect("it is still there");
        assert!(self.order.len() == draft.order_len, "a dropped draft left changes behind");
    }

    /// Changes, creates or (`new` = `None`) deletes a znode. `old` is what [`Self::lookup`] says now.
    pub(crate) fn put(
        &mut self,
        zxid: Zxid,
        path: &str,
        old: Option<&NodeState>,
        new: Option<NodeState>,
    ) {
        let path = if path.is_empty() { "/" } else { path };
        let weigh = |state: &NodeState| node_digest(path, state.crc, &state.stat);
        self.digest = self.digest.wrapping_sub(old.map_or(0, weigh));
        self.digest = self.digest.wrapping_add(new.as_ref().map_or(0, weigh));
        let before = self.changes.insert(path.into(), Pending { zxid, state: new });
        self.order.push_back((zxid, path.into()));
        if let Some(draft) = &mut self.draft {
            draft.replaced.push(before);
        }
    }

    /// Everything up to `zxid` has been applied: the tree knows it now.
    pub(crate) fn forget(&mut self, zxid: Zxid) {
        while let Some((at, path)) = self.order.pop_front_if(|(at, _)| *at <= zxid) {
            if self.changes.get(&path).is_some_and(|pending| pending.zxid == at) {
                self.changes.remove(&path);
            }
        }
    }

    /// Paths the session will own when everything in flight is applied.
    pub(crate) fn ephemerals_of(&self, tree: &DataTree, session: SessionId) -> Vec<Box<str>> {
        let mut paths: Vec<Box<str>> =
            tree.ephemerals_of(session).into_iter().map(Into::into).collect();
        let owns = |state: &NodeState| {
            Owner::of(state.stat.ephemeral_owner, tree.emulates_353()) == Owner::Session(session)
        };
        let owned_now = |path: &str| {
            let node = tree.get(path);
            node.is_some_and(|node| tree.owner(node) == Owner::Session(session))
        };
        paths.retain(|path| match self.changes.get(path) {
            Some(pending) => pending.state.as_ref().is_some_and(owns),
            None => true,
        });
        for (path, pending) in &self.changes {
            if pending.state.as_ref().is_some_and(owns) && !owned_now(path) {
                paths.push(path.clone());
            }
        }
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: SessionId = SessionId(7);

    /// A znode whose data has so many bytes, of that owner.
    fn state(data_len: usize, owner: i64) -> NodeState {
        let stat = StatPersisted { ephemeral_owner: owner, ..StatPersisted::default() };
        NodeState { stat, children: 0, acl: Arc::from([]), crc: data_len as u32, data_len }
    }

    fn empty() -> (DataTree, Outstanding) {
        let tree = DataTree::new(1, false);
        let outstanding = Outstanding::new(tree.digest());
        (tree, outstanding)
    }

    fn data_len(outstanding: &Outstanding, tree: &DataTree, path: &str) -> Option<usize> {
        outstanding.lookup(tree, path).map(|state| state.data_len)
    }

    #[test]
    fn a_change_is_held_until_it_is_applied_and_no_longer() {
        let (tree, mut outstanding) = empty();
        outstanding.put(Zxid(1), "/a", None, Some(state(1, 0)));
        outstanding.put(Zxid(2), "/b", None, Some(state(2, 0)));
        outstanding.put(Zxid(3), "/a", Some(&state(1, 0)), Some(state(3, 0)));
        outstanding.forget(Zxid(1));
        assert_eq!(data_len(&outstanding, &tree, "/a"), Some(3), "a later change is in flight");
        assert_eq!(data_len(&outstanding, &tree, "/b"), Some(2));
        outstanding.forget(Zxid(2));
        assert_eq!(data_len(&outstanding, &tree, "/b"), None, "the tree speaks for itself");
        assert_eq!(data_len(&outstanding, &tree, "/a"), Some(3));
        outstanding.forget(Zxid(3));
        assert_eq!((outstanding.changes.len(), outstanding.order.len()), (0, 0));
    }

    #[test]
    fn the_root_has_two_names() {
        let (tree, mut outstanding) = empty();
        let root = outstanding.lookup(&tree, "").unwrap();
        assert_eq!((root.children, root.data_len), (1, 0));
        outstanding.put(Zxid(1), "", Some(&root), Some(state(9, 0)));
        for path in ["", "/"] {
            assert_eq!(data_len(&outstanding, &tree, path), Some(9), "{path:?}");
        }
        let digest = outstanding.digest();
        outstanding.put(Zxid(2), "/", Some(&state(9, 0)), Some(root));
        assert_eq!(outstanding.digest(), tree.digest());
        assert_ne!(digest, tree.digest());
    }

    #[test]
    fn a_dropped_draft_leaves_everything_as_it_was() {
        let (tree, mut outstanding) = empty();
        outstanding.put(Zxid(1), "/a", None, Some(state(1, 0)));
        let digest = outstanding.digest();
        outstanding.start_draft();
        outstanding.put(Zxid(2), "/a", Some(&state(1, 0)), Some(state(2, 0)));
        let (mark, marked) = (outstanding.mark(), outstanding.digest());
        outstanding.put(Zxid(2), "/a", Some(&state(2, 0)), None);
        outstanding.put(Zxid(2), "/b", None, Some(state(5, 0)));
        assert_eq!(data_len(&outstanding, &tree, "/a"), None);
        outstanding.take_back_to(mark);
        assert_eq!(outstanding.digest(), marked);
        assert_eq!(data_len(&outstanding, &tree, "/a"), Some(2), "what is before the mark stays");
        assert_eq!(data_len(&outstanding, &tree, "/b"), None);
        outstanding.drop_draft();
        assert_eq!(outstanding.digest(), digest);
        assert_eq!(data_len(&outstanding, &tree, "/a"), Some(1));
        outstanding.start_draft();
        outstanding.put(Zxid(2), "/b", None, Some(state(5, 0)));
        outstanding.keep();
        // The next draft is another one.
        outstanding.start_draft();
        outstanding.drop_draft();
        assert_eq!(data_len(&outstanding, &tree, "/b"), Some(5));
    }

    #[test]
    fn a_session_owns_what_it_will_own_when_all_is_applied() {
        let (mut tree, _) = empty();
        for path in ["/stays", "/goes", "/comes-again"] {
            tree.load(path, None, None, state(0, ME.0).stat).unwrap();
        }
        let mut outstanding = Outstanding::new(tree.digest());
        let old = Some(state(0, ME.0));
        outstanding.put(Zxid(1), "/stays", old.as_ref(), Some(state(1, ME.0)));
        outstanding.put(Zxid(2), "/goes", old.as_ref(), None);
        outstanding.put(Zxid(3), "/comes-again", old.as_ref(), None);
        outstanding.put(Zxid(4), "/comes-again", None, Some(state(0, ME.0)));
        outstanding.put(Zxid(5), "/comes", None, Some(state(0, ME.0)));
        outstanding.put(Zxid(6), "/another's", None, Some(state(0, ME.0 + 1)));
        outstanding.put(Zxid(7), "/nobody's", None, Some(state(0, 0)));
        let mut owned = outstanding.ephemerals_of(&tree, ME);
        owned.sort();
        assert_eq!(owned, ["/comes".into(), "/comes-again".into(), "/stays".into()]);
    }

    #[test]
    fn a_znode_that_passed_to_another_session_is_only_that_ones() {
        let (mut tree, _) = empty();
        tree.load("/e", None, None, state(0, ME.0).stat).unwrap();
        let mut outstanding = Outstanding::new(tree.digest());
        let (mine, yours) = (state(0, ME.0), state(0, ME.0 + 1));
        outstanding.put(Zxid(1), "/e", Some(&mine), None);
        outstanding.put(Zxid(2), "/e", None, Some(yours));
        assert_eq!(outstanding.ephemerals_of(&tree, ME), []);
        assert_eq!(outstanding.ephemerals_of(&tree, SessionId(ME.0 + 1)), ["/e".into()]);
    }

    /// Sessions of servers numbered 128 or more are negative, and so are TTLs as 3.5.3 wrote them.
    #[test]
    fn a_negative_owner_is_a_session_unless_that_of_3_5_3_is_emulated() {
        let session = SessionId(-7);
        for emulate in [false, true] {
            let tree = DataTree::new(1, emulate);
            let mut outstanding = Outstanding::new(tree.digest());
            outstanding.put(Zxid(1), "/e", None, Some(state(0, session.0)));
            let owned = outstanding.ephemerals_of(&tree, session);
            assert_eq!(owned.is_empty(), emulate);
        }
    }
}
