//! Moments of the wall clock as people write them: the calendar, in UTC. Less than a date library: nothing here knows a time zone.

/// A moment, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Date {
    /// Before Christ it is 0 and less.
    pub year: i64,
    /// 1 is January.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 is Sunday.
    pub weekday: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59; there are no leap seconds.
    pub second: u32,
    /// 0 to 999.
    pub ms: u32,
}

impl Date {
    /// That many milliseconds since 1970.
    pub fn of(wall_ms: i64) -> Self {
        let seconds = wall_ms.div_euclid(1000);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400) as u32);
        let (year, month, day) = civil(days);
        Self {
            year,
            month,
            day,
            // 1970 began on a Thursday.
            weekday: (days + 4).rem_euclid(7) as u32,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            ms: wall_ms.rem_euclid(1000) as u32,
        }
    }

    /// Milliseconds since 1970. The day of the week does not count.
    pub fn wall_ms(&self) -> i64 {
        let seconds = i64::from(self.hour * 3600 + self.minute * 60 + self.second);
        (days(self.year, self.month, self.day) * 86_400 + seconds) * 1000 + i64::from(self.ms)
    }

    /// As a name that sorts by time: `20261122T143440.123Z`.
    pub fn compact(&self) -> String {
        let Self { year, month, day, hour, minute, second, ms, .. } = self;
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{ms:03}Z")
    }

    /// As people write it: `2026-11-22T14:34:40.123Z`.
    pub fn spelled_out(&self) -> String {
        let Self { year, month, day, hour, minute, second, ms, .. } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }

    /// Reads both; the fraction of a second may be missing or have any number of digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let (whole, fraction) = match digits.strip_suffix('Z')?.split_once('.') {
            Some((whole, fraction)) => (whole.to_owned(), format!("{fraction:0<3}")),
            None => (digits.strip_suffix('Z')?.to_owned(), "000".to_owned()),
        };
        let (date, time) = whole.split_once('T')?;
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if date.len() != 8
            || time.len() != 6
            || ![date, time, &fraction].into_iter().all(all_digits)
        {
            return None;
        }
        let part = |text: &str, at: usize, len: usize| text.get(at..at + len)?.parse::<u32>().ok();
        let read = Self {
            year: i64::from(part(date, 0, 4)?),
            month: part(date, 4, 2)?,
            day: part(date, 6, 2)?,
            weekday: 0,
            hour: part(time, 0, 2)?,
            minute: part(time, 2, 2)?,
            second: part(time, 4, 2)?,
            ms: part(&fraction, 0, 3)?,
        };
        // A day that is not in the calendar comes back as another one.
        let is = Self::of(read.wall_ms());
        (Self { weekday: is.weekday, ..read } == is).then_some(is)
    }
}

/// Days from 1970-01-01 to that day. Years begin in March here, so that the day a leap year adds is the last of its year
/// and months have lengths that a formula knows.
fn days(year: i64, month: u32, day: u32) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + i64::from((153 * month + 2) / 5 + day)
        - 1
        - 719_468
}

/// Year, month and day of a day counted from 1970-01-01.
fn civil(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..146_097 {
            assert_eq!(civil(number), (year, month, day));
            assert_eq!(days(year, month, day), number);
            let length = match month {
                2 => 28 + u32::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn moments_are_read_as_they_are_written() {
        for wall_ms in
            [0, 1, 951_782_399_999, 951_782_400_000, 1_795_358_080_123, 4_107_542_400_999]
        {
            let date = Date::of(wall_ms);
            assert_eq!(date.wall_ms(), wall_ms);
            assert_eq!(Date::parse(&date.compact()), Some(date));
            assert_eq!(Date::parse(&date.spelled_out()), Some(date));
        }
        let date = Date::of(1_795_358_080_123);
        assert_eq!(date.compact(), "20261122T143440.123Z");
        assert_eq!(date.spelled_out(), "2026-11-22T14:34:40.123Z");
        assert_eq!(date.weekday, 0);
        assert_eq!(Date::of(-1).spelled_out(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Date::parse("2026-11-22T14:34:40Z"), Some(Date::of(1_795_358_080_000)));
        assert_eq!(Date::parse("2026-11-22T14:34:40.5Z"), Some(Date::of(1_795_358_080_500)));
        for wrong in
            ["", "Z", "2026-11-22", "2026-11-22T14:34:40", "20260230T000000Z", "20261122T240000Z"]
        {
            assert_eq!(Date::parse(wrong), None, "{wrong}");
        }
    }
}
