//! Names of recordings: the moment in which a file begins, so that they sort by time.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use zoetrope_core::calendar::Date;

/// What every name ends in.
pub(super) const SUFFIX: &str = ".flight";
/// What the name of a file ends in that does not begin with a whole state yet.
pub(super) const UNFINISHED: &str = ".flight-unfinished";

/// The name of a file that begins at that moment. One that is as old as `last` or older, because the clock was set back, comes
/// right behind it all the same.
pub(super) fn name(wall_ms: i64, last: &mut i64) -> String {
    *last = wall_ms.max(last.saturating_add(1));
    Date::of(*last).compact()
}

/// The recordings in a directory, oldest first.
pub(super) fn recordings(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        names.extend(name.to_str().filter(|name| name.ends_with(SUFFIX)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The moment in which the newest of them begins.
pub(super) fn newest(names: &[String]) -> i64 {
    names
        .last()
        .and_then(|name| Date::parse(name.strip_suffix(SUFFIX)?))
        .map_or(0, |date| date.wall_ms())
}

/// Is that the name of a file that was not finished?
pub(super) fn is_unfinished(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.ends_with(UNFINISHED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_even_where_the_clock_is_set_back() {
        let mut last = 0;
        assert_eq!(name(1_795_358_080_123, &mut last), "20261122T143440.123Z");
        let two = name(5, &mut last);
        assert_eq!(two, "20261122T143440.124Z");
        assert_eq!(newest(&[format!("{two}{SUFFIX}")]), 1_795_358_080_124);
        assert_eq!(newest(&["2026.flight".to_owned()]), 0);
        assert_eq!(newest(&[]), 0);
    }
}
