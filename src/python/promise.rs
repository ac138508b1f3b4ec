//! What a look-up promises to those who wait for it.

use std::sync::Mutex;

use pyo3::prelude::*;

use super::lock;

pyo3::import_exception!(asyncio, InvalidStateError);

/// The result of one look-up for as many waiters as there are: each has an asyncio future of its
/// own, so that cancelling one leaves the others.
#[derive(Default)]
pub(super) struct Promise(Mutex<State>);

enum State {
    Waiting(Vec<Py<PyAny>>),
    Done(PyResult<Py<PyAny>>),
}

impl Default for State {
    fn default() -> Self {
        Self::Waiting(Vec::new())
    }
}

impl Promise {
    /// A new future of this loop's, resolved with the result or when that comes.
    pub(super) fn future<'py>(&self, event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        let future = event_loop.call_method0(pyo3::intern!(py, "create_future"))?;
        match &mut *lock(&self.0) {
            State::Waiting(futures) => futures.push(future.clone().unbind()),
            State::Done(result) => resolve(py, &future, result)?,
        }
        Ok(future)
    }

    /// Whether every future that waits was cancelled meanwhile.
    pub(super) fn is_abandoned(&self, py: Python<'_>) -> PyResult<bool> {
        let State::Waiting(futures) = &*lock(&self.0) else { return Ok(false) };
        for future in futures {
            if !future.call_method0(py, pyo3::intern!(py, "done"))?.is_truthy(py)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Forgets them: nothing will come.
    pub(super) fn abandon(&self) {
        let futures = std::mem::take(&mut *lock(&self.0));
        drop(futures);
    }

    /// Resolves those that wait, and those that come later.
    pub(super) fn keep(&self, py: Python<'_>, result: PyResult<Py<PyAny>>) -> PyResult<()> {
        let mut state = lock(&self.0);
        let State::Waiting(futures) = std::mem::take(&mut *state) else { return Ok(()) };
        let resolved = futures.iter().map(|future| resolve(py, future.bind(py), &result));
        let first_failure = resolved.fold(Ok(()), Result::and);
        *state = State::Done(result);
        first_failure
    }
}

fn resolve(py: Python<'_>, future: &Bound<'_, PyAny>, result: &PyResult<Py<PyAny>>) -> PyResult<()> {
    let resolved = match result {
        Ok(value) => future.call_method1(pyo3::intern!(py, "set_result"), (value,)),
        Err(error) => future.call_method1(pyo3::intern!(py, "set_exception"), (error.clone_ref(py),)),
    };
    match resolved {
        Ok(_) => Ok(()),
        // It was cancelled meanwhile, and wants nothing.
        Err(error) if error.is_instance_of::<InvalidStateError>(py) => Ok(()),
        Err(error) => Err(error),
    }
}
