//! The store in memory and the signer of `auth_middleware.testing`.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};

use super::convert::json_value;
use super::core::{Core, ModelFields};
use super::errors::exception;
use crate::identity::{Ban, Identity, Session, User, Value};
use crate::settings::{OwnField, Strategy};
use crate::signature::SessionToken;
use crate::store::Source;
use crate::store::memory::MemoryStore;
use crate::testing::{Signer, Snapshot};

/// Sessions in memory, and what a Better Auth server would sign. Only `auth_middleware.testing` makes one.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct TestStore {
    store: Arc<MemoryStore>,
    signer: Signer,
}

#[pymethods]
impl TestStore {
    #[new]
    fn new(secret: &str, seed: [u8; 32]) -> PyResult<Self> {
        let signer = Signer::new(secret, &seed).map_err(|error| exception(&error))?;
        let store = Arc::<MemoryStore>::default();
        store.set_public_keys(signer.key_rows());
        Ok(Self { store, signer })
    }

    fn core(
        &self,
        py: Python<'_>,
        settings: &Bound<'_, PyDict>,
        user_fields: ModelFields,
        session_fields: ModelFields,
    ) -> PyResult<Core> {
        Core::with_source(py, settings, user_fields, session_fields, Source::Memory(Arc::clone(&self.store)))
    }

    fn put(
        &self,
        core: &Core,
        session: Option<&Bound<'_, PyDict>>,
        user: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let own = core.own_fields();
        let session = session.map(|fields| session_of(fields, &own.session)).transpose()?;
        self.store.insert(Identity { session, user: user_of(user, &own.user)? });
        Ok(())
    }

    fn remove_session(&self, token: &str) -> PyResult<()> {
        self.store.remove_session(&session_token(token)?);
        Ok(())
    }

    fn remove_user(&self, user_id: &str) {
        self.store.remove_user(user_id);
    }

    fn set_unavailable(&self, is_unavailable: bool) {
        self.store.set_unavailable(is_unavailable);
    }

    fn advance(&self, seconds: f64) -> PyResult<()> {
        let by = Duration::try_from_secs_f64(seconds);
        self.store.advance(by.map_err(|error| PyValueError::new_err(format!("{seconds} seconds: {error}")))?);
        Ok(())
    }

    fn now(&self) -> DateTime<Utc> {
        self.store.clock().wall()
    }

    fn lookups(&self) -> usize {
        self.store.lookups()
    }

    fn sign_token(&self, token: &str) -> PyResult<String> {
        self.signer.session_token(token).ok_or_else(|| PyValueError::new_err("the token cannot be signed"))
    }

    fn sign_snapshot(&self, strategy: &str, payload: &str, issuer: &str, max_age: f64) -> PyResult<String> {
        let strategy = match strategy {
            "compact" => Strategy::Compact,
            "jwt" => Strategy::Jwt,
            "jwe" => Strategy::Jwe,
            "jwks" => Strategy::Jwks,
            other => {
                return Err(PyValueError::new_err(format!("{other:?} is not compact, jwt, jwe or jwks")));
            }
        };
        let max_age = Duration::try_from_secs_f64(max_age).ok().and_then(|age| TimeDelta::from_std(age).ok());
        let max_age = max_age.ok_or_else(|| PyValueError::new_err("the age is no number of seconds"))?;
        let snapshot = Snapshot { payload, issued_at: self.now(), max_age, issuer };
        self.signer.snapshot(strategy, snapshot).map_err(|error| exception(&error))
    }

    fn sign_jwt(&self, claims: &str) -> PyResult<String> {
        self.signer.jwt(claims).map_err(|error| exception(&error))
    }

    fn jwks(&self) -> String {
        self.signer.jwks().to_string()
    }
}

fn session_of(fields: &Bound<'_, PyDict>, own: &[OwnField]) -> PyResult<Session> {
    Ok(Session {
        id: required(fields, "id")?,
        user_id: required(fields, "user_id")?,
        token: session_token(&required::<String>(fields, "token")?)?,
        expires_at: required(fields, "expires_at")?,
        ip_address: required(fields, "ip_address")?,
        user_agent: required(fields, "user_agent")?,
        created_at: required(fields, "created_at")?,
        updated_at: required(fields, "updated_at")?,
        own: own_values(fields, own)?,
    })
}

fn user_of(fields: &Bound<'_, PyDict>, own: &[OwnField]) -> PyResult<User> {
    let is_banned: Option<bool> = required(fields, "banned")?;
    let expires_at: Option<DateTime<Utc>> = required(fields, "ban_expires")?;
    Ok(User {
        id: required(fields, "id")?,
        name: required(fields, "name")?,
        email: required(fields, "email")?,
        email_verified: required(fields, "email_verified")?,
        image: required(fields, "image")?,
        created_at: required(fields, "created_at")?,
        updated_at: required(fields, "updated_at")?,
        ban: is_banned.unwrap_or(false).then_some(Ban { expires_at }),
        own: own_values(fields, own)?,
    })
}

fn required<'py, T>(fields: &Bound<'py, PyDict>, name: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    fields.get_item(name)?.ok_or_else(|| PyKeyError::new_err(name.to_owned()))?.extract()
}

fn own_values(fields: &Bound<'_, PyDict>, own: &[OwnField]) -> PyResult<Vec<Value>> {
    let read = |field: &OwnField| match fields.get_item(&field.name)? {
        None => Ok(Value::Absent),
        Some(value) => own_value(&field.name, &value),
    };
    own.iter().map(read).collect()
}

fn own_value(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(Value::Bool(flag.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(Value::Int(value.extract()?));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::Text(text.to_str()?.to_owned()));
    }
    if let Ok(time) = value.extract::<DateTime<Utc>>() {
        return Ok(Value::Time(time));
    }
    match value.extract() {
        Ok(number) => Ok(Value::Float(number)),
        Err(_) => Ok(Value::Json(json_value(field, value)?)),
    }
}

fn session_token(text: &str) -> PyResult<SessionToken> {
    SessionToken::unsigned(text)
        .ok_or_else(|| PyValueError::new_err("a session token has 1 to 256 bytes and no control characters"))
}
