//! The migration `live`: triggers on the two tables as they are found, whoever made them.
//!
//! Its record alone does not say that it is in force: tables are made anew, triggers are switched
//! off. So it is applied again whenever the check finds something.

use tokio_postgres::{Error as PgError, Transaction};

use super::super::catalog::{Catalog, CatalogTable};
use super::super::schema::Schema;
use super::super::triggers;
use super::{Migrator, ONLY_ONE_AT_A_TIME, RECORD_TABLE, WHERE_RECORDED, explained};
use crate::error::Error;
use crate::settings::Tables;

const OWNS_TABLES: &str = "Name a role that owns both tables and may create functions and a table in their schema \
                           (GRANT CREATE ON SCHEMA … TO it) by --database-url; the application itself needs only SELECT.";

const LOOKING: &str = "the tables cannot be served";

const RECORD: &str = "INSERT INTO auth_middleware_migration (name) VALUES ('live'::pg_catalog.text)
                      ON CONFLICT (name) DO UPDATE SET applied_at = pg_catalog.now()";

impl Migrator {
    /// Makes the triggers, unless they are recorded and in force. Tells whether it did anything.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when PostgreSQL does not answer, [`Error::Schema`] when it refuses, or
    /// when there are no tables whose changes triggers can tell. Either way nothing is changed.
    pub async fn apply_live(&self) -> Result<bool, Error> {
        let applied = self.make_triggers().await;
        applied.map_err(|trouble| trouble.explained("\"live\" was not applied, and nothing was changed"))
    }

    /// Takes the triggers and the record away. Tells whether there was a record.
    ///
    /// # Errors
    /// As [`Self::apply_live`].
    pub async fn take_back_live(&self) -> Result<bool, Error> {
        let taken = self.drop_triggers().await;
        taken.map_err(|trouble| trouble.explained("\"live\" was not taken back, and nothing was changed"))
    }

    /// What keeps changes from being notified, None where `live` is in force; and what becomes another
    /// text when that may have been different in between: it is empty where there are no tables. Writes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when PostgreSQL does not answer.
    pub async fn live_state(&self) -> Result<(Option<String>, String), Error> {
        match self.look().await {
            Ok((_, state)) => Ok((state.problem, state.fingerprint)),
            Err(Trouble::Found(Error::Schema(problem))) => Ok((Some(problem), String::new())),
            Err(trouble) => Err(trouble.explained(LOOKING)),
        }
    }

    /// Whether Better Auth's tables are in the schema that new ones would be made in, whoever made them. Writes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when PostgreSQL does not answer.
    pub async fn has_tables(&self) -> Result<bool, Error> {
        let found = self.look_for_tables().await;
        found.map_err(|trouble| trouble.explained("the tables cannot be looked for"))
    }

    async fn look_for_tables(&self) -> Result<bool, Trouble> {
        let mut client = self.connect().await?;
        let transaction = client.build_transaction().read_only(true).start().await?;
        self.choose_schema(&transaction).await?;
        let row =
            transaction.query_typed_one("SELECT pg_catalog.current_schema()::pg_catalog.text", &[]).await?;
        let Some(schema) = row.try_get(0)? else { return Ok(false) };
        let tables = Tables { schema: Some(schema), ..self.tables.clone() };
        let catalog = read_catalog(&transaction, &tables).await?;
        Ok(Schema::resolve(&tables, &catalog).is_ok())
    }

    /// What [`Self::apply_live`] would run. Writes nothing.
    ///
    /// # Errors
    /// As [`Self::apply_live`].
    pub async fn live_sql(&self) -> Result<String, Error> {
        let looked = self.look().await;
        let served = looked.and_then(|(schema, state)| state.served().map(|_| schema));
        served.map(|schema| triggers::create(&schema)).map_err(|trouble| trouble.explained(LOOKING))
    }

    /// What [`Self::take_back_live`] would run. Writes nothing.
    ///
    /// # Errors
    /// As [`Self::apply_live`].
    pub async fn live_down_sql(&self) -> Result<String, Error> {
        let looked = self.look().await;
        looked.map(|(schema, _)| triggers::drop(&schema)).map_err(|trouble| trouble.explained(LOOKING))
    }

    async fn look(&self) -> Result<(Schema, State), Trouble> {
        let mut client = self.connect().await?;
        let transaction = client.build_transaction().read_only(true).start().await?;
        let schema = self.find_tables(&transaction).await?;
        let state = State::read(&transaction, &schema).await?;
        Ok((schema, state))
    }

    async fn make_triggers(&self) -> Result<bool, Trouble> {
        let mut client = self.connect().await?;
        // Dropped on the way out, it rolls back.
        let transaction = client.transaction().await?;
        transaction.batch_execute(ONLY_ONE_AT_A_TIME).await?;
        let schema = self.find_tables(&transaction).await?;
        let problem = State::read(&transaction, &schema).await?.served()?;
        transaction.batch_execute(RECORD_TABLE).await?;
        let record = "SELECT name FROM auth_middleware_migration \
                      WHERE name OPERATOR(pg_catalog.=) 'live'::pg_catalog.text";
        let is_recorded = !transaction.query_typed(record, &[]).await?.is_empty();
        if is_recorded && problem.is_none() {
            return Ok(false);
        }
        transaction.batch_execute(&triggers::create(&schema)).await?;
        // The tables were not locked before, and somebody's event trigger may have had a hand in it.
        match State::read(&transaction, &schema).await?.problem {
            Some(problem) => return Err(Trouble::Found(Error::Schema(problem))),
            None => transaction.batch_execute(RECORD).await?,
        }
        transaction.commit().await?;
        Ok(true)
    }

    async fn drop_triggers(&self) -> Result<bool, Trouble> {
        let mut client = self.connect().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(ONLY_ONE_AT_A_TIME).await?;
        let schema = self.find_tables(&transaction).await?;
        transaction.batch_execute(&triggers::drop(&schema)).await?;
        let mut was_recorded = false;
        let row = transaction.query_typed_one(WHERE_RECORDED, &[]).await?;
        if let Some(table) = row.try_get::<_, Option<String>>(0)? {
            let sql =
                format!("DELETE FROM {table} WHERE name OPERATOR(pg_catalog.=) 'live'::pg_catalog.text");
            was_recorded = transaction.execute_typed(&sql, &[]).await? > 0;
        }
        transaction.commit().await?;
        Ok(was_recorded)
    }

    /// The tables that the application reads.
    async fn find_tables(&self, transaction: &Transaction<'_>) -> Result<Schema, Trouble> {
        self.choose_schema(transaction).await?;
        let catalog = read_catalog(transaction, &self.tables).await?;
        Schema::resolve(&self.tables, &catalog).map_err(|problems| Trouble::Found(problems.into()))
    }
}

async fn read_catalog(transaction: &Transaction<'_>, tables: &Tables) -> Result<Catalog, Trouble> {
    let catalog = Catalog::read(transaction.client(), &Schema::table_names(tables)).await;
    let mut catalog = catalog.map_err(|failure| Trouble::Found(failure.into_error()))?;
    // What our role may read does not matter to triggers.
    catalog.tables.iter_mut().for_each(CatalogTable::assume_readable);
    Ok(catalog)
}

/// What the check says.
struct State {
    problem: Option<String>,
    is_refused: bool,
    fingerprint: String,
}

impl State {
    async fn read(transaction: &Transaction<'_>, schema: &Schema) -> Result<Self, PgError> {
        let row = transaction.query_typed_one(&triggers::check(schema), &[]).await?;
        Ok(Self {
            problem: row.try_get("problem")?,
            is_refused: row.try_get("is_refused")?,
            fingerprint: row.try_get("fingerprint")?,
        })
    }

    /// The problem that triggers mend, if there is one.
    fn served(self) -> Result<Option<String>, Trouble> {
        if self.is_refused {
            return Err(Trouble::Found(Error::Schema(self.problem.unwrap_or_default())));
        }
        Ok(self.problem)
    }
}

/// Why it did not come to it.
enum Trouble {
    /// The tables, or the connection: it is said already.
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
    fn explained(self, what: &str) -> Error {
        match self {
            Self::Found(Error::Schema(problem)) => Error::Schema(format!("{what}: {problem}")),
            Self::Found(error) => error,
            Self::Postgres(error) => explained(what, OWNS_TABLES, error),
        }
    }
}
