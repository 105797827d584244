//! Moments of a recording, and how they are written.

use super::has_applied;
use std::fmt;
use std::str::FromStr;
use zoetrope_core::calendar::Date;
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
            let zxid = i64::from_str_radix(hex, 16).ok().filter(|zxid| *zxid >= 0);
            return zxid.map(|zxid| Self::Applied(Zxid(zxid))).ok_or(format!("{text} is no zxid"));
        }
        if let Some(number) = text.strip_prefix('#') {
            let number = number.parse().map_err(|_| format!("{text} is no event"))?;
            return Ok(Self::Event(number));
        }
        Date::parse(text).map(|date| Self::Wall(date.wall_ms())).ok_or_else(|| {
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

    /// Was it over already, at the place where the replay is?
    pub(super) fn is_before(&self, replay: &Replay<'_>) -> bool {
        match self {
            Self::Wall(wall_ms) => replay.now().wall_ms > *wall_ms,
            Self::Applied(zxid) => replay.server().zxid_applied() > *zxid,
            Self::Event(_) => false,
        }
    }
}

/// A time as `--at` reads it.
pub(super) fn clock(wall_ms: i64) -> String {
    Date::of(wall_ms).spelled_out()
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
        for wrong in [
            "",
            "12",
            "0xg",
            "0xffffffffffffffff",
            "0x-1",
            "#",
            "2026-11-22",
            "2026-11-22T14:34:40",
        ] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }
}
