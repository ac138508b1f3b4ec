//! The only PyO3 code: converts, calls, wraps; decides nothing.

mod awaitable;
mod bridge;
mod convert;
mod core;
mod diagnosis;
mod errors;
mod forks;
mod guarding;
mod metrics;
mod migration;
mod object_cache;
mod promise;
mod request_state;
mod runtime;
mod scope;
mod testing;
mod verdict;
mod watch;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nothing panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The extension module `auth_middleware._core`; its types are in `_core.pyi`.
#[pyo3::pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::core::{Core, accepted_credentials, check_settings, default_settings, session_cookie_name};

    #[pymodule_export]
    use super::metrics::{lookup_duration_bounds, lookup_durations, metric_points};

    #[pymodule_export]
    use super::request_state::{RequestState, error_type};

    #[pymodule_export]
    use super::verdict::{Found, Refused};

    #[pymodule_export]
    use super::watch::Watch;

    #[pymodule_export]
    use super::migration::Migrations;

    #[pymodule_export]
    use super::diagnosis::Diagnosis;

    #[pymodule_export]
    use super::testing::TestStore;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        super::forks::notice(module.py())?;
        super::runtime::stop_at_exit(module.py())
    }
}
