//! The migration `live`: triggers on the two tables as they are found, whoever made them.
//!
//! Its record alone does not prove that it is in force: tables are recreated, triggers are disabled. So it is applied
//! again whenever the check finds a problem.

use tokio_postgres::{Error as PgError, Transaction};

use super::super::catalog::{Catalog, CatalogTable};
use super::super::schema::Schema;
use super::super::triggers;
use super::acceptance::Access;
use super::record::Record;
use super::{Migrator, ONLY_ONE_AT_A_TIME, Trouble};
use crate::error::Error;
use crate::settings::Tables;

const LIVE: &str = "live";

const OWNS_TABLES: &str = "Pass --database-url with a role that owns both tables and may create functions and tables \
                           in their schema (GRANT CREATE ON SCHEMA … TO it); the application itself needs only SELECT.";

const CANNOT_FOLLOW: &str = "changes of the tables cannot be followed";

impl Migrator {
    /// Creates the triggers, unless they are recorded and in force. Returns whether it changed anything.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when PostgreSQL does not answer, [`Error::Schema`] when it refuses, or when there are no
    /// tables whose changes triggers can notify. Either way nothing is changed.
    pub async fn apply_live(&self) -> Result<bool, Error> {
        let applied = self.create_triggers().await;
        let what = "\"live\" was not applied, and nothing was changed";
        applied.map_err(|trouble| trouble.explained(what, OWNS_TABLES))
    }

    /// Removes the triggers and the record. Returns whether there was a record.
    ///
    /// # Errors
    /// As [`Self::apply_live`].
    pub async fn take_back_live(&self) -> Result<bool, Error> {
        let removed = self.drop_triggers().await;
        let what = "\"live\" was not taken back, and nothing was changed";
        removed.map_err(|trouble| trouble.explained(what, OWNS_TABLES))
    }

    /// Why changes are not notified, None where `live` is in force; and a fingerprint that differs if that could have
    /// been different in between; it is empty if there are no tables. Writes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when PostgreSQL does not answer.
    pub async fn live_state(&self) -> Result<(Option<String>, String), Error> {
        match self.inspect().await {
            Ok((_, state)) => Ok((state.problem, state.fingerprint)),
            Err(Trouble::Found(Error::Schema(problem) | Error::MissingTables(problem))) => {
                Ok((Some(problem), String::new()))
            }
            Err(trouble) => Err(trouble.explained(CANNOT_FOLLOW, OWNS_TABLES)),
        }
    }

    /// Whether Better Auth's tables are in the schema in which new ones would be created, whoever created them. Writes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when PostgreSQL does not answer.
    pub async fn has_tables(&self) -> Result<bool, Error> {
        let found = self.look_for_tables().await;
        found.map_err(|trouble| trouble.explained("the tables cannot be looked for", OWNS_TABLES))
    }

    async fn look_for_tables(&self) -> Result<bool, Trouble> {
        let mut client = self.connect().await?;
        let transaction = client.build_transaction().read_only(true).start().await?;
        let Some(schema) = self.target_schema(&transaction).await? else { return Ok(false) };
        let tables = Tables { schema: Some(schema), ..self.tables.clone() };
        let catalog = read_catalog(&transaction, &tables).await?;
        Ok(Schema::resolve(&tables, &catalog).is_ok())
    }

    /// The SQL that [`Self::apply_live`] would run. Writes nothing.
    ///
    /// # Errors
    /// As [`Self::apply_live`].
    pub async fn live_sql(&self) -> Result<String, Error> {
        let inspected = self.inspect().await;
        let schema = inspected.and_then(|(schema, state)| state.fixable_problem().map(|_| schema));
        schema
            .map(|schema| triggers::create(&schema))
            .map_err(|trouble| trouble.explained(CANNOT_FOLLOW, OWNS_TABLES))
    }

    /// The SQL that [`Self::take_back_live`] would run. Writes nothing.
    ///
    /// # Errors
    /// As [`Self::apply_live`].
    pub async fn live_down_sql(&self) -> Result<String, Error> {
        let inspected = self.inspect().await;
        inspected
            .map(|(schema, _)| triggers::drop(&schema))
            .map_err(|trouble| trouble.explained(CANNOT_FOLLOW, OWNS_TABLES))
    }

    async fn inspect(&self) -> Result<(Schema, State), Trouble> {
        let mut client = self.connect().await?;
        let transaction = client.build_transaction().read_only(true).start().await?;
        let schema = self.find_tables(&transaction).await?;
        let state = State::read(&transaction, &schema).await?;
        Ok((schema, state))
    }

    async fn create_triggers(&self) -> Result<bool, Trouble> {
        let mut client = self.connect().await?;
        // Rolls back when it is dropped on an early return.
        let transaction = client.transaction().await?;
        transaction.batch_execute(ONLY_ONE_AT_A_TIME).await?;
        let schema = self.find_tables(&transaction).await?;
        let problem = State::read(&transaction, &schema).await?.fixable_problem()?;
        let target = self.required_schema(&transaction).await?;
        let record = Record::find_or_create(&transaction, &target).await?;
        if problem.is_none() && record.contains(LIVE).await? {
            return Ok(false);
        }
        transaction.batch_execute(&triggers::create(&schema)).await?;
        // The tables were not locked before, and an event trigger may have interfered.
        if let Some(problem) = State::read(&transaction, &schema).await?.problem {
            return Err(Trouble::Found(Error::Schema(problem)));
        }
        record.add(LIVE).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn drop_triggers(&self) -> Result<bool, Trouble> {
        let mut client = self.connect().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(ONLY_ONE_AT_A_TIME).await?;
        let schema = self.find_tables(&transaction).await?;
        let target = self.required_schema(&transaction).await?;
        let record = Record::find(&transaction, &target, Access::Write).await?;
        transaction.batch_execute(&triggers::drop(&schema)).await?;
        let was_recorded = match record {
            Some(record) => record.remove(LIVE).await?,
            None => false,
        };
        transaction.commit().await?;
        Ok(was_recorded)
    }

    /// The tables that the application reads.
    async fn find_tables(&self, transaction: &Transaction<'_>) -> Result<Schema, Trouble> {
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

/// What the check found.
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

    /// The problem that triggers can fix, if there is one.
    fn fixable_problem(self) -> Result<Option<String>, Trouble> {
        if self.is_refused {
            return Err(Trouble::Found(Error::Schema(self.problem.unwrap_or_default())));
        }
        Ok(self.problem)
    }
}
