//! What Rust decided, as Python sees it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::convert::{OwnFields, session_dict, user_dict};
use super::errors::exception;
use crate::engine::Decision;
use crate::identity::Identity;
use crate::refusal::{Cause, Reason, Refusal};

/// A request without a valid session, and why.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Refused(Refusal);

impl Refused {
    pub(super) fn new(refusal: Refusal) -> Self {
        Self(refusal)
    }

    pub(super) fn refusal(&self) -> &Refusal {
        &self.0
    }

    pub(super) fn why(&self) -> Reason {
        self.0.reason
    }
}

#[pymethods]
impl Refused {
    #[getter]
    fn reason(&self) -> &'static str {
        self.0.reason.as_str()
    }

    #[getter]
    fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    #[getter]
    fn cause(&self) -> Option<&'static str> {
        self.0.cause.map(Cause::as_str)
    }

    #[getter]
    fn expired_at(&self) -> Option<DateTime<Utc>> {
        self.0.expired_at
    }

    #[getter]
    fn is_anonymous(&self) -> bool {
        self.0.reason.is_anonymous()
    }

    #[getter]
    fn is_foreign_origin(&self) -> bool {
        self.0.reason == Reason::Origin
    }

    fn __repr__(&self) -> String {
        format!("Refused(reason={:?})", self.reason())
    }
}

/// A session and its user that were found: their fields are converted when Python makes its objects of them.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Found {
    identity: Arc<Identity>,
    own_fields: Arc<OwnFields>,
    /// What Python made of it, if requests may share that.
    object: PyOnceLock<Py<PyAny>>,
}

impl Found {
    pub(super) fn new(identity: Arc<Identity>, own_fields: &Arc<OwnFields>) -> Self {
        Self { identity, own_fields: Arc::clone(own_fields), object: PyOnceLock::new() }
    }

    pub(super) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    pub(super) fn cached_object(&self, py: Python<'_>) -> Option<&Py<PyAny>> {
        self.object.get(py)
    }
}

#[pymethods]
impl Found {
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<(Option<Bound<'py, PyDict>>, Bound<'py, PyDict>)> {
        let session = self.identity.session.as_ref();
        let session = session.map(|session| session_dict(py, session, &self.own_fields)).transpose()?;
        Ok((session, user_dict(py, &self.identity.user, &self.own_fields)?))
    }

    fn cache_object(&self, py: Python<'_>, made: Py<PyAny>) {
        let _first_wins = self.object.set(py, made);
    }

    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __repr__(&self) -> &'static str {
        "Found(…)"
    }
}

/// The result of a lookup: `Found` or `Refused`, or the exception to raise.
pub(super) fn look_up_result(
    py: Python<'_>,
    decision: Decision,
    own_fields: &Arc<OwnFields>,
) -> PyResult<Py<PyAny>> {
    match decision.map_err(|error| exception(&error))? {
        Ok(identity) => Ok(Py::new(py, Found::new(identity, own_fields))?.into_any()),
        Err(refusal) => Ok(Py::new(py, Refused::new(refusal))?.into_any()),
    }
}
