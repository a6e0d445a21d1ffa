//! Decides what the store's clock shows now, from what its replies said.
//! Does not set or trust this host's wall clock: only the monotonic one is compared.

use p402_core::time::{Ticks, Timestamp};

/// How far the two clocks may have drifted apart since the sample that is believed.
const BELIEVED_US: u64 = 2_000_000;

/// The server's clock less ours, as exactly as a round trip tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offset {
    sample: Option<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// The most the offset can be: the reply's clock against the instant before sending.
    most_us: i64,
    trip_us: u64,
    at: Ticks,
}

impl Offset {
    /// A reply whose call was sent at `sent` and came back at `back`, stamped in between.
    pub fn learn(&mut self, stamp: Timestamp, sent: Ticks, back: Ticks) {
        let most_us = stamp.micros() - sent.micros() as i64;
        let least_us = stamp.micros() - back.micros() as i64;
        let sample = Sample { most_us, trip_us: back.since(sent), at: back };
        let keeps = self.sample.is_some_and(|known| {
            let in_bounds = least_us <= known.most_us && known.most_us <= most_us + 1_000;
            in_bounds && known.trip_us < sample.trip_us && back.since(known.at) < BELIEVED_US
        });
        if !keeps {
            self.sample = Some(sample);
        }
    }

    /// The instant of the server's clock at `at`, never too early: a call must not be turned
    /// away before its time is over.
    pub fn instant(&self, at: Ticks) -> Option<Timestamp> {
        let sample = self.sample?;
        Some(Timestamp::from_micros(at.micros() as i64 + sample.most_us))
    }
}
