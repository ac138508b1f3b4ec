//! The authenticator as Python sees it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chrono::Utc;
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::awaitable::awaitable;
use super::bridge::Bridge;
use super::convert::{OwnFields, SettingsDict, own_fields};
use super::errors::exception;
use super::object_cache::ObjectCache;
use super::opened::Opened;
use super::outcome::{Found, Inspected, Refused, SessionToken};
use super::promise::Promise;
use super::scope::{self, Headers};
use super::{lock, runtime};
use crate::authenticator::{Authenticator, Verdict};
use crate::clock::Moment;
use crate::cookie_cache::keys::PublicKeys;
use crate::credentials::Request;
use crate::live_cache::LiveCache;
use crate::lookup::{Gathered, Outcome, Waiter};
use crate::refusal::Reason;
use crate::settings::{CookieNames, CookieOptions, Freshness, Settings, is_https};
use crate::store::postgres::PostgresStore;

/// One configured authenticator. Its pool opens at first use, and anew in a forked child.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Core {
    settings: Settings,
    authenticator: Authenticator,
    own_fields: Arc<OwnFields>,
    object_cache: ObjectCache,
    object_cache_hits: AtomicU64,
    opened: Mutex<Option<Arc<Opened>>>,
}

#[pymethods]
impl Core {
    #[new]
    fn new(
        settings: SettingsDict,
        user_fields: Vec<(String, bool)>,
        session_fields: Vec<(String, bool)>,
    ) -> PyResult<Self> {
        let own_fields = OwnFields { user: own_fields(user_fields), session: own_fields(session_fields) };
        let settings =
            Settings::check(settings.with_own_fields(&own_fields)).map_err(|error| exception(&error))?;
        // Certificates are read at opening; whether they can be shows now.
        PostgresStore::new(&settings).map_err(|error| exception(&error))?;
        Ok(Self {
            authenticator: Authenticator::new(&settings, &PublicKeys::default()),
            object_cache: ObjectCache::new(&settings),
            object_cache_hits: AtomicU64::new(0),
            settings,
            own_fields: Arc::new(own_fields),
            opened: Mutex::new(None),
        })
    }

    #[getter]
    fn cookie_name(&self) -> &str {
        &self.settings.cookie_names.session_token
    }

    #[getter]
    fn retry_after_seconds(&self) -> u64 {
        self.settings.limits.retry_after.as_secs()
    }

    #[getter]
    fn secret_fingerprint(&self) -> String {
        self.settings.secrets.fingerprint()
    }

    #[getter]
    fn cache(&self) -> Option<&'static str> {
        match self.settings.freshness {
            Freshness::Always => None,
            Freshness::CookieCache(_) => Some("cookie_cache"),
            Freshness::LiveCache(_) => Some("live_cache"),
        }
    }

    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.settings.warnings.clone()
    }

    #[staticmethod]
    fn reasons() -> Vec<&'static str> {
        Reason::ALL.map(Reason::as_str).to_vec()
    }

    fn inspect(&self, py: Python<'_>, scope: &Bound<'_, PyAny>) -> PyResult<Inspected> {
        let headers = Headers::of(scope)?;
        let request = Request::new(scope::kind(scope)?, headers.iter());
        let now = Moment::now();
        if !Opened::is_needed_to_inspect(&self.settings) {
            return self.inspected(py, self.authenticator.inspect(request, now.wall));
        }
        let opened = self.opened()?;
        self.inspected(py, opened.inspect(request, now))
    }

    fn at_hand(
        &self,
        py: Python<'_>,
        scope: &Bound<'_, PyAny>,
        place: &Bound<'_, PyString>,
    ) -> PyResult<Option<Py<PyAny>>> {
        if scope.contains(place)? {
            return Ok(None);
        }
        let inspected = self.inspect(py, scope)?;
        let ready = match &inspected {
            Inspected::Cached(made) => Some(made.clone_ref(py)),
            Inspected::Token(_) | Inspected::Found(_) | Inspected::Refused(_) => None,
        };
        // A handshake has none.
        let method = scope.get_item(pyo3::intern!(py, "method")).ok();
        scope.set_item(place, (scope::headers(scope)?, method, inspected))?;
        Ok(ready)
    }

    fn inspect_for_store(&self, py: Python<'_>, scope: &Bound<'_, PyAny>) -> PyResult<Inspected> {
        let headers = Headers::of(scope)?;
        let request = Request::new(scope::kind(scope)?, headers.iter());
        self.inspected(py, self.authenticator.inspect_for_store(request))
    }

    fn inspect_value_for_store(
        &self,
        py: Python<'_>,
        cookie_value: &Bound<'_, PyString>,
    ) -> PyResult<Inspected> {
        // A lone surrogate is no UTF-8, and nothing that anybody signed.
        self.inspected(py, self.authenticator.inspect_value(&cookie_value.to_string_lossy()))
    }

    fn inspect_value(&self, py: Python<'_>, cookie_value: &Bound<'_, PyString>) -> PyResult<Inspected> {
        let verdict = self.authenticator.inspect_value(&cookie_value.to_string_lossy());
        if !Opened::is_needed_to_inspect(&self.settings) {
            return self.inspected(py, verdict);
        }
        let opened = self.opened()?;
        self.inspected(py, opened.recall(verdict, Moment::now()))
    }

    fn session_cookie(&self, scope: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        let headers = Headers::of(scope)?;
        Ok(self.authenticator.session_cookie(headers.iter()).map(Into::into))
    }

    fn look_up(&self, py: Python<'_>, token: &SessionToken) -> PyResult<Pending> {
        let now = Utc::now();
        let opened = self.opened()?;
        let own_fields = Arc::clone(&self.own_fields);
        let convert = move |py: Python<'_>, outcome: Outcome| {
            let answer = outcome.map_err(|error| exception(&error))?;
            match Authenticator::decide(answer, now) {
                Ok(identity) => Found::new(identity, &own_fields).into_py_any(py),
                Err(refusal) => Refused::from(refusal).into_py_any(py),
            }
        };
        let bridge = Bridge::of_running_loop(py)?;
        let (id, promise, resolve) = bridge.get().expect(Box::new(convert));
        let Gathered { waiter, waits_for_others } = opened.lookup.gather(&token.0, resolve);
        if waits_for_others {
            Bridge::send_soon(&bridge, &opened.lookup)?;
        }
        Ok(Pending { bridge: bridge.unbind(), id, promise, waiter })
    }

    fn open<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let opened = self.opened()?;
        let deadline = self.settings.limits.lookup_timeout;
        awaitable(py, async move { opened.open(deadline).await.map_err(|error| exception(&error)) })
    }

    fn operator_messages(&self) -> Vec<String> {
        self.live_cache().map(|cache| cache.take_messages()).unwrap_or_default()
    }

    #[getter]
    fn object_cache_hits(&self) -> u64 {
        self.object_cache_hits.load(Ordering::Relaxed)
    }

    fn cache_size(&self) -> (usize, usize) {
        self.live_cache().map(|cache| cache.size()).unwrap_or_default()
    }

    fn close(&self) {
        self.object_cache.clear();
        let opened = lock(&self.opened).take();
        match opened {
            Some(opened) if opened.is_ours() => opened.store.close(),
            // A parent's, whose `Drop` must not touch its sockets.
            parents => std::mem::forget(parents),
        }
    }

    fn __repr__(&self) -> String {
        format!("Core(cookie_name={:?})", self.cookie_name())
    }
}

impl Core {
    fn inspected(&self, py: Python<'_>, verdict: Verdict) -> PyResult<Inspected> {
        Ok(match verdict {
            Verdict::Lookup(token) => Inspected::Token(SessionToken(token)),
            Verdict::Refused(refusal) => Inspected::Refused(refusal.into()),
            Verdict::Known(identity) => {
                let found = self.object_cache.found(py, identity, &self.own_fields)?;
                match found.get().cached_object(py) {
                    Some(made) => {
                        self.object_cache_hits.fetch_add(1, Ordering::Relaxed);
                        Inspected::Cached(made.clone().unbind())
                    }
                    None => Inspected::Found(found),
                }
            }
        })
    }

    /// What is kept, as far as it is open, and this process's.
    fn live_cache(&self) -> Option<LiveCache> {
        let opened = lock(&self.opened);
        opened.as_ref().filter(|opened| opened.is_ours())?.live_cache.clone()
    }

    fn opened(&self) -> PyResult<Arc<Opened>> {
        let mut opened = lock(&self.opened);
        match opened.take() {
            Some(ours) if ours.is_ours() => Ok(Arc::clone(opened.insert(ours))),
            parents => {
                std::mem::forget(parents);
                let made = Opened::start(&self.settings, &runtime::handle()?);
                let made = Arc::new(made.map_err(|error| exception(&error))?);
                Ok(Arc::clone(opened.insert(made)))
            }
        }
    }
}

/// Opened in a parent, `Drop` must not touch its sockets.
impl Drop for Core {
    fn drop(&mut self) {
        self.close();
    }
}

/// A look-up under way. Each `wait()` is a future of its own.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Pending {
    bridge: Py<Bridge>,
    id: u64,
    promise: Arc<Promise>,
    waiter: Arc<Waiter>,
}

#[pymethods]
impl Pending {
    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.bridge.get().future(py, &self.promise)
    }

    fn give_up(&self, py: Python<'_>) -> PyResult<bool> {
        let is_abandoned = self.promise.is_abandoned(py)?;
        if is_abandoned {
            self.waiter.give_up();
            self.bridge.get().forget(self.id);
        }
        Ok(is_abandoned)
    }
}

/// The cookie's name for these settings, without checking anything else.
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
