//! Containers and TTL znodes that a write in flight still changes.

mod support;

use support::{Bench, Files};
use zoetrope_core::wire::*;
use zoetrope_core::*;

fn create(path: &'static str, op: OpCode, flags: i32, ttl_ms: i64) -> Request<'static> {
    let open =
        AclSpec { perms: Perms::ALL, scheme: Some("world".into()), id: Some("anyone".into()) };
    Request::Create(Create {
        op,
        path: Some(path.into()),
        data: None,
        acl: vec![open],
        flags,
        ttl_ms,
    })
}

fn write(path: &'static str) -> Request<'static> {
    Request::SetData { path: Some(path.into()), data: Some(b"new"), version: -1 }
}

/// A server whose sweep has come while the write waited for the disk; then the write is durable.
fn swept_beside(before: &[Request<'_>], write: &Request<'_>) -> Bench {
    let mut bench =
        Bench::start(Files::new(), Config { extended_types: true, ..Config::default() });
    bench.connect();
    for request in before {
        bench.ask(request);
    }
    bench.slow_log = true;
    bench.now.wall_ms += 2000;
    assert_eq!(bench.ask_all(std::slice::from_ref(write)), []);
    bench.ring_after(1, Timer::Containers);
    bench.sync_log();
    bench.slow_log = false;
    assert!(!std::mem::take(&mut bench.replies).is_empty());
    bench
}

fn is_there(bench: &mut Bench, path: &'static str) -> bool {
    bench.try_ask(&Request::Exists { path: Some(path.into()), watch: false }) == 0
}

#[test]
fn a_ttl_begins_again_with_a_write_in_flight() {
    let before = [create("/ttl", OpCode::CreateTtl, 5, 1000)];
    let mut bench = swept_beside(&before, &write("/ttl"));
    assert!(is_there(&mut bench, "/ttl"));
    bench.ring_after(500, Timer::Containers);
    assert!(is_there(&mut bench, "/ttl"));
    bench.ring_after(1000, Timer::Containers);
    assert!(!is_there(&mut bench, "/ttl"));
}

#[test]
fn nothing_is_proposed_for_what_goes_already() {
    let before = [
        create("/box", OpCode::CreateContainer, 4, -1),
        create("/box/child", OpCode::Create, 0, -1),
        Request::Delete { path: Some("/box/child".into()), version: -1 },
    ];
    let delete = Request::Delete { path: Some("/box".into()), version: -1 };
    let mut bench = swept_beside(&before, &delete);
    assert!(!is_there(&mut bench, "/box"));
    // The session and these four writes.
    assert_eq!(bench.server.zxid_applied(), Zxid(5));
}
