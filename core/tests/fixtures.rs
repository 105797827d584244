//! Every data directory in `tests/fixtures`, written by Java servers of 3.8 and 3.9, through the public door: the tree
//! must be the one its JSON describes, or the refusal the one Java gives. `tests/fixtures/README.md` says what is what.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use support::{Bench, Files};
use zoetrope_core::wire::{Reader, Request, Stat, decode_acl_vector};
use zoetrope_core::*;

mod support;

/// One fixture: its data directories (an ensemble has several) and what its JSON says.
struct Fixture {
    id: String,
    dirs: BTreeMap<PathBuf, Files>,
    json: Value,
}

fn fixtures() -> Vec<Fixture> {
    let mut all = Vec::new();
    for version in ["3.8", "3.9"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version);
        let mut jsons: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        jsons.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        jsons.sort();
        for path in jsons {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let dirs = unpack(&path.with_extension("tar.gz"));
            all.push(Fixture { id: format!("{version}/{name}"), dirs, json });
        }
    }
    assert_eq!(all.len(), 34);
    all
}

fn unpack(path: &Path) -> BTreeMap<PathBuf, Files> {
    let mut dirs: BTreeMap<PathBuf, Files> = BTreeMap::new();
    let mut archive = tar::Archive::new(GzDecoder::new(std::fs::File::open(path).unwrap()));
    for file in archive.entries().unwrap() {
        let mut file = file.unwrap();
        let path = file.path().unwrap().into_owned();
        if file.header().entry_type().is_dir() || !path.parent().unwrap().ends_with("version-2") {
            continue;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        dirs.entry(path.parent().unwrap().to_owned()).or_default().insert(name, bytes);
    }
    dirs
}

/// TTL znodes are known whatever the settings say, so the settings are the default ones. Reading must not depend on
/// who may read.
fn config() -> Config {
    let mut config = Config::default();
    config.auth.skip_acl = true;
    config
}

impl Fixture {
    fn is(&self, name: &str) -> bool {
        self.id.ends_with(&format!("/{name}"))
    }

    /// What Java 3.9.5 says when it does not start; we follow it. `None`: it starts.
    fn refusal(&self) -> Option<&str> {
        let java = &self.json["servers"]["3.9.5"];
        if java["outcome"] != "refuses" {
            return None;
        }
        let message = java["message"].as_str().unwrap();
        let message = message.split("Exception: ").nth(1).unwrap();
        Some(message.split(" in DATADIR").next().unwrap())
    }
}

#[test]
fn java_data_directories_read_back_as_their_json_says() {
    let mut read = 0;
    for fixture in fixtures() {
        if fixture.json.get("nodes").is_none() {
            continue;
        }
        let mut config = config();
        // Java 3.8 starts on it, 3.9.5 does so with this setting only.
        config.storage.allow_gaps = fixture.is("zxid-gap");
        for files in fixture.dirs.values() {
            let bench = Bench::start(files.clone(), config.clone());
            assert_eq!(bench.halted, None, "{}", fixture.id);
            compare(&fixture, bench);
            read += 1;
        }
    }
    assert_eq!(read, 30);
}

fn compare(fixture: &Fixture, mut bench: Bench) {
    let (id, json) = (&fixture.id, &fixture.json);
    check_recovered(fixture, &bench);
    let status = bench.server.status();
    assert_eq!(status.zxid_applied.to_string(), json["lastZxid"], "{id}");
    assert_eq!(status.digest as i64, json["treeDigest"], "{id}");
    // The root is counted twice.
    assert_eq!(status.znode_count, json["nodeCount"].as_u64().unwrap() + 1, "{id}");
    assert_eq!(status.digest_mismatches, 0, "{id}");
    let sessions: BTreeMap<_, _> =
        bench.server.sessions().map(|s| (s.session.to_string(), s.timeout_ms.into())).collect();
    assert_eq!(&sessions, &object(&json["sessions"]), "{id}");
    let ephemerals: BTreeMap<_, _> = bench
        .server
        .ephemerals()
        .map(|(session, mut paths)| {
            paths.sort();
            (session.to_string(), paths.into())
        })
        .collect();
    assert_eq!(&ephemerals, &object(&json["ephemerals"]), "{id}");
    let before = bench.files.clone();
    bench.connect();
    let nodes = json["nodes"].as_object().unwrap();
    assert_eq!(nodes.len() as u64, json["nodeCount"], "{id}");
    for (path, expected) in nodes {
        assert_eq!(&node(&mut bench, path, expected), expected, "{id}: {path}");
    }
    // What a start has written must be as good as what it has read.
    let again = Bench::start(before, config());
    assert_eq!(again.halted, None, "{id}");
    let after = again.server.status();
    assert_eq!((after.zxid_applied, after.digest), (status.zxid_applied, status.digest), "{id}");
    assert_eq!(after.digest_mismatches, 0, "{id}");
}

/// Snapshot, number of records, and what was said about the files on the way.
fn check_recovered(fixture: &Fixture, bench: &Bench) {
    let id = &fixture.id;
    let recovered = bench.milestones.iter().find_map(|milestone| match milestone {
        Milestone::Recovered { snapshot, replayed, .. } => Some((*snapshot, *replayed)),
        _ => None,
    });
    let (snapshot, replayed) = recovered.expect("recovery has ended");
    let from = snapshot.map(|file| bench.name(file));
    if let Some(expected) = fixture.json["loadedFrom"].as_str() {
        assert_eq!(from, Some(expected), "{id}");
        // Java 3.9 logged a request it could not decode under a zxid it had used; that record says nothing.
        let twice = u64::from(id.starts_with("3.9/") && expected == "snapshot.0");
        assert_eq!(replayed, fixture.json["replayed"].as_u64().unwrap() - twice, "{id}");
    }
    let said = |wanted: fn(&Milestone) -> bool| bench.milestones.iter().any(wanted);
    let skipped = said(|m| matches!(m, Milestone::SnapshotSkipped { .. }));
    let is_skipping =
        fixture.is("corrupt-newest-snapshot") || fixture.is("truncated-newest-snapshot");
    assert_eq!(skipped, is_skipping, "{id}");
    let torn = said(|m| matches!(m, Milestone::TornTail { .. }));
    assert_eq!(torn, fixture.id.contains("/torn-tail-"), "{id}");
    let removed = said(|m| matches!(m, Milestone::EmptyLogRemoved { .. }));
    assert_eq!(removed, fixture.is("empty-newest-log"), "{id}");
    assert!(bench.files.iter().all(|(name, file)| !name.starts_with("log.") || !file.is_empty()));
}

fn object(json: &Value) -> BTreeMap<String, Value> {
    json.as_object().unwrap().clone().into_iter().collect()
}

/// A znode as clients see it, in the form of the JSON; what clients cannot see is taken over.
fn node(bench: &mut Bench, path: &str, expected: &Value) -> Value {
    let path = || Some(path.into());
    let body = bench.ask(&Request::GetData { path: path(), watch: false });
    let mut r = Reader::new(&body);
    let data = r.buffer().unwrap().map(|data| BASE64.encode(data));
    let stat = Stat::decode(&mut r).unwrap();
    let body = bench.ask(&Request::GetAcl { path: path() });
    let acl = decode_acl_vector(&mut Reader::new(&body)).unwrap().unwrap();
    let acl: Vec<Value> =
        acl.iter().map(|acl| serde_json::json!([acl.perms.0, acl.scheme, acl.id])).collect();
    let body = bench.ask(&Request::GetChildren { path: path(), watch: false });
    let children = Reader::new(&body).strings().unwrap().unwrap();
    let children: BTreeSet<_> = children.into_iter().collect();
    serde_json::json!({
        "data": data,
        "acl": acl,
        "children": children,
        "stat": {
            "czxid": stat.czxid.0,
            "mzxid": stat.mzxid.0,
            "ctime": stat.ctime,
            "mtime": stat.mtime,
            "version": stat.version,
            "cversion": stat.cversion,
            "aversion": stat.aversion,
            "ephemeralOwner": stat.ephemeral_owner,
            "dataLength": stat.data_length,
            "numChildren": stat.num_children,
            "pzxid": stat.pzxid.0,
        },
        "kind": expected["kind"],
        "storedOwner": expected["storedOwner"],
        "storedCversion": expected["storedCversion"],
    })
}

#[test]
fn what_java_refuses_is_refused_in_its_words_and_nothing_is_touched() {
    let mut refused = 0;
    for fixture in fixtures() {
        let Some(message) = fixture.refusal() else { continue };
        for files in fixture.dirs.values() {
            let bench = Bench::start(files.clone(), config());
            let halted = bench.halted.as_deref().unwrap_or("started");
            // "Committed proposal cached out of order: 0x41 is not the next proposal of 0x3f".
            let essence = message.rsplit(": ").next().unwrap();
            assert!(halted.contains(essence), "{}: {halted}, not {message}", fixture.id);
            assert!(bench.files == *files, "{}", fixture.id);
            refused += 1;
        }
    }
    assert_eq!(refused, 8);
}

#[test]
fn a_refused_log_is_named_with_the_place_of_the_damage() {
    for fixture in fixtures() {
        let place = match &*fixture.id {
            "3.8/bad-crc-last-entry" => "log.5f (65552 bytes) is damaged at offset 3469",
            "3.9/bad-crc-last-entry" => "log.7c (65552 bytes) is damaged at offset 262",
            _ => continue,
        };
        for files in fixture.dirs.values() {
            let halted = Bench::start(files.clone(), config()).halted.unwrap();
            assert!(halted.contains(place), "{halted}");
        }
    }
}

#[test]
fn logs_without_a_snapshot_are_replayed_when_the_operator_says_so() {
    for fixture in fixtures() {
        if !fixture.is("no-snapshot") {
            continue;
        }
        let mut config = config();
        config.storage.trust_empty_snapshot = true;
        for files in fixture.dirs.values() {
            let bench = Bench::start(files.clone(), config.clone());
            assert_eq!(bench.halted, None, "{}", fixture.id);
            let status = bench.server.status();
            let last = if fixture.id.starts_with("3.8") { 0x80 } else { 0x7f };
            assert_eq!((status.zxid_applied, status.digest_mismatches), (Zxid(last), 0));
        }
    }
}
