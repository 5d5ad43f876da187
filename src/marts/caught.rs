//! Converts panics of polars to errors.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::thread;

thread_local! {
    static IS_COMPUTING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `compute` and catches its panics.
///
/// # Errors
/// The message of the panic. It is not printed. Panics elsewhere in the process are printed as
/// before.
pub(super) fn caught<T>(compute: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // polars computes on its own threads.
            let of_polars = |name: &str| name.starts_with("polars-");
            if !IS_COMPUTING.get() && !thread::current().name().is_some_and(of_polars) {
                others(info);
            }
        }));
    });
    IS_COMPUTING.set(true);
    let computed = panic::catch_unwind(AssertUnwindSafe(compute));
    IS_COMPUTING.set(false);
    computed.map_err(|payload| message(payload.as_ref()))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
