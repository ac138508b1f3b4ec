//! The result of a lookup, for those who wait for it.

use std::sync::Mutex;

use pyo3::exceptions::PyBaseException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::lock;

pyo3::import_exception!(asyncio, InvalidStateError);

/// The result of one lookup for any number of waiters. Each has an asyncio future of its own, so that cancelling one
/// leaves the others.
#[derive(Default)]
pub(super) struct Promise(Mutex<State>);

enum State {
    Waiting(Vec<Py<PyAny>>),
    Returned(Py<PyAny>),
    Raised(Py<PyBaseException>),
}

impl Default for State {
    fn default() -> Self {
        Self::Waiting(Vec::new())
    }
}

impl Promise {
    /// A new future of this loop, resolved now or when the result comes.
    pub(super) fn future<'py>(&self, event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        let future = event_loop.call_method0(pyo3::intern!(py, "create_future"))?;
        match &mut *lock(&self.0) {
            State::Waiting(futures) => futures.push(future.clone().unbind()),
            done => resolve(&future, done)?,
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

    /// Drops the futures: no result will come.
    pub(super) fn abandon(&self) {
        let futures = std::mem::take(&mut *lock(&self.0));
        drop(futures);
    }

    /// Resolves the futures that wait, and those that are made later.
    pub(super) fn resolve(&self, py: Python<'_>, result: PyResult<Py<PyAny>>) -> PyResult<()> {
        let done = match result {
            Ok(value) => State::Returned(value),
            Err(error) => State::Raised(error.into_value(py)),
        };
        let mut state = lock(&self.0);
        let State::Waiting(futures) = std::mem::replace(&mut *state, done) else { return Ok(()) };
        let resolved = futures.iter().map(|future| resolve(future.bind(py), &state));
        resolved.fold(Ok(()), Result::and)
    }

    /// What it was resolved with, if that was no exception.
    pub(super) fn returned(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &*lock(&self.0) {
            State::Returned(value) => Some(value.clone_ref(py)),
            State::Waiting(_) | State::Raised(_) => None,
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(state) = self.0.try_lock() else { return Ok(()) };
        match &*state {
            State::Waiting(futures) => futures.iter().try_for_each(|future| visit.call(future)),
            State::Returned(value) => visit.call(value),
            State::Raised(error) => visit.call(error),
        }
    }
}

fn resolve(future: &Bound<'_, PyAny>, state: &State) -> PyResult<()> {
    let py = future.py();
    let resolved = match state {
        State::Waiting(_) => return Ok(()),
        State::Returned(value) => future.call_method1(pyo3::intern!(py, "set_result"), (value,)),
        State::Raised(error) => future.call_method1(pyo3::intern!(py, "set_exception"), (error,)),
    };
    match resolved {
        Ok(_) => Ok(()),
        // It was cancelled meanwhile.
        Err(error) if error.is_instance_of::<InvalidStateError>(py) => Ok(()),
        Err(error) => Err(error),
    }
}
