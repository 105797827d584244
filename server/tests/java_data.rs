//! Data directories that a Java server left behind: what the log says, and how the server ends.

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Running, Scratch, run, zoetrope};
use flate2::read::GzDecoder;

/// Unpacked into the scratch directory; its name below it.
fn unpack(scratch: &Scratch, name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/fixtures");
    let archive = fixtures.join("3.9").join(format!("{name}.tar.gz"));
    let file =
        File::open(&archive).unwrap_or_else(|error| panic!("{}: {error}", archive.display()));
    tar::Archive::new(GzDecoder::new(file)).unpack(&scratch.0).expect("it unpacks");
    scratch.0.join(name)
}

fn server_on(dir: &Path) -> Command {
    let mut command = zoetrope();
    command.args(["server", "--set", "clientPort=0", "--set", "4lw.commands.whitelist=*"]);
    command.arg("--set").arg(format!("dataDir={}", dir.display()));
    command
}

#[test]
fn a_java_servers_directory_is_served_as_it_is() {
    let scratch = Scratch::new();
    let dir = unpack(&scratch, "base");
    let mut server = Running::start(&mut server_on(&dir));
    let snapshot = dir.join("version-2/snapshot.7a");
    let read =
        format!("database read: snapshot and log file={} replayed=5 zxid=0x7f", snapshot.display());
    assert!(server.seen.contains(&read), "{}", server.seen);
    assert!(server.word("srvr").contains("\nZxid: 0x7f\n"));
    assert_eq!(server.signal("TERM"), Some(0));
}

#[test]
fn a_torn_tail_is_cut_and_named_and_is_nothing_to_worry_about() {
    let scratch = Scratch::new();
    let dir = unpack(&scratch, "torn-tail-zeroed");
    let server = Running::start(&mut server_on(&dir));
    let line = server.seen.lines().find(|line| line.contains("WARN")).expect("a warning");
    assert!(line.contains("was being written when the server stopped"), "{line}");
    let place = format!("file={} offset=262", dir.join("version-2/log.7c").display());
    assert!(line.ends_with(&place), "{line}");
}

#[test]
fn damage_in_the_middle_is_refused_with_the_file_and_a_remedy() {
    for (name, parts) in [
        ("bad-crc-last-entry", ["log.7c", "offset 262", "backup"]),
        ("no-snapshot", ["No snapshot found", "snapshot.trust.empty", "dataDir"]),
        ("all-snapshots-corrupt", ["Not able to find valid snapshots", "snapshot.7a", "backup"]),
        ("zxid-gap", ["0x41 is not the next proposal of 0x3f", "log.36", "allowDiscontinuous"]),
    ] {
        let scratch = Scratch::new();
        let dir = unpack(&scratch, name);
        let (code, _, err) = run(&mut server_on(&dir));
        assert_eq!(code, Some(1), "{name}: {err}");
        for part in parts {
            assert!(err.contains(part), "{name}: {part} in {err}");
        }
    }
}
