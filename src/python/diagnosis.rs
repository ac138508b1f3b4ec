//! The doctor's facts as Python sees them.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Serialize;
use serde_json::Value as Json;

use super::awaitable::awaitable;
use super::convert::{python_json, raw_settings};
use super::errors::exception;
use crate::credentials::{Credentials, Kind, Presented};
use crate::diagnosis::{Effective, Signers, read_cookies, read_jwt, read_keys};
use crate::error::Error;
use crate::settings::{Fault, KeyLocation, Settings, faults};
use crate::store::postgres::PostgresStore;

/// Examines settings, including wrong ones.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Diagnosis {
    faults: Vec<Fault>,
    settings: Option<Settings>,
    store: Option<Arc<PostgresStore>>,
}

#[pymethods]
impl Diagnosis {
    #[new]
    fn new(settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let (mut faults, settings) = faults(&raw_settings(settings, Vec::new(), Vec::new())?);
        let is_at_fault = faults.iter().any(|fault| fault.setting.as_deref() == Some("database_url"));
        let has_database = settings.as_ref().is_some_and(|settings| settings.database.is_some());
        let usable = settings.as_ref().filter(|_| has_database && !is_at_fault);
        let store = match usable.map(PostgresStore::new).transpose() {
            Ok(store) => store.map(Arc::new),
            Err(error) => {
                let setting = Some("database_url".to_owned());
                faults.push(Fault { setting, message: error.to_string() });
                None
            }
        };
        Ok(Self { faults, settings, store })
    }

    #[getter]
    fn faults(&self) -> Vec<(Option<String>, String)> {
        self.faults.iter().map(|fault| (fault.setting.clone(), fault.message.clone())).collect()
    }

    #[getter]
    fn effective<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.settings.as_ref().map(|settings| as_python(py, &Effective::of(settings))).transpose()
    }

    fn trusts(&self, origin: &str) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.trusted_origins.contains(origin))
    }

    fn cookies<'py>(
        &self,
        py: Python<'py>,
        text: &str,
        other_secrets: Vec<(String, String)>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(settings) = &self.settings else { return Ok(None) };
        let signers = Signers::new(&settings.secrets, other_secrets);
        as_python(py, &read_cookies(text, &settings.cookie_names, &signers)).map(Some)
    }

    #[staticmethod]
    fn jwt<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
        as_python(py, &read_jwt(text))
    }

    /// Which credential decides for a GET request with these headers.
    fn presented(&self, headers: &Bound<'_, PyAny>) -> PyResult<Option<(&'static str, Option<String>)>> {
        let Some(settings) = &self.settings else { return Ok(None) };
        let headers: Vec<(Vec<u8>, Vec<u8>)> = headers.extract()?;
        let headers = headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
        let shown = Credentials::read(headers, &settings.cookie_names);
        Ok(Some(match shown.presented(Kind::SafeHttp, settings.accepted) {
            Presented::Nothing => ("nothing", None),
            Presented::Unusable => ("unusable", None),
            Presented::Cookie(cookie) => ("cookie", Some(cookie.as_text().into_owned())),
            Presented::SignedToken(token) => ("signed_token", Some(token.as_str().to_owned())),
            Presented::UnsignedToken(token) => ("unsigned_token", Some(token.as_str().to_owned())),
            Presented::Jwt(token) => ("jwt", Some(token.as_str().to_owned())),
        }))
    }

    fn server<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let store = self.store()?;
        facts(py, async move { store.inspect_server().await })
    }

    fn tables<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let store = self.store()?;
        facts(py, async move { store.inspect_tables().await })
    }

    fn activity<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let store = self.store()?;
        facts(py, async move { store.inspect_activity().await })
    }

    fn feed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let store = self.store()?;
        let live_cache = self.settings.as_ref().and_then(|settings| settings.freshness.live_cache());
        let feed = live_cache.and_then(|cache| cache.feed.clone());
        facts(py, async move {
            let missing = || Error::configuration("freshness is not \"live\"");
            store.prove_feed(&feed.ok_or_else(missing)?).await
        })
    }

    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let location = self.settings.as_ref().and_then(|settings| match &settings.jwt {
            Some(jwt) => Some(jwt.keys.clone()),
            None => settings.freshness.uses_public_keys().then_some(KeyLocation::Table),
        });
        let store = self.store.clone();
        facts(py, async move {
            let missing = || Error::configuration("no setting needs the keys");
            read_keys(&location.ok_or_else(missing)?, store).await
        })
    }

    fn close(&self) {
        self.store.iter().for_each(|store| store.close());
    }

    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __repr__(&self) -> &'static str {
        "Diagnosis(…)"
    }
}

impl Diagnosis {
    fn store(&self) -> PyResult<Arc<PostgresStore>> {
        let missing = || exception(&Error::configuration("there is no database"));
        self.store.clone().ok_or_else(missing)
    }
}

/// Facts as Python's dictionaries, lists, texts and numbers.
struct Facts(Json);

impl<'py> IntoPyObject<'py> for Facts {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        python_json(py, &self.0)
    }
}

fn facts<T: Serialize>(
    py: Python<'_>,
    found: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> PyResult<Bound<'_, PyAny>> {
    awaitable(py, async move { json(&found.await.map_err(|error| exception(&error))?).map(Facts) })
}

fn as_python<'py>(py: Python<'py>, found: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    python_json(py, &json(found)?)
}

fn json(found: &impl Serialize) -> PyResult<Json> {
    serde_json::to_value(found).map_err(|error| PyTypeError::new_err(error.to_string()))
}
