//! A snapshot is taken slice by slice while the tree goes on changing: what it holds is a mixture, and with the log
//! behind it the whole truth.

use std::collections::BTreeMap;
use support::{Bench, Files};
use zoetrope_core::wire::{
    AclSpec, Create, MultiOp, OpCode, Perms, Reader, Request, Stat, decode_acl_vector,
};
use zoetrope_core::*;

mod support;

/// A small generator (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn config() -> Config {
    let mut config = Config::default();
    config.auth.skip_acl = true;
    // One znode in each slice, and small files, so that a start is cheap.
    config.storage.slice_bytes = 1;
    config.limits.frame_max = 4 << 10;
    config.limits.frame_extra = 4 << 10;
    config.storage.reserve_step = 32 << 10;
    config
}

/// Any of a few ACLs, most of them new when they are first used.
fn acl(random: &mut Random) -> Vec<AclSpec<'static>> {
    let id = format!("10.0.0.{}", random.below(30));
    vec![AclSpec { perms: Perms::ALL, scheme: Some("ip".into()), id: Some(id.into()) }]
}

fn path(random: &mut Random) -> String {
    let top = format!("/n{}", random.below(6));
    match random.below(3) {
        0 => top,
        _ => format!("{top}/m{}", random.below(6)),
    }
}

/// One write, which may fail.
fn write(bench: &mut Bench, random: &mut Random) -> bool {
    let at = path(random);
    let path = || Some(at.as_str().into());
    let create = |op, flags, random: &mut Random| Create {
        op,
        path: Some(at.as_str().into()),
        data: Some(b"created"),
        acl: acl(random),
        flags,
        ttl_ms: -1,
    };
    let request = match random.below(10) {
        0 => Request::Create(create(OpCode::Create, 0, random)),
        1 | 2 => Request::Create(create(OpCode::Create2, 0, random)),
        3 => Request::Create(create(OpCode::Create2, 2, random)),
        4..=6 => Request::Delete { path: path(), version: -1 },
        7 => Request::SetData { path: path(), data: Some(b"changed"), version: -1 },
        8 => Request::SetAcl { path: path(), acl: acl(random), version: -1 },
        _ => Request::Multi(vec![
            MultiOp::Delete { path: at.as_str().into(), version: -1 },
            MultiOp::Create(create(OpCode::Create2, 0, random)),
        ]),
    };
    bench.try_ask(&request) == 0
}

/// Everything a client can see: data, ACL and Stat by path.
fn tree(bench: &mut Bench) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut left = vec!["/".to_owned()];
    while let Some(at) = left.pop() {
        let path = || Some(at.as_str().into());
        let data = bench.ask(&Request::GetData { path: path(), watch: false });
        let mut r = Reader::new(&data);
        let data = r.buffer().unwrap().map(<[u8]>::to_vec);
        let stat = Stat::decode(&mut r).unwrap();
        let acl = bench.ask(&Request::GetAcl { path: path() });
        let acl = decode_acl_vector(&mut Reader::new(&acl)).unwrap();
        let children = bench.ask(&Request::GetChildren { path: path(), watch: false });
        for name in Reader::new(&children).strings().unwrap().unwrap() {
            left.push(format!("{}/{name}", if at == "/" { "" } else { &at }));
        }
        all.insert(at, format!("{data:?} {acl:?} {stat:?}"));
    }
    all
}

/// The newest snapshot and the logs: what recovery must be able to do with.
fn newest_only(files: &Files) -> Files {
    let label = |name: &str| i64::from_str_radix(name.strip_prefix("snapshot.")?, 16).ok();
    let newest = files.keys().filter_map(|name| label(name)).max();
    let mut files = files.clone();
    files.retain(|name, _| {
        name.starts_with("log.") || label(name).is_some_and(|z| Some(z) == newest)
    });
    files
}

/// The snapshots as a server writes them that keeps no digests: nothing says up to where they hold parts of txns. With
/// `damaged`, one of the znodes has data that no txn gave it.
fn undated(mut files: Files, damaged: bool) -> Files {
    const SEAL: usize = 13;
    const DIGEST_AND_LAST_ZXID: usize = 54;
    for (_, bytes) in files.iter_mut().filter(|(name, _)| name.starts_with("snapshot.")) {
        bytes.truncate(bytes.len() - DIGEST_AND_LAST_ZXID - SEAL);
        if damaged {
            let at = bytes.windows(5).position(|five| five == b"/zook").expect("it is there");
            // Behind the path and the length of the data come the ACL and the Stat, with czxid first.
            let czxid = at + "/zookeeper".len() + 4 + 8;
            bytes[czxid + 7] ^= 1;
        }
        let sum = simd_adler32::adler32(&bytes.as_slice());
        bytes.extend_from_slice(&u64::from(sum).to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 1, b'/']);
    }
    files
}

#[test]
fn a_snapshot_taken_under_writes_and_the_log_are_the_tree() {
    let (mut slices, mut writes, mut told) = (0, 0, 0);
    for seed in 0..150 {
        let mut random = Random(seed);
        let mut bench = Bench::start(Files::new(), config());
        bench.connect();
        for _ in 0..60 {
            write(&mut bench, &mut random);
        }
        bench.slow_snapshot = true;
        let before = bench.server.status().zxid_applied;
        bench.command(Command::Snapshot);
        while bench.write_slice() {
            slices += 1;
            for _ in 0..random.below(12) {
                writes += u32::from(write(&mut bench, &mut random));
            }
        }
        let taken = bench.server.status().last_snapshot;
        assert_eq!(taken, Some(before), "seed {seed}");
        for _ in 0..random.below(10) {
            write(&mut bench, &mut random);
        }
        let status = bench.server.status();
        let mut again = Bench::start(newest_only(&bench.files), config());
        assert_eq!(again.halted, None, "seed {seed}");
        let after = again.server.status();
        assert_eq!((after.zxid_applied, after.digest), (status.zxid_applied, status.digest));
        assert_eq!(after.digest_mismatches, 0, "seed {seed}");
        again.connect();
        assert_eq!(tree(&mut again), tree(&mut bench), "seed {seed}");
        let undated = |damaged| undated(newest_only(&bench.files), damaged);
        let after = Bench::start(undated(false), config()).server.status();
        assert_eq!((after.digest, after.digest_mismatches), (status.digest, 0), "seed {seed}");
        let damaged = Bench::start(undated(true), config()).server.status();
        told += damaged.digest_mismatches;
    }
    // Not where no txn with a digest stands behind the snapshot.
    assert!(told > 100, "{told} of 150 damaged trees were told");
    assert!(slices > 1500 && writes > 3000, "{slices} slices, {writes} writes between them");
}

#[test]
fn how_long_a_snapshot_took_is_told() {
    let mut bench = Bench::start(Files::new(), config());
    bench.connect();
    let before = bench.server.status().snapshot_ms;
    bench.slow_snapshot = true;
    bench.command(Command::Snapshot);
    bench.now.mono = bench.now.mono.plus_ms(70);
    while bench.write_slice() {}
    let after = bench.server.status().snapshot_ms;
    assert_eq!((after.count, after.sum, after.max), (before.count + 1, before.sum + 70, 70));
}
