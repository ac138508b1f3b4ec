//! The parts of an ASGI scope that say who sent the request.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::credentials::{BEARER_PROTOCOL, Credentials, Kind, Request};

type Pair<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

/// A scope's kind, and those of its headers that say who sent it, held while Rust reads them.
pub(super) struct ScopeRequest<'py> {
    kind: Kind,
    headers: Headers<'py>,
}

impl<'py> ScopeRequest<'py> {
    pub(super) fn of(scope: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self { kind: kind(scope)?, headers: Headers::of(scope)? })
    }

    /// The same for a scope that may lack what only decides about the origin.
    pub(super) fn of_any(scope: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self { kind: kind(scope).unwrap_or(Kind::SafeHttp), headers: Headers::of(scope)? })
    }

    pub(super) fn as_request(&self) -> Request<impl Iterator<Item = (&[u8], &[u8])> + Clone> {
        Request::new(self.kind, self.headers.iter())
    }

    pub(super) fn is_handshake(&self) -> bool {
        self.kind == Kind::Handshake
    }

    /// Takes the token out of the protocols that an application may select: one that is echoed ends up in a browser's
    /// and a proxy's log. The headers keep it.
    pub(super) fn hide_token(&self, scope: &Bound<'py, PyAny>) -> PyResult<()> {
        let key = pyo3::intern!(scope.py(), "subprotocols");
        if !self.is_handshake() {
            return Ok(());
        }
        let Some(offered) = value(scope, key)? else { return Ok(()) };
        let offered: Vec<String> = offered.extract()?;
        let ordinary: Vec<&String> =
            offered.iter().filter(|protocol| !protocol.starts_with(BEARER_PROTOCOL)).collect();
        if ordinary.len() < offered.len() { scope.set_item(key, ordinary) } else { Ok(()) }
    }

    /// The same, to compare another request with.
    pub(super) fn remember(self) -> Remembered {
        let headers =
            self.headers.0.into_iter().map(|(name, value)| (name.unbind(), value.unbind())).collect();
        Remembered { kind: self.kind, headers }
    }

    /// Whether it has the same sender as another request that was remembered.
    pub(super) fn equals(&self, py: Python<'_>, other: &Remembered) -> bool {
        let same = |mine: &Bound<'_, PyBytes>, others: &Py<PyBytes>| {
            mine.is(others) || mine.as_bytes() == others.as_bytes(py)
        };
        let mut pairs = self.headers.0.iter().zip(&other.headers);
        self.kind == other.kind
            && self.headers.0.len() == other.headers.len()
            && pairs.all(|(mine, others)| same(&mine.0, &others.0) && same(&mine.1, &others.1))
    }
}

/// The headers of a request that say who sent it. Their values, since middleware may change a scope's list.
pub(super) struct Remembered {
    kind: Kind,
    headers: Box<[(Py<PyBytes>, Py<PyBytes>)]>,
}

/// The headers of a scope that [`Credentials`] depend on.
pub(super) struct Headers<'py>(Vec<Pair<'py>>);

impl<'py> Headers<'py> {
    /// ASGI's headers are any iterable of pairs of bytes.
    pub(super) fn of(scope: &Bound<'py, PyAny>) -> PyResult<Self> {
        let headers = scope.get_item(pyo3::intern!(scope.py(), "headers"))?;
        let pairs: PyResult<_> = match headers.cast::<PyList>() {
            Ok(list) => list.iter().filter_map(|each| relevant(&each).transpose()).collect(),
            Err(_) => headers
                .try_iter()?
                .filter_map(|each| each.and_then(|each| relevant(&each)).transpose())
                .collect(),
        };
        Ok(Self(pairs?))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.0.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}

/// A header, if [`Credentials`] depend on it. A tuple from most servers; some give lists.
fn relevant<'py>(pair: &Bound<'py, PyAny>) -> PyResult<Option<Pair<'py>>> {
    let Ok(pair) = pair.cast::<PyTuple>() else {
        let [name, value]: [Bound<'py, PyBytes>; 2] = pair.extract()?;
        return Ok(Credentials::depend_on(name.as_bytes()).then_some((name, value)));
    };
    let name = pair.get_borrowed_item(0)?;
    let name = name.cast::<PyBytes>()?;
    if !Credentials::depend_on(name.as_bytes()) {
        return Ok(None);
    }
    Ok(Some((name.to_owned(), pair.get_item(1)?.cast_into()?)))
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
