//! Sessions in PostgreSQL: the only place that names `tokio_postgres`.
//!
//! One statement answers a batch. It is written once, for the tables that the catalog shows, and
//! written again when the tables change under us.

mod catalog;
mod connection;
mod feed;
mod jwks;
mod listener;
mod migration;
mod row;
mod schema;
mod statement;
mod table;
mod tls;
mod triggers;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;

use self::catalog::Catalog;
use self::connection::Connector;
pub use self::migration::{Migrator, Report};
use self::schema::Schema;
use self::statement::Statement;
use super::{LookupResult, Store};
use crate::error::Error;
use crate::settings::{Settings, Tables};
use crate::signature::SessionToken;

/// How long a wrong schema is believed before the catalog is read again.
const SCHEMA_RECHECK: Duration = Duration::from_secs(3);

/// Better Auth's tables in PostgreSQL.
#[derive(Debug)]
pub struct PostgresStore {
    pool: Pool,
    connector: Connector,
    tables: Tables,
    timeout: Duration,
    statement: Mutex<Known>,
}

/// What the catalog said when we last looked.
#[derive(Debug)]
enum Known {
    Nothing,
    Statement(Arc<Statement>),
    Wrong { message: String, since: Instant },
}

impl PostgresStore {
    /// A store for these settings. Opens nothing.
    ///
    /// # Errors
    /// [`Error::Configuration`] when there is no database URL, or the certificates that `sslrootcert`
    /// names cannot be read.
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
        Ok(Self {
            pool,
            connector,
            tables: settings.tables.clone(),
            timeout: settings.limits.lookup_timeout,
            statement: Mutex::new(Known::Nothing),
        })
    }

    /// Connects and reads the catalog, so that trouble shows at start. Returns what an operator
    /// should know.
    ///
    /// # Errors
    /// [`Error::Schema`] when the tables are not Better Auth's, [`Error::Unavailable`] when
    /// PostgreSQL does not answer.
    pub async fn open(&self) -> Result<Vec<String>, Error> {
        self.in_time(async {
            let mut borrowed = self.borrow().await?;
            let statement = self.statement(&mut borrowed).await.map_err(Failure::into_error)?;
            borrowed.keep();
            Ok(statement.warnings.clone())
        })
        .await
    }

    /// A server that accepts and says nothing, or a lock, must not hold us for ever. Look-ups have
    /// deadlines of their own.
    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let seconds = self.timeout.as_secs_f64();
        let silence = |_elapsed| {
            Err(Error::unavailable(format!("no answer within {seconds} s (lookup_timeout_seconds)")))
        };
        timeout(self.timeout, asked).await.unwrap_or_else(silence)
    }

    /// Closes the connections; what is under way ends as unavailable.
    pub fn close(&self) {
        self.pool.close();
    }

    async fn borrow(&self) -> Result<Borrowed<'_>, Error> {
        let object =
            self.pool.get().await.map_err(|error| Error::unavailable_because("no connection", error))?;
        Ok(Borrowed { object: Some(object), keep: false, connector: &self.connector })
    }

    /// The statement for the tables as they are, read from the catalog once.
    async fn statement(&self, borrowed: &mut Borrowed<'_>) -> Result<Arc<Statement>, Failure> {
        let mut known = self.statement.lock().await;
        match &*known {
            Known::Statement(statement) => return Ok(Arc::clone(statement)),
            Known::Wrong { message, since } if since.elapsed() < SCHEMA_RECHECK => {
                borrowed.keep();
                return Err(Failure::Lasting(Error::Schema(message.clone())));
            }
            Known::Nothing | Known::Wrong { .. } => {}
        }
        let names = Schema::table_names(&self.tables);
        let client = borrowed.client().map_err(Failure::Lasting)?;
        let catalog = match Catalog::read(client, &names).await {
            Ok(catalog) => catalog,
            Err(failure @ Failure::Connection(_)) => return Err(failure),
            Err(failure) => return Err(Failure::Lasting(failure.into_error())),
        };
        let schema = match Schema::resolve(&self.tables, &catalog) {
            Ok(schema) => schema,
            Err(error) => {
                borrowed.keep();
                *known = Known::Wrong { message: error.to_string(), since: Instant::now() };
                return Err(Failure::Lasting(error));
            }
        };
        let statement = Arc::new(Statement::write(&schema));
        *known = Known::Statement(Arc::clone(&statement));
        Ok(statement)
    }

    async fn forget_statement(&self) {
        *self.statement.lock().await = Known::Nothing;
        self.pool.manager().statement_caches.clear();
    }

    async fn ask(&self, tokens: &[SessionToken]) -> Result<Vec<LookupResult>, Failure> {
        let mut borrowed = self.borrow().await.map_err(Failure::Connection)?;
        let statement = self.statement(&mut borrowed).await?;
        let is_named = self.connector.may_name_statements();
        let answers =
            match statement.ask(borrowed.client().map_err(Failure::Lasting)?, tokens, is_named).await {
                // The statement failed, the connection did not.
                Err(failure @ (Failure::Data | Failure::Tables(_))) => Err(failure),
                other => {
                    let answers = other?;
                    borrowed.keep();
                    return Ok(answers);
                }
            };
        borrowed.keep();
        answers
    }

    /// One new try where one can help: on fresh connections, or for the tables as they are now.
    async fn ask_with_retry(&self, tokens: &[SessionToken]) -> Result<Vec<LookupResult>, Failure> {
        match self.ask(tokens).await {
            Err(Failure::Connection(_)) => self.pool.retain(|_, _| false),
            Err(Failure::Tables(_)) => {
                self.forget_statement().await;
                return self.ask(tokens).await;
            }
            settled => return settled,
        };
        self.ask(tokens).await
    }
}

impl Store for PostgresStore {
    async fn find(&self, tokens: &[SessionToken]) -> Result<Vec<LookupResult>, Error> {
        match self.ask_with_retry(tokens).await {
            // A data error does not say whose: each token is asked for by itself.
            Err(Failure::Data) if tokens.len() > 1 => {
                let mut answers = Vec::with_capacity(tokens.len());
                for token in tokens {
                    answers.extend(self.alone(token).await?);
                }
                Ok(answers)
            }
            Err(Failure::Data) => Ok(vec![LookupResult::Unreadable]),
            settled => settled.map_err(Failure::into_error),
        }
    }
}

impl PostgresStore {
    async fn alone(&self, token: &SessionToken) -> Result<Vec<LookupResult>, Error> {
        match self.ask_with_retry(std::slice::from_ref(token)).await {
            Err(Failure::Data) => Ok(vec![LookupResult::Unreadable]),
            settled => settled.map_err(Failure::into_error),
        }
    }
}

/// A pooled connection that goes back to the pool only when its last answer was read to the end.
/// A look-up that is given up in the middle, or whose answer was not ours, takes it along.
struct Borrowed<'a> {
    object: Option<Object>,
    keep: bool,
    connector: &'a Connector,
}

impl Borrowed<'_> {
    fn client(&self) -> Result<&Object, Error> {
        self.object.as_ref().ok_or_else(|| Error::unavailable("the connection was given back"))
    }

    fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let Some(object) = self.object.take().filter(|_| !self.keep) else { return };
        let client = Object::take(object);
        // There is no runtime any more when the process ends.
        if let Some(runtime) = Handle::try_current().ok().filter(|_| !client.is_closed()) {
            let connector = self.connector.clone();
            runtime.spawn(async move {
                connector.cancel(&client.cancel_token()).await;
                drop(client);
            });
        }
    }
}

/// Why a statement failed, by what can be done about it.
#[derive(Debug)]
enum Failure {
    /// The connection: another one may work.
    Connection(Error),
    /// The tables changed: a new look at the catalog may help.
    Tables(Error),
    /// A value in it (SQLSTATE class 22). The message could quote a token, so it is dropped.
    Data,
    /// Anything else.
    Lasting(Error),
}

impl Failure {
    fn of(what: &str, error: tokio_postgres::Error) -> Self {
        let Some(code) = error.code() else {
            return Self::Connection(Error::unavailable_because(what, error));
        };
        match code.code() {
            data if data.starts_with("22") => Self::Data,
            // A feature that the changed table lacks ("cached plan must not change result
            // type"), a statement, table, column, cast or function that is gone, a right withdrawn.
            "0A000" | "26000" | "42P01" | "42703" | "42846" | "42883" | "42501" => {
                Self::Tables(Error::unavailable_because(what, error))
            }
            connection if connection.starts_with("08") || connection.starts_with("57P") => {
                Self::Connection(Error::unavailable_because(what, error))
            }
            _ if *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => {
                Self::Connection(Error::unavailable_because(what, error))
            }
            _ => Self::Lasting(Error::unavailable_because(what, error)),
        }
    }

    fn into_error(self) -> Error {
        match self {
            Self::Connection(error) | Self::Tables(error) | Self::Lasting(error) => error,
            Self::Data => Error::unavailable("a value could not be read"),
        }
    }
}

/// A number that differs for every process and every call.
fn nonce() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}
