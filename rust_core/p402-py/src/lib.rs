//! Crosses into Python: `Gateway`, `Reply`, `Books` and `ManualClock`, and the loop's wake-up.
//! Decides nothing; a binding here is a conversion and a call.

#![expect(unreachable_pub, reason = "Python is the reader of what is public here")]
#![expect(clippy::needless_pass_by_value, reason = "pyo3 hands arguments over by value")]

mod answers;
mod books;
mod cache;
mod clock;
mod gateway;
mod guard;
mod reply;
mod runtime;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The extension module `p402._core`.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<gateway::PyGateway>()?;
    module.add_class::<reply::PyReply>()?;
    module.add_class::<books::PyBooks>()?;
    module.add_class::<clock::PyManualClock>()?;
    module.add_function(wrap_pyfunction!(cache::cache_file, module)?)?;
    module.add_function(wrap_pyfunction!(cache::cache_rules, module)?)?;
    module.add_function(wrap_pyfunction!(guard::guard_limits, module)?)?;
    module.add_function(wrap_pyfunction!(books::settle_by_hand, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("DEBUG_BUILD", cfg!(debug_assertions))?;
    Ok(())
}
