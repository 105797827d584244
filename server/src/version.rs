//! Which version this is, and which version of ZooKeeper it behaves like.

use crate::settings::DateFormat;

/// For `--version`.
pub const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), " (speaks ZooKeeper 3.9.5)");

/// For programs that look for the version of a ZooKeeper server: its number first.
pub const ZOOKEEPER: &str = concat!("3.9.5-zoetrope-", env!("CARGO_PKG_VERSION"));

/// A constant, changed with each release, so that the same source makes the same binary.
const RELEASED: (u16, u8, u8) = (2026, 11, 24);

/// `3.9.5-zoetrope-X.Y.Z, built on DATE`: what `srvr`, `stat`, `envi` and `mntr` print.
pub fn with_date(format: DateFormat) -> String {
    let (year, month, day) = RELEASED;
    match format {
        DateFormat::Iso => format!("{ZOOKEEPER}, built on {year}-{month:02}-{day:02} 12:00 UTC"),
        DateFormat::Us => format!("{ZOOKEEPER}, built on {month:02}/{day:02}/{year} 12:00 UTC"),
    }
}
