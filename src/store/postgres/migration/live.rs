//! The migration `live`: triggers on the two tables as they are found, whoever made them.
//!
//! Its record alone does not prove that it is in force: tables are recreated, triggers are disabled. So it is applied
//! again whenever the check finds a problem.

use tokio_postgres::{Error as PgError, Transaction};

use super::super::catalog::{Catalog, CatalogTable};
use super::super::schema::Schema;
use super::super::triggers::ignoring::Ignoring;
use super::super::triggers::{self, Check, Finding};
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
    /// Creates the triggers, unless they are recorded and in force. Changes of the columns in `ignoring` alone are not
    /// notified; each text is a list such as `session.lastActivityAt,session.updatedAt`. Returns whether it changed
    /// anything.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when PostgreSQL does not answer, [`Error::Schema`] when it refuses, or when there are no
    /// tables whose changes triggers can notify; [`Error::Configuration`] when a column does not exist or must not be
    /// ignored. Either way nothing is changed.
    pub async fn apply_live(&self, ignoring: &[String]) -> Result<bool, Error> {
        let applied = self.create_triggers(ignoring).await;
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
            Ok(inspected) => Ok((inspected.finding.problem, inspected.finding.fingerprint)),
            Err(Trouble::Found(Error::Schema(problem) | Error::MissingTables(problem))) => {
                Ok((Some(problem), String::new()))
            }
            Err(trouble) => Err(trouble.explained(CANNOT_FOLLOW, OWNS_TABLES)),
        }
    }

    /// The columns whose changes alone are not notified, such as `session.lastActivityAt`. Writes nothing.
    ///
    /// # Errors
    /// As [`Self::live_state`].
    pub async fn ignored_columns(&self) -> Result<Vec<String>, Error> {
        match self.inspect().await {
            Ok(inspected) => Ok(inspected.finding.ignoring.names()),
            Err(Trouble::Found(Error::Schema(_) | Error::MissingTables(_))) => Ok(Vec::new()),
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

    /// The SQL that [`Self::apply_live`] would run, and whether it would change nothing but the record. Writes nothing.
    ///
    /// # Errors
    /// As [`Self::apply_live`].
    pub async fn live_sql(&self, ignoring: &[String]) -> Result<(String, bool), Error> {
        let written = async {
            let Inspected { schema, check, finding } = self.inspect().await?;
            fixable(&finding)?;
            let wanted = Ignoring::resolve(ignoring, &schema, &self.tables, &check, &finding)?;
            let is_in_force = finding.problem.is_none() && finding.ignoring == wanted;
            Ok((triggers::create(&schema, &wanted), is_in_force))
        };
        written.await.map_err(|trouble: Trouble| trouble.explained(CANNOT_FOLLOW, OWNS_TABLES))
    }

    /// The SQL that [`Self::take_back_live`] would run. Writes nothing.
    ///
    /// # Errors
    /// As [`Self::apply_live`].
    pub async fn live_down_sql(&self) -> Result<String, Error> {
        let inspected = self.inspect().await;
        inspected
            .map(|inspected| triggers::drop(&inspected.schema))
            .map_err(|trouble| trouble.explained(CANNOT_FOLLOW, OWNS_TABLES))
    }

    async fn inspect(&self) -> Result<Inspected, Trouble> {
        let mut client = self.connect().await?;
        let transaction = client.build_transaction().read_only(true).start().await?;
        let schema = self.find_tables(&transaction).await?;
        let check = Check::of_any_application(&schema);
        let finding = find(&transaction, &check).await?;
        Ok(Inspected { schema, check, finding })
    }

    async fn create_triggers(&self, ignoring: &[String]) -> Result<bool, Trouble> {
        let mut client = self.connect().await?;
        // Rolls back when it is dropped on an early return.
        let transaction = client.transaction().await?;
        transaction.batch_execute(ONLY_ONE_AT_A_TIME).await?;
        let schema = self.find_tables(&transaction).await?;
        let check = Check::of_any_application(&schema);
        let finding = find(&transaction, &check).await?;
        fixable(&finding)?;
        let wanted = Ignoring::resolve(ignoring, &schema, &self.tables, &check, &finding)?;
        let target = self.required_schema(&transaction).await?;
        let record = Record::find_or_create(&transaction, &target).await?;
        let is_in_force = finding.problem.is_none() && finding.ignoring == wanted;
        if is_in_force && record.contains(LIVE).await? {
            return Ok(false);
        }
        transaction.batch_execute(&triggers::create(&schema, &wanted)).await?;
        // The tables were not locked before: a column may have been added. And an event trigger may have interfered.
        let made = find(&transaction, &check).await?;
        if let Some(problem) = made.problem {
            return Err(Trouble::Found(Error::Schema(problem)));
        }
        if let [table, ..] = &made.outdated[..] {
            let changed = format!("the columns of {table} were changed meanwhile: try again");
            return Err(Trouble::Found(Error::Schema(changed)));
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

/// The tables, and whether their changes are notified.
struct Inspected {
    schema: Schema,
    check: Check,
    finding: Finding,
}

async fn find(transaction: &Transaction<'_>, check: &Check) -> Result<Finding, PgError> {
    check.read(&transaction.query_typed_one(&check.sql, &[]).await?)
}

/// Whether triggers can fix the problem, if there is one.
fn fixable(finding: &Finding) -> Result<(), Trouble> {
    if !finding.is_refused {
        return Ok(());
    }
    Err(Trouble::Found(Error::Schema(finding.problem.clone().unwrap_or_default())))
}
