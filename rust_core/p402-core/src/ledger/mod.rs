//! Decides what the ledger remembers of a request and what a journal of such rows adds up to.
//! Does not write, sync or index a row: p402-io's ledger does.

mod by_hand;
mod name;
mod replay;
mod row;
mod tally;
mod text;

pub use by_hand::{ByHandFault, by_hand};
pub use name::{MODEL_BYTES_MAX, PROVIDER_BYTES_MAX, TENANT_BYTES_MAX, session_hash, short_name};
pub use replay::{Balance, Mismatch, Open, Replay, mismatches};
pub use row::{Flags, Kind, ROW_BYTES, Row, RowFault, Seq};
pub use tally::{GroupBy, Sums, Tally};
pub use text::{CSV_HEAD, row_csv, row_json};
