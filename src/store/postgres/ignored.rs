//! What the triggers ignore, as far as an application has to know it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::PostgresStore;
use super::failure::Failure;
use super::triggers::Finding;
use crate::error::Error;

/// What was logged about ignored columns.
#[derive(Debug, Default)]
pub(super) struct IgnoredNotes(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    /// What was noted last; empty if nothing is ignored.
    names: Vec<String>,
    /// The tables of the last warning.
    outdated: Vec<String>,
    waiting: Option<String>,
}

impl IgnoredNotes {
    /// A line for the log: once, and again when the columns change.
    pub(super) fn take(&self) -> Option<String> {
        self.lock().waiting.take()
    }

    /// Returns a warning, once, if nothing is ignored in a table because its columns have changed.
    fn note(&self, finding: &Finding) -> Option<String> {
        let mut notes = self.lock();
        let names = finding.ignoring.names();
        if notes.names != names {
            let columns = names.join(", ");
            notes.waiting = Some(if names.is_empty() {
                "freshness \"live\": the triggers no longer ignore any columns".to_owned()
            } else {
                format!(
                    "freshness \"live\": the triggers ignore updates that change only these columns: {columns}"
                )
            });
            notes.names = names;
        }
        if notes.outdated == finding.outdated {
            return None;
        }
        notes.outdated.clone_from(&finding.outdated);
        let table = notes.outdated.first()?;
        Some(format!(
            "the columns of {table} have changed, so the triggers notify every change of its rows until this is run \
             again: python -m auth_middleware migrate live --ignoring {}",
            notes.names.join(",")
        ))
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PostgresStore {
    /// Checks that the triggers ignore no column that has to be current.
    ///
    /// # Errors
    /// [`Error::Configuration`] if they do, [`Error::Unavailable`] if that cannot be found out.
    pub(crate) async fn check_ignored_columns(&self) -> Result<(), Error> {
        self.in_time(async {
            let mut borrowed = self.borrow().await?;
            let statement = self.current.get(&mut borrowed).await.map_err(Failure::into_error)?;
            let failed = |error| Failure::of("the triggers could not be checked", error).into_error();
            let rows = borrowed.client()?.query_typed(&statement.check.sql, &[]).await.map_err(failed)?;
            let [row] = &rows[..] else {
                return Err(Error::unavailable(
                    "the check of the triggers received the result of another statement",
                ));
            };
            let finding = statement.check.read(row).map_err(failed)?;
            borrowed.keep();
            self.note_ignored_columns(&finding);
            finding.stale.map_or(Ok(()), |stale| Err(Error::configuration(stale)))
        })
        .await
    }

    /// Has the log say what the triggers ignore.
    pub(super) fn note_ignored_columns(&self, finding: &Finding) {
        if let Some(warning) = self.ignored.note(finding) {
            self.connector.statement_names().warn(warning);
        }
    }
}
