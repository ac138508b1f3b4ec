//! Changes to the tables, when a person asks for them: the only place that writes.
//!
//! Each is one transaction together with its own record, so it happened whole or not at all.

mod live;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Connect as _;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error as PgError, SimpleQueryMessage, Transaction};

use super::connection::Connector;
use crate::error::Error;
use crate::settings::{DatabaseUrl, PreparedStatements, Tables};

/// A Neon cold start fits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Held until the transaction ends: of two runs at once, one waits and then finds the record.
const ONLY_ONE_AT_A_TIME: &str = "SELECT pg_catalog.pg_advisory_xact_lock(7022362994164359524)";

/// In the schema that new tables go to, even where another of that name is on the search path.
const WHERE_RECORDED: &str = "SELECT pg_catalog.to_regclass(pg_catalog.quote_ident(pg_catalog.current_schema()) \
            OPERATOR(pg_catalog.||) '.auth_middleware_migration'::pg_catalog.text)::pg_catalog.text";

const RECORD_TABLE: &str = "CREATE TABLE IF NOT EXISTS auth_middleware_migration (
    name       pg_catalog.text PRIMARY KEY,
    applied_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()
)";

/// Who may do what was refused.
const MAKES_TABLES: &str =
    "Give DATABASE_URL a role that may create tables; the application itself needs only SELECT.";

/// What a migration's own queries say, row by row: for a person to read.
pub type Report = Vec<Vec<Option<String>>>;

/// Migrates one database.
#[derive(Debug)]
pub struct Migrator {
    connector: Connector,
    tables: Tables,
}

impl Migrator {
    /// For this database and these tables, in its URL's schema unless another is given. Opens nothing.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the certificates that `sslrootcert` names cannot be read.
    pub fn new(database: &DatabaseUrl, mut tables: Tables) -> Result<Self, Error> {
        let connector = Connector::new(database, PreparedStatements::Off)?;
        tables.schema = tables.schema.or_else(|| database.schema.clone());
        Ok(Self { connector, tables })
    }

    /// Which migrations are recorded, and since when; None where our role may not read the record. Writes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when PostgreSQL does not answer, [`Error::Schema`] when it refuses.
    pub async fn applied(&self) -> Result<Option<BTreeMap<String, DateTime<Utc>>>, Error> {
        let mut client = self.connect().await?;
        match self.read_records(&mut client).await {
            Ok(records) => Ok(Some(records)),
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(None),
            Err(error) => Err(explained("the record of migrations", MAKES_TABLES, error)),
        }
    }

    /// Applies a migration and records it; gives its report, or None when it was recorded before.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when PostgreSQL does not answer, [`Error::Schema`] when it refuses.
    /// Either way nothing is changed.
    pub async fn apply(&self, name: &str, sql: &str) -> Result<Option<Report>, Error> {
        let mut client = self.connect().await?;
        let what = format!("{name:?} was not applied, and nothing was changed");
        self.run(&mut client, name, sql).await.map_err(|error| explained(&what, MAKES_TABLES, error))
    }

    async fn connect(&self) -> Result<Client, Error> {
        let config = self.connector.config();
        let connecting = timeout(CONNECT_TIMEOUT, self.connector.connect(&config)).await;
        let late =
            |_elapsed| Error::unavailable(format!("no connection to {} in time", self.connector.address()));
        let connected = connecting.map_err(late)?;
        let (client, _ends_with_the_client) = connected.map_err(|error| self.connector.explain(&error))?;
        Ok(client)
    }

    async fn read_records(&self, client: &mut Client) -> Result<BTreeMap<String, DateTime<Utc>>, PgError> {
        let transaction = client.build_transaction().read_only(true).start().await?;
        self.choose_schema(&transaction).await?;
        let [row] = &transaction.query_typed(WHERE_RECORDED, &[]).await?[..] else {
            return Ok(BTreeMap::new());
        };
        let Some(table) = row.try_get::<_, Option<String>>(0)? else { return Ok(BTreeMap::new()) };
        let sql = format!("SELECT name, applied_at FROM {table}");
        let rows = transaction.query_typed(&sql, &[]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    async fn run(&self, client: &mut Client, name: &str, sql: &str) -> Result<Option<Report>, PgError> {
        // Dropped on the way out, it rolls back.
        let transaction = client.transaction().await?;
        transaction.batch_execute(ONLY_ONE_AT_A_TIME).await?;
        self.choose_schema(&transaction).await?;
        transaction.batch_execute(RECORD_TABLE).await?;
        let record =
            "INSERT INTO auth_middleware_migration (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING name";
        if transaction.query_typed(record, &[(&name, Type::TEXT)]).await?.is_empty() {
            return Ok(None);
        }
        let answers = transaction.simple_query(sql).await?;
        transaction.commit().await?;
        Ok(Some(report(&answers)))
    }

    async fn choose_schema(&self, transaction: &Transaction<'_>) -> Result<(), PgError> {
        let Some(schema) = &self.tables.schema else { return Ok(()) };
        let sql =
            "SELECT pg_catalog.set_config('search_path'::pg_catalog.text, pg_catalog.quote_ident($1), true)";
        transaction.query_typed(sql, &[(schema, Type::TEXT)]).await.map(drop)
    }
}

fn report(answers: &[SimpleQueryMessage]) -> Report {
    answers
        .iter()
        .filter_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        })
        .collect()
}

/// What PostgreSQL said, and its hint, or who may do it. Its detail is left out: that can quote a row.
fn explained(what: &str, who_may: &str, error: PgError) -> Error {
    let Some(said) = error.as_db_error() else { return Error::unavailable_because(what, error) };
    let hint = match said.hint() {
        Some(hint) => hint,
        None if *said.code() == SqlState::INVALID_SCHEMA_NAME => {
            "The search path leads to no schema that exists: create it first."
        }
        None if *said.code() == SqlState::INSUFFICIENT_PRIVILEGE => who_may,
        None if *said.code() == SqlState::LOCK_NOT_AVAILABLE => {
            "Somebody holds a lock on a table: try again."
        }
        None => return Error::Schema(format!("{what}: {}", said.message())),
    };
    Error::Schema(format!("{what}: {}. {hint}", said.message()))
}
