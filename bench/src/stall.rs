//! `snapshot-stall`: the latency of a steady load while a snapshot is being written, and while
//! none is.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::engine::{Counts, Engine};
use crate::histogram::Histogram;
use crate::scenario::{Kind, Stream, prepare};
use crate::target::Target;

/// The load is cut into pieces of this length, each with or without a snapshot.
const PIECE: Duration = Duration::from_millis(50);

/// What is in flight: far below what saturates a server, so that waiting shows.
const CONNECTIONS: usize = 8;
const DEPTH: usize = 2;

/// Bytes of all snapshots of a directory, finished or not.
fn snapshot_bytes(data: &Path) -> u64 {
    let Ok(files) = fs::read_dir(data.join("version-2")) else { return 0 };
    files
        .flatten()
        .filter(|file| file.file_name().to_string_lossy().contains("snap"))
        .filter_map(|file| file.metadata().ok())
        .map(|meta| meta.len())
        .sum()
}

struct Sides {
    with: Histogram,
    without: Histogram,
    snapshots: u32,
}

/// Puts the pieces on their sides. A piece belongs to a snapshot if bytes were added in it or right
/// before or after.
fn sides(pieces: &[(Counts, bool)]) -> Sides {
    let mut sides = Sides { with: Histogram::new(), without: Histogram::new(), snapshots: 0 };
    let mut before = false;
    for (index, (counts, _)) in pieces.iter().enumerate() {
        // A quarter of a second on either side: what Java does before its first byte and after its last.
        let (from, to) = (index.saturating_sub(5), (index + 6).min(pieces.len()));
        let during = pieces[from..to].iter().any(|(_, grew)| *grew);
        if during {
            sides.with.merge(&counts.latency);
        } else {
            sides.without.merge(&counts.latency);
        }
        sides.snapshots += u32::from(during && !before);
        before = during;
    }
    sides
}

/// Runs the load for at least `seconds`, and on until a snapshot was seen, ten times as long at
/// most.
pub(crate) fn snapshot_stall(targets: &[Target], seconds: f64) -> io::Result<bool> {
    println!(
        "| target | snapshots | ops with | p99.9 µs with | max with | ops without | p99.9 µs without | max without | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut all_seen = true;
    for target in targets {
        let data = target.data.as_deref().ok_or_else(|| io::Error::other("data=DIR is missing"))?;
        prepare(&target.addrs)?;
        let mut engine = Engine::connect(&target.addrs, CONNECTIONS)?;
        let mut stream = Stream::new(Kind::Mixed);
        engine.run(&mut stream, DEPTH, Instant::now() + Duration::from_secs(2))?;
        engine.take();
        let (began, mut pieces, mut bytes) = (Instant::now(), Vec::new(), snapshot_bytes(data));
        loop {
            engine.run(&mut stream, DEPTH, Instant::now() + PIECE)?;
            let now = snapshot_bytes(data);
            pieces.push((engine.take(), now > bytes));
            bytes = now;
            let ran = began.elapsed().as_secs_f64();
            let seen = pieces.iter().any(|(_, grew)| *grew);
            if ran > seconds && (seen || ran > seconds * 10.0) {
                break;
            }
        }
        engine.close()?;
        let sides = sides(&pieces);
        all_seen &= sides.snapshots > 0;
        println!(
            "| {} | {} | {} | {:.0} | {:.0} | {} | {:.0} | {:.0} | {:.2} |",
            target.name,
            sides.snapshots,
            sides.with.total(),
            sides.with.micros(0.999),
            sides.with.largest_micros(),
            sides.without.total(),
            sides.without.micros(0.999),
            sides.without.largest_micros(),
            sides.with.micros(0.999) / sides.without.micros(0.999).max(1.0),
        );
    }
    Ok(all_seen)
}
