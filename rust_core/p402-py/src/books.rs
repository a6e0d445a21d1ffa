//! Crosses the ledger for reading, and the one row that a person may write.
//! Does not compute: core and io do, and their JSON and CSV pass as bytes.

use p402_core::id::RequestId;
use p402_core::ledger::{CSV_HEAD, GroupBy, Row, row_csv, row_json};
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};
use p402_io::clock::{Clock, SystemClock};
use p402_io::ledger::{Books, IndexAt, Ledger, Options, RowBytes};
use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;

/// The ledger of a data directory; a gateway may run beside it.
#[pyclass(name = "Books", module = "p402._core", frozen)]
pub struct PyBooks(Mutex<Books>);

#[pymethods]
impl PyBooks {
    /// `index`: a PostgreSQL URL or a file; without it `ledger.sqlite` in the directory.
    #[new]
    #[pyo3(signature = (data_dir, index = None))]
    fn new(py: Python<'_>, data_dir: PathBuf, index: Option<&str>) -> PyResult<Self> {
        let index = IndexAt::read(index);
        let books = py.detach(|| Books::open(&data_dir, &index)).map_err(failed)?;
        Ok(Self(Mutex::new(books)))
    }

    /// The ledger's own id.
    fn ledger_id(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| self.0.lock().ledger_id()).map_err(failed)
    }

    /// The `data` of `GET /usage`: sums by bucket over UTC days, both included.
    fn usage<'py>(
        &self,
        py: Python<'py>,
        tenant: Option<&str>,
        days: (&str, &str),
        group_by: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let days = (day(days.0)?, day(days.1)?);
        let by = GroupBy::parse(group_by)
            .ok_or_else(|| PyValueError::new_err(format!("nothing is grouped by `{group_by}`")))?;
        let tally = py.detach(|| self.0.lock().usage(tenant, days, by)).map_err(failed)?;
        Ok(PyBytes::new(py, tally.to_json().as_bytes()))
    }

    /// The rows of one request as a JSON array, in the order they were written.
    fn request<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyBytes>> {
        let rid = request_id(id)?;
        let rows = py.detach(|| self.0.lock().request(rid)).map_err(failed)?;
        let told: Vec<_> = rows.iter().map(told).collect();
        Ok(json(py, &told.into()))
    }

    /// Requests that have not ended, as a JSON array.
    fn open_requests<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let open = py.detach(|| self.0.lock().open_requests()).map_err(failed)?;
        let told: Vec<_> = open.iter().map(p402_io::ledger::OpenRequest::to_json).collect();
        Ok(json(py, &told.into()))
    }

    /// What counted against each tenant's caps by UTC day of admission: (tenant, day, nano).
    fn balances(&self, py: Python<'_>, since: &str) -> PyResult<Vec<(String, String, i64)>> {
        let since = day(since)?;
        let all = py.detach(|| self.0.lock().balances(since)).map_err(failed)?;
        let told = all.iter().map(|balance| {
            (balance.tenant.to_string(), balance.day.to_string(), balance.spent.nano())
        });
        Ok(told.collect())
    }

    /// Adds every row up again and compares, as a JSON object.
    fn audit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let audit = py.detach(|| self.0.lock().audit()).map_err(failed)?;
        Ok(json(py, &audit.to_json()))
    }

    /// The rows written from one microsecond to before another, as CSV sorted by tenant.
    #[pyo3(signature = (from, to, /))]
    fn csv<'py>(&self, py: Python<'py>, from: i64, to: i64) -> PyResult<Bound<'py, PyBytes>> {
        let (from, to) = (Timestamp::from_micros(from), Timestamp::from_micros(to));
        let rows = py.detach(|| self.0.lock().between(from, to)).map_err(failed)?;
        let mut text = CSV_HEAD.to_owned();
        for row in rows.iter().filter_map(|bytes| Row::decode(bytes).ok()) {
            row_csv(&row, &mut text);
        }
        Ok(PyBytes::new(py, text.as_bytes()))
    }

    /// The first and last instant of a row, in microseconds; None without rows.
    fn span(&self, py: Python<'_>) -> PyResult<Option<(i64, i64)>> {
        let span = py.detach(|| self.0.lock().span()).map_err(failed)?;
        Ok(span.map(|(first, last)| (first.micros(), last.micros())))
    }
}

/// Ends an open request at `cost_usd` (its hold without it), or corrects an ended one, and returns
/// the row that says so. No gateway may run on the directory.
#[pyfunction]
#[pyo3(signature = (data_dir, id, cost_usd = None, index = None))]
pub fn settle_by_hand<'py>(
    py: Python<'py>,
    data_dir: PathBuf,
    id: &str,
    cost_usd: Option<&str>,
    index: Option<&str>,
) -> PyResult<Bound<'py, PyBytes>> {
    let rid = request_id(id)?;
    let cost = cost_usd.map(Usd::parse).transpose();
    let cost = cost.map_err(|error| PyValueError::new_err(format!("the cost is {error}")))?;
    let options =
        Options { index: IndexAt::read(index), end_open: false, ..Options::new(data_dir) };
    let now = SystemClock::default().now();
    let row = py.detach(|| {
        Ledger::open(&options, now).and_then(|ledger| ledger.settle_by_hand(rid, cost, now.utc))
    });
    let row = row.map_err(failed)?;
    Ok(json(py, &told(&row)))
}

fn failed(error: impl std::fmt::Display) -> PyErr {
    PyOSError::new_err(error.to_string())
}

fn day(text: &str) -> PyResult<Day> {
    Day::parse(text).ok_or_else(|| PyValueError::new_err(format!("`{text}` is no day YYYY-MM-DD")))
}

fn request_id(text: &str) -> PyResult<RequestId> {
    RequestId::parse(text)
        .ok_or_else(|| PyValueError::new_err(format!("`{text}` is no request id (req_…)")))
}

fn told(row: &RowBytes) -> serde_json::Value {
    Row::decode(row).map_or(serde_json::Value::Null, |row| row_json(&row))
}

fn json<'py>(py: Python<'py>, value: &serde_json::Value) -> Bound<'py, PyBytes> {
    PyBytes::new(py, value.to_string().as_bytes())
}
