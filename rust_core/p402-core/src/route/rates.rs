//! Decides the rates that scoring reads: this minute's bands, laid out flat per live offer.
//! Does not price what is billed: `Catalog::price` alone does.

use super::table::Table;
use crate::catalog::{Band, Catalog};
use crate::time::Timestamp;

const MINUTE_US: i64 = 60_000_000;

/// Pico-dollars per token. Sums of them stay exact in an f64 below $9,000.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    above: f64,
    pub(super) input: f64,
    pub(super) output: f64,
    pub(super) read: f64,
    pub(super) write: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    base: Rate,
    fee: f64,
    /// Further bands, as a range of `Rates::more`.
    more: (u32, u32),
}

/// Rates of every live offer in the minute of `minute`.
#[derive(Debug, Default)]
pub(super) struct Rates {
    minute: Option<i64>,
    rows: Vec<Row>,
    more: Vec<Rate>,
}

/// What a candidate is asked to read and write, in tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub(super) input: f64,
    pub(super) warm: f64,
    pub(super) output: f64,
}

impl Rates {
    pub(super) fn forget(&mut self) {
        self.minute = None;
    }

    /// Lays the rates out anew where the minute has changed: windows and price dates move by it.
    pub(super) fn refresh(&mut self, catalog: &Catalog, table: &Table, at: Timestamp) {
        let minute = at.micros().div_euclid(MINUTE_US);
        if self.minute == Some(minute) {
            return;
        }
        self.minute = Some(minute);
        self.rows.clear();
        self.more.clear();
        for facts in table.facts() {
            let (bands, fee) = catalog.bands_at(facts.offer as usize, at);
            let base = bands.first().map(rate).unwrap_or_default();
            let start = self.more.len() as u32;
            self.more.extend(bands.iter().skip(1).map(rate));
            let fee = fee.nano() as f64 * 1_000.0;
            self.rows.push(Row { base, fee, more: (start, self.more.len() as u32) });
        }
    }

    /// The band that a total input falls in; `above` is strict.
    #[expect(clippy::inline_always, reason = "once an offer: its parts must stay in registers")]
    #[inline(always)]
    pub(super) fn at(&self, place: usize, input: f64) -> (Rate, f64) {
        let Some(row) = self.rows.get(place) else { return (Rate::default(), 0.0) };
        if row.more.0 == row.more.1 {
            return (row.base, row.fee);
        }
        let more = self.more.get(row.more.0 as usize..row.more.1 as usize).unwrap_or_default();
        let band = more.iter().rev().find(|band| band.above < input);
        (band.copied().unwrap_or(row.base), row.fee)
    }
}

impl Rate {
    /// Expected pico-dollars of a load; the warm part at the cache-read rate.
    pub(super) fn pico(&self, load: Load) -> f64 {
        let warm = load.warm.min(load.input);
        (load.input - warm) * self.input + warm * self.read + load.output * self.output
    }
    /// The same where the whole prefix has to be written into a cold cache.
    pub(super) fn pico_cold(&self, load: Load) -> f64 {
        load.input * self.write + load.output * self.output
    }
}

fn rate(band: &Band) -> Rate {
    let input = band.input.pico() as f64;
    Rate {
        above: band.above as f64,
        input,
        output: band.output.pico() as f64,
        read: band.cache_read.map_or(input, |rate| rate.pico() as f64),
        write: band.cache_write.map_or(input, |rate| rate.pico() as f64),
    }
}
