//! Decides layer 2: what belongs to a day, when a new one begins, whether its cap still holds.
//! Does not know requests or leases; a day begins by looking at the clock, never by a timer.

use super::AMOUNT_MAX;
use super::limits::Limits;
use super::state::Header;
use crate::time::{Day, Timestamp};

const DAY_US: i64 = 86_400_000_000;

impl Header {
    /// A later day than the last one seen begins; an earlier one never comes back.
    pub(super) fn begin_day(&mut self, now: Timestamp, limits: &Limits) -> bool {
        let day = i64::from(now.utc_day().days());
        if day <= self.day {
            return false;
        }
        (self.prev_day, self.prev_spent, self.prev_held) =
            (self.day, self.day_spent, self.day_held);
        (self.day, self.day_spent, self.day_held) = (day, 0, 0);
        let from = i64::from(limits.period.from(now.utc_day()).days());
        if from > self.budget_from_day {
            (self.budget_from_day, self.budget_spent) = (from, 0);
        }
        true
    }

    /// Books on the admission day, and on the budget where the day lies in its period.
    pub(super) fn book(&mut self, day: i64, nano: i64) {
        let grown = |sum: i64| (sum + nano).clamp(0, AMOUNT_MAX);
        if day == self.day {
            self.day_spent = grown(self.day_spent);
        } else if day == self.prev_day {
            self.prev_spent = grown(self.prev_spent);
        }
        if day >= self.budget_from_day {
            self.budget_spent = grown(self.budget_spent);
        }
    }

    /// Adds to what is held, of the day and in all; a negative amount gives back.
    pub(super) fn hold(&mut self, day: i64, nano: i64) {
        if day == self.day {
            self.day_held += nano;
        } else if day == self.prev_day {
            self.prev_held += nano;
        }
        self.held += nano;
    }

    /// Layer 2: the day's spending, its holds and this claim stay within the cap. Nothing always
    /// fits.
    pub(super) fn fits_day(&self, day: i64, nano: i64, limits: &Limits) -> bool {
        let taken = if day == self.day {
            self.day_spent + self.day_held
        } else if day == self.prev_day {
            self.prev_spent + self.prev_held
        } else {
            // Older than both pairs: what that day can still bear is not known here.
            AMOUNT_MAX
        };
        nano == 0 || taken + nano <= limits.daily_cap.nano()
    }

    /// Microseconds until the day of this account ends.
    pub(super) fn day_left_us(&self, now: Timestamp) -> i64 {
        ((self.day + 1) * DAY_US - now.micros()).max(0)
    }
}

/// A stored day as the calendar's.
pub(super) fn calendar_day(day: i64) -> Day {
    Day::from_days(i32::try_from(day).unwrap_or(i32::MAX))
}
