//! Between Python's values and ours.

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyList, PyString};
use serde_json::{Number, Value as Json};

use super::errors::exception;
use crate::error::Error;
use crate::identity::{Session, User, Value};
use crate::settings::{OwnField, RawSettings};

/// The settings as `AuthSettings` has them, with the fields that the application declared on its models.
pub(super) fn raw_settings(
    settings: &Bound<'_, PyDict>,
    user_fields: Vec<OwnField>,
    session_fields: Vec<OwnField>,
) -> PyResult<RawSettings> {
    let setting = |(name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let name: String = name.extract()?;
        let value = json_value(&name, &value)?;
        Ok((name, value))
    };
    let settings = settings.iter().map(setting).collect::<PyResult<_>>()?;
    let mut raw: RawSettings = serde_json::from_value(Json::Object(settings))
        .map_err(|error| PyTypeError::new_err(format!("settings: {error}")))?;
    (raw.user_fields, raw.session_fields) = (user_fields, session_fields);
    Ok(raw)
}

/// Every setting's default, by name. A setting without one is None or empty.
pub(super) fn default_settings(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let defaults = serde_json::to_value(RawSettings::default());
    python_json(py, &defaults.map_err(|error| PyTypeError::new_err(error.to_string()))?)
}

/// A setting's value: text, a number, a boolean, None, or a list or dictionary of them.
pub(super) fn json_value(setting: &str, value: &Bound<'_, PyAny>) -> PyResult<Json> {
    if value.is_none() {
        return Ok(Json::Null);
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(Json::Bool(flag.is_true()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Json::String(text.to_str()?.to_owned()));
    }
    if let Ok(integer) = value.extract::<i64>() {
        return Ok(integer.into());
    }
    if let Ok(number) = value.extract::<f64>() {
        let not_finite = || Error::configuration(format!("{setting} is {number}: use a finite number"));
        return Number::from_f64(number).map(Json::Number).ok_or_else(|| exception(&not_finite()));
    }
    if let Ok(fields) = value.cast::<PyDict>() {
        let field = |(name, field): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            Ok((name.extract::<String>()?, json_value(setting, &field)?))
        };
        return fields.iter().map(field).collect::<PyResult<_>>().map(Json::Object);
    }
    value.try_iter()?.map(|item| json_value(setting, &item?)).collect::<PyResult<_>>().map(Json::Array)
}

/// The fields that the application declared on its models.
#[derive(Debug)]
pub(super) struct OwnFields {
    pub(super) user: Vec<OwnField>,
    pub(super) session: Vec<OwnField>,
}

pub(super) fn model_fields(fields: Vec<(String, Vec<String>)>) -> Vec<OwnField> {
    fields.into_iter().map(|(name, aliases)| OwnField { name, aliases }).collect()
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
    let mut pairs = fields.iter().zip(values);
    pairs.try_for_each(|(field, value)| match value {
        Value::Absent => Ok(()),
        value => dict.set_item(&field.name, python_value(dict.py(), value)?),
    })
}

fn optional_time(py: Python<'_>, at: Option<DateTime<Utc>>) -> PyResult<Option<Bound<'_, PyAny>>> {
    at.map(|at| time(py, at)).transpose()
}

/// An aware `datetime`. There are six of them in each identity, and the general conversion, which supports any zone,
/// takes twice as long.
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

pub(super) fn python_json<'py>(py: Python<'py>, json: &Json) -> PyResult<Bound<'py, PyAny>> {
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
