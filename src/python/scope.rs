//! An ASGI scope, as far as it tells who sent the request.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::credentials::Kind;

type Pair<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

/// What sort of request it is.
pub(super) fn kind(scope: &Bound<'_, PyAny>) -> PyResult<Kind> {
    let protocol = scope.get_item(pyo3::intern!(scope.py(), "type"))?;
    // Whatever method a server or middleware puts into a WebSocket's.
    if protocol.cast::<PyString>()?.to_str()? == "websocket" {
        return Ok(Kind::Handshake);
    }
    let method = scope.get_item(pyo3::intern!(scope.py(), "method"))?;
    Ok(Kind::of_method(method.cast::<PyString>()?.to_str()?))
}

/// A scope's headers as it has them: any iterable of pairs of bytes.
pub(super) fn headers<'py>(scope: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    scope.get_item(pyo3::intern!(scope.py(), "headers"))
}

/// The same, held here while Rust reads them.
pub(super) struct Headers<'py>(Vec<Pair<'py>>);

impl<'py> Headers<'py> {
    pub(super) fn of(scope: &Bound<'py, PyAny>) -> PyResult<Self> {
        let headers = headers(scope)?;
        let pairs: PyResult<_> = match headers.cast::<PyList>() {
            Ok(list) => list.iter().map(|each| pair(&each)).collect(),
            Err(_) => headers.try_iter()?.map(|each| pair(&each?)).collect(),
        };
        Ok(Self(pairs?))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}

/// A tuple from most servers; some give lists.
fn pair<'py>(pair: &Bound<'py, PyAny>) -> PyResult<Pair<'py>> {
    match pair.cast::<PyTuple>() {
        Ok(tuple) => tuple.extract(),
        Err(_) => pair.extract().map(|[name, value]: [_; 2]| (name, value)),
    }
}
