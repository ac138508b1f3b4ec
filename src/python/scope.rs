//! The parts of an ASGI scope that say who sent the request.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::credentials::{BEARER_PROTOCOL, Credentials, Kind, Request};

pub(super) type Pair<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

/// A scope's kind and headers, held while Rust reads them.
pub(super) struct ScopeRequest<'py> {
    kind: Kind,
    headers: Vec<Pair<'py>>,
}

impl<'py> ScopeRequest<'py> {
    pub(super) fn of(scope: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self { kind: kind(scope)?, headers: headers(scope)? })
    }

    /// The same for a scope that may lack what only decides about the origin.
    pub(super) fn of_any(scope: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self { kind: kind(scope).unwrap_or(Kind::SafeHttp), headers: headers(scope)? })
    }

    pub(super) fn as_request(&self) -> Request<impl Iterator<Item = (&[u8], &[u8])>> {
        Request::new(self.kind, bytes(&self.headers))
    }

    /// Takes the token out of the protocols that an application may select: one that is echoed ends up in a browser's
    /// and a proxy's log. The headers keep it.
    pub(super) fn hide_token(&self, scope: &Bound<'py, PyAny>) -> PyResult<()> {
        let key = pyo3::intern!(scope.py(), "subprotocols");
        if self.kind != Kind::Handshake {
            return Ok(());
        }
        let Some(offered) = value(scope, key)? else { return Ok(()) };
        let offered: Vec<String> = offered.extract()?;
        let ordinary: Vec<&String> =
            offered.iter().filter(|protocol| !protocol.starts_with(BEARER_PROTOCOL)).collect();
        if ordinary.len() < offered.len() { scope.set_item(key, ordinary) } else { Ok(()) }
    }

    /// The same without what does not matter to who sent it, to compare another request with.
    pub(super) fn remember(&self) -> Remembered {
        let relevant = self.relevant().map(|(name, value)| (name.clone().unbind(), value.clone().unbind()));
        Remembered { kind: self.kind, headers: relevant.collect() }
    }

    /// Whether it has the same sender as another request that was remembered.
    pub(super) fn equals(&self, py: Python<'_>, other: &Remembered) -> bool {
        let same = |(mine, others): (&Bound<'_, PyBytes>, &Py<PyBytes>)| {
            mine.is(others) || mine.as_bytes() == others.as_bytes(py)
        };
        let mut others = other.headers.iter();
        self.kind == other.kind
            && self.relevant().all(|(name, value)| {
                others.next().is_some_and(|other| same((name, &other.0)) && same((value, &other.1)))
            })
            && others.next().is_none()
    }

    fn relevant(&self) -> impl Iterator<Item = &Pair<'py>> {
        self.headers.iter().filter(|(name, _)| Credentials::depend_on(name.as_bytes()))
    }
}

/// The headers of a request that say who sent it. By their values, since middleware may change a scope's list.
pub(super) struct Remembered {
    kind: Kind,
    headers: Vec<(Py<PyBytes>, Py<PyBytes>)>,
}

/// The value under a key of the scope, which is a dictionary or at least a mapping.
pub(super) fn value<'py>(
    scope: &Bound<'py, PyAny>,
    key: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match scope.cast::<PyDict>() {
        Ok(scope) => scope.get_item(key),
        Err(_) if scope.contains(key)? => scope.get_item(key).map(Some),
        Err(_) => Ok(None),
    }
}

fn kind(scope: &Bound<'_, PyAny>) -> PyResult<Kind> {
    let protocol = scope.get_item(pyo3::intern!(scope.py(), "type"))?;
    // Servers and middleware may add a method to a WebSocket's scope.
    if protocol.cast::<PyString>()?.to_str()? == "websocket" {
        return Ok(Kind::Handshake);
    }
    let method = scope.get_item(pyo3::intern!(scope.py(), "method"))?;
    Ok(Kind::of_method(method.cast::<PyString>()?.to_str()?))
}

/// A scope's headers: any iterable of pairs of bytes.
fn headers<'py>(scope: &Bound<'py, PyAny>) -> PyResult<Vec<Pair<'py>>> {
    let headers = scope.get_item(pyo3::intern!(scope.py(), "headers"))?;
    match headers.cast::<PyList>() {
        Ok(list) => list.iter().map(|each| pair(&each)).collect(),
        Err(_) => headers.try_iter()?.map(|each| pair(&each?)).collect(),
    }
}

fn bytes<'a>(headers: &'a [Pair<'_>]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

/// A tuple from most servers; some give lists.
fn pair<'py>(pair: &Bound<'py, PyAny>) -> PyResult<Pair<'py>> {
    match pair.cast::<PyTuple>() {
        Ok(tuple) => tuple.extract(),
        Err(_) => pair.extract().map(|[name, value]: [_; 2]| (name, value)),
    }
}
