//! Sessions in PostgreSQL: the only place that names `tokio_postgres`.
//!
//! One statement answers a batch. It is written once, for the tables that the catalog shows, and
//! written again when the tables change under us.

mod borrowed;
mod catalog;
mod column;
mod connect_error;
mod connection;
mod current;
mod diagnosis;
mod failure;
mod feed;
mod id;
mod ignored;
mod jwks;
mod listener;
mod migration;
mod problem;
mod process_id;
mod row;
mod schema;
mod selection;
mod socket;
mod statement;
mod statement_names;
mod table;
mod tls;
mod triggers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use tokio::time::timeout;

use self::borrowed::Borrowed;
use self::connection::Connector;
use self::current::CurrentStatement;
pub use self::diagnosis::{ActivityReport, ServerReport, TableReport, TablesReport};
use self::failure::Failure;
use self::ignored::IgnoredNotes;
pub use self::migration::{Migrator, Report};
use self::problem::Model;
use self::statement::Statement;
use super::{Connections, LookupKey, LookupResult, Store};
use crate::error::Error;
use crate::settings::Settings;

/// How long the catalog stays valid without a sign of change, while lookups come.
const CATALOG_RECHECK: Duration = Duration::from_secs(60);

/// Better Auth's tables in PostgreSQL.
#[derive(Debug)]
pub struct PostgresStore {
    pool: Pool,
    connector: Connector,
    timeout: Duration,
    current: CurrentStatement,
    warned_of_zone: AtomicBool,
    ignored: IgnoredNotes,
}

impl PostgresStore {
    /// A store for these settings. Opens nothing.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the certificates that `sslrootcert` names cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let missing = || Error::configuration("no database: set DATABASE_URL");
        let database = settings.database.as_ref().ok_or_else(missing)?;
        let connector = Connector::new(database, settings.limits.prepared_statements)?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(connector.config(), connector.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(settings.limits.pool_size)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::configuration(error.to_string()))?;
        let current = CurrentStatement::new(settings.tables.clone(), CATALOG_RECHECK);
        Ok(Self {
            pool,
            connector,
            timeout: settings.limits.lookup_timeout,
            current,
            warned_of_zone: AtomicBool::new(false),
            ignored: IgnoredNotes::default(),
        })
    }

    /// The same with another time for which the catalog stays valid, instead of a minute.
    #[must_use]
    pub fn with_catalog_recheck(self, recheck: Duration) -> Self {
        Self { current: self.current.with_recheck(recheck), ..self }
    }

    /// Connects and reads the catalog, so that an error shows at start. Returns what an operator
    /// should know.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the server refuses our role, its password or the database,
    /// [`Error::Schema`] when the tables are not Better Auth's, [`Error::MissingTables`] when they do not exist yet,
    /// [`Error::Unavailable`] when PostgreSQL does not respond.
    pub async fn open(&self) -> Result<Vec<String>, Error> {
        self.in_time(async {
            let mut borrowed = self.borrow().await?;
            self.current.get(&mut borrowed).await.map_err(Failure::into_error)?;
            borrowed.keep();
            Ok(self.take_warnings())
        })
        .await
    }

    /// A server that accepts and says nothing, or a lock, must not hold us for ever. Lookups have
    /// deadlines of their own.
    async fn in_time<T>(&self, result: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = |_elapsed| {
            let seconds = self.timeout.as_secs_f64();
            Err(Error::unavailable(format!(
                "no answer within {seconds} s (lookup_timeout_seconds) from {}",
                self.connector.address()
            )))
        };
        timeout(self.timeout, result).await.unwrap_or_else(late)
    }

    /// A line for the log, once it is known, and again when it changes: whether lookups name their statements on the
    /// server, and why; or which columns the triggers ignore.
    pub fn take_note(&self) -> Option<String> {
        self.connector.statement_names().take_note().or_else(|| self.ignored.take())
    }

    /// What an operator should know of connections, tables and rows, once.
    pub fn take_warnings(&self) -> Vec<String> {
        self.connector.statement_names().take_warnings()
    }

    /// By how much the server's clock is ahead of ours, as measured when a connection was opened.
    pub fn clock_ahead(&self) -> Option<TimeDelta> {
        self.connector.statement_names().clock_ahead()
    }

    /// The connections of the pool.
    pub fn connections(&self) -> Connections {
        let status = self.pool.status();
        Connections { used: status.size.saturating_sub(status.available), idle: status.available }
    }

    /// Closes the connections; what is under way ends as unavailable.
    pub fn close(&self) {
        self.pool.close();
    }

    async fn borrow(&self) -> Result<Borrowed<'_>, Error> {
        match self.pool.get().await {
            Ok(object) => Ok(Borrowed::new(object, &self.connector)),
            Err(PoolError::Backend(error)) => Err(self.connector.explain(&error)),
            Err(error) => Err(Error::unavailable_because("no connection", error)),
        }
    }

    /// One new attempt where it can help: on fresh connections, or for the tables as they are now.
    async fn query_with_retry(&self, keys: &[LookupKey]) -> Result<Vec<LookupResult>, Failure> {
        match self.query(keys).await {
            Err(Failure::Connection(_)) => self.close_idle_connections(),
            Err(Failure::Tables(_)) => self.discard_statement().await,
            settled => return settled,
        }
        self.query(keys).await
    }

    async fn query(&self, keys: &[LookupKey]) -> Result<Vec<LookupResult>, Failure> {
        let mut borrowed = self.borrow().await.map_err(|error| match error {
            // Another attempt would be refused too.
            Error::Configuration(_) => Failure::Lasting(error),
            _ => Failure::Connection(error),
        })?;
        let statement = self.current.get(&mut borrowed).await?;
        let client = borrowed.client().map_err(Failure::Lasting)?;
        let results = statement.query(client, keys, self.connector.statement_names()).await;
        if let Ok(results) = &results {
            self.check_zone(&statement, results);
        }
        // Where only the statement failed, the connection is as good as before.
        if matches!(results, Ok(_) | Err(Failure::Data | Failure::Tables(_))) {
            borrowed.keep();
        }
        results
    }

    /// A value that cannot be read makes the whole statement fail without saying whose it is: each token is queried
    /// by itself.
    async fn query_each(&self, keys: &[LookupKey]) -> Result<Vec<LookupResult>, Failure> {
        let mut results = Vec::with_capacity(keys.len());
        for key in keys {
            match self.query_with_retry(std::slice::from_ref(key)).await {
                Err(Failure::Data) => results.push(LookupResult::Unreadable),
                result => results.extend(result?),
            }
        }
        Ok(results)
    }

    /// Warns once of times that were written in another zone than the setting says.
    fn check_zone(&self, statement: &Statement, results: &[LookupResult]) {
        if self.warned_of_zone.load(Ordering::Relaxed) {
            return;
        }
        if let Some(warning) = statement.zone_warning(results, Utc::now()) {
            self.warned_of_zone.store(true, Ordering::Relaxed);
            self.connector.statement_names().warn(warning);
        }
    }

    /// The column of a field of the `user` or `session` table, with the table's name: for messages.
    pub fn user_column(&self, field: &str) -> Option<String> {
        self.current.known()?.column(Model::User, field)
    }

    /// The same for the `session` table.
    pub fn session_column(&self, field: &str) -> Option<String> {
        self.current.known()?.column(Model::Session, field)
    }

    fn close_idle_connections(&self) {
        self.pool.retain(|_, _| false);
    }

    async fn discard_statement(&self) {
        self.current.discard().await;
        self.pool.manager().statement_caches.clear();
    }
}

impl Store for PostgresStore {
    async fn find(&self, keys: &[LookupKey]) -> Result<Vec<LookupResult>, Error> {
        let results = match self.query_with_retry(keys).await {
            Err(Failure::Data) if keys.len() == 1 => Ok(vec![LookupResult::Unreadable]),
            Err(Failure::Data) => self.query_each(keys).await,
            results => results,
        };
        results.map_err(|failure| failure.into_error().into_unavailable())
    }

    async fn ping(&self) -> Result<(), Error> {
        let connected = self.connector.listen(|_unexpected| {}).await;
        let pinged = match connected {
            // A pooler connects to a server only for a statement.
            Ok((client, _ends_with_the_client)) => client.simple_query("SELECT 1").await.map(drop),
            Err(error) => return Err(self.connector.explain(&error)),
        };
        pinged.map_err(|error| Failure::of("a probe failed", error).into_error())
    }
}

/// A number that differs for every process and every call.
fn nonce() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}
