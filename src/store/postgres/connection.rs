//! A connection over a socket of our own, so that we can tell a direct one from a pooled one.
//!
//! tokio-postgres names its statements s0, s1, … in every process. Behind a transaction pooler a
//! name can be another client's statement, so names are used only where the server sees the very
//! socket that we opened.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use deadpool_postgres::Connect;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::tls::{MakeTlsConnect, NoTls};
use tokio_postgres::{
    AsyncMessage, CancelToken, Client, Config, Error as PgError, Notification, SimpleQueryMessage,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect_error::{self, Address};
use super::tls;
use crate::error::Error;
use crate::settings::{ChannelBinding, DatabaseUrl, Host, PreparedStatements, SslMode};

/// A peer that vanished without a word is noticed in about this time.
const DEAD_PEER: Duration = Duration::from_secs(30);

/// A batch of few tokens looks so cheap to PostgreSQL that it plans each anew, which takes longer than the
/// look-up; the plan that serves any number is as good. Older servers do not know the setting.
const PLAN_ONCE: &str = "SELECT pg_catalog.set_config(name, 'force_generic_plan'::pg_catalog.text, false) \
                         FROM pg_catalog.pg_settings \
                         WHERE name OPERATOR(pg_catalog.=) 'plan_cache_mode'::pg_catalog.text";

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Opens connections to one database.
#[derive(Clone)]
pub(super) struct Connector {
    database: DatabaseUrl,
    tls: Option<MakeRustlsConnect>,
    statements: PreparedStatements,
    /// The setting that says where the database is, for messages.
    setting: &'static str,
    /// Every connection so far was direct.
    is_direct: Arc<AtomicBool>,
}

impl Connector {
    pub(super) fn new(database: &DatabaseUrl, statements: PreparedStatements) -> Result<Self, Error> {
        let over_unix = matches!(database.host, Host::Unix(_));
        let tls = if over_unix { None } else { tls::config(database)?.map(MakeRustlsConnect::new) };
        Ok(Self {
            database: database.clone(),
            tls,
            statements,
            setting: "DATABASE_URL",
            is_direct: Arc::new(AtomicBool::new(true)),
        })
    }

    /// The same for a URL that another setting holds.
    pub(super) fn from_setting(self, setting: &'static str) -> Self {
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
        if let Some(options) = &database.options {
            config.options(options);
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

    /// Whether a statement may have a name, as far as the connections so far tell.
    pub(super) fn may_name_statements(&self) -> bool {
        match self.statements {
            PreparedStatements::On => true,
            PreparedStatements::Off => false,
            PreparedStatements::Auto => self.is_direct.load(Ordering::Relaxed),
        }
    }

    async fn open(&self, config: &Config) -> Result<(Client, JoinHandle<()>), PgError> {
        let (client, task, ours) = self.start(config, |_unasked| {}).await?;
        if self.statements == PreparedStatements::Auto {
            if is_direct(&client, ours).await? {
                client.simple_query(PLAN_ONCE).await?;
            } else {
                self.is_direct.store(false, Ordering::Relaxed);
            }
        }
        Ok((client, task))
    }

    /// A connection whose notifications are heard, in order, as long as its task lives.
    pub(super) async fn listen(
        &self,
        hear: impl FnMut(&Notification) + Send + 'static,
    ) -> Result<(Client, JoinHandle<()>), PgError> {
        let (client, task, _ours) = self.start(&self.config(), hear).await?;
        Ok((client, task))
    }

    async fn start(
        &self,
        config: &Config,
        hear: impl FnMut(&Notification) + Send + 'static,
    ) -> Result<(Client, JoinHandle<()>, Option<SocketAddr>), PgError> {
        let socket = self.socket().await;
        let ours = socket.local_address();
        let (client, task) = match (&self.tls, &self.database.host) {
            (Some(tls), Host::Tcp(name)) => {
                let mut tls = tls.clone();
                let Ok(connect) = MakeTlsConnect::<Socket>::make_tls_connect(&mut tls, name);
                run(config.connect_raw(socket, connect).await?, hear)
            }
            _ => run(config.connect_raw(socket, NoTls).await?, hear),
        };
        Ok((client, task, ours))
    }

    /// Ends what the server does for a connection that we gave up. It would go on, and hold one of
    /// its places, as long as a lock or a slow disk lets it.
    pub(super) async fn cancel(&self, statement: &CancelToken) {
        let cancelling = async {
            let socket = self.socket().await;
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

    async fn socket(&self) -> Socket {
        let connecting = async {
            match &self.database.host {
                Host::Unix(directory) => {
                    let path = directory.join(format!(".s.PGSQL.{}", self.database.port));
                    UnixStream::connect(path).await.map(Socket::Unix)
                }
                Host::Tcp(name) => tcp(name, self.database.port).await.map(Socket::Tcp),
            }
        };
        let connected = match self.database.connect_timeout {
            Some(limit) => timeout(limit, connecting).await.unwrap_or_else(|elapsed| Err(elapsed.into())),
            None => connecting.await,
        };
        connected.unwrap_or_else(|error| Socket::Unreachable(Some(error)))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Connect for Connector {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), PgError>> {
        let config = config.clone();
        Box::pin(async move { self.open(&config).await })
    }
}

/// Lets the connection run. It ends with the client, which then knows why.
fn run<S, T>(
    (client, mut connection): (Client, tokio_postgres::Connection<S, T>),
    mut hear: impl FnMut(&Notification) + Send + 'static,
) -> (Client, JoinHandle<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
{
    let task = tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message {
                hear(&notification);
            }
        }
    });
    (client, task)
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name leads to no address");
    for address in lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return tuned(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn tuned(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(DEAD_PEER).with_interval(DEAD_PEER / 3))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(DEAD_PEER))?;
    Ok(stream)
}

/// Whether the server's peer is our own socket: then nothing stands between.
async fn is_direct(client: &Client, ours: Option<SocketAddr>) -> Result<bool, PgError> {
    let Some(ours) = ours else { return Ok(false) };
    let seen = client
        .simple_query("SELECT pg_catalog.host(pg_catalog.inet_client_addr()), pg_catalog.inet_client_port()")
        .await?;
    Ok(seen.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let address = row.get(0).and_then(|address| address.parse::<std::net::IpAddr>().ok());
            let port = row.get(1).and_then(|port| port.parse::<u16>().ok());
            address == Some(ours.ip().to_canonical()) && port == Some(ours.port())
        }
        _ => false,
    }))
}

/// A socket of ours. Only tokio-postgres can make its own errors, so a socket that could not be
/// opened is one whose first use fails with the reason.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Unreachable(Option<io::Error>),
}

impl Socket {
    fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) | Self::Unreachable(_) => None,
        }
    }
}

fn reason(error: &mut Option<io::Error>) -> io::Error {
    error.take().unwrap_or_else(|| io::ErrorKind::NotConnected.into())
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unreachable(error) => Poll::Ready(Err(reason(error))),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unreachable(error) => Poll::Ready(Err(reason(error))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unreachable(error) => Poll::Ready(Err(reason(error))),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unreachable(error) => Poll::Ready(Err(reason(error))),
        }
    }
}
