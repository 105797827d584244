//! Names of recordings: the moment in which a file begins, so that they sort by time. Forty lines instead of a date library.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

/// What every name ends in.
pub(super) const SUFFIX: &str = ".flight";
/// What the name of a file ends in that does not begin with a whole state yet.
pub(super) const UNFINISHED: &str = ".flight-unfinished";

/// The name of a file that begins at that moment, in UTC: `20261122T143440.123Z`. One that is as old as `last` or older, because
/// the clock was set back, comes right behind it all the same.
pub(super) fn name(wall_ms: i64, last: &mut i64) -> String {
    *last = wall_ms.max(last.saturating_add(1));
    let seconds = last.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        last.rem_euclid(1000)
    )
}

/// The moment that a name says.
fn moment(name: &str) -> Option<i64> {
    let number = |at: usize, len: usize| name.get(at..at + len)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 2)?, number(6, 2)?);
    let second = number(9, 2)? * 3600 + number(11, 2)? * 60 + number(13, 2)?;
    // Days from the first of March of the year 0, in years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468;
    Some((days * 86_400 + second) * 1000 + number(16, 3)?)
}

/// Year, month and day of a day counted from 1970-01-01. Years begin in March here, so that the day a leap year adds is the
/// last of its year and months have lengths that a formula knows.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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
    names.last().and_then(|name| moment(name)).unwrap_or(0)
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
        let one = name(1_795_358_080_123, &mut last);
        assert_eq!(one, "20261122T143440.123Z");
        assert_eq!(moment(&one), Some(1_795_358_080_123));
        let two = name(5, &mut last);
        assert_eq!(two, "20261122T143440.124Z");
        assert_eq!(moment(&two), Some(1_795_358_080_124));
        for wall_ms in [951_782_399_999, 951_782_400_000, 1, 4_107_542_400_000] {
            assert_eq!(moment(&name(wall_ms, &mut 0)), Some(wall_ms));
        }
        assert_eq!(moment("2026"), None);
        assert_eq!(newest(&[]), 0);
    }
}
