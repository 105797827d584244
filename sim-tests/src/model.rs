//! ZooKeeper, written again as simply as possible: a map of paths, and what each operation does to it (client protocol
//! §2.4, §3). Shares no code with the core's tree.

use crate::quotas::{Figures, May, Quotas};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use zoetrope_core::Zxid;
use zoetrope_core::wire::{
    Acl, AclSpec, Create, CreateKind, MultiOp, MultiResult, OpCode, ReadOp, Request, Stat, Txn,
    Writer,
};

/// Permissions, scheme, id.
pub(crate) type Entry = (i32, String, String);

/// Who may do what.
pub(crate) type Entries = Arc<[Entry]>;

/// A znode.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    data: Option<Arc<[u8]>>,
    pub(crate) acl: Entries,
    czxid: i64,
    pub(crate) mzxid: i64,
    pub(crate) pzxid: i64,
    ctime: i64,
    mtime: i64,
    version: i32,
    created: i32,
    aversion: i32,
    owner: i64,
    /// How many children it has.
    children: i32,
    /// What it adds to the tree's digest.
    weight: u32,
}

/// A path, and the znode that is there.
pub(crate) type Place = (Arc<str>, Option<Arc<Node>>);

/// What happened to a znode, for those who watch.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Happening {
    /// 1 created, 2 deleted, 3 changed.
    pub(crate) kind: i32,
    pub(crate) path: Arc<str>,
    pub(crate) acl: Entries,
    pub(crate) parent_acl: Entries,
}

/// Who asks, and when.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) zxid: i64,
    pub(crate) time: i64,
    pub(crate) session: i64,
    pub(crate) ids: Vec<(String, String)>,
    /// What an ephemeral is refused with, if the session may not own any.
    pub(crate) no_ephemerals: Option<i32>,
    /// Who decides it has applied at least this much.
    pub(crate) applied: i64,
    /// Which part of the request the log says was refused because of a quota.
    pub(crate) over_quota: Option<usize>,
    /// Which part of the request it is.
    pub(crate) part: usize,
}

impl Context {
    /// Nobody asks, or it does not matter who and when.
    pub(crate) fn at(zxid: i64) -> Self {
        Self {
            zxid,
            time: 0,
            session: 0,
            ids: Vec::new(),
            no_ephemerals: None,
            applied: 0,
            over_quota: None,
            part: 0,
        }
    }
}

/// A reply's body, or its error code.
pub(crate) type Answer = Result<Vec<u8>, i32>;

const CONTAINER: i64 = i64::MIN;
const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const BAD_VERSION: i32 = -103;
const BAD_ARGUMENTS: i32 = -8;
const INVALID_ACL: i32 = -114;
pub(crate) const QUOTA_EXCEEDED: i32 = -125;

/// The tree as the committed order makes it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) nodes: BTreeMap<Arc<str>, Arc<Node>>,
    pub(crate) sessions: BTreeMap<i64, i32>,
    pub(crate) zxid: i64,
    happenings: Vec<Happening>,
    /// Digest of the tree (storage §2.8).
    pub(crate) digest: u64,
    /// Znodes as they were before the txn that is being executed changed them.
    before: Vec<Place>,
    /// The txn before this one.
    last: i64,
    quotas: Quotas,
}

impl Model {
    pub(crate) fn new() -> Self {
        let to_all = |perms| Entries::from([(perms, "world".to_owned(), "anyone".to_owned())]);
        let node = |perms, aversion, children| Node {
            data: Some([].into()),
            acl: to_all(perms),
            czxid: 0,
            mzxid: 0,
            pzxid: 0,
            ctime: 0,
            mtime: 0,
            version: 0,
            created: 0,
            aversion,
            owner: 0,
            children,
            weight: 0,
        };
        let mut model = Self {
            nodes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            zxid: 0,
            happenings: Vec::new(),
            digest: 0,
            before: Vec::new(),
            last: 0,
            quotas: Quotas::default(),
        };
        model.put("/", Some(node(31, 0, 1)));
        model.put("/zookeeper", Some(node(31, 0, 2)));
        model.put("/zookeeper/quota", Some(node(31, 0, 0)));
        model.put("/zookeeper/config", Some(node(1, -1, 0)));
        model.before.clear();
        model
    }

    /// The only way the tree changes. Answers what was there.
    fn place(&mut self, path: Arc<str>, node: Option<Arc<Node>>) -> Option<Arc<Node>> {
        let weight = |node: &Option<Arc<Node>>| node.as_ref().map_or(0, |n| u64::from(n.weight));
        let after = weight(&node);
        let before = match node {
            Some(node) => self.nodes.insert(path, node),
            None => self.nodes.remove(&path),
        };
        self.digest = self.digest.wrapping_sub(weight(&before)).wrapping_add(after);
        before
    }

    fn put(&mut self, path: &str, node: Option<Node>) {
        let path = Arc::<str>::from(path);
        let node = node.map(|mut node| {
            let counts = !path.starts_with("/zookeeper/");
            node.weight = if counts { digest_of(&path, &node) } else { 0 };
            Arc::new(node)
        });
        let before = self.place(path.clone(), node);
        self.before.push((path, before));
    }

    fn change(&mut self, path: &str, change: impl FnOnce(&mut Node)) {
        let mut node = Node::clone(&self.nodes[path]);
        change(&mut node);
        self.put(path, Some(node));
    }

    /// The next txn of the order.
    pub(crate) fn begin(&mut self, zxid: i64) {
        self.last = self.zxid;
        self.zxid = zxid;
        self.before.clear();
    }

    /// The txn is executed: whatever has a quota is counted, and its figures written down. No Stat moves by that.
    pub(crate) fn count_quotas(&mut self) {
        const QUOTAS: &str = "/zookeeper/quota";
        let homes = self.that_begin_with("/zookeeper/quota/");
        let limited = homes.filter_map(|(path, node)| {
            let home = path.strip_suffix("/zookeeper_limits")?;
            self.nodes.get(format!("{home}/zookeeper_stats").as_str())?;
            let text = String::from_utf8_lossy(node.data.as_deref().unwrap_or_default());
            let path = home.strip_prefix(QUOTAS)?;
            let below = format!("{path}/");
            let inside = self.that_begin_with(&below).map(|(_, node)| node);
            let sizes = inside
                .chain(self.nodes.get(path))
                .map(|n| n.data.as_deref().map_or(0, <[u8]>::len));
            let (count, bytes) =
                sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size as i64));
            Some((path.to_owned(), Figures::limited_by(&text, count, bytes)))
        });
        let now: BTreeMap<String, Figures> = limited.collect();
        if now.is_empty() && self.quotas.is_empty() {
            return;
        }
        for (path, figures) in &now {
            let (stats, text) = (format!("{QUOTAS}{path}/zookeeper_stats"), figures.text());
            if self.nodes[stats.as_str()].data.as_deref() != Some(text.as_bytes()) {
                self.change(&stats, |node| node.data = Some(text.as_bytes().into()));
            }
        }
        self.quotas.are(self.zxid, now);
    }

    fn that_begin_with<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Node>)> {
        let from = self.nodes.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(move |(path, _)| path.starts_with(prefix))
    }

    fn within_quota(&self, path: &str, more: (i64, i64), cx: &Context) -> Result<(), i32> {
        let refused = match self.quotas.may(path, more, cx.applied, self.last) {
            May::Do => false,
            May::Refuse => true,
            May::Either => cx.over_quota == Some(cx.part),
        };
        if refused { Err(QUOTA_EXCEEDED) } else { Ok(()) }
    }

    /// Every place that the last txn has changed, as it is now.
    pub(crate) fn changes(&self) -> Vec<Place> {
        let now = |(path, _): &Place| (path.clone(), self.nodes.get(path).cloned());
        let mut places: Vec<Place> = self.before.iter().map(now).collect();
        places.sort_by(|(a, _), (b, _)| a.cmp(b));
        places.dedup_by(|(a, _), (b, _)| a == b);
        places
    }

    /// Changes the tree as a txn has changed another one.
    pub(crate) fn follow(&mut self, zxid: i64, places: &[Place]) {
        self.zxid = zxid;
        for (path, node) in places {
            self.place(path.clone(), node.clone());
        }
    }

    pub(crate) fn take_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }

    /// Names of the children, sorted.
    fn children(&self, path: &str) -> Vec<&str> {
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let mut names = Vec::new();
        let mut from = Bound::Excluded(prefix.clone());
        'from: loop {
            let range = (from.as_ref().map(String::as_str), Bound::Unbounded);
            for (path, _) in self.nodes.range::<str, _>(range) {
                let Some(name) = path.strip_prefix(prefix.as_str()) else { break };
                let Some(end) = name.find('/') else {
                    names.push(name);
                    continue;
                };
                // What is below a child is passed over: '0' comes after '/'.
                from = Bound::Included(format!("{prefix}{}0", &name[..end]));
                continue 'from;
            }
            return names;
        }
    }

    pub(crate) fn stat(&self, path: &str) -> Stat {
        let node = &self.nodes[path];
        Stat {
            czxid: Zxid(node.czxid),
            mzxid: Zxid(node.mzxid),
            ctime: node.ctime,
            mtime: node.mtime,
            version: node.version,
            cversion: 2 * node.created - node.children,
            aversion: node.aversion,
            ephemeral_owner: if is_session(node.owner) { node.owner } else { 0 },
            data_length: node.data.as_ref().map_or(0, |data| data.len()) as i32,
            num_children: node.children,
            pzxid: Zxid(node.pzxid),
        }
    }

    fn stat_bytes(&self, path: &str) -> Vec<u8> {
        let mut out = Vec::new();
        self.stat(path).encode(&mut Writer::new(&mut out));
        out
    }

    fn at(&self, path: &str) -> Result<&Node, i32> {
        self.nodes.get(if path.is_empty() { "/" } else { path }).map(|node| &**node).ok_or(NO_NODE)
    }

    // Writes.

    /// Executes a client's write.
    pub(crate) fn write(&mut self, request: &Request<'_>, cx: &Context) -> Answer {
        match request {
            Request::Create(create) => {
                let path = self.create(create, cx)?;
                let mut out = text(&path);
                if create.op != OpCode::Create {
                    out.extend(self.stat_bytes(&path));
                }
                Ok(out)
            }
            Request::Delete { path, version } => {
                self.delete(path.as_deref().ok_or(-5)?, *version, cx).map(|()| Vec::new())
            }
            Request::SetData { path, data, version } => {
                let path = path.as_deref().ok_or(BAD_ARGUMENTS)?;
                self.set_data(path, *data, *version, cx)?;
                Ok(self.stat_bytes(path))
            }
            Request::SetAcl { path, acl, version } => {
                let path = path.as_deref().filter(|path| legal(path)).ok_or(BAD_ARGUMENTS)?;
                let acl = fix(acl, &cx.ids)?;
                let node = self.at(path)?;
                allowed(&node.acl, &cx.ids, 16)?;
                same_version(node.aversion, *version)?;
                self.change(path, |node| {
                    node.acl = acl;
                    node.aversion += 1;
                });
                Ok(self.stat_bytes(path))
            }
            Request::Multi(ops) => self.multi(ops, cx),
            other => panic!("{:?} is no write", other.op()),
        }
    }

    /// Paths that go with a session.
    pub(crate) fn ephemerals(&self, session: i64) -> BTreeSet<&str> {
        let mine = self.nodes.iter().filter(|(_, node)| node.owner == session);
        mine.map(|(path, _)| &**path).collect()
    }

    /// Ends a session. The order in which its ephemerals go is the server's to choose.
    pub(crate) fn close_session(&mut self, session: i64, zxid: i64, order: &[&str]) {
        self.sessions.remove(&session);
        for path in order {
            self.remove(path, zxid);
        }
    }

    /// The server's own deletion; `Err` says why it may not do that.
    pub(crate) fn reap(&mut self, path: &str, cx: &Context) -> Result<(), String> {
        let Some(node) = self.nodes.get(path) else {
            return Err(format!("{path} is not there to be reaped"));
        };
        let ttl = node.owner & 0xff_ffff_ffff;
        let due = match node.owner {
            CONTAINER => node.created > 0,
            owner => (owner as u64) >> 56 == 0xff && cx.time - node.mtime > ttl,
        };
        if !due || node.children > 0 {
            return Err(format!("{path} may not be reaped: {node:?}"));
        }
        self.remove(path, cx.zxid);
        Ok(())
    }

    fn create(&mut self, create: &Create<'_>, cx: &Context) -> Result<String, i32> {
        let ttl_mode = matches!(create.flags, 5 | 6);
        let ttl_fits = match ttl_mode {
            true => (1..=0xff_ffff_ffff).contains(&create.ttl_ms),
            false => create.ttl_ms < 0 && create.op != OpCode::CreateTtl,
        };
        if !(0..=6).contains(&create.flags) || !ttl_fits {
            return Err(BAD_ARGUMENTS);
        }
        if let Some(code) = cx.no_ephemerals.filter(|_| matches!(create.flags, 1 | 3)) {
            return Err(code);
        }
        let asked = create.path.as_deref().ok_or(-5)?;
        let cut = asked.rfind('/').filter(|_| !asked.contains('\0')).ok_or(BAD_ARGUMENTS)?;
        let parent = if cut == 0 { "/" } else { &asked[..cut] };
        let acl = fix(&create.acl, &cx.ids)?;
        let above = self.at(parent)?;
        allowed(&above.acl, &cx.ids, 4)?;
        let sequential = matches!(create.flags, 2 | 3 | 6);
        let path =
            if sequential { format!("{asked}{:010}", above.created) } else { asked.to_owned() };
        if !legal(&path) {
            return Err(BAD_ARGUMENTS);
        }
        if self.nodes.contains_key(path.as_str()) {
            return Err(-110);
        }
        if is_session(above.owner) {
            return Err(-108);
        }
        self.within_quota(&path, (1, create.data.map_or(0, <[u8]>::len) as i64), cx)?;
        let owner = match create.op {
            OpCode::CreateContainer => CONTAINER,
            OpCode::CreateTtl => (0xff_u64 << 56) as i64 | create.ttl_ms,
            _ if matches!(create.flags, 1 | 3) => cx.session,
            _ => 0,
        };
        let (parent, parent_acl) = (parent.to_owned(), above.acl.clone());
        let node = Node {
            data: create.data.map(Arc::from),
            acl: acl.clone(),
            czxid: cx.zxid,
            mzxid: cx.zxid,
            pzxid: cx.zxid,
            ctime: cx.time,
            mtime: cx.time,
            version: 0,
            created: 0,
            aversion: 0,
            owner,
            children: 0,
            weight: 0,
        };
        self.put(&path, Some(node));
        self.change(&parent, |above| {
            above.created += 1;
            above.children += 1;
            above.pzxid = cx.zxid;
        });
        self.happenings.push(Happening { kind: 1, path: path.as_str().into(), acl, parent_acl });
        Ok(path)
    }

    fn delete(&mut self, path: &str, version: i32, cx: &Context) -> Result<(), i32> {
        let cut = path.rfind('/').filter(|_| !path.contains('\0')).ok_or(BAD_ARGUMENTS)?;
        if ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"].contains(&path) {
            return Err(BAD_ARGUMENTS);
        }
        allowed(&self.at(if cut == 0 { "/" } else { &path[..cut] })?.acl, &cx.ids, 8)?;
        let node = self.at(path)?;
        same_version(node.version, version)?;
        if node.children > 0 {
            return Err(-111);
        }
        self.remove(path, cx.zxid);
        Ok(())
    }

    fn remove(&mut self, path: &str, zxid: i64) {
        let acl = self.nodes[path].acl.clone();
        self.put(path, None);
        self.change(parent_of(path), |above| {
            above.children -= 1;
            above.pzxid = zxid;
        });
        let parent_acl = self.nodes[parent_of(path)].acl.clone();
        self.happenings.push(Happening { kind: 2, path: path.into(), acl, parent_acl });
    }

    fn set_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        cx: &Context,
    ) -> Result<(), i32> {
        if !legal(path) {
            return Err(BAD_ARGUMENTS);
        }
        let node = self.at(path)?;
        allowed(&node.acl, &cx.ids, 2)?;
        let size = |data: Option<&[u8]>| data.map_or(0, <[u8]>::len) as i64;
        self.within_quota(path, (0, size(data) - size(node.data.as_deref())), cx)?;
        same_version(node.version, version)?;
        let version = node.version + 1;
        self.set(path, data, version, cx);
        Ok(())
    }

    fn set(&mut self, path: &str, data: Option<&[u8]>, version: i32, cx: &Context) {
        self.change(path, |node| {
            node.data = data.map(Arc::from);
            node.version = version;
            node.mzxid = cx.zxid;
            node.mtime = cx.time;
        });
        let (acl, parent_acl) = (self.nodes[path].acl.clone(), [].into());
        self.happenings.push(Happening { kind: 3, path: path.into(), acl, parent_acl });
    }

    fn multi(&mut self, ops: &[MultiOp<'_>], cx: &Context) -> Answer {
        let mut out = Vec::new();
        let mut failure = None;
        let mut cx = cx.clone();
        for (n, op) in ops.iter().enumerate() {
            cx.part = n;
            match self.one_of_multi(op, &cx) {
                Ok((kind, body)) => {
                    out.extend(multi_header(kind, 0));
                    out.extend(body);
                }
                Err(-5) => {
                    self.undo();
                    return Err(-5);
                }
                Err(code) => {
                    failure = Some((n, code));
                    break;
                }
            }
        }
        if let Some((failed, code)) = failure {
            self.undo();
            out.clear();
            for n in 0..ops.len() {
                let code = match n.cmp(&failed) {
                    std::cmp::Ordering::Less => 0,
                    std::cmp::Ordering::Equal => code,
                    std::cmp::Ordering::Greater => -2,
                };
                out.extend(multi_header(-1, code));
                out.extend(code.to_be_bytes());
            }
        }
        MultiResult::encode_end(&mut Writer::new(&mut out));
        Ok(out)
    }

    fn undo(&mut self) {
        for (path, node) in std::mem::take(&mut self.before).into_iter().rev() {
            self.place(path, node);
        }
        self.happenings.clear();
    }

    fn one_of_multi(&mut self, op: &MultiOp<'_>, cx: &Context) -> Result<(i32, Vec<u8>), i32> {
        match op {
            MultiOp::Create(create) => {
                let path = self.create(create, cx)?;
                match create.op {
                    OpCode::Create => Ok((1, text(&path))),
                    _ => Ok((15, [text(&path), self.stat_bytes(&path)].concat())),
                }
            }
            MultiOp::BadCreate => Err(BAD_ARGUMENTS),
            MultiOp::Delete { path, version } => {
                self.delete(path, *version, cx).map(|()| (2, Vec::new()))
            }
            MultiOp::SetData { path, data, version } => {
                self.set_data(path, *data, *version, cx)?;
                Ok((5, self.stat_bytes(path)))
            }
            MultiOp::Check { path, version } => {
                if !legal(path) {
                    return Err(BAD_ARGUMENTS);
                }
                let node = self.at(path)?;
                allowed(&node.acl, &cx.ids, 1)?;
                same_version(node.version, *version)?;
                Ok((13, Vec::new()))
            }
        }
    }

    /// Does what a record says without asking whether it may: its client is gone, and so is the request.
    pub(crate) fn force(&mut self, txn: &Txn, cx: &Context) {
        match txn {
            Txn::Create { path, data, acl, kind, parent_cversion } => {
                let entry = |e: &Acl| (e.perms.0, e.scheme.to_string(), e.id.to_string());
                let acl: Entries = acl.iter().map(entry).collect();
                let owner = match kind {
                    CreateKind::Plain { ephemeral: true, .. } => cx.session,
                    CreateKind::Plain { ephemeral: false, .. } => 0,
                    CreateKind::Container => CONTAINER,
                    CreateKind::Ttl { ttl_ms } => (0xff_u64 << 56) as i64 | ttl_ms,
                };
                let node = Node {
                    data: data.clone(),
                    acl: acl.clone(),
                    czxid: cx.zxid,
                    mzxid: cx.zxid,
                    pzxid: cx.zxid,
                    ctime: cx.time,
                    mtime: cx.time,
                    version: 0,
                    created: 0,
                    aversion: 0,
                    owner,
                    children: 0,
                    weight: 0,
                };
                let fresh = i32::from(!self.nodes.contains_key(&**path));
                self.put(path, Some(node));
                self.change(parent_of(path), |above| {
                    above.created = *parent_cversion;
                    above.children += fresh;
                    above.pzxid = cx.zxid;
                });
                let parent_acl = self.nodes[parent_of(path)].acl.clone();
                let path = (&**path).into();
                self.happenings.push(Happening { kind: 1, path, acl, parent_acl });
            }
            Txn::Delete { path, .. } => self.remove(path, cx.zxid),
            Txn::SetData { path, data, version, .. } => {
                self.set(path, data.as_deref(), *version, cx);
            }
            Txn::SetAcl { path, acl, version } => self.change(path, |node| {
                let entry = |e: &Acl| (e.perms.0, e.scheme.to_string(), e.id.to_string());
                node.acl = acl.iter().map(entry).collect();
                node.aversion = *version;
            }),
            Txn::Check { .. }
            | Txn::Multi(_)
            | Txn::CreateSession { .. }
            | Txn::CloseSession { .. }
            | Txn::Error { .. } => {}
        }
    }

    // Reads. Children come sorted; the oracle sorts the server's before it compares.

    /// Executes a client's read.
    pub(crate) fn read(&self, request: &Request<'_>, cx: &Context) -> Answer {
        let root = |path: &str| if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        match request {
            Request::Exists { path, .. } => {
                let path = path.as_deref().ok_or(-5)?;
                if path.contains('\0') {
                    return Err(BAD_ARGUMENTS);
                }
                allowed(&self.at(path)?.acl, &cx.ids, 1)?;
                Ok(self.stat_bytes(&root(path)))
            }
            Request::GetData { path, .. } => self.data(&root(path.as_deref().ok_or(-5)?), cx),
            Request::GetChildren { path, .. } => {
                let path = root(path.as_deref().ok_or(-5)?);
                allowed(&self.at(&path)?.acl, &cx.ids, 1)?;
                Ok(self.names(&path))
            }
            Request::GetChildren2 { path, .. } => {
                let path = root(path.as_deref().ok_or(-5)?);
                allowed(&self.at(&path)?.acl, &cx.ids, 1)?;
                Ok([self.names(&path), self.stat_bytes(&path)].concat())
            }
            Request::GetAcl { path } => {
                let path = root(path.as_deref().ok_or(-5)?);
                let node = self.at(&path)?;
                allowed(&node.acl, &cx.ids, 17)?;
                let bare = allowed(&node.acl, &cx.ids, 16).is_ok();
                let mut out = Vec::new();
                let mut w = Writer::new(&mut out);
                w.count(node.acl.len());
                for (perms, scheme, id) in node.acl.iter() {
                    let user = id.split(':').next().unwrap_or("");
                    let hidden = scheme == "digest" && id.contains(':') && !bare;
                    w.int(*perms);
                    w.string(scheme);
                    w.string(&if hidden { format!("{user}:x") } else { id.clone() });
                }
                Ok([out, self.stat_bytes(&path)].concat())
            }
            Request::GetAllChildrenNumber { path } => {
                let path = root(path.as_deref().ok_or(-5)?);
                allowed(&self.at(&path)?.acl, &cx.ids, 1)?;
                let prefix = if path == "/" { path.clone() } else { format!("{path}/") };
                let below = self.nodes.keys().filter(|p| p.starts_with(&prefix) && ***p != *path);
                Ok((below.count() as i32).to_be_bytes().to_vec())
            }
            Request::GetEphemerals { .. } => {
                let mine = self.nodes.iter().filter(|(_, node)| node.owner == cx.session);
                let paths: Vec<&str> = mine.map(|(path, _)| &**path).collect();
                let mut out = Vec::new();
                Writer::new(&mut out).strings(&paths);
                Ok(out)
            }
            Request::WhoAmI => {
                let mut out = Vec::new();
                let mut w = Writer::new(&mut out);
                w.count(cx.ids.len());
                for (scheme, id) in &cx.ids {
                    w.string(scheme);
                    w.string(if scheme == "digest" {
                        id.split(':').next().unwrap_or("")
                    } else {
                        id
                    });
                }
                Ok(out)
            }
            Request::Sync { path } => {
                let mut out = Vec::new();
                Writer::new(&mut out).buffer(path.as_ref().map(|path| path.as_bytes()));
                Ok(out)
            }
            Request::MultiRead(ops) => Ok(self.multi_read(ops, cx)),
            Request::Ping => Ok(Vec::new()),
            other => panic!("{:?} is not read from the tree", other.op()),
        }
    }

    fn data(&self, path: &str, cx: &Context) -> Answer {
        let node = self.at(path)?;
        allowed(&node.acl, &cx.ids, 1)?;
        let mut out = Vec::new();
        Writer::new(&mut out).buffer(node.data.as_deref());
        Ok([out, self.stat_bytes(path)].concat())
    }

    fn names(&self, path: &str) -> Vec<u8> {
        let mut out = Vec::new();
        Writer::new(&mut out).strings(&self.children(path));
        out
    }

    fn multi_read(&self, ops: &[ReadOp<'_>], cx: &Context) -> Vec<u8> {
        let mut out = Vec::new();
        for op in ops {
            let (kind, answer) = match op {
                ReadOp::GetData { path } => (4, self.data(path.as_deref().unwrap_or("?"), cx)),
                ReadOp::GetChildren { path } => {
                    let path = path.as_deref().unwrap_or("?");
                    let readable = self.at(path).and_then(|node| allowed(&node.acl, &cx.ids, 1));
                    (8, readable.map(|()| self.names(path)))
                }
            };
            match answer {
                Ok(body) => out.extend([multi_header(kind, 0), body].concat()),
                Err(code) => {
                    out.extend(multi_header(-1, code));
                    out.extend(code.to_be_bytes());
                }
            }
        }
        MultiResult::encode_end(&mut Writer::new(&mut out));
        out
    }
}

/// May somebody with these ids do one of `asked`?
pub(crate) fn allowed(acl: &[Entry], ids: &[(String, String)], asked: i32) -> Result<(), i32> {
    let grants = |(perms, scheme, id): &Entry| {
        perms & asked != 0 && (scheme == "world" || ids.iter().any(|(s, i)| s == scheme && i == id))
    };
    if acl.iter().any(grants) { Ok(()) } else { Err(NO_AUTH) }
}

fn fix(specs: &[AclSpec<'_>], ids: &[(String, String)]) -> Result<Entries, i32> {
    let mut acl: Vec<Entry> = Vec::new();
    for spec in specs {
        let scheme = spec.scheme.as_deref().ok_or(INVALID_ACL)?;
        let id = spec.id.as_deref();
        match (scheme, id) {
            ("auth", _) => {
                let proven: Vec<Entry> = ids
                    .iter()
                    .filter(|(scheme, _)| scheme == "digest")
                    .map(|(scheme, id)| (spec.perms.0, scheme.clone(), id.clone()))
                    .collect();
                if proven.is_empty() {
                    return Err(INVALID_ACL);
                }
                acl.extend(proven);
            }
            ("world" | "digest" | "ip", None) => return Err(-5),
            ("world", Some("anyone")) | ("ip", Some("127.0.0.1")) => {
                acl.push((spec.perms.0, scheme.into(), id.unwrap_or("").into()));
            }
            _ => return Err(INVALID_ACL),
        }
    }
    if acl.is_empty() { Err(INVALID_ACL) } else { Ok(acl.into()) }
}

fn same_version(now: i32, asked: i32) -> Result<(), i32> {
    if asked == -1 || asked == now { Ok(()) } else { Err(BAD_VERSION) }
}

fn legal(path: &str) -> bool {
    path == "/"
        || (path.starts_with('/')
            && path[1..].split('/').all(|name| !matches!(name, "" | "." | ".."))
            && path.chars().all(|c| {
                let n = c as u32;
                n > 0x1f
                    && !(0x7f..=0x9f).contains(&n)
                    && !(0xd800..=0xf8ff).contains(&n)
                    && n < 0xfff0
            }))
}

pub(crate) fn parent_of(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

fn is_session(owner: i64) -> bool {
    owner != 0 && owner != CONTAINER && (owner as u64) >> 56 != 0xff
}

fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out).string(text);
    out
}

fn multi_header(kind: i32, err: i32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut w = Writer::new(&mut out);
    w.int(kind);
    w.bool(false);
    w.int(err);
    out
}

fn digest_of(path: &str, node: &Node) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(if path == "/" { &[] } else { path.as_bytes() });
    sum.update(node.data.as_deref().unwrap_or_default());
    let mut numbers = Vec::with_capacity(60);
    for long in [node.czxid, node.mzxid, node.pzxid, node.ctime, node.mtime] {
        numbers.extend(long.to_be_bytes());
    }
    for int in [node.version, node.created, node.aversion] {
        numbers.extend(int.to_be_bytes());
    }
    numbers.extend(node.owner.to_be_bytes());
    sum.update(&numbers);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_follows_has_the_same_tree() {
        let delete = |path: &'static str| MultiOp::Delete { path: path.into(), version: -1 };
        let create = |path: &'static str| {
            let spec = AclSpec {
                perms: zoetrope_core::wire::Perms(31),
                scheme: Some("world".into()),
                id: Some("anyone".into()),
            };
            MultiOp::Create(Create {
                op: OpCode::Create,
                path: Some(path.into()),
                data: Some(b"x"),
                acl: vec![spec],
                flags: 0,
                ttl_ms: -1,
            })
        };
        let set = |path: &'static str| MultiOp::SetData {
            path: path.into(),
            data: Some(b"y"),
            version: -1,
        };
        let (mut first, mut other) = (Model::new(), Model::new());
        let txns = [
            vec![create("/a"), create("/a/b"), create("/a/c")],
            // A path that comes and goes, and one that goes and comes.
            vec![create("/d"), delete("/d"), delete("/a/b"), create("/a/b"), set("/a/b")],
            // Nothing of this is done.
            vec![delete("/a/b"), set("/a"), create("/a/c")],
            // The parent goes with its children.
            vec![delete("/a/b"), delete("/a/c"), delete("/a"), create("/e")],
        ];
        for (zxid, ops) in (1..).zip(txns) {
            let cx = Context { time: 7, session: 1, ..Context::at(zxid) };
            first.begin(zxid);
            let answer = first.write(&Request::Multi(ops), &cx).expect("a multi always answers");
            assert!(!answer.is_empty());
            other.follow(zxid, &first.changes());
            assert_eq!((other.zxid, other.digest), (first.zxid, first.digest));
            assert_eq!(format!("{:?}", other.nodes), format!("{:?}", first.nodes));
            for path in ["/", "/a", "/d", "/e"] {
                assert_eq!(other.children(path), first.children(path), "{path} at {zxid}");
            }
        }
        assert_eq!(other.children("/"), ["e", "zookeeper"]);
    }

    #[test]
    fn children_are_those_right_below_however_their_names_sort() {
        let mut model = Model::new();
        let node = Node::clone(&model.nodes["/zookeeper/quota"]);
        // '-' and '.' come before '/', '0' comes after it.
        for path in ["/a", "/a-", "/a/b", "/a/b-", "/a/b.", "/a/b/x", "/a/b/x/y", "/a/b0", "/a0"] {
            model.put(path, Some(node.clone()));
        }
        assert_eq!(model.children("/"), ["a", "a-", "a0", "zookeeper"]);
        assert_eq!(model.children("/a"), ["b", "b-", "b.", "b0"]);
        assert_eq!(model.children("/a/b"), ["x"]);
        assert!(model.children("/a/b0").is_empty());
    }

    #[test]
    fn an_empty_model_has_the_digest_of_an_empty_java_server() {
        assert_eq!(Model::new().digest, 1_371_985_504);
    }
}
