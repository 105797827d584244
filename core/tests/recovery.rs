//! Data directories with something wrong: what a start makes of them.

use std::collections::BTreeMap;
use support::{Bench, Files};
use zoetrope_core::wire::{
    AclSpec, Create, OpCode, Perms, Reader, Request, Txn, TxnHeader, encode_txn,
};
use zoetrope_core::*;

mod support;

fn create(path: &str) -> Request<'_> {
    let anyone = Some("anyone".into());
    let open = AclSpec { perms: Perms::ALL, scheme: Some("world".into()), id: anyone };
    Request::Create(Create {
        op: OpCode::Create,
        path: Some(path.into()),
        data: Some(b"x"),
        acl: vec![open],
        flags: 0,
        ttl_ms: -1,
    })
}

/// A directory with `snapshot.0` and `log.1`: a session, and a znode by each zxid from 2 on.
fn directory(last: i64) -> Files {
    let mut bench = Bench::start(Files::new(), Config::default());
    bench.connect();
    for zxid in 2..=last {
        bench.ask(&create(&format!("/n{zxid}")));
    }
    bench.files.retain(|name, _| name.starts_with("log.") || name.starts_with("snapshot."));
    bench.files
}

fn start(files: &Files) -> Bench {
    Bench::start(files.clone(), Config::default())
}

/// Offsets of the records of a log, and of their end.
fn offsets(log: &[u8]) -> Vec<usize> {
    let mut all = vec![16];
    while let Some(prefix) = log.get(all[all.len() - 1]..).and_then(<[u8]>::first_chunk::<12>) {
        match u32::from_be_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]) {
            0 => break,
            len => all.push(all[all.len() - 1] + 13 + len as usize),
        }
    }
    all
}

/// A log of the records `from` to `to` of another one, counted from 1.
fn part(log: &[u8], from: usize, to: usize) -> Vec<u8> {
    let at = offsets(log);
    [&log[..16], &log[at[from - 1]..at[to]]].concat()
}

fn refusal(bench: &Bench, files: &Files) -> String {
    assert!(bench.files == *files, "a refused directory must stay as it is");
    bench.halted.clone().expect("it is refused")
}

fn has(bench: &mut Bench, path: &str) -> bool {
    let body = bench.ask(&Request::GetChildren { path: Some("/".into()), watch: false });
    let names = Reader::new(&body).strings().unwrap().unwrap();
    names.iter().any(|name| path[1..] == **name)
}

#[test]
fn a_torn_tail_is_cut_off_and_the_server_goes_on_behind_it() {
    let mut files = directory(6);
    files.remove("snapshot.6");
    let log = files.get_mut("log.1").unwrap();
    let last = offsets(log)[5];
    log[last + 20..].fill(0);
    let mut bench = start(&files);
    assert_eq!(bench.halted, None);
    assert!(bench.milestones.contains(&Milestone::TornTail { file: FileId(0), at: last as u64 }));
    assert_eq!(bench.files["log.1"].len(), last);
    assert_eq!(bench.server.status().zxid_applied, Zxid(5));
    bench.connect();
    bench.ask(&create("/again"));
    let mut bench = start(&bench.files);
    assert!(!bench.milestones.iter().any(|m| matches!(m, Milestone::TornTail { .. })));
    bench.connect();
    assert!(has(&mut bench, "/again") && has(&mut bench, "/n5") && !has(&mut bench, "/n6"));
}

#[test]
fn behind_a_torn_tail_that_was_left_a_newer_log_goes_on() {
    // Java leaves torn tails in the file and begins a new one with the zxid that was lost.
    let mut files = directory(8);
    let log = files["log.1"].clone();
    let mut torn = part(&log, 1, 5);
    torn.extend_from_slice(&log[offsets(&log)[5]..offsets(&log)[6] - 7]);
    files.insert("log.1".into(), torn);
    files.insert("log.6".into(), part(&log, 6, 8));
    let bench = start(&files);
    assert_eq!(bench.halted, None);
    assert_eq!(bench.server.status().zxid_applied, Zxid(8));
    assert_eq!(bench.files["log.1"], files["log.1"]);

    // If it begins with a later one, what was torn had been acknowledged.
    files.remove("log.6");
    files.insert("log.7".into(), part(&log, 7, 8));
    let why = refusal(&start(&files), &files);
    assert!(why.contains("log.7 at offset 16: 0x7 is not the next proposal of 0x5"), "{why}");
}

const NEXT_EPOCH: Zxid = Zxid((1 << 32) + 1);

/// A log of one record, the first one of another epoch.
fn log_of_the_next_epoch(header: &[u8]) -> Vec<u8> {
    let first = TxnHeader { session: SessionId(1), cxid: Xid(0), zxid: NEXT_EPOCH, time_ms: 0 };
    let mut txn = Vec::new();
    encode_txn(&first, &Txn::CreateSession { timeout_ms: 4000 }, None, &mut txn);
    let sum = u64::from(simd_adler32::adler32(&&txn[..])).to_be_bytes();
    let len = (txn.len() as u32).to_be_bytes();
    [header, &sum, &len, &txn, b"B"].concat()
}

fn without_sector(log: &[u8], n: usize) -> Vec<u8> {
    let mut harmed = log.to_vec();
    let end = harmed.len().min(n * 512 + 512);
    harmed[n * 512..end].fill(0);
    harmed
}

/// A server that starts cuts the newest log to end with its last record: where an older one of such a length ends in zeros,
/// and the next one begins another epoch, something is missing that no zxid tells of.
#[test]
fn where_an_epoch_ends_a_log_that_was_cut_to_fit_has_no_hole() {
    let mut files = directory(30);
    let log = files.remove("log.1").unwrap();
    let mut older = part(&log, 1, 28);
    let newer = log_of_the_next_epoch(&log[..16]);
    let empty = [&log[..16], &[0; 2000]].concat();
    let gaps = {
        let mut config = Config::default();
        config.storage.allow_gaps = true;
        config
    };
    for (newer, zxid) in [(newer, NEXT_EPOCH), (empty, Zxid(28))] {
        files.insert(format!("log.{:x}", NEXT_EPOCH.0), newer);
        files.insert("log.1".into(), older.clone());
        let bench = start(&files);
        assert_eq!((bench.halted, bench.server.status().zxid_applied), (None, zxid));
        // A sector in the middle, and the last one.
        for lost in [2, older.len() / 512] {
            files.insert("log.1".into(), without_sector(&older, lost));
            let why = refusal(&start(&files), &files);
            assert!(why.contains("log.1 is damaged at offset "), "{why}");
            assert!(why.contains("zeros stand where its last records were"), "{why}");
            assert_eq!(Bench::start(files.clone(), gaps.clone()).halted, None);
        }
    }
    // Behind room that nobody gave back, nobody knows where it ended. A first one of Java's is longer by its header.
    for room in [1024, 16 + 65536] {
        older.resize(room.max(older.len().next_multiple_of(1024)), 0);
        files.insert("log.1".into(), older.clone());
        assert_eq!(start(&files).halted, None);
    }
}

/// By that a log with room left is known from one that was cut.
#[test]
fn room_is_made_in_whole_kib() {
    let log = directory(3).remove("log.1").unwrap();
    assert!(log.len() > offsets(&log)[3] && log.len().is_multiple_of(1024), "{}", log.len());
}

#[test]
fn a_hole_that_a_snapshot_covers_is_none() {
    let mut files = directory(30);
    let log = files.remove("log.1").unwrap();
    files.insert("log.1".into(), part(&log, 1, 28));
    let mut files = start(&files).files;
    assert!(files.contains_key("snapshot.1c"));
    files.retain(|name, _| name.starts_with("log.") || name.starts_with("snapshot."));
    let harmed = without_sector(&files["log.1"], 5);
    files.insert("log.1".into(), harmed);
    files.insert("log.1d".into(), part(&log, 29, 30));
    let bench = start(&files);
    assert_eq!((bench.halted, bench.server.status().zxid_applied), (None, Zxid(30)));
    // Without it, what is missing is missing.
    files.remove("snapshot.1c");
    let why = refusal(&start(&files), &files);
    assert!(why.contains("zeros stand where its last records were"), "{why}");
}

#[test]
fn a_missing_log_is_refused_unless_gaps_are_allowed() {
    let mut files = directory(8);
    let log = files.remove("log.1").unwrap();
    files.insert("log.1".into(), part(&log, 1, 3));
    files.insert("log.6".into(), part(&log, 6, 8));
    let why = refusal(&start(&files), &files);
    assert!(why.contains("0x6 is not the next proposal of 0x3"), "{why}");
    let mut config = Config::default();
    config.storage.allow_gaps = true;
    let bench = Bench::start(files, config);
    assert_eq!((bench.halted, bench.server.status().zxid_applied), (None, Zxid(8)));
}

#[test]
fn damage_in_an_older_log_is_refused_with_its_place() {
    let mut files = directory(8);
    let log = files.remove("log.1").unwrap();
    files.insert("log.1".into(), part(&log, 1, 5));
    files.insert("log.6".into(), part(&log, 6, 8));
    let at = offsets(&log)[2];
    files.get_mut("log.1").unwrap()[at + 40] ^= 1;
    let why = refusal(&start(&files), &files);
    assert!(why.contains(&format!("damaged at offset {at}: CRC check failed")), "{why}");
    assert!(why.contains("log.1"), "{why}");
}

#[test]
fn a_log_without_a_header_is_removed_only_if_it_is_the_newest() {
    for nothing in [vec![], vec![0; 9], vec![0; 5000]] {
        let mut files = directory(5);
        files.insert("log.99".into(), nothing.clone());
        let bench = start(&files);
        assert_eq!(bench.halted, None);
        assert!(bench.milestones.iter().any(|m| matches!(m, Milestone::EmptyLogRemoved { .. })));
        assert!(!bench.files.contains_key("log.99"));
        files.remove("log.99");
        files.insert("log.6".into(), nothing.clone());
        files.insert("log.7".into(), part(&directory(9)["log.1"], 6, 9));
        let why = refusal(&start(&files), &files);
        assert!(why.contains("log.6"), "{why}");
    }
}

#[test]
fn a_log_without_a_header_that_has_the_next_name_makes_way_for_the_next_log() {
    // Removing it could overtake the new log on its way to that name.
    let mut files = directory(5);
    files.insert("log.6".into(), vec![]);
    let mut bench = start(&files);
    assert_eq!(bench.halted, None);
    bench.connect();
    bench.ask(&create("/again"));
    let mut bench = start(&bench.files);
    assert_eq!((bench.halted.clone(), bench.server.status().zxid_applied), (None, Zxid(7)));
    bench.connect();
    assert!(has(&mut bench, "/again"));
}

#[test]
fn a_snapshot_that_cannot_be_read_gives_way_to_an_older_one() {
    let mut files = directory(6);
    let bench = start(&files);
    assert!(bench.files.contains_key("snapshot.6"));
    files = bench.files;
    let bench = Bench::start_without(files.clone(), Config::default(), &["snapshot.6"]);
    assert_eq!((bench.halted, bench.server.status().zxid_applied), (None, Zxid(6)));
    assert!(bench.milestones.iter().any(|m| matches!(m, Milestone::SnapshotSkipped { .. })));

    let bench =
        Bench::start_without(files.clone(), Config::default(), &["snapshot.6", "snapshot.0"]);
    let why = refusal(&bench, &files);
    assert!(why.contains("snapshot.6 cannot be read: no permission. Make it readable"), "{why}");
}

#[test]
fn a_snapshot_that_alone_holds_the_end_does_not_give_way() {
    let mut files = start(&directory(6)).files;
    files.retain(|name, _| ["snapshot.0", "snapshot.6", "log.1"].contains(&name.as_str()));
    let log = files.get_mut("log.1").unwrap();
    *log = part(log, 1, 4);
    assert_eq!(start(&files).server.status().zxid_applied, Zxid(6));
    let without =
        |files: &Files| Bench::start_without(files.clone(), Config::default(), &["snapshot.6"]);
    let why = refusal(&without(&files), &files);
    let lost = "Its name says that it holds all up to 0x6, and the rest of the files ends at 0x4. ";
    assert!(why.contains("snapshot.6 cannot be read: no permission"), "{why}");
    assert!(why.contains(&format!("{lost}Make it readable")), "{why}");

    let whole = files["snapshot.6"].clone();
    files.get_mut("snapshot.6").unwrap()[100] ^= 1;
    let why = refusal(&start(&files), &files);
    assert!(why.contains("snapshot.6 is damaged: "), "{why}");
    assert!(why.contains(&format!("{lost}Restore that snapshot from a backup")), "{why}");

    let mut config = Config::default();
    config.storage.allow_gaps = true;
    let bench = Bench::start(files.clone(), config);
    assert_eq!((bench.halted, bench.server.status().zxid_applied), (None, Zxid(4)));

    // One that never became whole was never acknowledged.
    files.insert("snapshot.6".into(), whole[..whole.len() / 2].to_vec());
    let bench = start(&files);
    assert_eq!((bench.halted, bench.server.status().zxid_applied), (None, Zxid(4)));
}

#[test]
fn a_log_that_cannot_be_read_stops_the_start() {
    let files = directory(6);
    let bench = Bench::start_without(files.clone(), Config::default(), &["log.1"]);
    let why = refusal(&bench, &files);
    assert!(why.contains("log.1 cannot be read: no permission"), "{why}");
}

#[test]
fn a_stray_copy_of_a_log_brings_nothing_back() {
    let mut bench = Bench::start(Files::new(), Config::default());
    bench.connect();
    bench.ask(&create("/a"));
    for data in [b"1", b"2", b"3"] {
        bench.ask(&Request::SetData { path: Some("/a".into()), data: Some(data), version: -1 });
    }
    let mut files = bench.files;
    let copy = part(&files["log.1"], 1, 3);
    files.insert("log.1.bak".into(), copy);
    let mut bench = start(&files);
    assert_eq!((bench.halted.clone(), bench.server.status().zxid_applied), (None, Zxid(5)));
    bench.connect();
    let body = bench.ask(&Request::GetData { path: Some("/a".into()), watch: false });
    assert_eq!(Reader::new(&body).buffer(), Ok(Some(&b"3"[..])));
}

#[test]
fn a_snapshot_nobody_vouched_for_is_not_loaded() {
    let mut files = directory(6);
    let whole = start(&files).files.remove("snapshot.6").unwrap();
    files.insert("snapshot.99.tmp".into(), whole);
    let bench = start(&files);
    assert_eq!((bench.halted, bench.server.status().zxid_applied), (None, Zxid(6)));
}

#[test]
fn an_empty_directory_becomes_an_empty_tree() {
    let bench = start(&BTreeMap::new());
    assert_eq!(bench.halted, None);
    let status = bench.server.status();
    assert_eq!((status.zxid_applied, status.digest), (Zxid(0), 1_371_985_504));
    // The worked example of the format: a Java 3.9 server writes the same 478 bytes.
    assert_eq!(bench.files["snapshot.0"].len(), 478);
}

#[test]
fn a_hole_among_records_the_snapshot_has_is_damage() {
    let older = start(&directory(12)).files;
    let mut files = directory(30);
    files.insert("snapshot.c".into(), older["snapshot.c"].clone());
    let log = files.get_mut("log.1").unwrap();
    log[512..1024].fill(0);
    // Records 5 to 10 are gone, all of them in the snapshot; cutting the log there would lose 0xd to 0x1e.
    assert!(offsets(log).len() < 12);
    let why = refusal(&start(&files), &files);
    assert!(why.contains("log.1 is damaged at offset 4"), "{why}");
    assert!(why.contains("durable up to 0xc"), "{why}");

    // Behind the snapshot nothing proves that the records were acknowledged.
    let log = files.get_mut("log.1").unwrap();
    *log = directory(30).remove("log.1").unwrap();
    log[2048..2560].fill(0);
    let bench = start(&files);
    assert_eq!(bench.halted, None);
    assert!(bench.milestones.iter().any(|m| matches!(m, Milestone::TornTail { .. })));
}
