//! Connections to one database, and whether statements may have names on them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use deadpool_postgres::Connect;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::tls::{MakeTlsConnect, NoTls};
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, Error as PgError, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect_error::{self, Address};
use super::socket::{DEAD_PEER, Socket};
use super::statement_names::StatementNames;
use super::tls;
use crate::error::Error;
use crate::settings::{ChannelBinding, DatabaseUrl, Host, PreparedStatements, SslMode};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Opens connections to one database.
#[derive(Clone)]
pub(super) struct Connector {
    database: DatabaseUrl,
    tls: Option<MakeRustlsConnect>,
    names: Arc<StatementNames>,
    /// The setting that says where the database is, for messages.
    setting: &'static str,
    /// A pooler refused the timeouts of the URL.
    drops_timeouts: Arc<AtomicBool>,
}

impl Connector {
    pub(super) fn new(database: &DatabaseUrl, statements: PreparedStatements) -> Result<Self, Error> {
        let over_unix = matches!(database.host, Host::Unix(_));
        let tls = if over_unix { None } else { tls::config(database)?.map(MakeRustlsConnect::new) };
        Ok(Self {
            database: database.clone(),
            tls,
            names: Arc::new(StatementNames::new(statements)),
            setting: "DATABASE_URL",
            drops_timeouts: Arc::default(),
        })
    }

    /// The same for a URL that another setting holds.
    pub(super) fn with_setting(self, setting: &'static str) -> Self {
        Self { setting, ..self }
    }

    /// Where connections lead to, for messages.
    pub(super) fn address(&self) -> Address<'_> {
        Address(&self.database)
    }

    /// Says why a connection could not be made, and how to fix it.
    pub(super) fn explain(&self, error: &PgError) -> Error {
        connect_error::explain(&self.database, self.setting, error)
    }

    /// What is said at the start of a connection.
    pub(super) fn config(&self) -> Config {
        use tokio_postgres::config::{ChannelBinding as Binding, SslMode as Mode};
        let mut config = Config::new();
        let database = &self.database;
        config.user(&database.user).dbname(&database.database).application_name(&database.application_name);
        if let Some(password) = &database.password {
            config.password(password);
        }
        let timeouts = database.timeouts.iter().filter(|_| !self.drops_timeouts.load(Ordering::Relaxed));
        let options: Vec<&str> = database.options.iter().chain(timeouts).map(String::as_str).collect();
        if !options.is_empty() {
            config.options(options.join(" "));
        }
        config.ssl_mode(match database.ssl_mode {
            _ if self.tls.is_none() => Mode::Disable,
            SslMode::Disable => Mode::Disable,
            SslMode::Prefer => Mode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Mode::Require,
        });
        config.channel_binding(match database.channel_binding {
            ChannelBinding::Disable => Binding::Disable,
            ChannelBinding::Prefer => Binding::Prefer,
            ChannelBinding::Require => Binding::Require,
        });
        config
    }

    /// Whether statements may have names.
    pub(super) fn statement_names(&self) -> &StatementNames {
        &self.names
    }

    /// A connection for lookups or migrations.
    pub(super) async fn open(&self) -> Result<(Client, JoinHandle<()>), PgError> {
        let started = Instant::now();
        let (client, task) = self.listen(|_unexpected| {}).await?;
        if self.names.examine(&client, &self.database, started).await? {
            return Ok((client, task));
        }
        self.listen(|_unexpected| {}).await
    }

    /// A connection whose notifications are received, in order, as long as its task lives.
    pub(super) async fn listen(
        &self,
        receive: impl FnMut(&Notification) + Send + 'static,
    ) -> Result<(Client, JoinHandle<()>), PgError> {
        // Before the attempt: another one can find out meanwhile that they are refused.
        let has_timeouts = !self.database.timeouts.is_empty() && !self.drops_timeouts.load(Ordering::Relaxed);
        let (client, connection) = match self.start().await {
            Err(error) if has_timeouts && connect_error::is_of_options(&error) => {
                self.start_without_timeouts().await?
            }
            started => started?,
        };
        Ok((client, run(connection, receive)))
    }

    /// Without limits that the server keeps, as behind that pooler everybody is; our own deadlines remain.
    async fn start_without_timeouts(&self) -> Result<(Client, BoxConnection), PgError> {
        let is_known = self.drops_timeouts.swap(true, Ordering::Relaxed);
        let started = self.start().await?;
        if !is_known {
            let names = self
                .database
                .timeouts
                .iter()
                .filter_map(|option| option.strip_prefix("-c ")?.split('=').next());
            let names: Vec<&str> = names.collect();
            let (setting, names) = (self.setting, names.join(" and "));
            self.names.warn(format!("a pooler rejects {names} of {setting}: lookups run without it"));
        }
        Ok(started)
    }

    async fn start(&self) -> Result<(Client, BoxConnection), PgError> {
        let config = self.config();
        let socket = Socket::connect(&self.database).await;
        if let (Some(tls), Host::Tcp(name)) = (&self.tls, &self.database.host) {
            let mut tls = tls.clone();
            let Ok(connect) = MakeTlsConnect::<Socket>::make_tls_connect(&mut tls, name);
            let (client, connection) = config.connect_raw(socket, connect).await?;
            return Ok((client, Box::new(connection)));
        }
        let (client, connection) = config.connect_raw(socket, NoTls).await?;
        Ok((client, Box::new(connection)))
    }

    /// Ends what the server does for a connection that we gave up. It would go on, and hold one of
    /// its places, as long as a lock or a slow disk lets it.
    pub(super) async fn cancel(&self, statement: &CancelToken) {
        let cancelling = async {
            let socket = Socket::connect(&self.database).await;
            match (&self.tls, &self.database.host) {
                (Some(tls), Host::Tcp(name)) => {
                    let mut tls = tls.clone();
                    let Ok(connect) = MakeTlsConnect::<Socket>::make_tls_connect(&mut tls, name);
                    statement.cancel_query_raw(socket, connect).await
                }
                _ => statement.cancel_query_raw(socket, NoTls).await,
            }
        };
        // Nobody waits for it, and a server that cannot be reached ends it by itself.
        let _best_effort = timeout(DEAD_PEER, cancelling).await;
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Connect for Connector {
    /// The pool's configuration is ours as it was at first: what a pooler refuses may be left out by now.
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), PgError>> {
        Box::pin(self.open())
    }
}

/// A connection, with TLS or without.
trait Messages: Send {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<AsyncMessage, PgError>>>;
}

type BoxConnection = Box<dyn Messages>;

impl<S, T> Messages for tokio_postgres::Connection<S, T>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    T: tokio_postgres::tls::TlsStream + Unpin + Send,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<AsyncMessage, PgError>>> {
        self.poll_message(cx)
    }
}

/// Lets the connection run. It ends with the client, which then knows why.
fn run(
    mut connection: BoxConnection,
    mut receive: impl FnMut(&Notification) + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll(cx)).await {
            if let AsyncMessage::Notification(notification) = message {
                receive(&notification);
            }
        }
    })
}
