//! The authenticator as Python sees it.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::Utc;
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use tokio_util::task::AbortOnDropHandle;

use super::bridge::{Bridge, Promise};
use super::cold::awaitable;
use super::convert::{Headers, OwnFields, SettingsDict, own_fields, session_dict, user_dict};
use super::errors::exception;
use super::runtime;
use crate::authenticator::{Authenticator, Verdict};
use crate::cookie_cache::keys::PublicKeys;
use crate::credentials::{Kind, Request};
use crate::identity::Identity;
use crate::lookup::{Lookup, Outcome, Ticket};
use crate::refusal::{Reason, Refusal};
use crate::settings::{CookieNames, CookieOptions, Settings, Strategy, is_https};
use crate::signature;
use crate::store::postgres::PostgresStore;

/// One configured authenticator. Its pool opens at first use, and anew in a forked child.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Core {
    settings: Settings,
    authenticator: Authenticator,
    own_fields: Arc<OwnFields>,
    opened: Mutex<Option<Opened>>,
}

/// What lives only while open, and only in the process that opened it.
#[derive(Clone)]
struct Opened {
    process: u32,
    store: Arc<PostgresStore>,
    lookup: Arc<Lookup>,
    by_public_keys: Option<Arc<ByPublicKeys>>,
}

/// Where the cookie cache is signed by keys of the `jwks` table: they are this process's own, since
/// threads of ours write them, and a child could be born while one does.
struct ByPublicKeys {
    authenticator: Authenticator,
    _keeper: AbortOnDropHandle<()>,
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
    fn warnings(&self) -> Vec<String> {
        self.settings.warnings.clone()
    }

    #[staticmethod]
    fn reasons() -> Vec<&'static str> {
        Reason::ALL.map(Reason::as_str).to_vec()
    }

    fn inspect(&self, headers: &Bound<'_, PyAny>, method: Option<&str>) -> PyResult<Inspected> {
        let headers = Headers::read(headers)?;
        let request = Request::new(kind(method), headers.iter());
        let verdict = if self.is_signed_by_public_keys() {
            match self.opened()?.by_public_keys {
                Some(signed) => signed.authenticator.inspect(request, Utc::now()),
                None => self.authenticator.inspect(request, Utc::now()),
            }
        } else {
            self.authenticator.inspect(request, Utc::now())
        };
        Ok(self.inspected(verdict))
    }

    fn inspect_for_store(&self, headers: &Bound<'_, PyAny>, method: Option<&str>) -> PyResult<Inspected> {
        let headers = Headers::read(headers)?;
        Ok(self.inspected(self.authenticator.inspect_for_store(Request::new(kind(method), headers.iter()))))
    }

    fn inspect_value(&self, cookie_value: &Bound<'_, PyString>) -> Inspected {
        // A lone surrogate is no UTF-8, and nothing that anybody signed.
        self.inspected(self.authenticator.inspect_value(&cookie_value.to_string_lossy()))
    }

    fn session_cookie(&self, headers: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        let headers = Headers::read(headers)?;
        Ok(self.authenticator.session_cookie(headers.iter()).map(Into::into))
    }

    fn look_up(&self, py: Python<'_>, token: &SessionToken) -> PyResult<Pending> {
        let now = Utc::now();
        let Opened { lookup, .. } = self.opened()?;
        let own_fields = Arc::clone(&self.own_fields);
        let convert = move |py: Python<'_>, outcome: Outcome| {
            let answer = outcome.map_err(|error| exception(&error))?;
            match Authenticator::decide(answer, now) {
                Ok(identity) => Found { identity, own_fields }.into_py_any(py),
                Err(refusal) => Refused::from(refusal).into_py_any(py),
            }
        };
        let bridge = Bridge::of_running_loop(py)?;
        let (id, promise, tell) = bridge.get().expect(Box::new(convert));
        Ok(Pending { bridge: bridge.unbind(), id, promise, ticket: lookup.ask(&token.0, tell) })
    }

    fn open<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Opened { store, .. } = self.opened()?;
        awaitable(py, async move { store.open().await.map_err(|error| exception(&error)) })
    }

    fn close(&self) {
        if let Some(opened) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take() {
            opened.end();
        }
    }

    fn __repr__(&self) -> String {
        format!("Core(cookie_name={:?})", self.cookie_name())
    }
}

fn kind(method: Option<&str>) -> Kind {
    method.map_or(Kind::Handshake, Kind::of_method)
}

impl Core {
    fn inspected(&self, verdict: Verdict) -> Inspected {
        match verdict {
            Verdict::Lookup(token) => Inspected::Token(SessionToken(token)),
            Verdict::Refused(refusal) => Inspected::Refused(refusal.into()),
            Verdict::Known(identity) => {
                Inspected::Found(Found { identity, own_fields: Arc::clone(&self.own_fields) })
            }
        }
    }

    fn opened(&self) -> PyResult<Opened> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        match opened.take() {
            Some(ours) if ours.process == process => Ok(opened.insert(ours).clone()),
            parents => {
                std::mem::forget(parents);
                let store = Arc::new(PostgresStore::new(&self.settings).map_err(|error| exception(&error))?);
                let runtime = runtime::handle()?;
                let lookup = Arc::new(Lookup::start(&store, self.settings.limits, &runtime));
                let by_public_keys = self.is_signed_by_public_keys().then(|| {
                    let keys = PublicKeys::default();
                    let authenticator = Authenticator::new(&self.settings, &keys);
                    let keeper = runtime.spawn(keys.keep(Arc::clone(&store)));
                    Arc::new(ByPublicKeys { authenticator, _keeper: AbortOnDropHandle::new(keeper) })
                });
                Ok(opened.insert(Opened { process, store, lookup, by_public_keys }).clone())
            }
        }
    }
}

impl Core {
    fn is_signed_by_public_keys(&self) -> bool {
        self.settings.cookie_cache.as_ref().is_some_and(|cache| cache.strategy == Strategy::Jwks)
    }
}

impl Opened {
    fn end(self) {
        if self.process == std::process::id() {
            self.store.close();
        } else {
            std::mem::forget(self);
        }
    }
}

/// Opened in a parent, `Drop` must not touch its sockets.
impl Drop for Core {
    fn drop(&mut self) {
        self.close();
    }
}

/// A token whose signature was good. Opaque: its repr says nothing.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct SessionToken(signature::SessionToken);

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

/// Whom the store named: fields by name, made when they are asked for.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Found {
    identity: Arc<Identity>,
    own_fields: Arc<OwnFields>,
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

    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __repr__(&self) -> &'static str {
        "Found(…)"
    }
}

/// What `inspect` gives.
#[derive(IntoPyObject)]
enum Inspected {
    Token(SessionToken),
    Found(Found),
    Refused(Refused),
}

/// A look-up under way. Each `wait()` is a future of its own.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Pending {
    bridge: Py<Bridge>,
    id: u64,
    promise: Arc<Promise>,
    ticket: Arc<Ticket>,
}

#[pymethods]
impl Pending {
    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.promise.future(py)
    }

    fn give_up(&self, py: Python<'_>) -> PyResult<bool> {
        let is_abandoned = self.promise.is_abandoned(py)?;
        if is_abandoned {
            self.ticket.give_up();
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
