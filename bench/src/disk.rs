//! `disk`: what the disk itself takes for the write and fdatasync that a lone write waits for.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::histogram::Histogram;

/// The file is written over from the start when its end is reached.
const LENGTH: u64 = 64 << 20;
const BLOCK: usize = 4096;

/// Appends blocks into a file of zeros, one fdatasync each, and prints their latency.
pub(crate) fn disk(directory: &Path, seconds: f64) -> io::Result<()> {
    let path = directory.join("zoetrope-bench-disk");
    let file = OpenOptions::new().create_new(true).read(true).write(true).open(&path)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..LENGTH).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    let block = [0x5a; BLOCK];
    let (mut latency, mut at) = (Histogram::new(), 0);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs_f64(seconds) {
        let started = Instant::now();
        file.write_all_at(&block, at)?;
        file.sync_data()?;
        latency.add(u64::try_from(started.elapsed().as_nanos()).expect("less than 500 years"));
        at = (at + BLOCK as u64) % LENGTH;
    }
    let rate = latency.total() as f64 / began.elapsed().as_secs_f64();
    fs::remove_file(&path)?;
    println!(
        "| disk | fdatasync/s | p50 µs | p99 µs | p99.9 µs | max µs |\n|---|---|---|---|---|---|"
    );
    println!(
        "| 4 KiB into written blocks | {rate:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
        latency.micros(0.5),
        latency.micros(0.99),
        latency.micros(0.999),
        latency.largest_micros()
    );
    Ok(())
}
