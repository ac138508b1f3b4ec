//! The statement for the tables as they are: written from the catalog, which is read again as time goes by.
//!
//! Nothing says that a column was added: the old statement still works, without the ban that the new column
//! holds. So the catalog is read again about once a minute while lookups come, and at once when the live feed saw
//! the tables change. An idle database is left alone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::borrowed::Borrowed;
use super::catalog::Catalog;
use super::failure::Failure;
use super::problem::{Problem, Problems};
use super::schema::Schema;
use super::statement::Statement;
use crate::error::Error;
use crate::settings::Tables;

/// The pause before the catalog is read again where it showed the wrong tables, or could not be read.
const RETRY: Duration = Duration::from_secs(3);
/// The same where the tables do not exist yet: a migration is probably running.
const RETRY_MISSING: Duration = Duration::from_secs(1);

/// Reads the catalog for these tables, and keeps the statement for as long as they stay as they were.
#[derive(Debug)]
pub(super) struct CurrentStatement {
    tables: Tables,
    recheck: Duration,
    /// How often the tables changed, or may have: then the catalog has to be read before the next lookup.
    changes: AtomicU64,
    /// The tables were found before: then their names are right.
    was_found: AtomicBool,
    /// What the live feed says of the tables; empty before its first heartbeat.
    fingerprint: std::sync::Mutex<String>,
    known: Mutex<Known>,
    /// The last message to operators about the tables.
    warnings: std::sync::Mutex<Vec<String>>,
    /// Names and owners of the two tables that were found last.
    accepted: std::sync::Mutex<Option<[(String, String); 2]>>,
}

/// What the catalog said last.
#[derive(Debug)]
enum Known {
    Nothing,
    Tables(Box<KnownTables>),
    Wrong { message: String, is_missing: bool, next_read: Instant },
}

#[derive(Debug)]
struct KnownTables {
    schema: Schema,
    statement: Arc<Statement>,
    next_read: Instant,
    /// How often the tables had changed.
    changes: u64,
}

impl CurrentStatement {
    /// Reads nothing yet. `recheck` is how long the catalog stays valid without a sign of change.
    pub(super) fn new(tables: Tables, recheck: Duration) -> Self {
        Self {
            tables,
            recheck,
            changes: AtomicU64::new(0),
            was_found: AtomicBool::new(false),
            fingerprint: std::sync::Mutex::default(),
            known: Mutex::new(Known::Nothing),
            warnings: std::sync::Mutex::default(),
            accepted: std::sync::Mutex::default(),
        }
    }

    pub(super) fn with_recheck(self, recheck: Duration) -> Self {
        Self { recheck, ..self }
    }

    /// The statement, from the catalog as it was read not long ago.
    pub(super) async fn get(&self, borrowed: &mut Borrowed<'_>) -> Result<Arc<Statement>, Failure> {
        let mut known = self.known.lock().await;
        let current_changes = self.changes.load(Ordering::Acquire);
        match &mut *known {
            Known::Wrong { message, is_missing, next_read } if Instant::now() < *next_read => {
                borrowed.keep();
                let kind = if *is_missing { Error::MissingTables } else { Error::Schema };
                return Err(Failure::Lasting(kind(message.clone())));
            }
            Known::Nothing | Known::Wrong { .. } => {}
            Known::Tables(tables) => {
                if tables.changes == current_changes && Instant::now() < tables.next_read {
                    return Ok(Arc::clone(&tables.statement));
                }
                // Set before the catalog is read: were that to hang each time, there would be no lookups.
                (tables.next_read, tables.changes) = (Instant::now() + RETRY, current_changes);
                return self.read_again(&mut known, borrowed).await;
            }
        }
        match self.read(borrowed).await? {
            Ok(schema) => match self.moved_to_another_owner(&schema) {
                None => {
                    self.warn(&schema, borrowed);
                    Ok(self.write(&mut known, schema, current_changes))
                }
                Some(problem) => Err(wrong(&mut known, borrowed, problem)),
            },
            Err(problems) => Err(wrong(&mut known, borrowed, problems.into())),
        }
    }

    /// The statement for the tables as they are now; the old one where they did not change, or where the catalog
    /// cannot be read.
    async fn read_again(
        &self,
        known: &mut Known,
        borrowed: &mut Borrowed<'_>,
    ) -> Result<Arc<Statement>, Failure> {
        let result = self.read(borrowed).await;
        let Known::Tables(tables) = known else {
            return Err(Failure::Lasting(Error::unavailable("the tables are not known")));
        };
        let (old, changes) = (Arc::clone(&tables.statement), tables.changes);
        match result {
            // It would not serve the lookup either.
            Err(failure @ Failure::Connection(_)) => return Err(failure),
            Err(_) => return Ok(old),
            // A statement that was written anew would have to be prepared anew on each connection.
            Ok(Ok(schema)) if schema == tables.schema => {}
            Ok(Ok(schema)) if self.moved_to_another_owner(&schema).is_some() => {}
            Ok(Ok(schema)) => {
                self.warn(&schema, borrowed);
                return Ok(self.write(known, schema, changes));
            }
            // Otherwise any role that may create a table could lock everybody out.
            Ok(Err(problems)) if problems.problems.iter().all(Problem::may_be_anothers_doing) => {}
            Ok(Err(problems)) => return Err(wrong(known, borrowed, problems.into())),
        }
        tables.next_read = Instant::now() + self.recheck;
        Ok(old)
    }

    fn write(&self, known: &mut Known, schema: Schema, changes: u64) -> Arc<Statement> {
        let statement = Arc::new(Statement::write(&schema, self.tables.zone));
        let next_read = Instant::now() + self.recheck;
        self.was_found.store(true, Ordering::Relaxed);
        let tables = KnownTables { schema, statement: Arc::clone(&statement), next_read, changes };
        *known = Known::Tables(Box::new(tables));
        statement
    }

    /// Reports to operators what is new about the tables: they may have been created, or changed, after the start.
    fn warn(&self, schema: &Schema, borrowed: &Borrowed<'_>) {
        let mut last = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in schema.warnings.iter().filter(|warning| !last.contains(warning)) {
            borrowed.connector().statement_names().warn(warning.clone());
        }
        last.clone_from(&schema.warnings);
    }

    async fn read(&self, borrowed: &Borrowed<'_>) -> Result<Result<Schema, Problems>, Failure> {
        let names = Schema::table_names(&self.tables);
        let client = borrowed.client().map_err(Failure::Lasting)?;
        let catalog = match Catalog::read(client, &names).await {
            Ok(catalog) => catalog,
            Err(failure @ Failure::Connection(_)) => return Err(failure),
            Err(failure) => return Err(Failure::Lasting(failure.into_error())),
        };
        let mut resolved = Schema::resolve(&self.tables, &catalog);
        if let Err(problems) = &mut resolved
            && !self.was_found.load(Ordering::Relaxed)
        {
            // A help, and no more: without it the problems are as true.
            problems.hints = Schema::hints(&self.tables, problems, client).await.unwrap_or_default();
        }
        Ok(resolved)
    }

    /// Why the tables that are found now are not those that were found before: ours may have become unreadable for a
    /// moment, and another role may have created tables of the same names, with sessions of its own choice.
    fn moved_to_another_owner(&self, schema: &Schema) -> Option<Error> {
        let found = [&schema.session, &schema.user].map(|table| (table.quoted_name(), table.owner.clone()));
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = accepted.as_ref() else {
            *accepted = Some(found);
            return None;
        };
        let is_another = |((old_name, old_owner), (name, owner)): (&(String, String), &(String, String))| {
            (old_name != name && old_owner != owner).then(|| {
                Error::Schema(format!(
                    "{old_name} of the role {old_owner} cannot be read any more, and {name} of the role {owner} is not \
                     taken for it. Grant SELECT on {old_name} again, or restart to use {name}"
                ))
            })
        };
        let problem = before.iter().zip(&found).find_map(is_another);
        if problem.is_none() {
            *accepted = Some(found);
        }
        problem
    }

    /// The statement, where the catalog was read and nobody is reading it.
    pub(super) fn known(&self) -> Option<Arc<Statement>> {
        match &*self.known.try_lock().ok()? {
            Known::Tables(tables) => Some(Arc::clone(&tables.statement)),
            Known::Nothing | Known::Wrong { .. } => None,
        }
    }

    /// Where to look for the tables.
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Has the catalog read before the next lookup, unless the tables are as they were with this fingerprint.
    pub(super) fn expire_unless(&self, fingerprint: &str) {
        let mut last = self.fingerprint.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != fingerprint {
            fingerprint.clone_into(&mut last);
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The statement does not fit the tables any more.
    pub(super) async fn discard(&self) {
        *self.known.lock().await = Known::Nothing;
    }
}

fn wrong(known: &mut Known, borrowed: &mut Borrowed<'_>, error: Error) -> Failure {
    borrowed.keep();
    let is_missing = matches!(error, Error::MissingTables(_));
    let next_read = Instant::now() + if is_missing { RETRY_MISSING } else { RETRY };
    *known = Known::Wrong { message: error.to_string(), is_missing, next_read };
    Failure::Lasting(error)
}
