//! Applying committed txns. Also used for replay, where a txn may meet its own effects (storage §1.5).

use super::data_tree::{DataTree, Owner};
use super::{path, quota};
use crate::ids::{SessionId, Zxid};
use crate::planted::{Plant, planted};
use crate::wire::{Acl, CreateKind, ErrorCode, EventType, Stat, StatPersisted, Txn, TxnHeader};
use std::sync::Arc;

/// A change that watchers may want to know of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) kind: ChangeKind,
    /// The znode that changed.
    pub(crate) path: &'a str,
    /// Who may read it.
    pub(crate) acl: &'a [Acl],
    /// Its parent and who may read that, when it was created or deleted.
    pub(crate) parent: Option<(&'a str, &'a [Acl])>,
}

/// What happened to the znode itself; a parent's children change with it.
pub(crate) type ChangeKind = EventType;

/// What a txn came to: the Stat its reply shows, or why it did nothing.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Outcome {
    pub(crate) stat: Option<Stat>,
    pub(crate) error: Option<ErrorCode>,
    /// One for each operation of a multi.
    pub(crate) parts: Vec<Outcome>,
}

impl Outcome {
    fn stat(stat: Stat) -> Self {
        Self { stat: Some(stat), ..Self::default() }
    }

    fn error(code: ErrorCode) -> Self {
        Self { error: Some(code), ..Self::default() }
    }
}

impl DataTree {
    /// Changes the tree by a committed txn and tells `watch` of each change, in order.
    pub(crate) fn apply(
        &mut self,
        header: &TxnHeader,
        txn: &Txn,
        watch: &mut dyn FnMut(Change<'_>),
    ) -> Outcome {
        match txn {
            Txn::Create { path, data, acl, kind, parent_cversion } => {
                let create = NewNode { path, data, acl, kind: *kind, cversion: *parent_cversion };
                self.apply_create(header, &create, watch)
            }
            Txn::Delete { path, .. } => self.apply_delete(header.zxid, path, watch),
            Txn::SetData { path, data, version, .. } => {
                self.apply_set_data(header, path, data, *version, watch)
            }
            Txn::SetAcl { path, acl, version } => self.apply_set_acl(path, acl, *version),
            Txn::Multi(parts) => self.apply_multi(header, parts, watch),
            Txn::CloseSession { paths } => {
                let listed = paths.as_deref().unwrap_or_default();
                self.apply_close_session(header.zxid, header.session, listed, watch)
            }
            Txn::Check { .. } | Txn::CreateSession { .. } => Outcome::default(),
            Txn::Error { code } => Outcome {
                error: Some(ErrorCode::from_number(*code).unwrap_or(ErrorCode::SystemError)),
                ..Outcome::default()
            },
        }
    }

    fn apply_create(
        &mut self,
        header: &TxnHeader,
        new: &NewNode<'_>,
        watch: &mut dyn FnMut(Change<'_>),
    ) -> Outcome {
        let Some((parent_path, name)) = path::split(new.path) else {
            return Outcome::error(ErrorCode::BadArguments);
        };
        let Some(parent) = self.find(parent_path) else {
            assert!(!planted(Plant::MissingParentIsFatal), "the parent of {} is missing", new.path);
            return Outcome::error(ErrorCode::NoNode);
        };
        let present = self.node(parent).persisted().cversion;
        let cversion = if new.cversion == -1 { present.wrapping_add(1) } else { new.cversion };
        if let Some(id) = self.find_under(parent, new.path, name) {
            // Only a replay over a fuzzy snapshot comes here: the snapshot may have the znode already, and then
            // not the ACL it was created with, nor its parent's new version (ZOOKEEPER-3306, ZOOKEEPER-3249).
            if !planted(Plant::SnapshotAclStays) {
                self.change_acl(id, new.acl);
            }
            if matches!(new.kind, CreateKind::Plain { with_stat: false, .. })
                && !planted(Plant::CreationLeavesParent)
            {
                self.bump_parent(parent, parent_path, cversion, header.zxid);
            }
            return Outcome::error(ErrorCode::NodeExists);
        }
        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time_ms,
            mtime: header.time_ms,
            ephemeral_owner: owner_of(new.kind, header.session).stored(),
            ..StatPersisted::default()
        };
        let acl = self.acls.add(new.acl);
        let id = self.insert(parent, new.path, new.data.clone(), acl, stat);
        self.bump_parent(parent, parent_path, cversion, header.zxid);
        if let Some(quota) = quota::quota_of_parent(parent_path) {
            match name {
                "zookeeper_limits" => {
                    self.quotas.insert(quota.into());
                }
                "zookeeper_stats" => self.recount(quota),
                _ => {}
            }
        }
        if let Some(quota) = self.quota_above(new.path) {
            self.add_to_figures(quota, 1, new.data.as_deref().map_or(0, <[u8]>::len) as i64);
        }
        watch(Change {
            kind: EventType::Created,
            path: new.path,
            acl: new.acl,
            parent: Some((parent_path, self.acl(self.node(parent)))),
        });
        Outcome::stat(self.stat(self.node(id)))
    }

    /// A creation moves the parent's versions only forward.
    fn bump_parent(&mut self, parent: super::NodeId, path: &str, cversion: i32, zxid: Zxid) {
        if cversion > self.node(parent).persisted().cversion || planted(Plant::ReplayLowersParent) {
            self.change_stat(parent, path, |stat| {
                stat.cversion = cversion;
                stat.pzxid = zxid;
            });
        }
    }

    fn apply_delete(
        &mut self,
        zxid: Zxid,
        path: &str,
        watch: &mut dyn FnMut(Change<'_>),
    ) -> Outcome {
        // The root is nobody's child; no leader proposes that, and none shall make this server fall over its own log.
        let Some((parent_path, name)) = path::split(path).filter(|_| path != "/") else {
            return Outcome::error(ErrorCode::BadArguments);
        };
        let Some(parent) = self.find(parent_path) else {
            return Outcome::error(ErrorCode::NoNode);
        };
        // A fuzzy snapshot may lack the znode; the parent's pzxid must move all the same (ZOOKEEPER-3125).
        let leaves =
            planted(Plant::DeletionLeavesParent) && self.find_under(parent, path, name).is_none();
        if zxid > self.node(parent).persisted().pzxid && !leaves {
            self.change_stat(parent, parent_path, |stat| stat.pzxid = zxid);
        }
        let Some(id) = self.find_under(parent, path, name) else {
            return Outcome::error(ErrorCode::NoNode);
        };
        if self.node(id).child_count() > 0 {
            // Cannot be committed; a log that says so is damaged or foreign, and losing children would be worse.
            return Outcome::error(ErrorCode::NotEmpty);
        }
        let acl = self.acl(self.node(id)).clone();
        let bytes = self.node(id).data().map_or(0, <[u8]>::len) as i64;
        self.remove(id, path);
        if let Some(quota) = quota::quota_of_parent(parent_path)
            && name == "zookeeper_limits"
        {
            self.quotas.remove(quota);
        }
        if let Some(quota) = self.quota_above(path) {
            self.add_to_figures(quota, -1, -bytes);
        }
        watch(Change {
            kind: EventType::Deleted,
            path,
            acl: &acl,
            parent: Some((parent_path, self.acl(self.node(parent)))),
        });
        Outcome::default()
    }

    fn apply_set_data(
        &mut self,
        header: &TxnHeader,
        path: &str,
        data: &Option<Arc<[u8]>>,
        version: i32,
        watch: &mut dyn FnMut(Change<'_>),
    ) -> Outcome {
        let Some(id) = self.find(path) else { return Outcome::error(ErrorCode::NoNode) };
        let len = |data: Option<&[u8]>| data.map_or(0, <[u8]>::len) as i64;
        let grown = len(data.as_deref()) - len(self.node(id).data());
        self.change_data(id, path, data.clone(), |stat| {
            stat.version = version;
            stat.mzxid = header.zxid;
            stat.mtime = header.time_ms;
        });
        if let Some(quota) = self.quota_above(path) {
            self.add_to_figures(quota, 0, grown);
        }
        let node = self.node(id);
        watch(Change { kind: EventType::DataChanged, path, acl: self.acl(node), parent: None });
        Outcome::stat(self.stat(node))
    }

    fn apply_set_acl(&mut self, path: &str, acl: &Arc<[Acl]>, version: i32) -> Outcome {
        let Some(id) = self.find(path) else { return Outcome::error(ErrorCode::NoNode) };
        self.change_acl(id, acl);
        self.change_stat(id, path, |stat| stat.aversion = version);
        Outcome::stat(self.stat(self.node(id)))
    }

    fn apply_multi(
        &mut self,
        header: &TxnHeader,
        parts: &[Txn],
        watch: &mut dyn FnMut(Change<'_>),
    ) -> Outcome {
        if parts.iter().any(|part| matches!(part, Txn::Error { .. })) {
            let failed = |part: &Txn| match part {
                Txn::Error { code } => {
                    Outcome { error: ErrorCode::from_number(*code), ..Outcome::default() }
                }
                _ => Outcome::default(),
            };
            let error = Some(ErrorCode::RuntimeInconsistency);
            if planted(Plant::FailedMultiApplied) {
                let done = parts.iter().take_while(|part| !matches!(part, Txn::Error { .. }));
                done.for_each(|part| {
                    self.apply(header, part, watch);
                });
            }
            return Outcome { stat: None, error, parts: parts.iter().map(failed).collect() };
        }
        let parts = parts.iter().map(|part| self.apply(header, part, watch)).collect();
        Outcome { parts, ..Outcome::default() }
    }

    fn apply_close_session(
        &mut self,
        zxid: Zxid,
        session: SessionId,
        listed: &[Box<str>],
        watch: &mut dyn FnMut(Change<'_>),
    ) -> Outcome {
        for path in listed {
            self.apply_delete(zxid, path, watch);
        }
        // A log of an old server lists nothing, and a list may have been cut to fit into a record.
        for path in self.ephemerals_of(session) {
            if planted(Plant::EphemeralOutlivesSession) {
                break;
            }
            self.apply_delete(zxid, &path, watch);
        }
        Outcome::default()
    }
}

/// A create txn, as its parts.
struct NewNode<'a> {
    path: &'a str,
    data: &'a Option<Arc<[u8]>>,
    acl: &'a Arc<[Acl]>,
    kind: CreateKind,
    cversion: i32,
}

/// Who a new znode goes with.
pub(crate) fn owner_of(kind: CreateKind, session: SessionId) -> Owner {
    match kind {
        CreateKind::Plain { ephemeral: true, .. } => Owner::Session(session),
        CreateKind::Plain { ephemeral: false, .. } => Owner::Nobody,
        CreateKind::Container => Owner::Container,
        CreateKind::Ttl { ttl_ms } => Owner::Ttl { ms: ttl_ms },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Xid;
    use crate::wire::Perms;

    fn header(zxid: i64) -> TxnHeader {
        TxnHeader { session: SessionId(7), cxid: Xid(1), zxid: Zxid(zxid), time_ms: 1 }
    }

    fn create(path: &str, acl: Acl, parent_cversion: i32) -> Txn {
        let kind = CreateKind::Plain { ephemeral: false, with_stat: false };
        Txn::Create { path: path.into(), data: None, acl: vec![acl].into(), kind, parent_cversion }
    }

    /// What a snapshot of a changing tree holds too much, or too little (ZOOKEEPER-3125, 3249, 3306, 1573).
    #[test]
    fn replay_over_a_fuzzy_snapshot_makes_it_right() {
        let mut tree = DataTree::new(1, false);
        let (open, closed) = (Acl::world(Perms::ALL), Acl::world(Perms(0)));
        tree.apply(&header(1), &create("/p", open.clone(), 1), &mut |_| {});
        // The snapshot has the child already, without its ACL, and not the parent's part of its creation.
        tree.apply(&header(2), &create("/p/c", closed, 0), &mut |_| {});
        let again = tree.apply(&header(5), &create("/p/c", open.clone(), 4), &mut |_| {});
        assert_eq!(again.error, Some(ErrorCode::NodeExists));
        let child = tree.get("/p/c").unwrap();
        assert_eq!(tree.acl(child)[..], *std::slice::from_ref(&open));
        assert_eq!(child.persisted().czxid, Zxid(2));
        let parent = *tree.get("/p").unwrap().persisted();
        assert_eq!((parent.cversion, parent.pzxid), (4, Zxid(5)));
        // An older creation takes nothing back.
        tree.apply(&header(6), &create("/p/d", open.clone(), 2), &mut |_| {});
        assert_eq!(tree.get("/p").unwrap().persisted().cversion, 4);
        // It lacks a child that is deleted, and a parent whose child is created.
        let gone = Txn::Delete { path: "/p/gone".into(), by_server: false };
        let deleted = tree.apply(&header(9), &gone, &mut |_| {});
        assert_eq!(deleted.error, Some(ErrorCode::NoNode));
        assert_eq!(tree.get("/p").unwrap().persisted().pzxid, Zxid(9));
        let orphan = tree.apply(&header(10), &create("/q/c", open, 1), &mut |_| {});
        assert_eq!(orphan.error, Some(ErrorCode::NoNode));
    }

    fn set(path: &str, data: &'static [u8]) -> Txn {
        let data = Some(Arc::from(data));
        Txn::SetData { path: path.into(), data, version: 1, reconfig: false }
    }

    fn delete(path: &str) -> Txn {
        Txn::Delete { path: path.into(), by_server: false }
    }

    /// A tree after these txns, each of them a success.
    fn grown(txns: &[Txn]) -> DataTree {
        let mut tree = DataTree::new(1, false);
        for (zxid, txn) in (1..).zip(txns) {
            assert_eq!(tree.apply(&header(zxid), txn, &mut |_| {}).error, None, "{txn:?}");
        }
        tree
    }

    fn open() -> Acl {
        Acl::world(Perms::ALL)
    }

    type Told = (EventType, String, Perms, Option<(String, Perms)>);

    fn told(tree: &mut DataTree, zxid: i64, txn: &Txn) -> Vec<Told> {
        let mut all = Vec::new();
        tree.apply(&header(zxid), txn, &mut |change| {
            let parent = change.parent.map(|(path, acl)| (path.to_owned(), acl[0].perms));
            all.push((change.kind, change.path.to_owned(), change.acl[0].perms, parent));
        });
        all
    }

    /// The ACL says who may hear of it: that of the znode, and of its parent where its children change.
    #[test]
    fn every_change_is_told_with_the_acls_it_is_seen_by() {
        let mut tree = grown(&[create("/p", Acl::world(Perms::READ), 1)]);
        let write = Acl::world(Perms::WRITE);
        let of_c = |kind, parent: bool| {
            let parent = parent.then(|| ("/p".to_owned(), Perms::READ));
            (kind, "/p/c".to_owned(), Perms::WRITE, parent)
        };
        let made = told(&mut tree, 2, &create("/p/c", write, 1));
        assert_eq!(made, [of_c(EventType::Created, true)]);
        assert_eq!(told(&mut tree, 3, &set("/p/c", b"x")), [of_c(EventType::DataChanged, false)]);
        let acl = Arc::from([Acl::world(Perms::WRITE)]);
        let same = Txn::SetAcl { path: "/p/c".into(), acl, version: 1 };
        assert_eq!(told(&mut tree, 4, &same), []);
        assert_eq!(told(&mut tree, 5, &delete("/p/c")), [of_c(EventType::Deleted, true)]);
        assert_eq!(told(&mut tree, 6, &delete("/p/c")), []);
        assert_eq!(told(&mut tree, 7, &set("/p/c", b"x")), []);
        let top = told(&mut tree, 8, &create("/t", open(), 2));
        let root = Some(("/".to_owned(), Perms::ALL));
        assert_eq!(top, [(EventType::Created, "/t".to_owned(), Perms::ALL, root)]);
    }

    #[test]
    fn a_multi_that_failed_changes_and_tells_nothing() {
        let mut tree = DataTree::new(1, false);
        let digest = tree.digest();
        let code = ErrorCode::NoNode;
        let (zero, failed) = (Txn::Error { code: 0 }, Txn::Error { code: code.number() });
        let multi = Txn::Multi(vec![create("/a", open(), 1), zero, failed]);
        let mut events = 0;
        let outcome = tree.apply(&header(1), &multi, &mut |_| events += 1);
        assert_eq!(outcome.error, Some(ErrorCode::RuntimeInconsistency));
        let errors: Vec<_> = outcome.parts.iter().map(|part| part.error).collect();
        assert_eq!(errors, [None, None, Some(code)]);
        assert_eq!((events, tree.digest(), tree.len()), (0, digest, 4));
    }

    #[test]
    fn the_parts_of_a_multi_happen_one_behind_the_other() {
        let mut tree = DataTree::new(1, false);
        let parts = vec![create("/a", open(), 1), create("/a/b", open(), 1), set("/a", b"xy")];
        let events = told(&mut tree, 1, &Txn::Multi(parts.clone()));
        let paths: Vec<_> = events.iter().map(|(kind, path, ..)| (*kind, &**path)).collect();
        let (created, changed) = (EventType::Created, EventType::DataChanged);
        assert_eq!(paths, [(created, "/a"), (created, "/a/b"), (changed, "/a")]);
        let mut again = DataTree::new(1, false);
        let outcome = again.apply(&header(1), &Txn::Multi(parts), &mut |_| {});
        let of_a = outcome.parts[2].stat.unwrap();
        assert_eq!((of_a.data_length, of_a.num_children, of_a.version), (2, 1, 1));
        assert_eq!(outcome.parts.len(), 3);
    }

    #[test]
    fn a_log_that_asks_for_the_impossible_is_borne() {
        let mut tree = grown(&[create("/p", open(), 1), create("/p/c", open(), 1)]);
        let none = Txn::SetAcl { path: "/none".into(), acl: Arc::from([open()]), version: 1 };
        for (txn, code) in [
            (delete("/"), ErrorCode::BadArguments),
            (delete("p"), ErrorCode::BadArguments),
            (delete("/none/c"), ErrorCode::NoNode),
            (delete("/p"), ErrorCode::NotEmpty),
            (create("p", open(), 1), ErrorCode::BadArguments),
            (set("/none", b""), ErrorCode::NoNode),
            (none, ErrorCode::NoNode),
            (Txn::Error { code: ErrorCode::NoAuth.number() }, ErrorCode::NoAuth),
            (Txn::Error { code: 12345 }, ErrorCode::SystemError),
        ] {
            let outcome = tree.apply(&header(9), &txn, &mut |_| {});
            assert_eq!(outcome, Outcome { error: Some(code), ..Outcome::default() }, "{txn:?}");
        }
        assert_eq!(tree.len(), 6);
    }

    /// Deletions come again in a replay; an older one takes nothing back.
    #[test]
    fn the_pzxid_of_a_parent_moves_only_forward() {
        let mut tree = grown(&[create("/p", open(), 1), create("/p/c", open(), 1)]);
        tree.apply(&header(9), &delete("/p/c"), &mut |_| {});
        tree.apply(&header(5), &delete("/p/d"), &mut |_| {});
        let parent = tree.get("/p").unwrap().persisted();
        assert_eq!((parent.pzxid, parent.cversion, parent.mzxid), (Zxid(9), 1, Zxid(1)));
        tree.apply(&header(2), &create("/p/c", open(), 1), &mut |_| {});
        let parent = tree.get("/p").unwrap().persisted();
        assert_eq!((parent.pzxid, parent.cversion), (Zxid(9), 1), "nor does a creation");
    }

    /// Java does it for the plain create alone.
    #[test]
    fn a_create2_that_comes_again_leaves_its_parent_alone() {
        for (with_stat, cversion) in [(true, 1), (false, 4)] {
            let mut tree = grown(&[create("/p", open(), 1), create("/p/c", open(), 1)]);
            let kind = CreateKind::Plain { ephemeral: false, with_stat };
            let (path, acl, parent_cversion) = ("/p/c".into(), Arc::from([open()]), 4);
            let again = Txn::Create { path, data: None, acl, kind, parent_cversion };
            let outcome = tree.apply(&header(5), &again, &mut |_| {});
            assert_eq!(outcome.error, Some(ErrorCode::NodeExists));
            assert_eq!(tree.get("/p").unwrap().persisted().cversion, cversion);
        }
    }

    #[test]
    fn a_create_of_an_old_log_counts_its_parent_up() {
        let tree = grown(&[create("/p", open(), 1), create("/p/a", open(), 6)]);
        assert_eq!(tree.get("/p").unwrap().persisted().cversion, 6);
        let tree = grown(&[
            create("/p", open(), 1),
            create("/p/a", open(), 6),
            create("/p/b", open(), -1),
        ]);
        assert_eq!(tree.get("/p").unwrap().persisted().cversion, 7);
    }

    #[test]
    fn a_session_ends_with_all_it_owns_listed_or_not() {
        let owned = |path: &str| Txn::Create {
            path: path.into(),
            data: None,
            acl: Arc::from([open()]),
            kind: CreateKind::Plain { ephemeral: true, with_stat: false },
            parent_cversion: -1,
        };
        for listed in [None, Some(vec![]), Some(vec!["/b".into(), "/gone".into()])] {
            let mut tree = grown(&[owned("/a"), owned("/b"), create("/c", open(), -1)]);
            let mut gone = told(&mut tree, 9, &Txn::CloseSession { paths: listed });
            gone.sort_by(|a, b| a.1.cmp(&b.1));
            let paths: Vec<_> = gone.iter().map(|(kind, path, ..)| (*kind, &**path)).collect();
            assert_eq!(paths, [(EventType::Deleted, "/a"), (EventType::Deleted, "/b")]);
            assert_eq!((tree.ephemeral_count(), tree.len()), (0, 5));
            assert_eq!(tree.get("/").unwrap().persisted().pzxid, Zxid(9));
        }
    }

    /// A fuzzy snapshot may lack the ephemeral already, and not what its end meant to its parent (ZOOKEEPER-3125).
    #[test]
    fn the_parent_of_an_ephemeral_that_is_gone_already_moves_all_the_same() {
        let mut tree = grown(&[create("/p", open(), 1)]);
        let paths = Some(vec!["/p/gone".into()]);
        tree.apply(&header(9), &Txn::CloseSession { paths }, &mut |_| {});
        assert_eq!(tree.get("/p").unwrap().persisted().pzxid, Zxid(9));
    }

    fn figures(tree: &DataTree, path: &str) -> String {
        let stats = tree.get(&quota::stats_path(path)).unwrap();
        String::from_utf8(stats.data().unwrap().to_vec()).unwrap()
    }

    fn with_quotas() -> DataTree {
        let mut txns = vec![create("/zookeeper/quota/q", open(), -1)];
        for path in ["/q", "/q/a", "/q/deep", "/q/deep/x"] {
            txns.extend([create(path, open(), -1), set(path, b"123")]);
        }
        txns.push(create("/zookeeper/quota/q/deep", open(), -1));
        for path in ["/q", "/q/deep"] {
            txns.push(create(&quota::limits_path(path), open(), -1));
            txns.push(create(&quota::stats_path(path), open(), -1));
        }
        txns.push(create("/qq", open(), -1));
        grown(&txns)
    }

    /// The znode itself is counted, and of nested quotas the deepest counts alone (client protocol §3.10).
    #[test]
    fn the_figures_of_a_quota_follow_every_change_below_it() {
        let mut tree = with_quotas();
        assert_eq!(figures(&tree, "/q"), "count=4,bytes=12", "what was there is counted");
        assert_eq!(figures(&tree, "/q/deep"), "count=2,bytes=6");
        let digest = tree.digest();
        let path = quota::stats_path("/q");
        let before = *tree.get(&path).unwrap().persisted();
        for (txn, q, deep) in [
            (create("/q/b", open(), -1), "count=5,bytes=12", "count=2,bytes=6"),
            (set("/q/b", b"12345"), "count=5,bytes=17", "count=2,bytes=6"),
            (set("/q", b"1"), "count=5,bytes=15", "count=2,bytes=6"),
            (set("/q/deep", b""), "count=5,bytes=15", "count=2,bytes=3"),
            (create("/q/deep/y", open(), -1), "count=5,bytes=15", "count=3,bytes=3"),
            (delete("/q/deep/x"), "count=5,bytes=15", "count=2,bytes=0"),
            (delete("/q/a"), "count=4,bytes=12", "count=2,bytes=0"),
            (set("/qq", b"1"), "count=4,bytes=12", "count=2,bytes=0"),
        ] {
            let events = told(&mut tree, 50, &txn);
            assert_eq!(events.len(), 1, "the figures change unseen");
            assert_eq!((&*figures(&tree, "/q"), &*figures(&tree, "/q/deep")), (q, deep), "{txn:?}");
        }
        assert_eq!(*tree.get(&path).unwrap().persisted(), before);
        assert_ne!(tree.digest(), digest);
    }

    #[test]
    fn a_quota_lasts_as_long_as_its_limits() {
        let mut tree = with_quotas();
        assert_eq!(tree.quota_above("/q/deep/x"), Some("/q/deep"));
        assert_eq!(tree.quota_above("/q"), Some("/q"));
        assert_eq!((tree.quota_above("/qq"), tree.quota_above("/")), (None, None));
        tree.apply(&header(50), &delete(&quota::stats_path("/q/deep")), &mut |_| {});
        assert_eq!(tree.quota_above("/q/deep/x"), Some("/q/deep"), "the figures are not the quota");
        tree.apply(&header(51), &delete(&quota::limits_path("/q/deep")), &mut |_| {});
        assert_eq!(tree.quota_above("/q/deep/x"), Some("/q"));
        tree.apply(&header(52), &delete(&quota::limits_path("/q")), &mut |_| {});
        tree.apply(&header(53), &set("/q/a", b""), &mut |_| {});
        assert_eq!(figures(&tree, "/q"), "count=4,bytes=12", "nobody counts any more");
        // What only has such a name is none.
        let named_alike = [create("/zookeeper_limits", open(), -1), delete("/zookeeper_limits")];
        named_alike.iter().for_each(|txn| {
            tree.apply(&header(54), txn, &mut |_| {});
        });
        assert_eq!(tree.quota_above("/q"), None);
    }

    /// A snapshot has the figures of another moment, and names no quotas.
    #[test]
    fn quotas_are_found_and_counted_again_after_a_snapshot() {
        let source = with_quotas();
        let mut tree = DataTree::without_nodes(2, false);
        let mut left = vec!["/".to_owned()];
        while let Some(path) = left.pop() {
            let id = source.find(&path).unwrap();
            let (node, above) = (source.node(id), path.trim_end_matches('/'));
            left.extend(source.children(id).map(|name| format!("{above}/{name}")));
            let data = if path.ends_with("_stats") {
                b"count=0,bytes=0"
            } else {
                node.data().unwrap_or_default()
            };
            let acl = source.acl(node);
            tree.load(&path, Some(Arc::from(data)), Some(acl), *node.persisted()).unwrap();
        }
        // It is no quota, though it stands where quotas do.
        let stray = "/zookeeper/quota/zookeeper_limits";
        tree.load(stray, None, None, StatPersisted::default()).unwrap();
        // Figures alone limit nothing.
        for path in ["/zookeeper/quota/qq", "/zookeeper/quota/qq/zookeeper_stats"] {
            tree.load(path, None, None, StatPersisted::default()).unwrap();
        }
        assert_eq!(tree.quota_above("/q"), None);
        tree.set_up_quotas();
        assert_eq!(figures(&tree, "/qq"), "count=1,bytes=0");
        assert_eq!(
            (&*figures(&tree, "/q"), &*figures(&tree, "/q/deep")),
            ("count=4,bytes=12", "count=2,bytes=6")
        );
        let found = ["/q", "/q/deep", "/qq", "/"].map(|path| tree.quota_above(path));
        assert_eq!(found, [Some("/q"), Some("/q/deep"), None, None]);
    }
}
