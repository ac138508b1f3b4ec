//! Migrations as Python sees them; which there are, and their SQL, is Python's to say.

use std::sync::Arc;

use pyo3::prelude::*;

use super::cold::awaitable;
use super::errors::exception;
use crate::settings::DatabaseUrl;
use crate::store::postgres::Migrator;

/// The migrations of one database.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Migrations(Arc<Migrator>);

#[pymethods]
impl Migrations {
    #[new]
    fn new(database_url: Option<&str>, schema: Option<String>) -> PyResult<Self> {
        let migrator = DatabaseUrl::check(database_url).and_then(|database| Migrator::new(&database, schema));
        migrator.map(|migrator| Self(migrator.into())).map_err(|error| exception(&error))
    }

    fn applied<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let migrator = Arc::clone(&self.0);
        awaitable(py, async move { migrator.applied().await.map_err(|error| exception(&error)) })
    }

    fn apply<'py>(&self, py: Python<'py>, name: String, sql: String) -> PyResult<Bound<'py, PyAny>> {
        let migrator = Arc::clone(&self.0);
        awaitable(py, async move { migrator.apply(&name, &sql).await.map_err(|error| exception(&error)) })
    }

    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __repr__(&self) -> &'static str {
        "Migrations(…)"
    }
}
