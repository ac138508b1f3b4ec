//! Which process is this? Asked for each request, so the answer is kept until Python forks.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;
use pyo3::types::IntoPyDict as _;

/// No process has this id.
const UNKNOWN: u32 = 0;

static ID: AtomicU32 = AtomicU32::new(UNKNOWN);

/// This process's id, without a system call.
pub(super) fn id() -> u32 {
    match ID.load(Ordering::Relaxed) {
        UNKNOWN => {
            let id = std::process::id();
            ID.store(id, Ordering::Relaxed);
            id
        }
        known => known,
    }
}

/// Has Python tell us of a fork. A fork that it does not know of is none after which it may be used.
pub(super) fn notice_forks(py: Python<'_>) -> PyResult<()> {
    let forget = pyo3::wrap_pyfunction!(forget, py)?;
    let hooks = [("after_in_child", forget)].into_py_dict(py)?;
    // There is none where there is no fork.
    if let Some(register) = py.import("os")?.getattr_opt("register_at_fork")? {
        register.call((), Some(&hooks))?;
    }
    Ok(())
}

#[pyfunction]
fn forget() {
    ID.store(UNKNOWN, Ordering::Relaxed);
}
