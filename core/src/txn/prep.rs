//! Request + tree + changes in flight → txn: the only place that validates a write (client protocol §2.4). The tests
//! stand in Java's order, because a request may fail several of them.

use super::outstanding::{NodeState, Outstanding};
use crate::config::Config;
use crate::ids::{SessionId, Zxid};
use crate::planted::{Plant, planted};
use crate::session::Standing;
use crate::tree::{
    DataTree, Identity, Owner, QuotaLimits, crc_of_path_and_data, fix_up, identities_grant,
    limits_path, path, stats_path,
};
use crate::wire::{
    Acl, AclSpec, Create, CreateKind, ErrorCode, MultiOp, OpCode, Perms, Request, StatPersisted,
    Txn,
};
use std::sync::Arc;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) session: SessionId,
    pub(crate) standing: Standing,
    pub(crate) ids: &'a [Identity],
}

/// Prepares txns of one zxid.
pub(crate) struct Prep<'a> {
    pub(crate) config: &'a Config,
    pub(crate) tree: &'a DataTree,
    pub(crate) outstanding: &'a mut Outstanding,
    pub(crate) asker: Asker<'a>,
    pub(crate) zxid: Zxid,
    pub(crate) time_ms: i64,
}

impl Prep<'_> {
    /// Decides a client's write. The changes are drafted; on an error there are none.
    pub(crate) fn request(&mut self, request: &Request<'_>) -> Result<Txn, ErrorCode> {
        match request {
            Request::Create(create) => self.create(create),
            Request::Delete { path, version } => {
                self.delete(path.as_deref().ok_or(ErrorCode::MarshallingError)?, *version)
            }
            Request::SetData { path, data, version } => {
                self.set_data(path.as_deref().ok_or(ErrorCode::BadArguments)?, *data, *version)
            }
            Request::SetAcl { path, acl, version } => {
                self.set_acl(path.as_deref().ok_or(ErrorCode::BadArguments)?, acl, *version)
            }
            Request::Multi(ops) => self.multi(ops),
            Request::Reconfig if self.config.reconfig_enabled => Err(ErrorCode::Unimplemented),
            Request::Reconfig => Err(ErrorCode::ReconfigDisabled),
            Request::CloseSession => Ok(self.close_session(self.asker.session)),
            other => unreachable!("{:?} is no write", other.op()),
        }
    }

    /// The end of a session: its ephemerals go in one txn.
    pub(crate) fn close_session(&mut self, session: SessionId) -> Txn {
        let mut paths = self.outstanding.ephemerals_of(self.tree, session);
        if planted(Plant::EphemeralOutlivesSession) {
            paths.retain(|path| self.tree.get(path).is_some());
        }
        // Java cannot read a record beyond its limit. What is not listed is deleted all the same (storage §1.5).
        let room = self.config.record_max() as usize / 2;
        let mut used = 0;
        let mut fits = |path: &str| {
            used += path.len() + 4;
            used <= room
        };
        let listed = paths.iter().take_while(|path| fits(path)).count();
        for path in &paths {
            self.delete_unchecked(path);
        }
        paths.truncate(listed);
        Txn::CloseSession { paths: Some(paths) }
    }

    /// The server's own deletion of a container or TTL znode: `None` when it is not childless any more.
    pub(crate) fn reap(&mut self, path: &str) -> Option<Txn> {
        let node = self.outstanding.lookup(self.tree, path)?;
        if node.children > 0 {
            return None;
        }
        self.delete_unchecked(path);
        Some(Txn::Delete { path: path.into(), by_server: true })
    }

    fn may(&self, node: &NodeState, asked: Perms) -> Result<(), ErrorCode> {
        if identities_grant(&self.config.auth, &node.acl, self.asker.ids, asked) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }

    fn fix_up(&self, specs: &[AclSpec<'_>]) -> Result<Arc<[Acl]>, ErrorCode> {
        let room = self.config.record_max() as usize;
        Ok(fix_up(&self.config.auth, specs, self.asker.ids, room)?.into())
    }

    fn lookup(&self, path: &str) -> Result<NodeState, ErrorCode> {
        self.outstanding.lookup(self.tree, path).ok_or(ErrorCode::NoNode)
    }

    fn create(&mut self, create: &Create<'_>) -> Result<Txn, ErrorCode> {
        let (kind, sequential) = self.create_mode(create)?;
        if matches!(create.flags, 1 | 3) {
            self.may_own()?;
        }
        let asked = create.path.as_deref().ok_or(ErrorCode::MarshallingError)?;
        let (parent_path, _) = split_checked(asked)?;
        let acl = self.fix_up(&create.acl)?;
        let parent = self.lookup(parent_path)?;
        self.may(&parent, Perms::CREATE)?;
        let mut number = parent.stat.cversion;
        if planted(Plant::SequenceOfChildren) {
            number = parent.children as i32;
        } else if planted(Plant::SequenceIgnoresFlight) {
            number = self.tree.get(parent_path).map_or(0, |node| node.persisted().cversion);
        }
        let path: Box<str> = match sequential {
            true => format!("{asked}{number:010}").into(),
            false => asked.into(),
        };
        if !path::is_valid(&path) {
            return Err(ErrorCode::BadArguments);
        }
        if self.outstanding.lookup(self.tree, &path).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        let parent_owner = Owner::of(parent.stat.ephemeral_owner, self.config.emulate_353_ttl);
        if matches!(parent_owner, Owner::Session(_)) && !planted(Plant::EphemeralHasChildren) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let data_len = create.data.map_or(0, <[u8]>::len);
        self.check_quota(&path, 1, data_len as i64)?;

        let parent_cversion = parent.stat.cversion.wrapping_add(1);
        let stat = StatPersisted {
            czxid: self.zxid,
            mzxid: self.zxid,
            pzxid: self.zxid,
            ctime: self.time_ms,
            mtime: self.time_ms,
            ephemeral_owner: crate::tree::owner_of(kind, self.asker.session).stored(),
            ..StatPersisted::default()
        };
        let crc = crc_of_path_and_data(&path, create.data);
        let node = NodeState { stat, children: 0, acl: acl.clone(), crc, data_len };
        self.outstanding.put(self.zxid, &path, None, Some(node));
        let mut above = parent.clone();
        above.children += 1;
        if parent_cversion > parent.stat.cversion {
            above.stat.cversion = parent_cversion;
            above.stat.pzxid = self.zxid;
        }
        // The name decides the parent: a sequential create under "/a/" has the same one.
        let (parent_path, _) = split_checked(&path)?;
        self.outstanding.put(self.zxid, parent_path, Some(&parent), Some(above));
        Ok(Txn::Create { path, data: create.data.map(Arc::from), acl, kind, parent_cversion })
    }

    /// Ephemerals belong to sessions that every server knows: only of those is the end known to all.
    fn may_own(&self) -> Result<(), ErrorCode> {
        if planted(Plant::LocalOwnsEphemeral) {
            return Ok(());
        }
        match self.asker.standing {
            Standing::Global => Ok(()),
            Standing::Local => Err(ErrorCode::EphemeralOnLocalSession),
            Standing::Elsewhere => Err(ErrorCode::SessionExpired),
        }
    }

    /// What a create makes, from its operation and flags, and whether a number is appended.
    fn create_mode(&self, create: &Create<'_>) -> Result<(CreateKind, bool), ErrorCode> {
        let flags = create.flags;
        if !(0..=6).contains(&flags) {
            return Err(ErrorCode::BadArguments);
        }
        let has_ttl = matches!(flags, 5 | 6);
        if has_ttl && !self.config.extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        let ttl_ms = create.ttl_ms;
        // A createTTL without a TTL mode gets through in Java and leaves a txn nobody can apply.
        let legal = match has_ttl {
            true => (1..=Owner::TTL_MAX_MS).contains(&ttl_ms),
            false => ttl_ms < 0 && create.op != OpCode::CreateTtl,
        };
        if !legal {
            return Err(ErrorCode::BadArguments);
        }
        let kind = match create.op {
            OpCode::CreateContainer => CreateKind::Container,
            OpCode::CreateTtl => CreateKind::Ttl { ttl_ms },
            op => CreateKind::Plain {
                with_stat: op == OpCode::Create2,
                ephemeral: matches!(flags, 1 | 3),
            },
        };
        Ok((kind, matches!(flags, 2 | 3 | 6)))
    }

    fn delete(&mut self, path: &str, version: i32) -> Result<Txn, ErrorCode> {
        let (parent_path, _) = split_checked(path)?;
        if matches!(path, "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config") {
            return Err(ErrorCode::BadArguments);
        }
        let parent = self.lookup(parent_path)?;
        if !planted(Plant::DeleteWithoutAcl) {
            self.may(&parent, Perms::DELETE)?;
        }
        let node = self.lookup(path)?;
        check_version(node.stat.version, version)?;
        if node.children > 0 && !planted(Plant::DeletedWithChildren) {
            return Err(ErrorCode::NotEmpty);
        }
        self.delete_unchecked(path);
        Ok(Txn::Delete { path: path.into(), by_server: false })
    }

    fn delete_unchecked(&mut self, path: &str) {
        let (Some(node), Some((parent_path, _))) =
            (self.outstanding.lookup(self.tree, path), path::split(path))
        else {
            return;
        };
        let parent = self.outstanding.lookup(self.tree, parent_path);
        let parent = parent.expect("a znode has a parent");
        let mut above = parent.clone();
        above.children -= 1;
        above.stat.pzxid = above.stat.pzxid.max(self.zxid);
        if planted(Plant::PredictionDiffers) {
            above.stat.cversion += 1;
        }
        self.outstanding.put(self.zxid, path, Some(&node), None);
        self.outstanding.put(self.zxid, parent_path, Some(&parent), Some(above));
    }

    fn set_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
    ) -> Result<Txn, ErrorCode> {
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.lookup(path)?;
        self.may(&node, Perms::WRITE)?;
        let data_len = data.map_or(0, <[u8]>::len);
        self.check_quota(path, 0, data_len as i64 - node.data_len as i64)?;
        let mut present = node.stat.version;
        if planted(Plant::VersionIgnoresFlight)
            && let Some(applied) = self.tree.get(path)
        {
            present = applied.persisted().version;
        }
        check_version(present, version)?;
        let mut after = node.clone();
        after.stat.version = node.stat.version.wrapping_add(1);
        after.stat.mzxid = self.zxid;
        after.stat.mtime = self.time_ms;
        after.crc = crc_of_path_and_data(path, data);
        after.data_len = data_len;
        let version = after.stat.version;
        self.outstanding.put(self.zxid, path, Some(&node), Some(after));
        Ok(Txn::SetData { path: path.into(), data: data.map(Arc::from), version, reconfig: false })
    }

    fn set_acl(
        &mut self,
        path: &str,
        specs: &[AclSpec<'_>],
        version: i32,
    ) -> Result<Txn, ErrorCode> {
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let acl = self.fix_up(specs)?;
        let node = self.lookup(path)?;
        self.may(&node, Perms::ADMIN)?;
        check_version(node.stat.aversion, version)?;
        let mut after = node.clone();
        after.stat.aversion = node.stat.aversion.wrapping_add(1);
        after.acl = acl.clone();
        let version = after.stat.aversion;
        self.outstanding.put(self.zxid, path, Some(&node), Some(after));
        Ok(Txn::SetAcl { path: path.into(), acl, version })
    }

    fn check(&self, path: &str, version: i32) -> Result<Txn, ErrorCode> {
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.lookup(path)?;
        self.may(&node, Perms::READ)?;
        if !planted(Plant::CheckNotCompared) {
            check_version(node.stat.version, version)?;
        }
        // What stands in the log is the version plus one; nobody reads it (storage §2.6).
        let version = if version == -1 { node.stat.version } else { version };
        Ok(Txn::Check { path: path.into(), version: version.wrapping_add(1) })
    }

    /// Every operation sees those before it. One failure undoes them all; the txn says which failed and why.
    /// What no client library can send (an ACL without an id, for one) spoils the multi as a whole.
    fn multi(&mut self, ops: &[MultiOp<'_>]) -> Result<Txn, ErrorCode> {
        let mark = self.outstanding.mark();
        let mut parts = Vec::with_capacity(ops.len());
        let mut failed = false;
        for op in ops {
            if failed {
                parts.push(Txn::Error { code: ErrorCode::RuntimeInconsistency.number() });
                continue;
            }
            let part = match op {
                MultiOp::Create(create) => self.create(create),
                MultiOp::BadCreate => Err(ErrorCode::BadArguments),
                MultiOp::Delete { path, version } => self.delete(path, *version),
                MultiOp::SetData { path, data, version } => self.set_data(path, *data, *version),
                MultiOp::Check { path, version } => self.check(path, *version),
            };
            if part == Err(ErrorCode::MarshallingError) {
                self.outstanding.take_back_to(mark);
                return Err(ErrorCode::MarshallingError);
            }
            parts.push(part.unwrap_or_else(|code| {
                failed = true;
                Txn::Error { code: code.number() }
            }));
        }
        if failed {
            self.outstanding.take_back_to(mark);
        }
        Ok(Txn::Multi(parts))
    }

    /// Would the write go beyond a hard limit of the deepest quota above it (client protocol §3.10)?
    fn check_quota(&self, path: &str, count: i64, bytes: i64) -> Result<(), ErrorCode> {
        if !self.config.enforce_quota {
            return Ok(());
        }
        let Some(quota) = self.tree.quota_above(path) else { return Ok(()) };
        let figures = |path: &str| {
            let node = self.tree.get(path)?;
            Some(QuotaLimits::parse(node.data().unwrap_or_default()))
        };
        let unreadable = ErrorCode::MarshallingError;
        let Some(limits) = figures(&limits_path(quota)) else { return Ok(()) };
        let limits = limits.ok_or(unreadable)?;
        // A change for the better is refused too while the limit is exceeded, as in Java.
        let looks_at_count = count != 0 && (limits.count > -1 || limits.count_hard > -1);
        let looks_at_bytes = bytes != 0 && (limits.bytes > -1 || limits.bytes_hard > -1);
        if !looks_at_count && !looks_at_bytes {
            return Ok(());
        }
        let Some(now) = figures(&stats_path(quota)) else { return Ok(()) };
        let now = now.ok_or(unreadable)?;
        let more = i64::from(planted(Plant::QuotaOneOff));
        let exceeds = |now: i64, hard: i64| hard > -1 && now > hard + more;
        // Anybody may write the figures; Java's wrap too.
        if (looks_at_count && exceeds(now.count.wrapping_add(count), limits.count_hard))
            || (looks_at_bytes && exceeds(now.bytes.wrapping_add(bytes), limits.bytes_hard))
        {
            return Err(ErrorCode::QuotaExceeded);
        }
        Ok(())
    }
}

/// −1 asks for no version in particular.
fn check_version(now: i32, asked: i32) -> Result<(), ErrorCode> {
    if asked == -1 || asked == now { Ok(()) } else { Err(ErrorCode::BadVersion) }
}

/// Parent and name of a path that has a '/' and no NUL; no more is asked of it here.
fn split_checked(path: &str) -> Result<(&str, &str), ErrorCode> {
    path::split(path).filter(|_| !path.contains('\0')).ok_or(ErrorCode::BadArguments)
}
