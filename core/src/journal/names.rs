//! Names of snapshots and logs: what they mean, which ones recovery reads, and which ones it will never need again
//! (storage §1.2 to §1.4, §1.12). Looks into no file.
//!
//! Names are read as Java reads them, odd ones included, with three exceptions. A name that ends in `.tmp` is no
//! snapshot: the writer was interrupted before it could vouch for the contents. A negative zxid names nothing, and
//! neither does the highest one, which nothing could follow. And purging leaves names alone that cannot be parsed,
//! because whatever they are, this server did not write them.

use crate::config::Compression;
use crate::effect::{Dir, FilePlace};
use crate::ids::Zxid;
use crate::planted::{Plant, planted};
use std::borrow::Borrow;

/// Name of the snapshot labelled `zxid`.
pub(crate) fn snapshot_name(zxid: Zxid, compression: Compression) -> String {
    format!("snapshot.{:x}{}", zxid.0, compression.suffix())
}

/// Name of the log whose first record is `zxid`.
pub(crate) fn log_name(zxid: Zxid) -> String {
    format!("log.{:x}", zxid.0)
}

/// The zxid in a name: `prefix`, a dot, a hexadecimal number, and possibly a dot and anything.
fn zxid_of(name: &str, prefix: &str) -> Option<Zxid> {
    let mut parts = name.split('.');
    if parts.next() != Some(prefix) {
        return None;
    }
    let zxid = i64::from_str_radix(parts.next()?, 16).ok()?;
    (0..i64::MAX).contains(&zxid).then_some(Zxid(zxid))
}

/// The label of a snapshot, by its name.
pub(crate) fn snapshot_zxid(place: &FilePlace) -> Option<Zxid> {
    zxid_of(&place.name, "snapshot").filter(|_| place.dir == Dir::Snapshot)
}

/// The first zxid of a log, by its name.
pub(crate) fn log_zxid(place: &FilePlace) -> Option<Zxid> {
    zxid_of(&place.name, "log").filter(|_| place.dir == Dir::Log)
}

/// Positions of the snapshots recovery may load, newest first.
pub(crate) fn snapshot_candidates<P: Borrow<FilePlace>>(files: &[P]) -> Vec<(usize, Zxid)> {
    let mut all: Vec<_> = numbered(files, snapshot_zxid)
        .filter(|(at, _)| !name_at(files, *at).ends_with(".tmp"))
        .collect();
    all.sort_by(|(a, a_zxid), (b, b_zxid)| {
        b_zxid.cmp(a_zxid).then_with(|| name_at(files, *a).cmp(name_at(files, *b)))
    });
    all
}

/// Positions of the logs that hold what comes at or after `start`, in the order they are replayed.
///
/// The log before `start` is among them: a log is begun before the snapshot that shall replace it gets its label,
/// so the last records a snapshot lacks are in the log before the newest.
pub(crate) fn logs_to_replay(files: &[FilePlace], start: Zxid) -> Vec<(usize, Zxid)> {
    let from = first_needed_log(files, start);
    let mut all: Vec<_> = numbered(files, log_zxid).filter(|(_, zxid)| *zxid >= from).collect();
    all.sort_by(|(a, a_zxid), (b, b_zxid)| {
        a_zxid.cmp(b_zxid).then_with(|| name_at(files, *a).cmp(name_at(files, *b)))
    });
    all
}

/// Position of a snapshot between two txns that stand one behind the other in the logs, the second of a later epoch. A
/// server that was given its leader's tree goes on logging behind it, so the logs may lack what the tree brought, and the
/// zxids alone do not show it: every epoch begins with 1.
pub(crate) fn snapshot_between(files: &[FilePlace], before: Zxid, next: Zxid) -> Option<usize> {
    let between = |(at, label): (usize, Zxid)| (before < label && label < next).then_some(at);
    snapshot_candidates(files).into_iter().find_map(between)
}

/// Positions of the files that no recovery needs while the `retain` newest snapshots stay, and with them the one
/// labelled `good`, which is known to be whole.
pub(crate) fn purgeable<P: Borrow<FilePlace>>(
    files: &[P],
    retain: usize,
    good: Zxid,
) -> Vec<usize> {
    let newest = snapshot_candidates(files);
    let Some((_, oldest_kept)) = newest.iter().take(retain.max(1)).next_back() else {
        return Vec::new();
    };
    // Whether the others are whole is not known from their names.
    let keep_from = good.min(*oldest_kept);
    let mut logs_from = first_needed_log(files, Zxid(keep_from.0.saturating_add(1)));
    if planted(Plant::PurgeTakesTooMuch) {
        logs_from = newest.first().map_or(logs_from, |(_, label)| *label);
    }
    let snapshots = numbered(files, snapshot_zxid).filter(|(_, zxid)| *zxid < keep_from);
    let logs = numbered(files, log_zxid).filter(|(_, zxid)| *zxid < logs_from);
    let mut all: Vec<_> = snapshots.chain(logs).map(|(at, _)| at).collect();
    all.sort_unstable();
    all
}

/// The highest first zxid of a log below `start`, or `start`.
fn first_needed_log<P: Borrow<FilePlace>>(files: &[P], start: Zxid) -> Zxid {
    let below = numbered(files, log_zxid).map(|(_, zxid)| zxid).filter(|zxid| *zxid < start);
    below.max().unwrap_or(start)
}

fn numbered<P: Borrow<FilePlace>>(
    files: &[P],
    zxid: fn(&FilePlace) -> Option<Zxid>,
) -> impl Iterator<Item = (usize, Zxid)> + '_ {
    files.iter().enumerate().filter_map(move |(at, place)| Some((at, zxid(place.borrow())?)))
}

fn name_at<P: Borrow<FilePlace>>(files: &[P], at: usize) -> &str {
    files.get(at).map_or("", |place| &place.borrow().name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<FilePlace> {
        let place = |name: &&str| FilePlace {
            dir: if name.starts_with("log") { Dir::Log } else { Dir::Snapshot },
            name: (*name).into(),
        };
        names.iter().map(place).collect()
    }

    fn picked(files: &[FilePlace], picked: Vec<(usize, Zxid)>) -> Vec<&str> {
        picked.into_iter().map(|(at, _)| files[at].name.as_str()).collect()
    }

    #[test]
    fn names_are_read_as_java_reads_them() {
        for (name, zxid) in [
            ("log.1", Some(1)),
            ("log.00FF", Some(0xff)),
            ("log.7ffffffffffffffe", Some(i64::MAX - 1)),
            ("log.7fffffffffffffff", None),
            ("log.36.chopped64", Some(0x36)),
            ("log.32.bak", Some(0x32)),
            ("log.-0", Some(0)),
            ("log.-5", None),
            ("log.-1", None),
            ("log.ffffffffffffffff", None),
            ("log.zz", None),
            ("log.", None),
            ("log", None),
            ("log..1", None),
            ("logs.1", None),
            ("LOG.1", None),
            ("snapshot.1", None),
        ] {
            assert_eq!(zxid_of(name, "log"), zxid.map(Zxid), "{name}");
        }
        assert_eq!(snapshot_name(Zxid(0x2_0000_000a), Compression::Gzip), "snapshot.20000000a.gz");
        assert_eq!(log_name(Zxid(0x7f)), "log.7f");
    }

    #[test]
    fn the_newest_snapshot_comes_first_and_unfinished_ones_never() {
        let files = files(&[
            "snapshot.0",
            "snapshot.7f.tmp",
            "snapshot.30",
            "snapshot.ffffffffffffffff",
            "snapshot.5d.gz",
            "snapshot.foo",
            "snapshot.5d",
            "log.90",
        ]);
        let order = picked(&files, snapshot_candidates(&files));
        assert_eq!(order, ["snapshot.5d", "snapshot.5d.gz", "snapshot.30", "snapshot.0"]);
    }

    #[test]
    fn replay_begins_in_the_log_before_the_snapshot() {
        let files = files(&["log.5f", "log.1", "snapshot.30", "log.32", "log.-3", "log.zz"]);
        let replay = |start| picked(&files, logs_to_replay(&files, Zxid(start)));
        assert_eq!(replay(0x31), ["log.1", "log.32", "log.5f"]);
        assert_eq!(replay(0x32), ["log.1", "log.32", "log.5f"]);
        assert_eq!(replay(0x33), ["log.32", "log.5f"]);
        assert_eq!(replay(0x81), ["log.5f"]);
        assert_eq!(replay(1), ["log.1", "log.32", "log.5f"]);
    }

    #[test]
    fn a_snapshot_in_the_directory_of_logs_is_none() {
        let mut files = files(&["snapshot.5", "log.1"]);
        files[0].dir = Dir::Log;
        files[1].dir = Dir::Snapshot;
        assert!(snapshot_candidates(&files).is_empty());
        assert!(logs_to_replay(&files, Zxid(1)).is_empty());
    }

    #[test]
    fn purging_keeps_what_recovery_needs() {
        let files = files(&[
            "log.1",
            "log.32",
            "log.5f",
            "snapshot.0",
            "snapshot.30",
            "snapshot.5d",
            "snapshot.7f",
            "snapshot.2.tmp",
            "log.zz",
            "snapshot.foo",
            "notes",
        ]);
        let purge = |retain, good| {
            let all = purgeable(&files, retain, Zxid(good)).into_iter();
            all.map(|at| files[at].name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(purge(3, 0x7f), ["snapshot.0", "snapshot.2.tmp"]);
        assert_eq!(purge(2, 0x7f), ["log.1", "snapshot.0", "snapshot.30", "snapshot.2.tmp"]);
        assert_eq!(
            purge(1, 0x7f),
            ["log.1", "log.32", "snapshot.0", "snapshot.30", "snapshot.5d", "snapshot.2.tmp"]
        );
        // Nobody knows whether the newer ones are whole.
        assert_eq!(purge(1, 0x30), ["snapshot.0", "snapshot.2.tmp"]);
        assert_eq!(purge(0, 0x7f), purge(1, 0x7f));
        assert!(purge(4, 0x7f).is_empty());
    }

    #[test]
    fn a_snapshot_fills_a_gap_only_if_it_is_of_a_moment_within() {
        let files = files(&["snapshot.5", "snapshot.8", "log.1", "snapshot.a"]);
        let between = |before, next| snapshot_between(&files, Zxid(before), Zxid(next));
        assert_eq!((between(4, 6), between(6, 9)), (Some(0), Some(1)));
        assert_eq!(between(4, 11), Some(3), "the newest");
        assert_eq!((between(5, 8), between(8, 10), between(10, 20)), (None, None, None));
    }
}
