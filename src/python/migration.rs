//! Migrations as Python sees them; which there are, and their SQL, is Python's to say.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::prelude::*;

use super::awaitable::awaitable;
use super::errors::exception;
use crate::settings::{DatabaseUrl, Table, Tables};
use crate::store::postgres::Migrator;

/// The migrations of one database.
#[pyclass(frozen, module = "auth_middleware._core")]
pub(super) struct Migrations(Arc<Migrator>);

#[pymethods]
impl Migrations {
    #[new]
    #[pyo3(signature = (database_url, schema, user_table=None, session_table=None, user_columns=None,
                        session_columns=None))]
    fn new(
        database_url: Option<&str>,
        schema: Option<String>,
        user_table: Option<String>,
        session_table: Option<String>,
        user_columns: Option<BTreeMap<String, String>>,
        session_columns: Option<BTreeMap<String, String>>,
    ) -> PyResult<Self> {
        let user = Table::of_columns("user", user_table, &user_columns.unwrap_or_default());
        let session = Table::of_columns("session", session_table, &session_columns.unwrap_or_default());
        let tables = Tables { schema, user, session, ..Tables::default() };
        let migrator = DatabaseUrl::check(database_url).and_then(|database| Migrator::new(&database, tables));
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

    #[pyo3(signature = (ignoring=Vec::new()))]
    fn apply_live<'py>(&self, py: Python<'py>, ignoring: Vec<String>) -> PyResult<Bound<'py, PyAny>> {
        let migrator = Arc::clone(&self.0);
        awaitable(py, async move { migrator.apply_live(&ignoring).await.map_err(|error| exception(&error)) })
    }

    fn take_back_live<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let migrator = Arc::clone(&self.0);
        awaitable(py, async move { migrator.take_back_live().await.map_err(|error| exception(&error)) })
    }

    fn has_tables<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let migrator = Arc::clone(&self.0);
        awaitable(py, async move { migrator.has_tables().await.map_err(|error| exception(&error)) })
    }

    fn live_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let migrator = Arc::clone(&self.0);
        awaitable(py, async move { migrator.live_state().await.map_err(|error| exception(&error)) })
    }

    fn ignored_columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let migrator = Arc::clone(&self.0);
        awaitable(py, async move { migrator.ignored_columns().await.map_err(|error| exception(&error)) })
    }

    #[pyo3(signature = (ignoring=Vec::new()))]
    fn live_sql<'py>(&self, py: Python<'py>, ignoring: Vec<String>) -> PyResult<Bound<'py, PyAny>> {
        let migrator = Arc::clone(&self.0);
        awaitable(py, async move { migrator.live_sql(&ignoring).await.map_err(|error| exception(&error)) })
    }

    fn live_down_sql<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let migrator = Arc::clone(&self.0);
        awaitable(py, async move { migrator.live_down_sql().await.map_err(|error| exception(&error)) })
    }

    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __repr__(&self) -> &'static str {
        "Migrations(…)"
    }
}
