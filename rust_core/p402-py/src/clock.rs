//! Crosses the manual clock: time that stands until a test or a replay moves it.
//! Does not read the host's clock.

use p402_core::time::Timestamp;
use p402_io::clock::{Clock, ManualClock};
use pyo3::prelude::*;
use std::sync::Arc;

/// A clock that stands until it is moved.
#[pyclass(name = "ManualClock", module = "p402._core", frozen)]
pub struct PyManualClock(pub Arc<ManualClock>);

#[pymethods]
impl PyManualClock {
    /// Starts at this many microseconds since 1970-01-01T00:00:00Z.
    #[new]
    fn new(utc_micros: i64) -> Self {
        Self(Arc::new(ManualClock::at(Timestamp::from_micros(utc_micros))))
    }

    /// Moves both clocks forward.
    fn advance_ms(&self, ms: u64) {
        self.0.advance_micros(ms.saturating_mul(1_000));
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[getter]
    fn utc_micros(&self) -> i64 {
        self.0.now().utc.micros()
    }
}
