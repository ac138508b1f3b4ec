//! What is known about one request: a verdict that needs no lookup, or a lookup; then the outcome.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::bridge::Bridge;
use super::errors::{AuthError, ConfigurationError, KeyTableError, KeysUnavailable, RowMisfit, SchemaError};
use super::lock;
use super::metrics;
use super::promise::Promise;
use super::scope::{Remembered, ScopeRequest};
use super::verdict::{Found, Refused};
use crate::clock::Uptime;
use crate::counters::{Fault, Outcome};
use crate::credentials::Credential;
use crate::engine::{Engine, Place};
use crate::guards::Subject;
use crate::identity::Identity;

/// The state of one request, which its dependencies share. It lies in the ASGI scope, so its repr shows nothing.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct RequestState {
    /// None if only a cookie's value was given.
    request: Option<Remembered>,
    /// What the request presents.
    credential: Option<Credential>,
    engine: Arc<Engine>,
    /// When the identification began.
    since: Uptime,
    progress: Mutex<Progress>,
}

/// How far the request has come.
pub(super) enum Progress {
    /// `Found` by a cache, `Refused` or an `AuthError`: Python concludes it.
    Decided(Py<PyAny>),
    /// The store is queried.
    LookingUp(Box<PythonLookup>),
    /// The end: Python's `Identity`, and ours that it was made of.
    Identified(Py<PyAny>, Option<Known>),
    /// The end: `Refused` or an `AuthError`.
    Failed(Py<PyAny>),
    /// Everybody who waited was cancelled.
    Abandoned,
}

/// What is kept of the identity, for guards.
pub(super) enum Known {
    Identity(Arc<Identity>),
    /// Once it is guarded: a connection that stays open for long needs no more.
    Subject(Arc<Subject>),
}

/// A lookup under way, with as many waiters as there are.
pub(super) struct PythonLookup {
    pub(super) bridge: Py<Bridge>,
    pub(super) id: u64,
    pub(super) promise: Arc<Promise>,
    pub(super) place: Place,
    /// None once its duration was recorded.
    pub(super) began: Option<Instant>,
}

impl RequestState {
    pub(super) fn new(
        request: Option<Remembered>,
        credential: Option<Credential>,
        engine: &Arc<Engine>,
        since: Uptime,
        progress: Progress,
    ) -> Self {
        Self { request, credential, engine: Arc::clone(engine), since, progress: Mutex::new(progress) }
    }

    /// Whose a connection of this request is, and when the identification began. None before it has an identity.
    pub(super) fn subject(
        &self,
        py: Python<'_>,
        subject_of: impl FnOnce(&Identity) -> Subject,
    ) -> Option<(Arc<Subject>, Uptime)> {
        if let Progress::Identified(_, Some(Known::Subject(subject))) = &*lock(&self.progress) {
            return Some((Arc::clone(subject), self.since));
        }
        let subject = Arc::new(subject_of(&*self.found_identity(py)?));
        let identity = match &mut *lock(&self.progress) {
            Progress::Identified(_, known) => known.replace(Known::Subject(Arc::clone(&subject))),
            _ => None,
        };
        drop(identity);
        Some((subject, self.since))
    }

    fn found_identity(&self, py: Python<'_>) -> Option<Arc<Identity>> {
        let found = match &*lock(&self.progress) {
            Progress::Identified(_, Some(Known::Identity(identity))) => return Some(Arc::clone(identity)),
            Progress::Decided(found) => found.clone_ref(py),
            Progress::LookingUp(look_up) => look_up.promise.returned(py)?,
            Progress::Identified(..) | Progress::Failed(_) | Progress::Abandoned => return None,
        };
        let found = found.bind(py).cast::<Found>().ok()?;
        Some(Arc::clone(found.get().identity()))
    }

    /// Whether it says who sent this request.
    pub(super) fn is_about(&self, py: Python<'_>, request: &ScopeRequest<'_>) -> bool {
        !matches!(*lock(&self.progress), Progress::Abandoned)
            && self.request.as_ref().is_some_and(|known| request.equals(py, known))
    }

    pub(super) fn identity(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &*lock(&self.progress) {
            Progress::Identified(identity, _) => Some(identity.clone_ref(py)),
            _ => None,
        }
    }

    /// What a cache found, as long as nothing was made of it.
    pub(super) fn found(&self, py: Python<'_>) -> Option<Py<Found>> {
        match &*lock(&self.progress) {
            Progress::Decided(verdict) => {
                verdict.bind(py).cast::<Found>().ok().map(|found| found.clone().unbind())
            }
            _ => None,
        }
    }

    pub(super) fn set(&self, progress: Progress) {
        let previous = std::mem::replace(&mut *lock(&self.progress), progress);
        // Outside of the lock: dropping a Python object may run Python.
        drop(previous);
    }
}

/// How a request ends that has this outcome: `Refused`, an `AuthError`, or an identity.
fn kind_of(outcome: &Bound<'_, PyAny>) -> Outcome {
    if let Ok(refused) = outcome.cast::<Refused>() {
        return Outcome::Refused(refused.get().why());
    }
    if !outcome.is_instance_of::<AuthError>() {
        return Outcome::Authenticated;
    }
    if outcome.is_instance_of::<RowMisfit>() {
        return Outcome::Unavailable(Fault::Row);
    }
    if outcome.is_instance_of::<KeysUnavailable>() || outcome.is_instance_of::<KeyTableError>() {
        return Outcome::Unavailable(Fault::Keys);
    }
    if outcome.is_instance_of::<ConfigurationError>() {
        return Outcome::Unavailable(Fault::Configuration);
    }
    if outcome.is_instance_of::<SchemaError>() {
        return Outcome::Unavailable(Fault::Schema);
    }
    Outcome::Unavailable(Fault::Store)
}

/// Why a request with this outcome has no user.
#[pyfunction]
pub(super) fn error_type(outcome: &Bound<'_, PyAny>) -> Option<&'static str> {
    kind_of(outcome).error_type()
}

#[pymethods]
impl RequestState {
    #[getter]
    fn verdict(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &*lock(&self.progress) {
            Progress::Decided(known) | Progress::Identified(known, _) | Progress::Failed(known) => {
                Some(known.clone_ref(py))
            }
            _ => None,
        }
    }

    #[getter]
    fn outcome(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &*lock(&self.progress) {
            Progress::Identified(outcome, _) | Progress::Failed(outcome) => Some(outcome.clone_ref(py)),
            _ => None,
        }
    }

    fn __await__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (bridge, promise) = match &*lock(&self.progress) {
            Progress::LookingUp(look_up) => (look_up.bridge.clone_ref(py), Arc::clone(&look_up.promise)),
            _ => return Err(PyRuntimeError::new_err("there is nothing to wait for")),
        };
        bridge.get().future(py, &promise)?.call_method0(pyo3::intern!(py, "__await__"))
    }

    fn give_up(&self, py: Python<'_>) -> PyResult<()> {
        let promise = match &*lock(&self.progress) {
            Progress::LookingUp(look_up) => Arc::clone(&look_up.promise),
            _ => return Ok(()),
        };
        if !promise.is_abandoned(py)? {
            return Ok(());
        }
        let abandoned = std::mem::replace(&mut *lock(&self.progress), Progress::Abandoned);
        if let Progress::LookingUp(look_up) = abandoned {
            look_up.place.give_up();
            look_up.bridge.get().discard(look_up.id);
        }
        Ok(())
    }

    fn conclude(&self, outcome: Bound<'_, PyAny>) -> Vec<String> {
        let counters = self.engine.counters();
        match kind_of(&outcome) {
            Outcome::Authenticated => {
                if self.found(outcome.py()).is_some() {
                    counters.identified_by_cache(self.credential);
                } else {
                    counters.identified(self.credential);
                }
                let known = self.found_identity(outcome.py()).map(Known::Identity);
                self.set(Progress::Identified(outcome.unbind(), known));
            }
            Outcome::Refused(reason) => {
                counters.refused(reason, self.credential);
                self.set(Progress::Failed(outcome.unbind()));
            }
            Outcome::Unavailable(fault) => {
                counters.unavailable(fault, self.credential);
                self.set(Progress::Failed(outcome.unbind()));
            }
        }
        self.engine.operator_messages()
    }

    #[getter]
    fn credential(&self) -> Option<&'static str> {
        self.credential.map(Credential::as_str)
    }

    /// Only the first of several waiters records the lookup.
    fn record_lookup<'py>(&self, found: &Bound<'py, PyAny>) -> PyResult<Option<(f64, Bound<'py, PyDict>)>> {
        let began = match &mut *lock(&self.progress) {
            Progress::LookingUp(look_up) => look_up.began.take(),
            _ => None,
        };
        let Some(began) = began else { return Ok(None) };
        let (took, outcome) = (began.elapsed(), kind_of(found));
        self.engine.counters().looked_up(outcome, self.credential, took);
        let attributes = metrics::attributes(found.py(), outcome, self.credential)?;
        Ok(Some((took.as_secs_f64(), attributes)))
    }

    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __repr__(&self) -> &'static str {
        "RequestState(…)"
    }

    /// A future that waits holds a task, whose frames hold this; an exception holds its traceback's frames.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Held while Python's collector runs only by this thread, further up: then nothing is garbage.
        let Ok(progress) = self.progress.try_lock() else { return Ok(()) };
        match &*progress {
            Progress::Decided(object) | Progress::Identified(object, _) | Progress::Failed(object) => {
                visit.call(object)
            }
            Progress::LookingUp(look_up) => look_up.promise.traverse(&visit),
            Progress::Abandoned => Ok(()),
        }
    }

    fn __clear__(&self) {
        self.set(Progress::Abandoned);
    }
}
