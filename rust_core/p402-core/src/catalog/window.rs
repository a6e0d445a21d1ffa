//! Decides whether an instant lies in the peak of a price window, on the provider's calendar.
//! Does not price (price.rs).

use super::types::{Window, WindowPeriod};
use crate::time::Timestamp;

/// What the calendar says of an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hour {
    /// The list price holds.
    pub(super) peak: bool,
    /// The holiday table ended before this day: the peak is an assumption.
    pub(super) assumed: bool,
}

/// The list price holds wherever the window says nothing.
const LIST: Hour = Hour { peak: true, assumed: false };

impl Window {
    pub(super) fn hour(&self, at: Timestamp) -> Hour {
        let valid = |period: &&WindowPeriod| {
            period.from <= at && period.until.is_none_or(|until| at < until)
        };
        self.periods.iter().rev().find(valid).map_or(LIST, |period| period.hour(at))
    }
}

impl WindowPeriod {
    fn hour(&self, at: Timestamp) -> Hour {
        let minute = at.utc_minute();
        let off = Hour { peak: false, assumed: false };
        if !self.peak.iter().any(|(start, end)| (*start..*end).contains(&minute)) {
            return off;
        }
        let day = at.day_at(self.offset_min);
        if self.days & (1 << day.weekday()) == 0 || self.holidays.contains(&day) {
            return off;
        }
        Hour { peak: true, assumed: self.covers_to.is_some_and(|last| day > last) }
    }
}
