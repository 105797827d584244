//! DataTree: znodes in a slab, found by parent and name. No full path is kept per znode.

use super::acl::{AclId, AclTable, OPEN};
use super::copy::Copying;
use super::digest::{crc_of_path_and_data, node_digest};
use super::path;
use super::quota;
use super::walk::{Walk, WalkId};
use crate::ids::SessionId;
use crate::wire::{Acl, Perms, Stat, StatPersisted};
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::Arc;

/// Place of a znode in the slab.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct NodeId(pub(super) u32);

impl NodeId {
    /// The root never moves.
    pub(crate) const ROOT: Self = Self(0);
    pub(super) const NONE: Self = Self(u32::MAX);

    fn some(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

/// Who a znode goes with, as its stored owner says (client protocol §3.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Nobody,
    Session(SessionId),
    Container,
    Ttl { ms: i64 },
}

impl Owner {
    const CONTAINER: i64 = i64::MIN;
    const TTL_MASK: i64 = 0xff_ffff_ffff;
    /// Longest time to live, ms.
    pub(crate) const TTL_MAX_MS: i64 = Self::TTL_MASK;

    /// Reads a stored owner. TTL owners are known whether or not they may be created: a server that took them for
    /// sessions would delete them while starting (storage §1.8).
    pub(crate) fn of(stored: i64, emulate_353: bool) -> Self {
        match stored {
            0 => Self::Nobody,
            Self::CONTAINER => Self::Container,
            // A server numbered 255 makes session ids that begin with 0xff too, but never with two zero bytes behind it.
            _ if (stored as u64) >> 40 == 0xff_0000 => Self::Ttl { ms: stored & Self::TTL_MASK },
            _ if stored < 0 && emulate_353 => Self::Ttl { ms: stored & Self::TTL_MASK },
            _ => Self::Session(SessionId(stored)),
        }
    }

    /// The number that stands in Stat and digest.
    pub(crate) fn stored(self) -> i64 {
        match self {
            Self::Nobody => 0,
            Self::Session(id) => id.0,
            Self::Container => Self::CONTAINER,
            Self::Ttl { ms } => ((0xff_u64 << 56) as i64) | (ms & Self::TTL_MASK),
        }
    }
}

/// One znode. Its children form a list through their siblings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Znode {
    name: Box<str>,
    #[serde(with = "crate::flight::optional_bytes")]
    pub(super) data: Option<Arc<[u8]>>,
    pub(super) stat: StatPersisted,
    pub(super) acl: AclId,
    pub(super) parent: NodeId,
    pub(super) first_child: NodeId,
    pub(super) next: NodeId,
    pub(super) prev: NodeId,
    pub(super) children: u32,
    /// CRC-32 of path and data, so that a change of Stat costs 60 bytes of checksum only.
    crc: u32,
}

impl Znode {
    pub(crate) fn data(&self) -> Option<&[u8]> {
        self.data.as_deref()
    }

    pub(crate) fn persisted(&self) -> &StatPersisted {
        &self.stat
    }

    pub(crate) fn child_count(&self) -> u32 {
        self.children
    }

    pub(crate) fn crc(&self) -> u32 {
        self.crc
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn parent(&self) -> NodeId {
        self.parent
    }

    pub(crate) fn acl_id(&self) -> AclId {
        self.acl
    }
}

/// Znodes per block of the slab: growing never moves a znode, and never needs twice the memory.
pub(super) const BLOCK: usize = 4096;

/// A znode in the index. Its hash stands beside it, because growing the index would else look at every znode.
#[derive(Clone, Copy, Debug)]
struct Slot {
    id: NodeId,
    hash: u32,
}

impl Slot {
    /// The hash of the table, which wants the top bits to differ.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// The tree, its indexes, and its digest. As a record it lacks its znodes, and what follows from them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DataTree {
    #[serde(skip)]
    pub(super) blocks: Vec<Vec<Znode>>,
    pub(super) free: Vec<NodeId>,
    /// Looked up by parent and name, never iterated; the keys of its hash come from the run's seed.
    #[serde(skip)]
    index: HashTable<Slot>,
    hash_keys: (u64, u64),
    pub(super) acls: AclTable,
    #[serde(skip)]
    ephemerals: BTreeMap<SessionId, BTreeSet<NodeId>>,
    #[serde(skip)]
    containers: BTreeSet<NodeId>,
    #[serde(skip)]
    ttls: BTreeSet<NodeId>,
    /// Paths with a quota.
    pub(super) quotas: BTreeSet<Box<str>>,
    pub(super) digest: u64,
    /// Bytes of paths and data, counted like Java.
    size: u64,
    emulate_353: bool,
    /// A path that is not ASCII was ever in it.
    non_ascii: bool,
    /// The snapshots under way.
    pub(super) walks: BTreeMap<WalkId, Walk>,
    /// Who copies it znode by znode, and has to know what changes meanwhile.
    #[serde(skip)]
    pub(super) copying: Option<Copying>,
}

impl DataTree {
    /// The tree of an empty database (storage §2.5). `seed` keys the index.
    pub(crate) fn new(seed: u64, emulate_353: bool) -> Self {
        let mut tree = Self::without_nodes(seed, emulate_353);
        let read: Arc<[Acl]> = Arc::from([Acl::world(Perms::READ)]);
        let config = StatPersisted { aversion: -1, ..StatPersisted::default() };
        let empty = || Some(Arc::from([]));
        let root = NodeId::ROOT;
        let zookeeper = tree.insert(root, "/zookeeper", empty(), OPEN, StatPersisted::default());
        let read = tree.acls.add(&read);
        tree.insert(zookeeper, "/zookeeper/config", empty(), read, config);
        tree.insert(zookeeper, "/zookeeper/quota", empty(), OPEN, StatPersisted::default());
        tree
    }

    /// The root alone, for a snapshot to be loaded into.
    pub(crate) fn without_nodes(seed: u64, emulate_353: bool) -> Self {
        let mut tree = Self {
            blocks: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hash_keys: (seed, seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15),
            acls: AclTable::new(),
            ephemerals: BTreeMap::new(),
            containers: BTreeSet::new(),
            ttls: BTreeSet::new(),
            quotas: BTreeSet::new(),
            digest: 0,
            // Java counts the root under two names, one of them a byte long.
            size: 1,
            emulate_353,
            non_ascii: false,
            walks: BTreeMap::new(),
            copying: None,
        };
        let root = Znode {
            name: "".into(),
            data: Some(Arc::from([])),
            stat: StatPersisted::default(),
            acl: OPEN,
            parent: NodeId::NONE,
            first_child: NodeId::NONE,
            next: NodeId::NONE,
            prev: NodeId::NONE,
            children: 0,
            crc: crc_of_path_and_data("/", None),
        };
        tree.digest = node_digest("/", root.crc, &root.stat);
        tree.put_in_slab(root);
        tree
    }

    pub(crate) fn node(&self, id: NodeId) -> &Znode {
        &self.blocks[id.0 as usize / BLOCK][id.0 as usize % BLOCK]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Znode {
        if let Some(copying) = &mut self.copying {
            copying.changes(id);
        }
        &mut self.blocks[id.0 as usize / BLOCK][id.0 as usize % BLOCK]
    }

    fn put_in_slab(&mut self, node: Znode) -> NodeId {
        if let Some(id) = self.free.pop() {
            *self.node_mut(id) = node;
            return id;
        }
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(node),
            Some(_) | None => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(node);
                self.blocks.push(block);
            }
        }
        let last = self.blocks.len() - 1;
        NodeId((last * BLOCK + self.blocks[last].len() - 1) as u32)
    }

    fn hash_of(&self, parent: NodeId, name: &str) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.hash_keys.0, self.hash_keys.1);
        hasher.write_u32(parent.0);
        hasher.write(name.as_bytes());
        hasher.finish() as u32
    }

    fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        let hash = self.hash_of(parent, name);
        let is_it = |slot: &Slot| {
            let node = self.node(slot.id);
            slot.hash == hash && node.parent == parent && &*node.name == name
        };
        self.index.find(Slot::spread(hash), is_it).map(|slot| slot.id)
    }

    /// The znode of that path. `""` is another name of the root, as in Java.
    pub(crate) fn find(&self, path: &str) -> Option<NodeId> {
        if matches!(path, "" | "/") {
            return Some(NodeId::ROOT);
        }
        path.strip_prefix('/')?
            .split('/')
            .try_fold(NodeId::ROOT, |parent, name| self.child(parent, name))
    }

    /// The znode of that path, whose parent has been found.
    pub(super) fn find_under(&self, parent: NodeId, path: &str, name: &str) -> Option<NodeId> {
        if path == "/" { Some(NodeId::ROOT) } else { self.child(parent, name) }
    }

    /// The znode of that path.
    pub(crate) fn get(&self, path: &str) -> Option<&Znode> {
        self.find(path).map(|id| self.node(id))
    }

    /// The path of a znode.
    pub(crate) fn path_of(&self, id: NodeId) -> String {
        if id == NodeId::ROOT {
            return "/".into();
        }
        let mut names = Vec::new();
        let mut at = id;
        while at != NodeId::ROOT {
            names.push(&*self.node(at).name);
            at = self.node(at).parent;
        }
        let mut path = String::with_capacity(names.iter().map(|n| n.len() + 1).sum());
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// Names of the children, in the order they were created, newest first.
    pub(crate) fn children(&self, id: NodeId) -> impl Iterator<Item = &str> {
        self.child_ids(id).map(|child| &*self.node(child).name)
    }

    pub(super) fn child_ids(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let first = self.node(id).first_child.some();
        std::iter::successors(first, |at| self.node(*at).next.some())
    }

    /// The znode after `id` when parents come before their children; `None` at the end.
    pub(super) fn after(&self, id: NodeId) -> Option<NodeId> {
        self.node(id).first_child.some().or_else(|| self.after_subtree(id))
    }

    fn after_subtree(&self, id: NodeId) -> Option<NodeId> {
        let mut at = id;
        loop {
            if let Some(next) = self.node(at).next.some() {
                return Some(next);
            }
            at = self.node(at).parent.some()?;
        }
    }

    /// Stat as clients see it: creations and deletions in cversion, no owner but a session.
    pub(crate) fn stat(&self, node: &Znode) -> Stat {
        client_stat(&node.stat, node.children, node.data(), self.emulate_353)
    }

    pub(crate) fn acl(&self, node: &Znode) -> &Arc<[Acl]> {
        self.acls.list(node.acl)
    }

    pub(crate) fn owner(&self, node: &Znode) -> Owner {
        Owner::of(node.stat.ephemeral_owner, self.emulate_353)
    }

    pub(crate) fn emulates_353(&self) -> bool {
        self.emulate_353
    }

    /// Digest of the tree now.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Was a path that is not ASCII ever in it?
    pub(crate) fn has_non_ascii(&self) -> bool {
        self.non_ascii
    }

    /// Znodes, the root counted once.
    pub(crate) fn len(&self) -> usize {
        self.blocks.iter().map(Vec::len).sum::<usize>() - self.free.len()
    }

    /// Bytes of all paths and data, like Java.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Paths of the ephemerals of a session.
    pub(crate) fn ephemerals_of(&self, session: SessionId) -> Vec<String> {
        let nodes = self.ephemerals.get(&session);
        nodes.into_iter().flatten().map(|id| self.path_of(*id)).collect()
    }

    /// Sessions that own ephemerals.
    pub(crate) fn ephemeral_owners(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.ephemerals.keys().copied()
    }

    /// Number of ephemerals.
    pub(crate) fn ephemeral_count(&self) -> usize {
        self.ephemerals.values().map(BTreeSet::len).sum()
    }

    /// Containers and TTL znodes.
    pub(crate) fn reapable(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.containers.iter().chain(&self.ttls).copied()
    }

    /// Adds a znode whose parent exists and which does not exist. The parent's Stat is left alone.
    pub(super) fn insert(
        &mut self,
        parent: NodeId,
        path: &str,
        data: Option<Arc<[u8]>>,
        acl: AclId,
        stat: StatPersisted,
    ) -> NodeId {
        let (_, name) = path::split(path).expect("a znode's path has a parent");
        let node = Znode {
            name: name.into(),
            crc: crc_of_path_and_data(path, data.as_deref()),
            data,
            stat,
            acl,
            parent,
            first_child: NodeId::NONE,
            next: self.node(parent).first_child,
            prev: NodeId::NONE,
            children: 0,
        };
        self.insert_under(parent, name, path, node)
    }

    fn insert_under(&mut self, parent: NodeId, name: &str, path: &str, node: Znode) -> NodeId {
        let (first, owner) = (node.next, node.stat.ephemeral_owner);
        self.digest = self.digest.wrapping_add(node_digest(path, node.crc, &node.stat));
        self.non_ascii |= !name.is_ascii();
        self.resize(0, path.len() + node.data.as_deref().map_or(0, <[u8]>::len));
        let hash = self.hash_of(parent, name);
        let id = self.put_in_slab(node);
        if let Some(first) = first.some() {
            self.node_mut(first).prev = id;
        }
        let above = self.node_mut(parent);
        above.first_child = id;
        above.children += 1;
        self.enter_indexes(id, hash, owner);
        for walk in self.walks.values_mut() {
            walk.on_insert(id);
        }
        id
    }

    fn enter_indexes(&mut self, id: NodeId, hash: u32, owner: i64) {
        let slot = Slot { id, hash };
        self.index.insert_unique(Slot::spread(hash), slot, |slot| Slot::spread(slot.hash));
        match Owner::of(owner, self.emulate_353) {
            Owner::Nobody => {}
            Owner::Session(session) => {
                self.ephemerals.entry(session).or_default().insert(id);
            }
            Owner::Container => {
                self.containers.insert(id);
            }
            Owner::Ttl { .. } => {
                self.ttls.insert(id);
            }
        }
    }

    /// A znode that came by itself, as a copy, is found from now on.
    pub(super) fn index_copied(&mut self, id: NodeId) {
        let node = self.node(id);
        let (parent, owner) = (node.parent, node.stat.ephemeral_owner);
        let hash = self.hash_of(parent, &self.node(id).name);
        self.enter_indexes(id, hash, owner);
    }

    /// Takes a childless znode out. The parent's Stat is left alone.
    pub(super) fn remove(&mut self, id: NodeId, path: &str) {
        let mut walks = std::mem::take(&mut self.walks);
        for walk in walks.values_mut() {
            walk.on_remove(self, id);
        }
        self.walks = walks;
        let (prev, next, parent, children, owner, acl) = {
            let node = self.node(id);
            let owner = self.owner(node);
            (node.prev, node.next, node.parent, node.children, owner, node.acl)
        };
        assert!(children == 0, "{path} has {children} children and cannot go");
        self.forget_digest_of(id, path);
        let data_len = self.node(id).data.as_deref().map_or(0, <[u8]>::len);
        self.resize(path.len() + data_len, 0);
        let hash = self.hash_of(parent, &self.node(id).name);
        let entry = self.index.find_entry(Slot::spread(hash), |slot| slot.id == id);
        entry.expect("every znode is in the index").remove();
        match prev.some() {
            Some(prev) => self.node_mut(prev).next = next,
            None => self.node_mut(parent).first_child = next,
        }
        if let Some(next) = next.some() {
            self.node_mut(next).prev = prev;
        }
        self.node_mut(parent).children -= 1;
        match owner {
            Owner::Nobody => {}
            Owner::Session(session) => {
                let mine = self.ephemerals.get_mut(&session).expect("the owner was indexed");
                mine.remove(&id);
                if mine.is_empty() {
                    self.ephemerals.remove(&session);
                }
            }
            Owner::Container => {
                self.containers.remove(&id);
            }
            Owner::Ttl { .. } => {
                self.ttls.remove(&id);
            }
        }
        self.acls.remove(acl);
        let gone = self.node_mut(id);
        gone.name = "".into();
        gone.data = None;
        gone.parent = NodeId::NONE;
        self.free.push(id);
    }

    fn forget_digest_of(&mut self, id: NodeId, path: &str) {
        let node = self.node(id);
        self.digest = self.digest.wrapping_sub(node_digest(path, node.crc, &node.stat));
    }

    fn add_digest_of(&mut self, id: NodeId, path: &str) {
        let node = self.node(id);
        self.digest = self.digest.wrapping_add(node_digest(path, node.crc, &node.stat));
    }

    /// So many bytes go, and so many come.
    fn resize(&mut self, less: usize, more: usize) {
        let left = self.size.checked_sub(less as u64);
        self.size = left.expect("bytes that go were counted when they came") + more as u64;
    }

    /// Changes the Stat of a znode and keeps the digest right.
    pub(super) fn change_stat(
        &mut self,
        id: NodeId,
        path: &str,
        change: impl FnOnce(&mut StatPersisted),
    ) {
        self.forget_digest_of(id, path);
        change(&mut self.node_mut(id).stat);
        self.add_digest_of(id, path);
    }

    /// Replaces data and Stat of a znode and keeps the digest right.
    pub(super) fn change_data(
        &mut self,
        id: NodeId,
        path: &str,
        data: Option<Arc<[u8]>>,
        change: impl FnOnce(&mut StatPersisted),
    ) {
        self.forget_digest_of(id, path);
        let (old, new) = (
            self.node(id).data.as_deref().map_or(0, <[u8]>::len),
            data.as_deref().map_or(0, <[u8]>::len),
        );
        self.resize(old, new);
        let node = self.node_mut(id);
        node.crc = crc_of_path_and_data(path, data.as_deref());
        node.data = data;
        change(&mut node.stat);
        self.add_digest_of(id, path);
    }

    /// Gives a znode another ACL.
    pub(super) fn change_acl(&mut self, id: NodeId, list: &Arc<[Acl]>) {
        let old = self.node(id).acl;
        let new = self.acls.add(list);
        for walk in self.walks.values_mut() {
            walk.on_acl_change(id, old);
        }
        self.acls.remove(old);
        self.node_mut(id).acl = new;
    }

    /// Loads one znode of a snapshot, parents before children. `Err` when its parent is missing or it is there
    /// already. Without an ACL anybody may do anything to it: of one the snapshot names and does not define, the caller says
    /// what it is to be.
    pub(crate) fn load(
        &mut self,
        path: &str,
        data: Option<Arc<[u8]>>,
        acl: Option<&Arc<[Acl]>>,
        stat: StatPersisted,
    ) -> Result<(), ()> {
        let acl = acl.map_or(OPEN, |list| self.acls.add(list));
        if matches!(path, "" | "/") {
            self.forget_digest_of(NodeId::ROOT, "/");
            let len = |data: Option<&[u8]>| data.map_or(0, <[u8]>::len);
            self.resize(len(self.node(NodeId::ROOT).data()), len(data.as_deref()));
            let root = self.node_mut(NodeId::ROOT);
            root.crc = crc_of_path_and_data("/", data.as_deref());
            root.data = data;
            root.stat = stat;
            root.acl = acl;
            self.add_digest_of(NodeId::ROOT, "/");
            return Ok(());
        }
        let (parent, name) = path::split(path).ok_or(())?;
        let parent = self.find(parent).ok_or(())?;
        if self.child(parent, name).is_some() {
            return Err(());
        }
        self.insert(parent, path, data, acl, stat);
        Ok(())
    }

    /// After a snapshot is loaded: finds the quotas and counts what stands below them.
    pub(crate) fn set_up_quotas(&mut self) {
        let Some(quota) = self.find("/zookeeper/quota") else { return };
        let mut at = self.node(quota).first_child.some();
        let end = self.after_subtree(quota);
        while at != end {
            let Some(id) = at else { break };
            let parent = self.path_of(self.node(id).parent);
            if let Some(path) = quota::quota_of_parent(&parent) {
                if &*self.node(id).name == "zookeeper_limits" {
                    self.quotas.insert(path.into());
                }
                if &*self.node(id).name == "zookeeper_stats" {
                    self.recount(path);
                }
            }
            at = self.after(id);
        }
    }

    /// Writes the present figures of the subtree of `path` into its stats znode.
    pub(super) fn recount(&mut self, path: &str) {
        let (mut count, mut bytes) = (0i64, 0i64);
        if let Some(top) = self.find(path) {
            let end = self.after_subtree(top);
            let mut at = Some(top);
            while at != end {
                let Some(id) = at else { break };
                count += 1;
                bytes += self.node(id).data.as_deref().map_or(0, <[u8]>::len) as i64;
                at = self.after(id);
            }
        }
        self.write_figures(path, count, bytes);
    }

    /// Adds to the figures of a quota. A side effect of a txn, not a change of its own: no Stat moves.
    pub(super) fn add_to_figures(&mut self, path: &str, count: i64, bytes: i64) {
        let Some(stats) = self.get(&quota::stats_path(path)) else { return };
        let now = quota::Limits::parse(stats.data().unwrap_or_default());
        let now = now.unwrap_or(quota::Limits::NONE);
        self.write_figures(path, now.count.wrapping_add(count), now.bytes.wrapping_add(bytes));
    }

    fn write_figures(&mut self, path: &str, count: i64, bytes: i64) {
        if let Some(stats) = self.find(&quota::stats_path(path)) {
            let text = quota::stats_text(count, bytes);
            self.resize(self.node(stats).data().map_or(0, <[u8]>::len), text.len());
            self.node_mut(stats).data = Some(Arc::from(text.as_bytes()));
        }
    }

    /// The deepest path with a quota at or above `path`.
    pub(crate) fn quota_above<'p>(&self, path: &'p str) -> Option<&'p str> {
        if self.quotas.is_empty() {
            return None;
        }
        path::with_ancestors(path).find(|path| self.quotas.contains(*path))
    }

    /// Number of descendants of a znode.
    pub(crate) fn descendants(&self, top: NodeId) -> usize {
        let end = self.after_subtree(top);
        let mut count = 0;
        let mut at = self.after(top);
        while at != end {
            let Some(id) = at else { break };
            count += 1;
            at = self.after(id);
        }
        count
    }
}

/// Stat as clients see it (client protocol §3.1).
pub(crate) fn client_stat(
    stored: &StatPersisted,
    children: u32,
    data: Option<&[u8]>,
    emulate_353: bool,
) -> Stat {
    let owner = match Owner::of(stored.ephemeral_owner, emulate_353) {
        Owner::Session(id) => id.0,
        Owner::Nobody | Owner::Container | Owner::Ttl { .. } => 0,
    };
    Stat {
        czxid: stored.czxid,
        mzxid: stored.mzxid,
        ctime: stored.ctime,
        mtime: stored.mtime,
        version: stored.version,
        cversion: stored.cversion.wrapping_mul(2).wrapping_sub(children as i32),
        aversion: stored.aversion,
        ephemeral_owner: owner,
        data_length: data.map_or(0, <[u8]>::len) as i32,
        num_children: children as i32,
        pzxid: stored.pzxid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_tree_is_that_of_a_java_server() {
        let tree = DataTree::new(1, false);
        assert_eq!(tree.digest(), 1_371_985_504);
        assert_eq!(tree.len(), 4);
        assert_eq!(tree.size(), 44);
        assert_eq!(tree.stat(tree.get("/").unwrap()).cversion, -1);
        assert_eq!(tree.stat(tree.get("/zookeeper").unwrap()).cversion, -2);
        assert_eq!(tree.descendants(NodeId::ROOT), 3);
    }

    #[test]
    fn odd_paths_name_nothing() {
        let tree = DataTree::new(1, false);
        assert_eq!(tree.find(""), Some(NodeId::ROOT));
        for path in ["zookeeper", "/zookeeper/", "//zookeeper", "/nope", "//"] {
            assert_eq!(tree.find(path), None, "{path}");
        }
    }

    #[test]
    fn a_slot_is_used_again_and_the_index_follows() {
        let mut tree = DataTree::new(7, false);
        let before = tree.digest();
        for round in 0..3 {
            let ids: Vec<_> = (0..50)
                .map(|n| {
                    let stat = StatPersisted::default();
                    tree.insert(NodeId::ROOT, &format!("/n{n}"), None, OPEN, stat)
                })
                .collect();
            for (n, id) in ids.into_iter().enumerate() {
                assert_eq!(tree.find(&format!("/n{n}")), Some(id));
                tree.remove(id, &format!("/n{n}"));
            }
            assert_eq!((tree.len(), tree.digest()), (4, before), "round {round}");
        }
        assert_eq!((tree.blocks[0].len(), tree.index.len()), (54, 3));
    }

    #[test]
    fn stored_owners_read_back() {
        for owner in
            [Owner::Nobody, Owner::Container, Owner::Ttl { ms: 5 }, Owner::Session(SessionId(9))]
        {
            assert_eq!(Owner::of(owner.stored(), false), owner);
        }
        assert_eq!(Owner::of(-2i64 << 56 | 7, true), Owner::Ttl { ms: 7 });
    }

    fn stat_of(owner: Owner) -> StatPersisted {
        StatPersisted { ephemeral_owner: owner.stored(), ..StatPersisted::default() }
    }

    fn add(tree: &mut DataTree, path: &str, owner: Owner) -> NodeId {
        tree.load(path, Some(Arc::from(&b"data"[..])), None, stat_of(owner)).unwrap();
        tree.find(path).unwrap()
    }

    fn remove(tree: &mut DataTree, path: &str) {
        tree.remove(tree.find(path).unwrap(), path);
    }

    /// Digest, number and bytes of what is there, counted afresh.
    fn counted(tree: &DataTree) -> (u64, usize, u64) {
        let (mut digest, mut len, mut size) = (0u64, 0, 1);
        let mut at = Some(NodeId::ROOT);
        while let Some(id) = at {
            let (node, path) = (tree.node(id), tree.path_of(id));
            let crc = crc_of_path_and_data(&path, node.data());
            digest = digest.wrapping_add(node_digest(&path, crc, node.persisted()));
            len += 1;
            let path_len = if id == NodeId::ROOT { 0 } else { path.len() };
            size += (path_len + node.data().map_or(0, <[u8]>::len)) as u64;
            at = tree.after(id);
        }
        (digest, len, size)
    }

    #[test]
    fn digest_number_and_size_are_those_of_what_is_there() {
        let mut tree = DataTree::new(1, false);
        let check = |tree: &DataTree| {
            assert_eq!((tree.digest(), tree.len(), tree.size()), counted(tree));
        };
        check(&tree);
        let id = add(&mut tree, "/a", Owner::Nobody);
        add(&mut tree, "/a/b", Owner::Nobody);
        check(&tree);
        for data in [Some(Arc::from(&b"longer than before"[..])), Some(Arc::from([1])), None] {
            tree.change_data(id, "/a", data, |stat| stat.version += 1);
            check(&tree);
        }
        tree.change_stat(id, "/a", |stat| stat.cversion = 5);
        check(&tree);
        tree.change_stat(NodeId::ROOT, "/", |stat| stat.cversion = 5);
        check(&tree);
        remove(&mut tree, "/a/b");
        check(&tree);
    }

    #[test]
    fn an_acl_that_was_replaced_or_went_with_its_znode_is_not_kept() {
        let mut tree = DataTree::new(1, false);
        let before = tree.acl_table().len();
        let acl = |perms| -> Arc<[Acl]> { Arc::from([Acl::world(perms)]) };
        tree.load("/a", None, Some(&acl(Perms::WRITE)), StatPersisted::default()).unwrap();
        let id = tree.find("/a").unwrap();
        for perms in [Perms::ADMIN, Perms::CREATE, Perms::CREATE] {
            tree.change_acl(id, &acl(perms));
            assert_eq!(tree.acl(tree.node(id)), &acl(perms));
            assert_eq!(tree.acl_table().len(), before + 1);
        }
        tree.remove(id, "/a");
        assert_eq!(tree.acl_table().len(), before);
    }

    #[test]
    fn owned_znodes_are_listed_while_they_are_there() {
        let mut tree = DataTree::new(1, false);
        let (me, you) = (SessionId(7), SessionId(8));
        for (path, owner) in [
            ("/c", Owner::Container),
            ("/t", Owner::Ttl { ms: 5 }),
            ("/mine", Owner::Session(me)),
            ("/mine-too", Owner::Session(me)),
            ("/yours", Owner::Session(you)),
            ("/nobody's", Owner::Nobody),
        ] {
            let id = add(&mut tree, path, owner);
            assert_eq!(tree.owner(tree.node(id)), owner);
        }
        let reapable = |tree: &DataTree| -> Vec<String> {
            tree.reapable().map(|id| tree.path_of(id)).collect()
        };
        assert_eq!(reapable(&tree), ["/c", "/t"]);
        assert_eq!(tree.ephemerals_of(me), ["/mine", "/mine-too"]);
        assert_eq!(tree.ephemerals_of(SessionId(9)), [""; 0]);
        assert_eq!(tree.ephemeral_count(), 3);
        assert_eq!(tree.ephemeral_owners().collect::<Vec<_>>(), [me, you]);
        for path in ["/mine", "/yours", "/c"] {
            remove(&mut tree, path);
        }
        assert_eq!(
            (reapable(&tree), tree.ephemerals_of(me)),
            (vec!["/t".into()], vec!["/mine-too".into()])
        );
        assert_eq!(tree.ephemeral_owners().collect::<Vec<_>>(), [me]);
        for path in ["/mine-too", "/t", "/nobody's"] {
            remove(&mut tree, path);
        }
        assert_eq!((tree.ephemeral_count(), tree.reapable().count()), (0, 0));
        assert_eq!(tree.ephemeral_owners().count(), 0);
    }

    #[test]
    fn an_owner_is_a_session_unless_it_is_marked_as_something_else() {
        // A server numbered 255, whose sessions begin like a TTL.
        for session in [0xff00_0100_0000_0000_u64 as i64, 0xff01_0000_0000_0007_u64 as i64, -7] {
            assert_eq!(Owner::of(session, false), Owner::Session(SessionId(session)));
        }
        let emulated = Owner::Ttl { ms: (-7i64) & Owner::TTL_MAX_MS };
        assert_eq!(Owner::of(-7, true), emulated);
        assert_eq!(Owner::of(7, true), Owner::Session(SessionId(7)));
        assert_eq!(Owner::of(i64::MIN, true), Owner::Container);
        let longest = Owner::Ttl { ms: Owner::TTL_MAX_MS };
        assert_eq!(longest.stored(), 0xff00_00ff_ffff_ffff_u64 as i64);
        assert_eq!(Owner::of(longest.stored(), false), longest);
    }

    /// Only a session is shown as owner, and deletions count (client protocol §3.1).
    #[test]
    fn clients_see_creations_and_deletions_and_no_owner_but_a_session() {
        for (owner, shown) in [
            (Owner::Nobody, 0),
            (Owner::Container, 0),
            (Owner::Ttl { ms: 5 }, 0),
            (Owner::Session(SessionId(7)), 7),
        ] {
            let stored = StatPersisted { cversion: 5, ..stat_of(owner) };
            let stat = client_stat(&stored, 2, Some(b"abc"), false);
            assert_eq!((stat.ephemeral_owner, stat.cversion), (shown, 8));
            assert_eq!((stat.num_children, stat.data_length), (2, 3));
        }
        let stored = StatPersisted { cversion: i32::MAX, ..StatPersisted::default() };
        let stat = client_stat(&stored, 1, None, false);
        assert_eq!((stat.cversion, stat.data_length), (-3, 0), "it wraps, as in Java");
    }

    #[test]
    fn siblings_stay_in_order_wherever_one_is_taken_out() {
        for gone in ["/p/a", "/p/b", "/p/c", "/p/d"] {
            let mut tree = DataTree::new(1, false);
            let top = add(&mut tree, "/p", Owner::Nobody);
            for path in ["/p/a", "/p/b", "/p/c", "/p/d"] {
                add(&mut tree, path, Owner::Nobody);
            }
            remove(&mut tree, gone);
            let left = |tree: &DataTree| -> Vec<String> {
                tree.children(top).map(|name| format!("/p/{name}")).collect()
            };
            let mut expected = vec!["/p/d", "/p/c", "/p/b", "/p/a"];
            expected.retain(|path| *path != gone);
            assert_eq!(left(&tree), expected);
            assert_eq!(tree.node(top).child_count(), 3);
            add(&mut tree, "/p/e", Owner::Nobody);
            expected.insert(0, "/p/e");
            assert_eq!(left(&tree), expected);
            for path in expected {
                remove(&mut tree, path);
            }
            assert_eq!((left(&tree), tree.descendants(top)), (vec![], 0));
        }
    }

    #[test]
    fn parents_come_before_their_children_and_a_subtree_ends_where_it_ends() {
        let mut tree = DataTree::without_nodes(1, false);
        for path in ["/a", "/b", "/b/x", "/b/x/y", "/b/z", "/c"] {
            add(&mut tree, path, Owner::Nobody);
        }
        let mut paths = Vec::new();
        let mut at = Some(NodeId::ROOT);
        while let Some(id) = at {
            paths.push(tree.path_of(id));
            at = tree.after(id);
        }
        assert_eq!(paths, ["/", "/c", "/b", "/b/z", "/b/x", "/b/x/y", "/a"]);
        for (path, count) in [("/", 6), ("/a", 0), ("/b", 3), ("/b/x", 1), ("/b/x/y", 0)] {
            assert_eq!(tree.descendants(tree.find(path).unwrap()), count, "{path}");
        }
    }

    #[test]
    fn a_tree_of_several_blocks_finds_every_znode() {
        let mut tree = DataTree::new(1, false);
        let many = 2 * BLOCK;
        for n in 0..many {
            add(&mut tree, &format!("/n{n}"), Owner::Nobody);
        }
        assert_eq!(tree.len(), many + 4);
        assert_eq!(tree.blocks.iter().map(Vec::len).collect::<Vec<_>>(), [BLOCK, BLOCK, 4]);
        for n in 0..many {
            let id = tree.find(&format!("/n{n}")).unwrap();
            assert_eq!(tree.path_of(id), format!("/n{n}"));
        }
        assert_eq!((tree.digest(), tree.len(), tree.size()), counted(&tree));
    }

    #[test]
    fn the_root_and_the_figures_of_quotas_count_with_their_bytes() {
        let mut tree = DataTree::without_nodes(1, false);
        let bytes = |len: usize| Some(Arc::from(vec![b'x'; len]));
        for len in [900, 10] {
            tree.load("/", bytes(len), None, StatPersisted::default()).unwrap();
            assert_eq!((tree.size(), tree.digest()), (len as u64 + 1, counted(&tree).0));
        }
        tree.change_data(NodeId::ROOT, "/", bytes(0), |_| ());
        assert_eq!(tree.size(), counted(&tree).2);
        let stats = quota::stats_path("/a");
        for (n, _) in stats.match_indices('/').skip(1).chain([(stats.len(), "")]) {
            add(&mut tree, &stats[..n], Owner::Nobody);
        }
        let before = tree.size();
        tree.write_figures("/a", 1_000_000, 1_000_000_000);
        assert!(tree.size() > before);
        assert_eq!(tree.size(), counted(&tree).2);
        remove(&mut tree, &stats);
        assert_eq!(tree.size(), counted(&tree).2);
    }

    #[test]
    fn a_snapshot_that_is_no_tree_is_refused() {
        let mut tree = DataTree::without_nodes(1, false);
        let mut load = |path: &str| tree.load(path, None, None, StatPersisted::default());
        assert_eq!(load("/a"), Ok(()));
        for path in ["/a", "/b/c", "a", "/a/b/c"] {
            assert_eq!(load(path), Err(()), "{path}");
        }
        assert_eq!(tree.len(), 2);
    }

    #[test]
    fn the_root_of_a_snapshot_takes_the_place_of_the_empty_one() {
        for path in ["", "/"] {
            let mut tree = DataTree::without_nodes(1, false);
            let acl: Arc<[Acl]> = Arc::from([Acl::world(Perms::READ)]);
            let stat = StatPersisted { cversion: 5, ..StatPersisted::default() };
            tree.load(path, Some(Arc::from(&b"data"[..])), Some(&acl), stat).unwrap();
            let root = tree.get("/").unwrap();
            assert_eq!((root.data(), *root.persisted()), (Some(&b"data"[..]), stat));
            assert_eq!((tree.acl(root), tree.len()), (&acl, 1));
            assert_eq!(tree.digest(), counted(&tree).0);
        }
    }

    #[test]
    fn a_path_that_was_not_ascii_is_remembered() {
        let mut tree = DataTree::new(1, false);
        add(&mut tree, "/plain", Owner::Nobody);
        assert!(!tree.has_non_ascii());
        add(&mut tree, "/grün", Owner::Nobody);
        remove(&mut tree, "/grün");
        add(&mut tree, "/other", Owner::Nobody);
        assert!(tree.has_non_ascii());
    }

    /// Clients choose the names: a million of them under one hash would stop the server.
    #[test]
    fn the_index_tells_names_parents_and_servers_apart() {
        let (tree, other) = (DataTree::new(1, false), DataTree::new(2, false));
        let hashes = [
            tree.hash_of(NodeId::ROOT, "a"),
            tree.hash_of(NodeId::ROOT, "b"),
            tree.hash_of(NodeId(1), "a"),
            other.hash_of(NodeId::ROOT, "a"),
        ];
        assert_eq!(BTreeSet::from(hashes).len(), 4);
        // The table wants the top bits to differ.
        let top = |hash: u32| Slot::spread(hash) >> 57;
        assert!((0..100).map(top).collect::<BTreeSet<_>>().len() > 30);
    }

    /// Its slot may stay free for long.
    #[test]
    fn a_deleted_znode_holds_nothing_back() {
        let mut tree = DataTree::new(1, false);
        let data: Arc<[u8]> = Arc::from(&b"data"[..]);
        tree.load("/a", Some(data.clone()), None, StatPersisted::default()).unwrap();
        let id = tree.find("/a").unwrap();
        tree.remove(id, "/a");
        assert_eq!((Arc::strong_count(&data), tree.node(id).name()), (1, ""));
    }

    #[test]
    fn znodes_of_one_hash_are_told_apart() {
        let mut tree = DataTree::without_nodes(1, false);
        for n in 1..=540 {
            add(&mut tree, &format!("/p{n}"), Owner::Nobody);
        }
        let (one, other) = (NodeId(243), NodeId(540));
        let alike =
            [(NodeId::ROOT, "n10843"), (NodeId::ROOT, "n88214"), (one, "n8433"), (other, "n8433")];
        let [a, b, c, d] = alike.map(|(parent, name)| tree.hash_of(parent, name));
        assert_eq!((a, c), (b, d), "these are alike by chance");
        let paths = ["/n10843", "/n88214", "/p243/n8433", "/p540/n8433"];
        for (missing, other) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
            add(&mut tree, paths[other], Owner::Nobody);
            assert_eq!(tree.find(paths[missing]), None);
            add(&mut tree, paths[missing], Owner::Nobody);
            for path in [paths[other], paths[missing]] {
                assert_eq!(tree.find(path).map(|id| tree.path_of(id)), Some(path.to_owned()));
            }
            remove(&mut tree, paths[other]);
            assert!(tree.find(paths[other]).is_none() && tree.find(paths[missing]).is_some());
            remove(&mut tree, paths[missing]);
        }
    }
}
