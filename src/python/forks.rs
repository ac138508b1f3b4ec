//! Lets Python report its forks.

use pyo3::prelude::*;
use pyo3::types::IntoPyDict as _;

use super::metrics;
use crate::process;

/// Registers with Python. After a fork that Python does not know of, a process may not use Python anyway.
pub(super) fn notice(py: Python<'_>) -> PyResult<()> {
    let forget = pyo3::wrap_pyfunction!(forget_id, py)?;
    let hooks = [("after_in_child", forget)].into_py_dict(py)?;
    // Systems without fork do not have it.
    if let Some(register) = py.import("os")?.getattr_opt("register_at_fork")? {
        register.call((), Some(&hooks))?;
    }
    Ok(())
}

#[pyfunction]
fn forget_id() {
    process::forget_id();
    metrics::begin_in_child();
}
