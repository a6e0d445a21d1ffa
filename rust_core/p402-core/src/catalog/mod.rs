//! Decides which models exist, where they run, what they cost at a second, how good they are.
//! Does not choose among them (route/) and opens no file: the compiled file's bytes come in.

mod build;
mod calibrate;
mod estimate;
mod flags;
mod kind;
mod listing;
mod load;
mod offers;
mod price;
mod rates;
mod record;
mod resolve;
mod speed;
mod task;
mod thinking;
mod types;
mod window;

pub use calibrate::Calibration;
pub use estimate::{Input, Script, bound_input, estimate_input, estimate_output};
pub use kind::OfferKind;
pub(crate) use listing::Listed;
pub use load::CatalogError;
pub use price::{Charge, Priced};
pub use resolve::Resolved;
pub use task::*;
pub use types::*;
