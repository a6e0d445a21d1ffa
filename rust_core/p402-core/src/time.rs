//! Decides what an instant, a span and a day are; all of them integers of microseconds.
//! Does not read a clock: every instant comes in as an argument.

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A point of a monotonic clock, microseconds since an arbitrary start; only differences mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(u64);

/// One reading of both clocks, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock: prices, windows, days, `created`.
    pub utc: Timestamp,
    /// Monotonic clock: latencies, cooldowns, budgets.
    pub ticks: Ticks,
}

/// A calendar day as days since 1970-01-01, on whatever calendar it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

const DAY_US: i64 = 86_400_000_000;
const MINUTE_US: i64 = 60_000_000;

impl Timestamp {
    /// Before every instant: a price without a start date is valid from here.
    pub const BEGINNING: Self = Self(i64::MIN);

    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds * 1_000_000)
    }
    pub const fn micros(self) -> i64 {
        self.0
    }
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Reads `2026-11-22T12:00:00Z`, with an optional fraction and `±hh:mm` for `Z`.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (date, clock) = text.split_at_checked(10)?;
        let day = Day::parse(date)?;
        let clock = clock.strip_prefix(['T', 't', ' '])?;
        let (hms, rest) = clock.split_at_checked(8)?;
        let mut seconds = 0;
        for (index, part) in hms.split(':').enumerate() {
            let limit = [24, 60, 60].get(index)?;
            let value = two_digits(part).filter(|value| value < limit)?;
            seconds = seconds * 60 + value;
        }
        let (micros, zone) = split_fraction(rest)?;
        let offset_min = parse_zone(zone)?;
        let local = i64::from(day.0) * DAY_US + seconds * 1_000_000 + micros;
        Some(Self(local - offset_min * MINUTE_US))
    }

    /// Whole seconds as `2026-11-22T12:00:00Z`.
    pub fn to_rfc3339(self) -> String {
        let second = self.seconds().rem_euclid(86_400);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        format!("{}T{hour:02}:{minute:02}:{second:02}Z", self.utc_day())
    }

    /// The UTC day this instant lies in.
    pub const fn utc_day(self) -> Day {
        self.day_at(0)
    }

    /// The day on a calendar `offset_min` minutes ahead of UTC.
    pub const fn day_at(self, offset_min: i32) -> Day {
        let local = self.0.saturating_add(offset_min as i64 * MINUTE_US);
        Day(local.div_euclid(DAY_US) as i32)
    }

    /// Minutes since midnight UTC, 0–1439.
    pub const fn utc_minute(self) -> u16 {
        (self.0.rem_euclid(DAY_US) / MINUTE_US) as u16
    }
}

impl Day {
    pub const fn from_days(days: i32) -> Self {
        Self(days)
    }
    pub const fn days(self) -> i32 {
        self.0
    }

    /// Reads `2026-11-22`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
            return None;
        }
        let year = two_digits(text.get(0..2)?)? * 100 + two_digits(text.get(2..4)?)?;
        let (month, day) = (two_digits(text.get(5..7)?)?, two_digits(text.get(8..10)?)?);
        let read = Self::from_civil(year, month, day);
        // A day that does not exist (02-30) comes back as another one.
        ((1..=12).contains(&month) && read.civil() == (year, month, day)).then_some(read)
    }

    /// ISO weekday: Monday is 1, Sunday is 7. Day 0 was a Thursday.
    pub const fn weekday(self) -> u8 {
        ((self.0 as i64 + 3).rem_euclid(7) + 1) as u8
    }

    /// The instant of its midnight in UTC.
    pub const fn start(self) -> Timestamp {
        Timestamp(self.0 as i64 * DAY_US)
    }

    // Howard Hinnant's civil-calendar arithmetic: years start in March, eras hold 400 years.
    const fn from_civil(year: i64, month: i64, day: i64) -> Self {
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year - era * 400;
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self((era * 146_097 + day_of_era - 719_468) as i32)
    }

    /// (year, month, day) of the Gregorian calendar.
    pub const fn civil(self) -> (i64, i64, i64) {
        let shifted = self.0 as i64 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted - era * 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        (year, month, day)
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl Ticks {
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }
    pub const fn micros(self) -> u64 {
        self.0
    }
    /// Microseconds from `earlier` to `self`, zero where the order is reversed.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
    /// The point `ms` milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000)))
    }
}

fn two_digits(text: &str) -> Option<i64> {
    match text.as_bytes() {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => None,
    }
}

/// Splits `.25Z` into 250,000 µs and `Z`; finer digits are cut.
fn split_fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, zone) = rest.split_at_checked(end)?;
    if digits.is_empty() {
        return None;
    }
    let padded = digits.bytes().map(|b| i64::from(b - b'0')).chain(std::iter::repeat(0));
    Some((padded.take(6).fold(0, |micros, digit| micros * 10 + digit), zone))
}

/// Minutes ahead of UTC of `Z` or `±hh:mm`.
fn parse_zone(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, clock) = match text.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let (hours, minutes) = clock.split_once(':')?;
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}
