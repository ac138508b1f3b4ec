//! Changes to the tables, which only the `migrate` command makes: the only code that writes.
//!
//! Each migration is one transaction together with its record, so it is applied completely or not at all. It often runs
//! as a superuser, in a schema where other roles may create objects. So nothing that stands in that schema is used before
//! it was checked (`acceptance`), and while a migration's file runs, the search path is the target schema alone: the file
//! names the schema of everything else.

mod acceptance;
mod live;
mod record;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error as PgError, SimpleQueryMessage, Transaction};

use self::acceptance::{Access, accept, used_by};
use self::record::Record;
use super::connection::Connector;
use super::table::quote;
use crate::error::Error;
use crate::settings::{DatabaseUrl, PreparedStatements, Tables};

/// Long enough for a database on Neon that has to start first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Held until the transaction ends: of two runs at the same time, the second waits and then finds the record.
const ONLY_ONE_AT_A_TIME: &str = "SELECT pg_catalog.pg_advisory_xact_lock(7022362994164359524)";

/// The schema that new tables go to: the one that is given ($1), else the first on the search path.
const TARGET_SCHEMA: &str = "SELECT n.nspname::pg_catalog.text FROM pg_catalog.pg_namespace AS n \
                             WHERE n.nspname OPERATOR(pg_catalog.=) \
                                   COALESCE($1::pg_catalog.text::pg_catalog.name, pg_catalog.current_schema())";

/// Leaves only the target schema ($1) on the search path. What was on it stays known to the files: tables in another
/// schema of it may be in the way.
const RESTRICT_SEARCH_PATH: &str = "SELECT pg_catalog.set_config('auth_middleware.schemas', CASE WHEN $2::pg_catalog.bool \
            THEN ARRAY[$1::pg_catalog.text]::pg_catalog.text \
            ELSE pg_catalog.current_schemas(false)::pg_catalog.text END, true), \
            pg_catalog.set_config('search_path', pg_catalog.concat( \
                pg_catalog.quote_ident($1::pg_catalog.text), ', pg_temp'), true)";

const MAY_CREATE_TABLES: &str =
    "Give DATABASE_URL a role that may create tables; the application itself needs only SELECT.";
const NO_SCHEMA: &str = "no schema has been selected to create in. The search path leads to no schema that exists: \
                         create it first.";

/// The rows that a migration's own queries return, for a person to read.
pub type Report = Vec<Vec<Option<String>>>;

/// Migrates one database.
#[derive(Debug)]
pub struct Migrator {
    connector: Connector,
    tables: Tables,
}

impl Migrator {
    /// For this database and these tables, in the schema of its URL unless another is given. Opens nothing.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the certificates in `sslrootcert` cannot be read.
    pub fn new(database: &DatabaseUrl, mut tables: Tables) -> Result<Self, Error> {
        let connector = Connector::new(database, PreparedStatements::Off)?;
        tables.schema = tables.schema.or_else(|| database.schema.clone());
        Ok(Self { connector, tables })
    }

    /// Which migrations were applied, and when; None if our role may not read the record. Writes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when PostgreSQL does not answer, [`Error::Schema`] when it refuses.
    pub async fn applied(&self) -> Result<Option<BTreeMap<String, DateTime<Utc>>>, Error> {
        let mut client = self.connect().await?;
        match self.read_records(&mut client).await {
            Ok(records) => Ok(Some(records)),
            Err(Trouble::Postgres(error)) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                Ok(None)
            }
            Err(trouble) => Err(trouble.explained("the record of migrations", MAY_CREATE_TABLES)),
        }
    }

    /// Applies a migration and records it. Returns its report, or None if it was applied before.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when PostgreSQL does not answer, [`Error::Schema`] when it refuses.
    /// Either way nothing is changed.
    pub async fn apply(&self, name: &str, sql: &str) -> Result<Option<Report>, Error> {
        let mut client = self.connect().await?;
        let what = format!("{name:?} was not applied, and nothing was changed");
        let applied = self.run(&mut client, name, sql).await;
        applied.map_err(|trouble| trouble.explained(&what, MAY_CREATE_TABLES))
    }

    async fn connect(&self) -> Result<Client, Error> {
        let connecting = timeout(CONNECT_TIMEOUT, self.connector.open()).await;
        let late =
            |_elapsed| Error::unavailable(format!("no connection to {} in time", self.connector.address()));
        let connected = connecting.map_err(late)?;
        let (client, _ends_with_the_client) = connected.map_err(|error| self.connector.explain(&error))?;
        Ok(client)
    }

    async fn read_records(&self, client: &mut Client) -> Result<BTreeMap<String, DateTime<Utc>>, Trouble> {
        let transaction = client.build_transaction().read_only(true).start().await?;
        let Some(schema) = self.target_schema(&transaction).await? else { return Ok(BTreeMap::new()) };
        match Record::find(&transaction, &schema, Access::Read).await? {
            Some(record) => record.all().await,
            None => Ok(BTreeMap::new()),
        }
    }

    async fn run(&self, client: &mut Client, name: &str, sql: &str) -> Result<Option<Report>, Trouble> {
        // Rolls back when it is dropped on an early return.
        let transaction = client.transaction().await?;
        transaction.batch_execute(ONLY_ONE_AT_A_TIME).await?;
        let schema = self.required_schema(&transaction).await?;
        let record = Record::find_or_create(&transaction, &schema).await?;
        if record.contains(name).await? {
            return Ok(None);
        }
        record.add(name).await?;
        for (in_schema, table, access) in used_by(name) {
            accept(&transaction, in_schema.unwrap_or(&schema), table, *access).await?;
        }
        let is_given = self.tables.schema.is_some();
        transaction
            .query_typed(RESTRICT_SEARCH_PATH, &[(&schema, Type::TEXT), (&is_given, Type::BOOL)])
            .await?;
        let results = transaction.simple_query(sql).await?;
        transaction.commit().await?;
        Ok(Some(report(&results)))
    }

    async fn target_schema(&self, transaction: &Transaction<'_>) -> Result<Option<String>, PgError> {
        let rows = transaction.query_typed(TARGET_SCHEMA, &[(&self.tables.schema, Type::TEXT)]).await?;
        rows.first().map(|row| row.try_get(0)).transpose()
    }

    async fn required_schema(&self, transaction: &Transaction<'_>) -> Result<String, Trouble> {
        if let Some(schema) = self.target_schema(transaction).await? {
            return Ok(schema);
        }
        Err(Trouble::Found(Error::Schema(match &self.tables.schema {
            Some(schema) => format!("there is no schema {}: create it first", quote(schema)),
            None => NO_SCHEMA.to_owned(),
        })))
    }
}

fn report(results: &[SimpleQueryMessage]) -> Report {
    results
        .iter()
        .filter_map(|result| match result {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        })
        .collect()
}

/// Why a migration did not happen.
enum Trouble {
    /// Found by us: the message needs no explanation.
    Found(Error),
    Postgres(PgError),
}

impl From<PgError> for Trouble {
    fn from(error: PgError) -> Self {
        Self::Postgres(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Found(error)
    }
}

impl Trouble {
    /// The error to show: what failed, why, and for a missing right `who_may` do it.
    fn explained(self, what: &str, who_may: &str) -> Error {
        match self {
            Self::Found(Error::Schema(problem) | Error::MissingTables(problem)) => {
                Error::Schema(format!("{what}: {problem}"))
            }
            Self::Found(error) => error,
            Self::Postgres(error) => explained(what, who_may, error),
        }
    }
}

/// PostgreSQL's message, and its hint or ours. Its detail is left out: that can quote a row.
fn explained(what: &str, who_may: &str, error: PgError) -> Error {
    let Some(said) = error.as_db_error() else { return Error::unavailable_because(what, error) };
    let hint = match said.hint() {
        Some(hint) => hint,
        None if *said.code() == SqlState::INSUFFICIENT_PRIVILEGE => who_may,
        None if *said.code() == SqlState::LOCK_NOT_AVAILABLE => {
            "Another transaction holds a lock on a table: try again."
        }
        None => return Error::Schema(format!("{what}: {}", said.message())),
    };
    Error::Schema(format!("{what}: {}. {hint}", said.message()))
}
