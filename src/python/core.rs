//! The engine as Python sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use serde_json::Value as Json;

use super::awaitable::awaitable;
use super::bridge::Bridge;
use super::convert::{self, OwnFields, model_fields, python_json, raw_settings};
use super::errors::{AuthError, exception};
use super::guarding;
use super::metrics;
use super::object_cache::ObjectCache;
use super::request_state::{Known, Progress, PythonLookup, RequestState};
use super::runtime;
use super::scope::{self, Remembered, ScopeRequest};
use super::verdict::Refused;
use super::watch::Watch;
use crate::authenticator::Verdict;
use crate::engine::{Decision, Engine, Inspected, PendingLookup};
use crate::error::Error;
use crate::identity::UserId;
use crate::refusal::Reason;
use crate::settings::{self, CookieNames, CookieOptions, JwtFreshness, Settings, is_https};
use crate::store::{LookupKey, Source};

/// What is called once with the decision.
type Resolve = Box<dyn FnOnce(Decision) + Send>;

/// The fields of a model, each with its aliases.
pub(super) type ModelFields = Vec<(String, Vec<String>)>;

/// One configured engine. Its pool opens at first use, and anew in a forked child.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Core {
    engine: Arc<Engine>,
    own_fields: Arc<OwnFields>,
    object_cache: ObjectCache,
    /// Where a scope has the state of its request: another key for each instance.
    scope_key: Py<PyString>,
}

#[pymethods]
impl Core {
    #[new]
    fn new(
        py: Python<'_>,
        settings: &Bound<'_, PyDict>,
        user_fields: ModelFields,
        session_fields: ModelFields,
    ) -> PyResult<Self> {
        Self::with_source(py, settings, user_fields, session_fields, Source::Postgres)
    }

    #[getter]
    fn cookie_name(&self) -> &str {
        &self.engine.settings().cookie_names.session_token
    }

    #[getter]
    fn cache_cookie_name(&self) -> &str {
        &self.engine.settings().cookie_names.session_data
    }

    #[getter]
    fn origin(&self) -> &str {
        self.engine.settings().trusted_origins.base().unwrap_or_default()
    }

    #[getter]
    fn retry_after_seconds(&self) -> u64 {
        self.engine.settings().limits.retry_after.as_secs()
    }

    #[getter]
    fn secret_fingerprint(&self) -> String {
        self.engine.settings().secrets.fingerprint()
    }

    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.engine.settings().warnings.clone()
    }

    #[staticmethod]
    fn reasons() -> Vec<&'static str> {
        Reason::ALL.map(Reason::as_str).to_vec()
    }

    fn identify(&self, py: Python<'_>, scope: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let request = request_in(scope)?;
        if let Some(state) = self.known_state(&request, scope)? {
            return Ok(state.get().identity(py).unwrap_or_else(|| state.into_any().unbind()));
        }
        let inspected = self.engine.inspect(request.as_request());
        let is_handshake = request.is_handshake();
        let state = Bound::new(py, self.begin(py, inspected, Some(request.remember()))?)?;
        scope.set_item(&self.scope_key, &state)?;
        let Some(identity) = state.get().identity(py) else { return Ok(state.into_any().unbind()) };
        if is_handshake {
            // Python marks the other sockets. It does not see the state of one that a cache identifies.
            scope.set_item(pyo3::intern!(py, "auth_middleware validated"), true)?;
        }
        Ok(identity)
    }

    fn identify_by_store(&self, py: Python<'_>, scope: &Bound<'_, PyAny>) -> PyResult<Py<RequestState>> {
        let request = request_in(scope)?;
        let inspected = self.engine.inspect_for_store(request.as_request());
        let state = Py::new(py, self.begin(py, inspected, Some(request.remember()))?)?;
        scope.set_item(&self.scope_key, &state)?;
        Ok(state)
    }

    fn identify_anew(&self, py: Python<'_>, scope: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let request = request_in(scope)?;
        self.identify_once(py, self.engine.inspect(request.as_request()))
    }

    fn identify_value(&self, py: Python<'_>, cookie_value: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        // A lone surrogate is not valid UTF-8, and in nothing that anybody signed.
        self.identify_once(py, self.engine.inspect_value(&cookie_value.to_string_lossy()))
    }

    fn look_up(&self, py: Python<'_>, state: &Bound<'_, RequestState>) -> PyResult<()> {
        if let Some(found) = state.get().found(py) {
            let identity = found.get().identity();
            let key = match &identity.session {
                Some(session) => LookupKey::from(&session.token),
                None => LookupKey::User(UserId::new(&identity.user.id)),
            };
            state.get().set(self.start_look_up(py, |engine, resolve| engine.look_up(&key, resolve))?);
        }
        Ok(())
    }

    fn session_cookie(&self, scope: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        let request = ScopeRequest::of_any(scope)?;
        Ok(self.engine.session_cookie(request.as_request()).map(Into::into))
    }

    /// Why there is no session cookie, if a wrong setting or client may be the cause.
    fn missing_cookie(&self, scope: &Bound<'_, PyAny>) -> PyResult<Option<Refused>> {
        let request = ScopeRequest::of_any(scope)?;
        Ok(self.engine.missing_cookie(request.as_request()).map(Refused::new))
    }

    /// The claims of the JWT that this request presents, if it was identified by it.
    fn token_claims<'py>(
        &self,
        py: Python<'py>,
        scope: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let token = self.engine.token_claims(ScopeRequest::of(scope)?.as_request());
        token.map(|token| python_json(py, &Json::Object(token.claims().clone()))).transpose()
    }

    /// Whether the claims of a JWT are its user, without a database.
    #[getter]
    fn trusts_claims(&self) -> bool {
        self.engine.settings().jwt.as_ref().is_some_and(|jwt| jwt.freshness == JwtFreshness::Claims)
    }

    #[getter]
    fn has_database(&self) -> bool {
        self.engine.settings().database.is_some()
    }

    /// The kinds of credentials that are accepted: whether cookies, and whether bearer tokens.
    #[getter]
    fn accepts(&self) -> (bool, bool) {
        let accepted = self.engine.settings().accepted;
        (accepted.cookie, accepted.any_bearer())
    }

    /// The state of a request that stays open: the one that its scope has, or a new one.
    fn identify_to_guard(&self, py: Python<'_>, scope: &Bound<'_, PyAny>) -> PyResult<Py<RequestState>> {
        let request = request_in(scope)?;
        match self.known_state(&request, scope)? {
            Some(state) => Ok(state.unbind()),
            None => self.identify_again(py, scope),
        }
    }

    /// The same without what the scope has.
    fn identify_again(&self, py: Python<'_>, scope: &Bound<'_, PyAny>) -> PyResult<Py<RequestState>> {
        let request = request_in(scope)?;
        let inspected = self.engine.inspect(request.as_request());
        let state = Py::new(py, self.begin(py, inspected, Some(request.remember()))?)?;
        scope.set_item(&self.scope_key, &state)?;
        Ok(state)
    }

    /// Calls the guard's `end` once, on the thread of the running loop, when the session of this state ends.
    fn watch(
        &self,
        scope: &Bound<'_, PyAny>,
        state: &Bound<'_, RequestState>,
        guard: &Bound<'_, PyAny>,
    ) -> PyResult<Watch> {
        guarding::watch(&self.engine, scope, state, guard)
    }

    #[pyo3(signature = (*, user_id = None, session_id = None))]
    fn disconnect(&self, user_id: Option<&str>, session_id: Option<&str>) -> PyResult<usize> {
        guarding::disconnect(&self.engine, user_id, session_id)
    }

    #[getter]
    fn guarded_connections(&self) -> usize {
        self.engine.guarded_connections()
    }

    fn open<'py>(&self, py: Python<'py>, strict: bool) -> PyResult<Bound<'py, PyAny>> {
        let opening = self.engine.open(strict);
        awaitable(py, async move { opening.await.map_err(|error| exception(&error)) })
    }

    fn close(&self) {
        self.object_cache.clear();
        self.engine.close();
    }

    fn column_name(&self, is_user: bool, field: &str) -> Option<String> {
        self.engine.column(is_user, field)
    }

    fn operator_messages(&self) -> Vec<String> {
        self.engine.operator_messages()
    }

    fn store_note(&self) -> Option<String> {
        self.engine.store_note()
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = PyDict::new(py);
        for (name, count) in self.engine.counters().by_name(self.engine.settings().freshness.cache_name()) {
            counters.set_item(name, count)?;
        }
        counters.set_item("live_invalidations", self.engine.cache_invalidations())?;
        Ok(counters)
    }

    fn advice(&self, refused: &Bound<'_, Refused>) -> Option<(String, bool)> {
        self.engine.advice(refused.get().refusal())
    }

    fn cache_size(&self) -> (usize, usize) {
        self.engine.cache_size()
    }

    fn __repr__(&self) -> String {
        format!("Core(cookie_name={:?})", self.cookie_name())
    }
}

impl Core {
    pub(super) fn with_source(
        py: Python<'_>,
        settings: &Bound<'_, PyDict>,
        user_fields: ModelFields,
        session_fields: ModelFields,
        source: Source,
    ) -> PyResult<Self> {
        static INSTANCES: AtomicU64 = AtomicU64::new(1);
        let settings = checked(settings, user_fields, session_fields)?;
        let engine = Engine::new(settings, source, runtime::handle).map_err(|error| exception(&error))?;
        let tables = &engine.settings().tables;
        let own_fields =
            OwnFields { user: tables.user.own_fields.clone(), session: tables.session.own_fields.clone() };
        let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let engine = Arc::new(engine);
        metrics::include(&engine);
        Ok(Self {
            object_cache: ObjectCache::new(engine.settings()),
            engine,
            own_fields: Arc::new(own_fields),
            scope_key: PyString::intern(py, &format!("auth_middleware {instance}")).unbind(),
        })
    }

    pub(super) fn own_fields(&self) -> &OwnFields {
        &self.own_fields
    }

    /// The state that the scope has, if it is about this request.
    fn known_state<'py>(
        &self,
        request: &ScopeRequest<'py>,
        scope: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, RequestState>>> {
        let py = scope.py();
        let state = scope::value(scope, self.scope_key.bind(py))?;
        let state = state.and_then(|state| state.cast_into::<RequestState>().ok());
        Ok(state.filter(|state| state.get().is_about(py, request)))
    }

    /// The state of something that no scope remembers, or the identity itself.
    fn identify_once(&self, py: Python<'_>, inspected: Inspected) -> PyResult<Py<PyAny>> {
        let state = self.begin(py, inspected, None)?;
        match state.identity(py) {
            Some(identity) => Ok(identity),
            None => Ok(Py::new(py, state)?.into_any()),
        }
    }

    fn begin(
        &self,
        py: Python<'_>,
        Inspected { credential, verdict, at }: Inspected,
        request: Option<Remembered>,
    ) -> PyResult<RequestState> {
        let progress = match verdict {
            Err(error) => Progress::Decided(exception(&error).into_value(py).into_any()),
            Ok(Verdict::Refused(refusal)) => {
                Progress::Decided(Py::new(py, Refused::new(refusal))?.into_any())
            }
            Ok(Verdict::Lookup(key)) => {
                self.start_look_up(py, |engine, resolve| engine.look_up(&key, resolve))?
            }
            Ok(Verdict::NeedsKeys(token, need)) => {
                self.start_look_up(py, |engine, resolve| engine.verify(token, need, resolve))?
            }
            Ok(Verdict::Unavailable(why)) => {
                Progress::Decided(exception(&why.into()).into_value(py).into_any())
            }
            Ok(Verdict::Known(identity)) => {
                let found = self.object_cache.found(py, identity, &self.own_fields)?;
                match found.get().cached_object(py) {
                    Some(object) => {
                        self.engine.counters().identified_by_cache(credential);
                        let identity = Arc::clone(found.get().identity());
                        Progress::Identified(object.clone_ref(py), Some(Known::Identity(identity)))
                    }
                    None => Progress::Decided(found.into_any()),
                }
            }
        };
        Ok(RequestState::new(request, credential, &self.engine, at, progress))
    }

    fn start_look_up(
        &self,
        py: Python<'_>,
        start: impl FnOnce(&Engine, Resolve) -> Result<PendingLookup, Error>,
    ) -> PyResult<Progress> {
        match self.try_look_up(py, start) {
            Err(error) if error.is_instance_of::<AuthError>(py) => {
                Ok(Progress::Decided(error.into_value(py).into_any()))
            }
            look_up => look_up.map(|look_up| Progress::LookingUp(Box::new(look_up))),
        }
    }

    fn try_look_up(
        &self,
        py: Python<'_>,
        start: impl FnOnce(&Engine, Resolve) -> Result<PendingLookup, Error>,
    ) -> PyResult<PythonLookup> {
        let bridge = Bridge::of_running_loop(py)?;
        let (id, promise, resolve) = bridge.get().expect(&self.own_fields);
        let pending = start(&self.engine, Box::new(resolve)).inspect_err(|_| bridge.get().discard(id));
        let PendingLookup { place, to_send } = pending.map_err(|error| exception(&error))?;
        if let Some(lookup) = to_send {
            Bridge::send_soon(&bridge, &lookup)?;
        }
        Ok(PythonLookup { bridge: bridge.unbind(), id, promise, place, began: Some(Instant::now()) })
    }
}

fn checked(
    settings: &Bound<'_, PyDict>,
    user_fields: ModelFields,
    session_fields: ModelFields,
) -> PyResult<Settings> {
    let raw = raw_settings(settings, model_fields(user_fields), model_fields(session_fields))?;
    Settings::check(raw).map_err(|error| exception(&error))
}

/// Checks settings and models without creating a core.
#[pyfunction]
pub(super) fn check_settings(
    settings: &Bound<'_, PyDict>,
    user_fields: ModelFields,
    session_fields: ModelFields,
) -> PyResult<()> {
    checked(settings, user_fields, session_fields).map(drop)
}

/// Every setting's default.
#[pyfunction]
pub(super) fn default_settings(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    convert::default_settings(py)
}

/// Whether these settings accept cookies, and whether bearer tokens, without a check of anything else.
#[pyfunction]
pub(super) fn accepted_credentials(settings: &Bound<'_, PyDict>) -> PyResult<(bool, bool)> {
    let accepted = settings::accepted_credentials(&raw_settings(settings, Vec::new(), Vec::new())?);
    let accepted = accepted.map_err(|error| exception(&error))?;
    Ok((accepted.cookie, accepted.any_bearer()))
}

/// The cookie's name for these settings, without a check of anything else.
#[pyfunction]
pub(super) fn session_cookie_name(
    base_url: Option<&str>,
    prefix: Option<&str>,
    name: Option<&str>,
    secure: Option<bool>,
) -> PyResult<String> {
    let is_https = is_https(base_url).map_err(|error| exception(&error))?;
    let names = CookieNames::check(CookieOptions { is_https, secure, prefix, name, cache_name: None });
    Ok(names.map_err(|error| exception(&error))?.session_token)
}

fn request_in<'py>(scope: &Bound<'py, PyAny>) -> PyResult<ScopeRequest<'py>> {
    let request = ScopeRequest::of(scope)?;
    // Also where no bearer token is accepted: a page may send one nevertheless.
    request.hide_token(scope)?;
    Ok(request)
}
