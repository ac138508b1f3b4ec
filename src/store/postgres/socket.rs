//! The socket of a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use crate::settings::{DatabaseUrl, Host};

/// A peer that vanished without a word is noticed in about this time.
pub(super) const DEAD_PEER: Duration = Duration::from_secs(30);

/// A socket of ours. Only tokio-postgres can make its own errors, so a socket that could not be
/// opened is one whose first use fails with the reason.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Unreachable(Option<io::Error>),
}

impl Socket {
    /// Connects to where the URL leads.
    pub(super) async fn connect(database: &DatabaseUrl) -> Self {
        let connecting = async {
            match &database.host {
                Host::Unix(directory) => {
                    let path = directory.join(format!(".s.PGSQL.{}", database.port));
                    UnixStream::connect(path).await.map(Self::Unix)
                }
                Host::Tcp(name) => tcp(name, database.port).await.map(Self::Tcp),
            }
        };
        let connected = match database.connect_timeout {
            Some(limit) => timeout(limit, connecting).await.unwrap_or_else(|elapsed| Err(elapsed.into())),
            None => connecting.await,
        };
        connected.unwrap_or_else(|error| Self::Unreachable(Some(error)))
    }
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
