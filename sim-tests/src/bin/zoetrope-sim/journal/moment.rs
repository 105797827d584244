//! Moments of a recording, and how they are written.

use super::has_applied;
use std::fmt;
use std::str::FromStr;
use zoetrope_core::flight::Replay;
use zoetrope_core::{Now, Zxid};

/// A moment that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// The first input or turn not before that time of the server's wall clock, ms since 1970, is still to come.
    Wall(i64),
    /// This txn is applied.
    Applied(Zxid),
    /// So many inputs and turns are over.
    Event(u64),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(hex) = text.strip_prefix("0x") {
            let zxid = u64::from_str_radix(hex, 16).map_err(|_| format!("{text} is no zxid"))?;
            return Ok(Self::Applied(Zxid(zxid as i64)));
        }
        if let Some(number) = text.strip_prefix('#') {
            let number = number.parse().map_err(|_| format!("{text} is no event"))?;
            return Ok(Self::Event(number));
        }
        let digits: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
        of_name(&digits).map(Self::Wall).ok_or_else(|| {
            "write a time as 2026-11-25T16:03:29Z or 2026-11-25T16:03:29.500Z, a zxid as 0x200000010, an event as #1234"
                .to_owned()
        })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wall(wall_ms) => f.write_str(&clock(*wall_ms)),
            Self::Applied(zxid) => write!(f, "the moment in which {zxid} is applied"),
            Self::Event(number) => write!(f, "event #{number}"),
        }
    }
}

impl Moment {
    /// Is the replay there?
    pub(super) fn is_reached(&self, replay: &Replay<'_>, events: u64) -> bool {
        match self {
            Self::Wall(wall_ms) => replay.next_now().is_some_and(|next| next.wall_ms >= *wall_ms),
            Self::Applied(zxid) => has_applied(replay, *zxid),
            Self::Event(number) => events >= *number,
        }
    }
}

/// ms since 1970 of a time like `20261125T160329.500Z`.
pub(super) fn of_name(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (date, time) = whole.split_once('T')?;
    if date.len() != 8
        || time.len() != 6
        || !all_digits(date)
        || !all_digits(time)
        || !all_digits(rest)
    {
        return None;
    }
    let ms: i64 = format!("{rest:0<3}").get(..3)?.parse().ok()?;
    let part = |text: &str, at: usize, len: usize| text.get(at..at + len)?.parse::<i64>().ok();
    let (year, month, day) = (part(date, 0, 4)?, part(date, 4, 2)?, part(date, 6, 2)?);
    let second = part(time, 0, 2)? * 3600 + part(time, 2, 2)? * 60 + part(time, 4, 2)?;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468;
    Some((days * 86_400 + second) * 1000 + ms)
}

/// A time as `--at` reads it.
pub(super) fn clock(wall_ms: i64) -> String {
    let seconds = wall_ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, ms) = (second / 3600, second / 60 % 60, wall_ms.rem_euclid(1000));
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{ms:03}Z", second % 60)
}

/// Both clocks.
pub(super) fn precisely(now: Now) -> String {
    let us = now.mono.0;
    format!(
        "{}, {}.{:06} s after the process started",
        clock(now.wall_ms),
        us / 1_000_000,
        us % 1_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        for wall_ms in [0, 1_795_358_080_123, 951_782_400_000, 4_107_542_400_999] {
            assert_eq!(clock(wall_ms).parse(), Ok(Moment::Wall(wall_ms)));
        }
        assert_eq!("2026-11-22T14:34:40Z".parse(), Ok(Moment::Wall(1_795_358_080_000)));
        assert_eq!("2026-11-22T14:34:40.5Z".parse(), Ok(Moment::Wall(1_795_358_080_500)));
        assert_eq!("20261122T143440.123Z".parse(), Ok(Moment::Wall(1_795_358_080_123)));
        assert_eq!("0x200000010".parse(), Ok(Moment::Applied(Zxid(0x2_0000_0010))));
        assert_eq!("#12".parse(), Ok(Moment::Event(12)));
        for wrong in ["", "12", "0xg", "#", "2026-11-22", "2026-11-22T14:34:40"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }
}
