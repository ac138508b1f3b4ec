//! What an inspection or a look-up comes to, as Python sees it.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::convert::{OwnFields, session_dict, user_dict};
use crate::identity::Identity;
use crate::refusal::Refusal;
use crate::signature;

/// A token whose signature was good. Opaque: its repr says nothing.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct SessionToken(pub(super) signature::SessionToken);

#[pymethods]
impl SessionToken {
    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __repr__(&self) -> &'static str {
        "SessionToken(…)"
    }
}

/// Why a request is nobody's.
#[pyclass(frozen, get_all, module = "auth_middleware._core")]
pub(super) struct Refused {
    reason: &'static str,
    detail: Option<String>,
    is_anonymous: bool,
}

#[pymethods]
impl Refused {
    fn __repr__(&self) -> String {
        format!("Refused(reason={:?})", self.reason)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let Refusal { reason, detail } = refusal;
        Self { reason: reason.as_str(), detail, is_anonymous: reason.is_anonymous() }
    }
}

/// Somebody who is known: fields by name, made when they are asked for.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Found {
    identity: Arc<Identity>,
    own_fields: Arc<OwnFields>,
    object: PyOnceLock<Py<PyAny>>,
}

impl Found {
    pub(super) fn new(identity: Arc<Identity>, own_fields: &Arc<OwnFields>) -> Self {
        Self { identity, own_fields: Arc::clone(own_fields), object: PyOnceLock::new() }
    }

    /// What was made of it, if that was kept.
    pub(super) fn cached_object<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyAny>> {
        self.object.get(py).map(|made| made.bind(py))
    }
}

#[pymethods]
impl Found {
    #[getter]
    fn user<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        user_dict(py, &self.identity.user, &self.own_fields)
    }

    #[getter]
    fn session<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        session_dict(py, &self.identity.session, &self.own_fields)
    }

    fn cache_object(&self, py: Python<'_>, made: Py<PyAny>) {
        let _first_wins = self.object.set(py, made);
    }

    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __repr__(&self) -> &'static str {
        "Found(…)"
    }
}

/// What `inspect` gives.
#[derive(IntoPyObject)]
pub(super) enum Inspected {
    Token(SessionToken),
    Cached(Py<PyAny>),
    Found(Py<Found>),
    Refused(Refused),
}
