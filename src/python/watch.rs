//! A guarded connection as Python sees it.

use std::sync::Mutex;

use pyo3::prelude::*;

use super::bridge::Bridge;
use super::lock;
use crate::guards;

/// Guards a connection until it is released, or Python frees it.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Watch {
    bridge: Py<Bridge>,
    id: u64,
    inner: Mutex<Option<guards::Watch>>,
}

impl Watch {
    pub(super) fn new(bridge: Py<Bridge>, id: u64, watch: guards::Watch) -> Self {
        Self { bridge, id, inner: Mutex::new(Some(watch)) }
    }
}

#[pymethods]
impl Watch {
    fn release(&self) {
        let watch = lock(&self.inner).take();
        drop(watch);
        self.bridge.get().stop_guarding(self.id);
    }

    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __repr__(&self) -> &'static str {
        "Watch(…)"
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.release();
    }
}
