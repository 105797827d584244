//! Every file that Java servers of 3.8 and 3.9 wrote into `tests/fixtures` reads, and writes back the same.

use super::record::{encode_file_header, encode_record};
use super::scan::{Scanner, Verdict};
use crate::ids::Zxid;
use crate::snapshot::{Item, Next, SnapshotReader, SnapshotWriter, Trailer};
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

const RECORD_MAX: u32 = 2_097_150;
/// Bytes a snapshot has behind its first checksum, when it has all sections.
const SECTIONS_LEN: usize = 54;

/// Files of all fixtures but those that are there to be refused or torn, by `VERSION/FIXTURE/…`.
fn fixture_files() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for version in ["3.8", "3.9"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version);
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "gz") {
                continue;
            }
            let mut archive = tar::Archive::new(GzDecoder::new(std::fs::File::open(path).unwrap()));
            for file in archive.entries().unwrap() {
                let mut file = file.unwrap();
                let name = format!("{version}/{}", file.path().unwrap().display());
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).unwrap();
                all.insert(name, bytes);
            }
        }
    }
    all
}

fn named<'a>(
    files: &'a BTreeMap<String, Vec<u8>>,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    let base =
        move |name: &str| name.rsplit('/').next().is_some_and(|base| base.starts_with(prefix));
    files.iter().filter(move |(name, _)| base(name)).map(|(name, bytes)| (&**name, &**bytes))
}

#[test]
fn logs_write_back_the_same() {
    let files = fixture_files();
    let mut records = 0;
    for (name, bytes) in named(&files, "log.") {
        let legacy = name.contains("legacy-records") || name.contains("closesession-bodyless");
        let (again, verdict) = read_and_write_log(bytes);
        if name.ends_with("empty-newest-log/version-2/log.105f")
            || name.ends_with("empty-newest-log/version-2/log.107c")
        {
            assert_eq!(verdict, Verdict::Unborn, "{name}");
            continue;
        }
        let end = match verdict {
            Verdict::Clean { end } => end,
            Verdict::Torn { at, dropped: 0, .. } if name.contains("torn-tail") => at,
            Verdict::Damaged { at, what } if name.contains("bad-crc") => {
                assert_eq!(what.to_string(), "CRC check failed");
                at
            }
            other => panic!("{name}: {other:?}"),
        };
        // Old forms of two records are read, but nobody needs them written.
        assert!(legacy || again == bytes[..end as usize], "{name}");
        records += again.len();
    }
    assert!(records > 100_000, "{records} bytes of records");
}

fn read_and_write_log(bytes: &[u8]) -> (Vec<u8>, Verdict) {
    let mut scanner = Scanner::new(RECORD_MAX, Zxid(0));
    let mut again = Vec::new();
    encode_file_header(&mut again);
    let mut chunks = bytes.chunks(1 << 20);
    loop {
        while let Some(record) = scanner.next() {
            encode_record(&record.header, &record.txn, record.digest, &mut again);
        }
        if let Some(verdict) = scanner.verdict() {
            return (again, verdict);
        }
        match chunks.next() {
            Some(chunk) => scanner.feed(chunk),
            None => scanner.end(),
        }
    }
}

#[test]
fn snapshots_write_back_the_same() {
    let files = fixture_files();
    let mut whole = 0;
    for (name, bytes) in named(&files, "snapshot.") {
        let bytes = match name.rsplit('.').next() {
            Some("gz") => {
                let mut plain = Vec::new();
                GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
                plain
            }
            Some("snappy") => unsnap(bytes),
            _ => bytes.to_vec(),
        };
        let broken = name.contains("all-snapshots-corrupt")
            || name.ends_with("corrupt-newest-snapshot/version-2/snapshot.7f")
            || name.ends_with("corrupt-newest-snapshot/version-2/snapshot.7a")
            || name.ends_with("truncated-newest-snapshot/version-2/snapshot.7f")
            || name.ends_with("truncated-newest-snapshot/version-2/snapshot.7a");
        let Some((again, trailer)) = read_and_write_snapshot(&bytes) else {
            assert!(broken, "{name}");
            continue;
        };
        assert!(!broken, "{name}");
        let sections = again.len() - SECTIONS_LEN;
        if trailer.last_zxid.is_some() && trailer.digest.is_some() {
            assert_eq!(again, bytes, "{name}");
            whole += 1;
        } else if trailer.digest.is_some() {
            assert_eq!(again[..sections + 33], bytes, "{name}");
        } else {
            assert_eq!(again[..sections], bytes[..sections], "{name}");
        }
    }
    assert!(whole > 20, "{whole} snapshots with all sections");
}

/// `None` when it is damaged.
fn read_and_write_snapshot(bytes: &[u8]) -> Option<(Vec<u8>, Trailer)> {
    let mut reader = SnapshotReader::new(RECORD_MAX);
    let mut chunks = bytes.chunks(1000);
    let (mut sessions, mut acls, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
    let trailer = loop {
        match reader.next().ok()? {
            Next::Item(Item::Session { id, timeout_ms }) => sessions.push((id, timeout_ms)),
            Next::Item(Item::Acl { id, list }) => acls.push((id, list)),
            Next::Item(Item::Node { path, data, acl, stat }) => {
                nodes.push((path.into_owned(), data.map(<[u8]>::to_vec), acl, stat));
            }
            Next::NeedsMore => match chunks.next() {
                Some(chunk) => reader.feed(chunk),
                None => reader.end(),
            },
            Next::Done(trailer) => break trailer,
        }
    };
    let mut out = Vec::new();
    let acls = acls.iter().map(|(id, list)| (*id, &**list));
    let mut w = SnapshotWriter::begin(sessions.into_iter(), acls, &mut out);
    for (path, data, acl, stat) in &nodes {
        w.node(path, data.as_deref(), *acl, stat, &mut out);
    }
    let digest = trailer.digest.unwrap_or_default();
    w.end(digest, trailer.last_zxid.unwrap_or_default(), &mut out);
    Some((out, trailer))
}

/// Storage §2.12: a stream of raw blocks, each behind its length.
fn unsnap(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = &bytes[16..];
    while let Some((len, behind)) = rest.split_first_chunk::<4>() {
        let (block, behind) = behind.split_at(u32::from_be_bytes(*len) as usize);
        plain.extend(snap::raw::Decoder::new().decompress_vec(block).unwrap());
        rest = behind;
    }
    plain
}
