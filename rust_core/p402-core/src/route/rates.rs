//! Decides the rates that scoring reads: this minute's bands, laid out flat per live offer.
//! Does not price what is billed: `Catalog::price` alone does.

use super::table::Table;
use crate::catalog::{Band, Catalog};
use crate::time::Timestamp;

const MINUTE_US: i64 = 60_000_000;

/// Pico-dollars per token. Sums of them stay exact in an f64 below $9,000.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Rate {
    above: f64,
    input: f64,
    output: f64,
    read: f64,
    write: f64,
}

/// What an offer's first band asks of a cold prompt: most requests need no more.
#[derive(Clone, Copy, Debug)]
struct Row {
    input: f64,
    output: f64,
    fee: f64,
    /// Input tokens that it holds for.
    most: f64,
}

/// Rates of every live offer in the minute of `minute`.
#[derive(Debug, Default)]
pub(super) struct Rates {
    minute: Option<i64>,
    rows: Vec<Row>,
    bands: Vec<Vec<Rate>>,
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
        self.bands.resize_with(table.facts().len(), Vec::new);
        for (facts, bands) in table.facts().iter().zip(&mut self.bands) {
            let (listed, fee) = catalog.bands_at(facts.offer as usize, at);
            bands.clear();
            bands.extend(listed.iter().map(rate));
            let base = bands.first().copied().unwrap_or_default();
            let most = bands.get(1).map_or(f64::INFINITY, |next| next.above);
            let fee = fee.nano() as f64 * 1_000.0;
            self.rows.push(Row { input: base.input, output: base.output, fee, most });
        }
    }

    /// Pico-dollars of an input, `warm` of it at the cache-read rate, and of one output token.
    #[inline]
    pub(super) fn of(&self, place: usize, input: f64, warm: f64) -> (f64, f64) {
        let Some(row) = self.rows.get(place) else { return (0.0, 0.0) };
        if input <= row.most && warm <= 0.0 {
            return (input * row.input + row.fee, row.output);
        }
        let (rate, warm) = (self.band(place, input), warm.min(input));
        ((input - warm) * rate.input + warm * rate.read + row.fee, rate.output)
    }

    /// Pico-dollars of a load whose whole prompt has to be written into a cold cache.
    pub(super) fn cold(&self, place: usize, load: Load) -> f64 {
        let rate = self.band(place, load.input);
        let fee = self.rows.get(place).map_or(0.0, |row| row.fee);
        load.input * rate.write + load.output * rate.output + fee
    }

    /// The band that a total input falls in; `above` is strict.
    fn band(&self, place: usize, input: f64) -> Rate {
        let bands = self.bands.get(place).map(Vec::as_slice).unwrap_or_default();
        let band = bands.iter().rev().find(|band| band.above < input).or(bands.first());
        band.copied().unwrap_or_default()
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
