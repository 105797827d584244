//! What a client's write becomes, and which of its errors is found first (client protocol §2.4).

use super::outstanding::{NodeState, Outstanding};
use super::prep::{Asker, Prep};
use crate::config::Config;
use crate::ids::{SessionId, Xid, Zxid};
use crate::session::Standing;
use crate::tree::{DataTree, Identity, path};
use crate::wire::{
    Acl, AclSpec, Create, CreateKind, ErrorCode, MultiOp, OpCode, Perms, Request, StatPersisted,
    Txn, TxnHeader,
};
use std::collections::BTreeSet;
use std::sync::Arc;

const ME: SessionId = SessionId(7);
const TIME: i64 = 1_795_356_457_780;

/// Stat, number of children, ACL, checksum and length of the data.
type Foreseen = (StatPersisted, u32, Arc<[Acl]>, u32, usize);

/// A leader's tree, and the writes it has proposed.
struct World {
    config: Config,
    tree: DataTree,
    outstanding: Outstanding,
    standing: Standing,
    ids: Vec<Identity>,
    zxid: i64,
    in_flight: Vec<(TxnHeader, Txn)>,
}

impl World {
    fn new() -> Self {
        let tree = DataTree::new(1, false);
        Self {
            config: Config::default(),
            outstanding: Outstanding::new(tree.digest()),
            tree,
            standing: Standing::Global,
            ids: Vec::new(),
            zxid: 0,
            in_flight: Vec::new(),
        }
    }

    /// Decides something as the leader does. What is refused has changed nothing.
    fn prepare(
        &mut self,
        decide: impl FnOnce(&mut Prep<'_>) -> Result<Txn, ErrorCode>,
    ) -> Result<Txn, ErrorCode> {
        let zxid = Zxid(self.zxid + 1);
        let header = TxnHeader { session: ME, cxid: Xid(1), zxid, time_ms: TIME + zxid.0 };
        let before = self.outstanding.digest();
        self.outstanding.start_draft();
        let decided = decide(&mut Prep {
            config: &self.config,
            tree: &self.tree,
            outstanding: &mut self.outstanding,
            asker: Asker { session: ME, standing: self.standing, ids: &self.ids },
            zxid,
            time_ms: header.time_ms,
        });
        match &decided {
            Ok(txn) => {
                self.outstanding.keep();
                self.zxid += 1;
                self.in_flight.push((header, txn.clone()));
            }
            Err(_) => {
                assert_eq!(self.outstanding.digest(), before, "an error has changed something");
                self.outstanding.drop_draft();
            }
        }
        decided
    }

    fn ask(&mut self, request: &Request<'_>) -> Result<Txn, ErrorCode> {
        self.prepare(|prep| prep.request(request))
    }

    fn refused(&mut self, request: &Request<'_>) -> Option<ErrorCode> {
        self.ask(request).err()
    }

    fn foreseen(&self, path: &str) -> Option<Foreseen> {
        let NodeState { stat, children, acl, crc, data_len } =
            self.outstanding.lookup(&self.tree, path)?;
        Some((stat, children, acl, crc, data_len))
    }

    /// Everything in flight is committed, and becomes what was foreseen.
    fn commit(&mut self) {
        let mut paths = BTreeSet::new();
        for (_, txn) in &self.in_flight {
            note_paths(txn, &mut paths);
        }
        let foreseen: Vec<_> = paths.iter().map(|path| self.foreseen(path)).collect();
        for (header, txn) in std::mem::take(&mut self.in_flight) {
            self.tree.apply(&header, &txn, &mut |_| {});
            self.outstanding.forget(header.zxid);
        }
        assert_eq!(self.tree.digest(), self.outstanding.digest());
        for (path, foreseen) in paths.iter().zip(foreseen) {
            // Figures are counted when the change is applied.
            if !path.ends_with("/zookeeper_stats") {
                assert_eq!(self.foreseen(path), foreseen, "{path}");
            }
        }
    }

    /// Does it at once; it must not be refused.
    fn done(&mut self, request: &Request<'_>) -> Txn {
        let txn = self.ask(request).unwrap_or_else(|code| panic!("{request:?}: {code:?}"));
        self.commit();
        txn
    }

    fn make(&mut self, path: &'static str, acl: Perms) {
        self.done(&Request::Create(Create { acl: vec![world(acl)], ..plain(path) }));
    }

    fn stat(&self, path: &str) -> StatPersisted {
        *self.tree.get(path).unwrap().persisted()
    }

    /// Gives `path` a quota, and figures where `stats` is text.
    fn limit(&mut self, path: &str, limits: &[u8], stats: Option<&[u8]>) {
        self.config.enforce_quota = false;
        let home = format!("/zookeeper/quota{path}");
        let limits = ("zookeeper_limits", Some(limits));
        for (name, data) in [("", None), limits, ("zookeeper_stats", stats)] {
            let path = format!("{home}/{name}").trim_end_matches('/').to_owned();
            if name == "zookeeper_stats" && stats.is_none() {
                continue;
            }
            if self.tree.get(&path).is_none() {
                let path = Some(path.clone().into());
                self.done(&Request::Create(Create { path, ..plain("/") }));
            }
            if let Some(data) = data {
                let path = Some(path.into());
                self.done(&Request::SetData { path, data: Some(data), version: -1 });
            }
        }
        self.config.enforce_quota = true;
    }
}

fn note_paths(txn: &Txn, paths: &mut BTreeSet<String>) {
    match txn {
        Txn::Create { path, .. }
        | Txn::Delete { path, .. }
        | Txn::SetData { path, .. }
        | Txn::SetAcl { path, .. } => paths.extend(path::with_ancestors(path).map(str::to_owned)),
        Txn::Multi(parts) => parts.iter().for_each(|part| note_paths(part, paths)),
        Txn::CloseSession { paths: listed } => {
            for path in listed.iter().flatten() {
                paths.extend(path::with_ancestors(path).map(str::to_owned));
            }
        }
        Txn::Check { .. } | Txn::CreateSession { .. } | Txn::Error { .. } => {}
    }
}

fn world(perms: Perms) -> AclSpec<'static> {
    AclSpec { perms, scheme: Some("world".into()), id: Some("anyone".into()) }
}

fn plain(path: &'static str) -> Create<'static> {
    let (path, acl) = (Some(path.into()), vec![world(Perms::ALL)]);
    Create { op: OpCode::Create, path, data: None, acl, flags: 0, ttl_ms: -1 }
}

fn create(path: &'static str) -> Request<'static> {
    Request::Create(plain(path))
}

fn delete(path: &'static str, version: i32) -> Request<'static> {
    Request::Delete { path: Some(path.into()), version }
}

fn set(path: &'static str, data: &'static [u8], version: i32) -> Request<'static> {
    Request::SetData { path: Some(path.into()), data: Some(data), version }
}

fn set_acl(path: &'static str, perms: Perms, version: i32) -> Request<'static> {
    Request::SetAcl { path: Some(path.into()), acl: vec![world(perms)], version }
}

fn check(path: &'static str, version: i32) -> MultiOp<'static> {
    MultiOp::Check { path: path.into(), version }
}

/// The error of a multi of one operation.
fn error_of(multi: Result<Txn, ErrorCode>) -> Option<ErrorCode> {
    let Ok(Txn::Multi(parts)) = multi else { panic!("{multi:?} is no multi") };
    match parts[..] {
        [Txn::Error { code }] => ErrorCode::from_number(code),
        _ => None,
    }
}

#[test]
fn the_errors_of_a_create_are_found_in_the_order_of_java() {
    let mut world = World::new();
    world.make("/shut", Perms::READ);
    world.make("/open", Perms::ALL);
    world.make("/open/child", Perms::ALL);
    world.done(&Request::Create(Create { flags: 1, ..plain("/mine") }));
    world.limit("/open", b"countHardLimit=0", Some(b"count=2,bytes=0"));
    world.limit("/mine", b"countHardLimit=0", Some(b"count=1,bytes=0"));
    world.standing = Standing::Local;
    let bad = |path, flags| Create { acl: vec![], flags, ..plain(path) };
    let refused = |world: &mut World, create| world.refused(&Request::Create(create));
    assert_eq!(refused(&mut world, bad("nowhere", -1)), Some(ErrorCode::BadArguments));
    assert_eq!(refused(&mut world, bad("nowhere", 7)), Some(ErrorCode::BadArguments));
    assert_eq!(refused(&mut world, bad("nowhere", 5)), Some(ErrorCode::Unimplemented));
    assert_eq!(refused(&mut world, bad("nowhere", 1)), Some(ErrorCode::EphemeralOnLocalSession));
    assert_eq!(refused(&mut world, bad("nowhere", 3)), Some(ErrorCode::EphemeralOnLocalSession));
    let unnamed = Create { path: None, ..bad("", 0) };
    assert_eq!(refused(&mut world, unnamed), Some(ErrorCode::MarshallingError));
    assert_eq!(refused(&mut world, bad("nowhere", 0)), Some(ErrorCode::BadArguments));
    assert_eq!(refused(&mut world, bad("/no\0where", 0)), Some(ErrorCode::BadArguments));
    assert_eq!(refused(&mut world, bad("/none/x", 0)), Some(ErrorCode::InvalidAcl));
    for (path, code) in [
        ("/none/.", ErrorCode::NoNode),
        ("/shut/.", ErrorCode::NoAuth),
        ("/open/.", ErrorCode::BadArguments),
        ("/open/child", ErrorCode::NodeExists),
        ("/mine/x", ErrorCode::NoChildrenForEphemerals),
        ("/open/x", ErrorCode::QuotaExceeded),
    ] {
        assert_eq!(refused(&mut world, plain(path)), Some(code), "{path}");
    }
    assert_eq!(refused(&mut world, plain("/")), Some(ErrorCode::NodeExists));
    world.standing = Standing::Elsewhere;
    assert_eq!(refused(&mut world, bad("nowhere", 1)), Some(ErrorCode::SessionExpired));
    assert_eq!(refused(&mut world, bad("nowhere", 3)), Some(ErrorCode::SessionExpired));
    assert_eq!(refused(&mut world, plain("/x")), None, "others may create what nobody owns");
}

#[test]
fn operation_and_flags_decide_what_is_created() {
    let mut world = World::new();
    world.config.extended_types = true;
    let of = |with_stat, ephemeral| CreateKind::Plain { with_stat, ephemeral };
    let ttl = CreateKind::Ttl { ttl_ms: 5 };
    for (op, flags, kind, sequential) in [
        (OpCode::Create, 0, of(false, false), false),
        (OpCode::Create, 1, of(false, true), false),
        (OpCode::Create, 2, of(false, false), true),
        (OpCode::Create2, 3, of(true, true), true),
        (OpCode::Create2, 0, of(true, false), false),
        // Only the operation makes a container, whatever the flags say.
        (OpCode::Create, 4, of(false, false), false),
        (OpCode::CreateContainer, 0, CreateKind::Container, false),
        (OpCode::CreateContainer, 2, CreateKind::Container, true),
        (OpCode::CreateContainer, 4, CreateKind::Container, false),
        (OpCode::CreateTtl, 5, ttl, false),
        (OpCode::CreateTtl, 6, ttl, true),
    ] {
        let ttl_ms = if matches!(flags, 5 | 6) { 5 } else { -1 };
        let request = Create { op, flags, ttl_ms, ..plain("/n") };
        let number = world.stat("/").cversion;
        let made = world.done(&Request::Create(request));
        let Txn::Create { path, kind: is, parent_cversion, .. } = made else { panic!("{made:?}") };
        let name = if sequential { format!("/n{number:010}") } else { "/n".to_owned() };
        assert_eq!((&*path, is), (&*name, kind), "{op:?} {flags}");
        assert_eq!(parent_cversion, number + 1);
        let path = Some(name.into());
        world.done(&Request::Delete { path, version: -1 });
    }
}

#[test]
fn a_time_to_live_is_asked_for_where_it_means_something() {
    let mut world = World::new();
    world.config.extended_types = true;
    let longest = (1 << 40) - 1;
    for (op, flags, ttl_ms, legal) in [
        (OpCode::CreateTtl, 5, 1, true),
        (OpCode::CreateTtl, 6, longest, true),
        (OpCode::CreateTtl, 5, 0, false),
        (OpCode::CreateTtl, 5, -1, false),
        (OpCode::CreateTtl, 6, longest + 1, false),
        (OpCode::Create, 5, -1, false),
        (OpCode::CreateContainer, 6, -1, false),
        (OpCode::CreateTtl, 0, 0, false),
        (OpCode::CreateTtl, 4, 5, false),
        // Java lets this one through, and nobody can apply it.
        (OpCode::CreateTtl, 0, -1, false),
    ] {
        let request = Request::Create(Create { op, flags, ttl_ms, ..plain("/t") });
        let refused = world.refused(&request);
        let expected = (!legal).then_some(ErrorCode::BadArguments);
        assert_eq!(refused, expected, "{op:?}, flags {flags}, {ttl_ms} ms");
        if legal {
            world.commit();
            assert_eq!(world.stat("/").pzxid, Zxid(world.zxid));
            let named = if flags == 6 { "/t0000000002" } else { "/t" };
            world.done(&delete(named, -1));
        }
        world.make("/other", Perms::ALL);
        world.done(&delete("/other", -1));
    }
}

#[test]
fn numbers_count_the_creations_under_a_znode() {
    let mut world = World::new();
    world.make("/q", Perms::ALL);
    let next = |world: &mut World, path| {
        let made = world.ask(&Request::Create(Create { flags: 2, ..plain(path) })).unwrap();
        let Txn::Create { path, .. } = made else { panic!("{made:?}") };
        path
    };
    assert_eq!(&*next(&mut world, "/q/n-"), "/q/n-0000000000");
    assert_eq!(&*next(&mut world, "/q/n-"), "/q/n-0000000001", "the first one is in flight");
    world.ask(&create("/q/other")).unwrap();
    world.ask(&delete("/q/n-0000000001", -1)).unwrap();
    assert_eq!(world.refused(&create("/q/other")), Some(ErrorCode::NodeExists));
    assert_eq!(&*next(&mut world, "/q/n-"), "/q/n-0000000003");
    // The number alone may be the name.
    assert_eq!(&*next(&mut world, "/q/"), "/q/0000000004");
    world.commit();
    assert_eq!((world.stat("/q").cversion, world.tree.get("/q").unwrap().child_count()), (5, 4));
}

#[test]
fn a_counter_at_its_end_stays_there() {
    let mut world = World::new();
    let stat = StatPersisted { cversion: i32::MAX, ..StatPersisted::default() };
    world.tree.load("/q", None, None, stat).unwrap();
    world.outstanding = Outstanding::new(world.tree.digest());
    let sequential = Request::Create(Create { flags: 2, ..plain("/q/n") });
    world.done(&sequential);
    assert!(world.tree.get("/q/n2147483647").is_some());
    assert_eq!(world.stat("/q"), stat);
    assert_eq!(world.refused(&sequential), Some(ErrorCode::NodeExists));
}

#[test]
fn a_new_znode_has_the_zxid_and_time_of_its_txn_everywhere() {
    let mut world = World::new();
    world.done(&Request::Create(Create { flags: 1, data: Some(b"abc"), ..plain("/e") }));
    let (zxid, time) = (Zxid(1), TIME + 1);
    let expected = StatPersisted {
        czxid: zxid,
        mzxid: zxid,
        pzxid: zxid,
        ctime: time,
        mtime: time,
        ephemeral_owner: ME.0,
        ..StatPersisted::default()
    };
    assert_eq!(world.stat("/e"), expected);
    world.done(&set("/e", b"d", 0));
    let written = StatPersisted { mzxid: Zxid(2), mtime: TIME + 2, version: 1, ..expected };
    assert_eq!(world.stat("/e"), written);
    world.done(&set_acl("/e", Perms::ALL, 0));
    assert_eq!(world.stat("/e"), StatPersisted { aversion: 1, ..written });
}

#[test]
fn the_errors_of_a_delete_are_found_in_the_order_of_java() {
    let mut world = World::new();
    world.make("/p", Perms::ALL);
    world.make("/p/c", Perms(0));
    world.make("/shut", Perms::ALL);
    world.make("/shut/c", Perms::ALL);
    world.done(&set_acl("/shut", Perms::CREATE, -1));
    let unnamed = Request::Delete { path: None, version: -1 };
    assert_eq!(world.refused(&unnamed), Some(ErrorCode::MarshallingError));
    for (path, version, code) in [
        ("", -1, ErrorCode::BadArguments),
        ("p", -1, ErrorCode::BadArguments),
        ("/\0", -1, ErrorCode::BadArguments),
        ("/", -1, ErrorCode::BadArguments),
        ("/zookeeper", -1, ErrorCode::BadArguments),
        ("/zookeeper/quota", -1, ErrorCode::BadArguments),
        ("/zookeeper/config", -1, ErrorCode::BadArguments),
        ("/none/c", -1, ErrorCode::NoNode),
        ("/shut/none", -1, ErrorCode::NoAuth),
        ("/p/none", -1, ErrorCode::NoNode),
        ("/p/", -1, ErrorCode::NoNode),
        ("/p", 9, ErrorCode::BadVersion),
        ("/p", 0, ErrorCode::NotEmpty),
    ] {
        assert_eq!(world.refused(&delete(path, version)), Some(code), "{path}");
    }
    let before = world.stat("/p");
    let deleted = world.done(&delete("/p/c", 0));
    assert_eq!(deleted, Txn::Delete { path: "/p/c".into(), by_server: false });
    // The parent has moved, and nothing else of it.
    let after = StatPersisted { pzxid: Zxid(world.zxid), ..before };
    assert_eq!((world.stat("/p"), world.refused(&delete("/p", 0))), (after, None));
}

#[test]
fn the_errors_of_a_set_data_are_found_in_the_order_of_java() {
    let mut world = World::new();
    world.make("/shut", Perms(29));
    world.make("/q", Perms::ALL);
    world.limit("/q", b"byteHardLimit=3", Some(b"count=1,bytes=0"));
    let unnamed = Request::SetData { path: None, data: None, version: -1 };
    assert_eq!(world.refused(&unnamed), Some(ErrorCode::BadArguments));
    for (path, data, code) in [
        ("/none/", &b""[..], ErrorCode::BadArguments),
        ("/none", b"", ErrorCode::NoNode),
        ("/shut", b"", ErrorCode::NoAuth),
        ("/q", b"1234", ErrorCode::QuotaExceeded),
        ("/q", b"123", ErrorCode::BadVersion),
    ] {
        assert_eq!(world.refused(&set(path, data, 9)), Some(code), "{path} {data:?}");
    }
}

#[test]
fn the_errors_of_a_set_acl_are_found_in_the_order_of_java() {
    let mut world = World::new();
    world.make("/shut", Perms(15));
    world.make("/open", Perms::ALL);
    world.done(&set("/open", b"", -1));
    let unnamed = Request::SetAcl { path: None, acl: vec![], version: -1 };
    assert_eq!(world.refused(&unnamed), Some(ErrorCode::BadArguments));
    let to_nobody =
        |path: &'static str| Request::SetAcl { path: Some(path.into()), acl: vec![], version: 9 };
    assert_eq!(world.refused(&to_nobody("/none/")), Some(ErrorCode::BadArguments));
    assert_eq!(world.refused(&to_nobody("/none")), Some(ErrorCode::InvalidAcl));
    for (path, code) in [
        ("/none", ErrorCode::NoNode),
        ("/shut", ErrorCode::NoAuth),
        ("/open", ErrorCode::BadVersion),
    ] {
        assert_eq!(world.refused(&set_acl(path, Perms::READ, 9)), Some(code), "{path}");
    }
}

/// −1 fits every version; each write has the one it is compared with.
#[test]
fn a_version_has_to_be_the_present_one() {
    let mut world = World::new();
    world.make("/n", Perms::ALL);
    for _ in 0..2 {
        world.done(&set("/n", b"", -1));
    }
    world.done(&set_acl("/n", Perms::ALL, 0));
    for wrong in [-2, 0, 1, 3] {
        assert_eq!(world.refused(&set("/n", b"", wrong)), Some(ErrorCode::BadVersion));
        assert_eq!(world.refused(&delete("/n", wrong)), Some(ErrorCode::BadVersion));
        let checked = world.ask(&Request::Multi(vec![check("/n", wrong)]));
        assert_eq!(error_of(checked), Some(ErrorCode::BadVersion));
    }
    for wrong in [-2, 0, 2] {
        let refused = world.refused(&set_acl("/n", Perms::ALL, wrong));
        assert_eq!(refused, Some(ErrorCode::BadVersion));
    }
    for right in [2, -1] {
        assert_eq!(error_of(world.ask(&Request::Multi(vec![check("/n", right)]))), None);
    }
    let acl: Arc<[Acl]> = Arc::from([Acl::world(Perms::ALL)]);
    let changed = world.done(&set_acl("/n", Perms::ALL, 1));
    assert_eq!(changed, Txn::SetAcl { path: "/n".into(), acl, version: 2 });
    let written = world.done(&set("/n", b"x", 2));
    let data = Some(Arc::from(&b"x"[..]));
    assert_eq!(written, Txn::SetData { path: "/n".into(), data, version: 3, reconfig: false });
    world.done(&delete("/n", 3));
}

#[test]
fn versions_go_on_behind_the_highest_number() {
    let mut world = World::new();
    let stat = StatPersisted { version: i32::MAX, aversion: i32::MAX, ..StatPersisted::default() };
    let open: Arc<[Acl]> = Arc::from([Acl::world(Perms::ALL)]);
    world.tree.load("/n", None, Some(&open), stat).unwrap();
    world.outstanding = Outstanding::new(world.tree.digest());
    world.done(&set("/n", b"", i32::MAX));
    world.done(&set_acl("/n", Perms::ALL, i32::MAX));
    assert_eq!((world.stat("/n").version, world.stat("/n").aversion), (i32::MIN, i32::MIN));
    world.done(&Request::Multi(vec![check("/n", i32::MIN)]));
}

/// CREATE and DELETE are asked of the parent, the others of the znode; and each write asks for one only.
#[test]
fn every_write_asks_for_its_permission_where_it_belongs() {
    let bits = [Perms::READ, Perms::WRITE, Perms::CREATE, Perms::DELETE, Perms::ADMIN];
    for granted in bits {
        let mut world = World::new();
        world.make("/p", Perms::ALL);
        world.make("/p/c", Perms(0));
        world.make("/n", granted);
        world.done(&set_acl("/p", granted, -1));
        let mut may = |request: Request<'_>| {
            let refused = match (&request, world.ask(&request)) {
                (Request::Multi(_), multi) => error_of(multi),
                (_, decided) => decided.err(),
            };
            assert!(matches!(refused, None | Some(ErrorCode::NoAuth)), "{refused:?}");
            refused.is_none()
        };
        assert_eq!(may(create("/p/new")), granted == Perms::CREATE);
        assert_eq!(may(delete("/p/c", -1)), granted == Perms::DELETE);
        assert_eq!(may(set("/n", b"", -1)), granted == Perms::WRITE);
        assert_eq!(may(Request::Multi(vec![check("/n", -1)])), granted == Perms::READ);
        assert_eq!(may(set_acl("/n", granted, -1)), granted == Perms::ADMIN);
    }
}

#[test]
fn an_acl_is_that_of_the_connection_that_asks() {
    let mut world = World::new();
    world.ids = vec![Identity::new("digest", "me:hash")];
    let auth = AclSpec { perms: Perms::ALL, scheme: Some("auth".into()), id: None };
    world.done(&Request::Create(Create { acl: vec![auth], ..plain("/mine") }));
    let acl = world.tree.acl(world.tree.get("/mine").unwrap());
    assert_eq!(acl[..], [Acl::new(Perms::ALL, "digest", "me:hash")]);
    world.ids = vec![Identity::new("digest", "you:hash")];
    assert_eq!(world.refused(&set("/mine", b"", -1)), Some(ErrorCode::NoAuth));
    world.config.auth.skip_acl = true;
    assert_eq!(world.refused(&set("/mine", b"", -1)), None);
}

#[test]
fn a_write_sees_what_is_in_flight_before_it() {
    let mut world = World::new();
    world.ask(&create("/a")).unwrap();
    assert_eq!(world.refused(&create("/a")), Some(ErrorCode::NodeExists));
    world.ask(&set("/a", b"1", 0)).unwrap();
    assert_eq!(world.refused(&set("/a", b"2", 0)), Some(ErrorCode::BadVersion));
    world.ask(&create("/a/b")).unwrap();
    assert_eq!(world.refused(&delete("/a", 1)), Some(ErrorCode::NotEmpty));
    world.ask(&delete("/a/b", 0)).unwrap();
    assert_eq!(world.refused(&delete("/a/b", -1)), Some(ErrorCode::NoNode));
    world.ask(&set_acl("/a", Perms::ADMIN, 0)).unwrap();
    assert_eq!(world.refused(&set("/a", b"2", 1)), Some(ErrorCode::NoAuth));
    world.ask(&delete("/a", 1)).unwrap();
    assert_eq!(world.refused(&create("/a/b")), Some(ErrorCode::NoNode));
    world.ask(&create("/a")).unwrap();
    world.commit();
    assert_eq!((world.stat("/a").czxid, world.stat("/a").version), (Zxid(7), 0));
}

/// One failure undoes all: 0 stands for what came before it, −2 for what was not tried (client protocol §3.7).
#[test]
fn a_multi_that_fails_says_where_and_changes_nothing() {
    let mut world = World::new();
    world.make("/a", Perms::ALL);
    let digest = world.outstanding.digest();
    let write = |path: &'static str, version| MultiOp::SetData {
        path: path.into(),
        data: Some(b"x"),
        version,
    };
    let multi = Request::Multi(vec![
        MultiOp::Create(plain("/b")),
        MultiOp::Create(plain("/b/c")),
        write("/a", 0),
        write("/a", 0),
        MultiOp::Delete { path: "/a".into(), version: -1 },
    ]);
    let code = |code: ErrorCode| Txn::Error { code: code.number() };
    let Ok(Txn::Multi(parts)) = world.ask(&multi) else { panic!("a multi that fails is a txn") };
    let last_two = [code(ErrorCode::BadVersion), code(ErrorCode::RuntimeInconsistency)];
    assert_eq!((parts.len(), &parts[3..]), (5, &last_two[..]));
    assert_eq!(world.outstanding.digest(), digest);
    assert_eq!(world.refused(&create("/b/c")), Some(ErrorCode::NoNode));
    world.commit();
    assert_eq!((world.stat("/a").version, world.stat("/").cversion), (0, 1));
    world.done(&Request::Multi(vec![
        MultiOp::Create(plain("/b")),
        MultiOp::Create(plain("/b/c")),
        write("/a", 0),
        write("/a", 1),
        MultiOp::Delete { path: "/a".into(), version: 2 },
    ]));
    assert!(world.tree.get("/b/c").is_some() && world.tree.get("/a").is_none());
    assert_eq!(world.stat("/b/c").czxid, world.stat("/b").czxid, "all have one zxid");
}

#[test]
fn what_no_client_can_send_spoils_a_multi_as_a_whole() {
    let mut world = World::new();
    let unnamed = AclSpec { id: None, ..self::world(Perms::ALL) };
    let spoilt = Create { acl: vec![unnamed], ..plain("/b") };
    let multi = vec![MultiOp::Create(plain("/a")), MultiOp::Create(spoilt)];
    assert_eq!(world.refused(&Request::Multi(multi)), Some(ErrorCode::MarshallingError));
    assert!(world.foreseen("/a").is_none());
    // A mode that names nothing fails alone.
    let multi = world.ask(&Request::Multi(vec![MultiOp::BadCreate]));
    assert_eq!(error_of(multi), Some(ErrorCode::BadArguments));
    world.commit();
}

/// The log has the version plus one, as that of a Java server (storage §2.6).
#[test]
fn a_check_needs_its_znode_and_changes_nothing() {
    let mut world = World::new();
    world.make("/n", Perms::ALL);
    world.done(&set("/n", b"", -1));
    for (path, code) in [("/n/", ErrorCode::BadArguments), ("/none", ErrorCode::NoNode)] {
        let multi = world.ask(&Request::Multi(vec![check(path, -1)]));
        assert_eq!(error_of(multi), Some(code), "{path}");
    }
    let digest = world.outstanding.digest();
    let checked = Txn::Check { path: "/n".into(), version: 2 };
    for version in [1, -1] {
        let multi = world.done(&Request::Multi(vec![check("/n", version)]));
        assert_eq!(multi, Txn::Multi(vec![checked.clone()]));
    }
    assert_eq!(world.outstanding.digest(), digest);
}

#[test]
fn reconfiguration_is_refused_switched_on_or_off() {
    let mut world = World::new();
    assert_eq!(world.refused(&Request::Reconfig), Some(ErrorCode::ReconfigDisabled));
    world.config.reconfig_enabled = true;
    assert_eq!(world.refused(&Request::Reconfig), Some(ErrorCode::Unimplemented));
}

#[test]
fn a_session_takes_its_ephemerals_with_it_those_in_flight_too() {
    let mut world = World::new();
    let mine = |path| Request::Create(Create { flags: 1, ..plain(path) });
    world.make("/p", Perms::ALL);
    for path in ["/p/a", "/p/b"] {
        world.done(&mine(path));
    }
    world.ask(&mine("/p/c")).unwrap();
    world.ask(&delete("/p/b", -1)).unwrap();
    world.ask(&create("/p/stays")).unwrap();
    let ended = world.ask(&Request::CloseSession).unwrap();
    let Txn::CloseSession { paths: Some(mut paths) } = ended else { panic!("{ended:?}") };
    paths.sort();
    assert_eq!(paths, ["/p/a".into(), "/p/c".into()]);
    world.commit();
    assert_eq!(world.tree.ephemeral_count(), 0);
    assert!(world.tree.get("/p/stays").is_some());
    assert_eq!(world.stat("/p").pzxid, Zxid(world.zxid));
}

/// Java could not read a longer record; what is not listed goes all the same (storage §1.5).
#[test]
fn the_end_of_a_session_lists_what_fits_into_half_a_record() {
    let mut world = World::new();
    for path in ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7"] {
        world.done(&Request::Create(Create { flags: 1, ..plain(path) }));
    }
    // Each path takes six bytes.
    (world.config.limits.frame_max, world.config.limits.frame_extra) = (61, 0);
    let ended = world.done(&Request::CloseSession);
    let Txn::CloseSession { paths: Some(paths) } = ended else { panic!("{ended:?}") };
    assert_eq!((paths.len(), world.tree.ephemeral_count()), (5, 0));
}

#[test]
fn the_server_deletes_only_what_is_childless_still() {
    let mut world = World::new();
    world.done(&Request::Create(Create { op: OpCode::CreateContainer, flags: 4, ..plain("/c") }));
    let reap = |world: &mut World, path: &'static str| {
        world.prepare(|prep| prep.reap(path).ok_or(ErrorCode::NotEmpty))
    };
    world.ask(&create("/c/x")).unwrap();
    assert_eq!(reap(&mut world, "/c"), Err(ErrorCode::NotEmpty));
    assert_eq!(reap(&mut world, "/gone"), Err(ErrorCode::NotEmpty));
    world.ask(&delete("/c/x", -1)).unwrap();
    let txn = Txn::Delete { path: "/c".into(), by_server: true };
    assert_eq!(reap(&mut world, "/c"), Ok(txn));
    world.commit();
    assert!(world.tree.get("/c").is_none());
}

#[test]
fn a_hard_limit_may_be_reached_and_not_passed() {
    let mut world = World::new();
    world.make("/q", Perms::ALL);
    world.limit("/q", b"countHardLimit=3,byteHardLimit=10", Some(b""));
    world.done(&delete("/zookeeper/quota/q/zookeeper_stats", -1));
    world.make("/zookeeper/quota/q/zookeeper_stats", Perms::ALL);
    let filled =
        |path, data: &'static [u8]| Request::Create(Create { data: Some(data), ..plain(path) });
    assert_eq!(world.refused(&filled("/q/a", b"12345678901")), Some(ErrorCode::QuotaExceeded));
    world.done(&filled("/q/a", b"12345"));
    assert_eq!(world.refused(&filled("/q/b", b"123456")), Some(ErrorCode::QuotaExceeded));
    world.done(&filled("/q/b", b"12345"));
    assert_eq!(world.refused(&create("/q/c")), Some(ErrorCode::QuotaExceeded), "the fourth znode");
    for path in ["/q", "/q/a"] {
        let grown = set(path, b"123456", -1);
        assert_eq!(world.refused(&grown), Some(ErrorCode::QuotaExceeded), "{path}");
    }
    world.done(&set("/q/a", b"1234", -1));
    world.done(&set("/q", b"1", -1));
    world.done(&delete("/q/b", -1));
    world.done(&create("/q/c"));
    assert_eq!(world.refused(&create("/qq")), None, "only its name begins alike");
}

/// A limit that is passed already refuses what it counts, a change for the better too, and nothing else.
#[test]
fn a_passed_limit_refuses_only_what_it_counts() {
    let mut world = World::new();
    world.make("/q", Perms::ALL);
    world.done(&set("/q", b"12345", -1));
    let filled = Request::Create(Create { data: Some(b"1"), ..plain("/q/c") });
    world.limit("/q", b"countHardLimit=0", Some(b"count=9,bytes=9"));
    assert_eq!(world.refused(&create("/q/c")), Some(ErrorCode::QuotaExceeded));
    assert_eq!(world.refused(&filled), Some(ErrorCode::QuotaExceeded));
    assert_eq!(world.refused(&set("/q", b"1234567", -1)), None);
    world.commit();
    world.limit("/q", b"byteHardLimit=0", Some(b"count=9,bytes=9"));
    assert_eq!(world.refused(&filled), Some(ErrorCode::QuotaExceeded));
    assert_eq!(world.refused(&set("/q", b"1", -1)), Some(ErrorCode::QuotaExceeded), "as in Java");
    assert_eq!(world.refused(&set("/q", b"7654321", -1)), None, "no longer than before");
    assert_eq!(world.refused(&create("/q/c")), None);
    world.commit();
    assert_eq!(world.refused(&delete("/q/c", -1)), None);
}

#[test]
fn soft_limits_and_limits_that_are_not_enforced_refuse_nothing() {
    let mut world = World::new();
    world.make("/q", Perms::ALL);
    world.limit("/q", b"count=0,bytes=0", Some(b"count=9,bytes=9"));
    let filled = Request::Create(Create { data: Some(b"1"), ..plain("/q/c") });
    world.done(&filled);
    world.limit("/q", b"countHardLimit=0,byteHardLimit=0", Some(b"count=9,bytes=9"));
    world.config.enforce_quota = false;
    world.done(&delete("/q/c", -1));
    world.done(&filled);
    world.config.enforce_quota = true;
    assert_eq!(world.refused(&set("/q/c", b"12", -1)), Some(ErrorCode::QuotaExceeded));
    world.done(&delete("/zookeeper/quota/q/zookeeper_limits", -1));
    assert_eq!(world.refused(&set("/q/c", b"12", -1)), None, "it has no quota any more");
}

#[test]
fn the_deepest_quota_is_the_only_one_that_counts() {
    let mut world = World::new();
    for path in ["/q", "/q/sub", "/q/sub/free"] {
        world.make(path, Perms::ALL);
    }
    world.limit("/q", b"countHardLimit=0", Some(b"count=3,bytes=0"));
    world.limit("/q/sub", b"countHardLimit=9", Some(b"count=2,bytes=0"));
    assert_eq!(world.refused(&create("/q/x")), Some(ErrorCode::QuotaExceeded));
    assert_eq!(world.refused(&create("/q/sub/x")), None);
    assert_eq!(world.refused(&create("/q/sub/free/x")), None);
    world.commit();
    let figures = world.tree.get("/zookeeper/quota/q/zookeeper_stats").unwrap();
    assert_eq!(figures.data(), Some(&b"count=3,bytes=0"[..]));
}

/// Anybody may write into these znodes.
#[test]
fn a_quota_that_cannot_be_read_refuses_what_it_would_have_to_judge() {
    let mut world = World::new();
    world.make("/q", Perms::ALL);
    let filled = Request::Create(Create { data: Some(b"1"), ..plain("/q/c") });
    world.limit("/q", b"countHardLimit=0,byteHardLimit=0", None);
    assert_eq!(world.refused(&filled), None, "without figures nothing is exceeded");
    world.done(&delete("/q/c", -1));
    for limits in [&b"countHardLimit=9"[..], b"count=9", b"byteHardLimit=9", b"bytes=9"] {
        world.limit("/q", limits, Some(b"junk"));
        assert_eq!(world.refused(&filled), Some(ErrorCode::MarshallingError), "{limits:?}");
    }
    world.limit("/q", b"count=-1,bytes=-1", Some(b"junk"));
    assert_eq!(world.refused(&filled), None, "nothing is limited");
    world.commit();
    world.limit("/q", b"junk", Some(b"count=1,bytes=0"));
    assert_eq!(world.refused(&delete("/q/c", -1)), None);
    assert_eq!(world.refused(&set("/q", b"1", -1)), Some(ErrorCode::MarshallingError));
}
