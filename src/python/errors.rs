//! The one place that turns Rust errors into Python exceptions.

use pyo3::PyErr;

use crate::error::Error;

pyo3::import_exception!(auth_middleware.errors, AuthError);
pyo3::import_exception!(auth_middleware.errors, ConfigurationError);
pyo3::import_exception!(auth_middleware.errors, SchemaError);
pyo3::import_exception!(auth_middleware.errors, KeysUnavailable);
pyo3::import_exception!(auth_middleware.errors, NoAsyncioLoop);
pyo3::import_exception!(auth_middleware.errors, KeyTableError);
pyo3::import_exception!(auth_middleware.errors, StoreUnavailable);
pyo3::import_exception!(auth_middleware.errors, MissingTables);
pyo3::import_exception!(auth_middleware.errors, RowMisfit);

/// The exception of an error, with the messages of all its causes: they are for the log.
pub(super) fn exception(error: &Error) -> PyErr {
    let message = error.chain();
    match error {
        Error::Configuration(_) => ConfigurationError::new_err(message),
        Error::Schema(_) => SchemaError::new_err(message),
        Error::MissingTables(_) => MissingTables::new_err(message),
        Error::Keys => KeysUnavailable::new_err(message),
        Error::KeyTable(_) => KeyTableError::new_err(message),
        Error::Row(_) => RowMisfit::new_err(message),
        Error::Unavailable { .. } => StoreUnavailable::new_err(message),
    }
}
