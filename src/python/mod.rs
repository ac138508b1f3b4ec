//! The Python face: converts, calls, wraps; decides nothing.

mod authenticator;
mod awaitable;
mod bridge;
mod completion_queue;
mod convert;
mod errors;
mod migration;
mod object_cache;
mod opened;
mod outcome;
mod process;
mod promise;
mod runtime;
mod scope;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nothing panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The extension module `auth_middleware._core`; its types are told in `_core.pyi`.
#[pyo3::pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::authenticator::{Core, Pending, session_cookie_name};

    #[pymodule_export]
    use super::outcome::{Found, Refused, SessionToken};

    #[pymodule_export]
    use super::migration::Migrations;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        super::process::notice_forks(module.py())?;
        super::runtime::stop_at_exit(module.py())
    }
}
