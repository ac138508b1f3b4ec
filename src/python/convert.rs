//! Between Python's values and ours.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};

use crate::identity::{Session, User, Value};
use crate::settings::{OwnField, RawSettings};

/// The settings as `AuthSettings.model_dump()` has them, secrets in plain.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(super) struct SettingsDict {
    database_url: Option<String>,
    secret: Option<String>,
    secrets: Option<String>,
    previous_secrets: Vec<String>,
    base_url: Option<String>,
    trusted_origins: Vec<String>,
    cookie_prefix: Option<String>,
    cookie_name: Option<String>,
    cache_cookie_name: Option<String>,
    secure_cookies: Option<bool>,
    schema: Option<String>,
    user_table: Option<String>,
    session_table: Option<String>,
    user_columns: BTreeMap<String, String>,
    session_columns: BTreeMap<String, String>,
    pool_size: i64,
    lookup_timeout_seconds: f64,
    max_waiting: i64,
    retry_after_seconds: i64,
    prepared_statements: String,
    freshness: String,
    listen_database_url: Option<String>,
    max_cached_sessions: i64,
    max_age_seconds: f64,
    heartbeat_seconds: f64,
    cache_strategy: String,
    cache_version: String,
}

impl SettingsDict {
    /// With the fields that the application declared on its models.
    pub(super) fn with_own_fields(self, fields: &OwnFields) -> RawSettings {
        RawSettings {
            database_url: self.database_url,
            secret: self.secret,
            secrets: self.secrets,
            previous_secrets: self.previous_secrets,
            base_url: self.base_url,
            trusted_origins: self.trusted_origins,
            cookie_prefix: self.cookie_prefix,
            cookie_name: self.cookie_name,
            cache_cookie_name: self.cache_cookie_name,
            secure_cookies: self.secure_cookies,
            schema: self.schema,
            user_table: self.user_table,
            session_table: self.session_table,
            user_columns: self.user_columns,
            session_columns: self.session_columns,
            user_fields: fields.user.clone(),
            session_fields: fields.session.clone(),
            pool_size: Some(self.pool_size),
            lookup_timeout_seconds: Some(self.lookup_timeout_seconds),
            max_waiting: Some(self.max_waiting),
            retry_after_seconds: Some(self.retry_after_seconds),
            prepared_statements: Some(self.prepared_statements),
            freshness: Some(self.freshness),
            listen_database_url: self.listen_database_url,
            max_cached_sessions: Some(self.max_cached_sessions),
            max_age_seconds: Some(self.max_age_seconds),
            heartbeat_seconds: Some(self.heartbeat_seconds),
            cache_strategy: Some(self.cache_strategy),
            cache_version: Some(self.cache_version),
            ..RawSettings::default()
        }
    }
}

/// The fields that the application declared on its models.
#[derive(Debug)]
pub(super) struct OwnFields {
    pub(super) user: Vec<OwnField>,
    pub(super) session: Vec<OwnField>,
}

/// Fields as Python tells them: name, and whether the model has no default for it.
pub(super) fn own_fields(declared: Vec<(String, bool)>) -> Vec<OwnField> {
    declared.into_iter().map(|(name, is_required)| OwnField { name, is_required }).collect()
}

/// A user's fields by name.
pub(super) fn user_dict<'py>(py: Python<'py>, user: &User, own: &OwnFields) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item(pyo3::intern!(py, "id"), &user.id)?;
    dict.set_item(pyo3::intern!(py, "name"), &user.name)?;
    dict.set_item(pyo3::intern!(py, "email"), &user.email)?;
    dict.set_item(pyo3::intern!(py, "email_verified"), user.email_verified)?;
    dict.set_item(pyo3::intern!(py, "image"), &user.image)?;
    dict.set_item(pyo3::intern!(py, "created_at"), optional_time(py, user.created_at)?)?;
    dict.set_item(pyo3::intern!(py, "updated_at"), optional_time(py, user.updated_at)?)?;
    set_own(&dict, &own.user, &user.own)?;
    Ok(dict)
}

/// A session's fields by name.
pub(super) fn session_dict<'py>(
    py: Python<'py>,
    session: &Session,
    own: &OwnFields,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item(pyo3::intern!(py, "id"), &session.id)?;
    dict.set_item(pyo3::intern!(py, "user_id"), &session.user_id)?;
    dict.set_item(pyo3::intern!(py, "token"), session.token.as_str())?;
    dict.set_item(pyo3::intern!(py, "expires_at"), time(py, session.expires_at)?)?;
    dict.set_item(pyo3::intern!(py, "ip_address"), &session.ip_address)?;
    dict.set_item(pyo3::intern!(py, "user_agent"), &session.user_agent)?;
    dict.set_item(pyo3::intern!(py, "created_at"), optional_time(py, session.created_at)?)?;
    dict.set_item(pyo3::intern!(py, "updated_at"), optional_time(py, session.updated_at)?)?;
    set_own(&dict, &own.session, &session.own)?;
    Ok(dict)
}

fn set_own(dict: &Bound<'_, PyDict>, fields: &[OwnField], values: &[Value]) -> PyResult<()> {
    for (field, value) in fields.iter().zip(values) {
        if *value != Value::Absent {
            dict.set_item(&field.name, python_value(dict.py(), value)?)?;
        }
    }
    Ok(())
}

fn optional_time(py: Python<'_>, at: Option<DateTime<Utc>>) -> PyResult<Option<Bound<'_, PyAny>>> {
    at.map(|at| time(py, at)).transpose()
}

/// An aware `datetime`. Written out, since there are six of them in each answer: the general conversion, which
/// serves any zone, takes twice as long.
fn time(py: Python<'_>, at: DateTime<Utc>) -> PyResult<Bound<'_, PyAny>> {
    static TYPE_AND_ZONE: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
    let (datetime, utc) = TYPE_AND_ZONE.get_or_try_init(py, || {
        let module = py.import("datetime")?;
        let utc = module.getattr("timezone")?.getattr("utc")?;
        PyResult::Ok((module.getattr("datetime")?.unbind(), utc.unbind()))
    })?;
    // Python has no leap second: chrono counts it as more than a million microseconds.
    let microsecond = at.timestamp_subsec_micros().min(999_999);
    datetime.bind(py).call1((
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        microsecond,
        utc.bind(py),
    ))
}

fn python_value<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Absent | Value::Null => Ok(py.None().into_bound(py)),
        Value::Text(text) => text.into_bound_py_any(py),
        Value::Bool(flag) => flag.into_bound_py_any(py),
        Value::Int(number) => number.into_bound_py_any(py),
        Value::Float(number) => number.into_bound_py_any(py),
        Value::Time(at) => time(py, *at),
        Value::Json(json) => python_json(py, json),
    }
}

fn python_json<'py>(py: Python<'py>, json: &serde_json::Value) -> PyResult<Bound<'py, PyAny>> {
    use serde_json::Value as Json;
    match json {
        Json::Null => Ok(py.None().into_bound(py)),
        Json::Bool(flag) => flag.into_bound_py_any(py),
        Json::String(text) => text.into_bound_py_any(py),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into_bound_py_any(py),
            (None, Some(number)) => number.into_bound_py_any(py),
            (None, None) => number.as_f64().into_bound_py_any(py),
        },
        Json::Array(items) => {
            let list = PyList::empty(py);
            items.iter().try_for_each(|item| list.append(python_json(py, item)?))?;
            Ok(list.into_any())
        }
        Json::Object(fields) => {
            let dict = PyDict::new(py);
            fields.iter().try_for_each(|(name, field)| dict.set_item(name, python_json(py, field)?))?;
            Ok(dict.into_any())
        }
    }
}
