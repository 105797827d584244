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
}
