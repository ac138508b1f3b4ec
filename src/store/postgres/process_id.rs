//! The process id that a server sends in its `BackendKeyData` message.
//!
//! tokio-postgres keeps it to itself, and writes it into a `CancelRequest`: that is sent into memory here.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::CancelToken;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// `CancelRequest`: its length, its code, the process id, the secret key; four bytes each.
const CANCEL_REQUEST_BYTES: usize = 16;

/// The process id that came with the connection, if tokio-postgres still writes it where it did.
pub(super) async fn process_id(token: &CancelToken) -> Option<i32> {
    let mut written = Vec::new();
    token.cancel_query_raw(Memory(&mut written), InMemory).await.ok()?;
    // A TLS connection sends an SSLRequest before it.
    let request = written.last_chunk::<CANCEL_REQUEST_BYTES>()?;
    let (length, code) = (request.first_chunk::<4>()?, request.get(4..8)?);
    let is_cancel_request = *length == [0, 0, 0, 16] && code == 80_877_102_u32.to_be_bytes();
    let id = request.get(8..12)?.try_into().ok().map(i32::from_be_bytes)?;
    is_cancel_request.then_some(id)
}

/// Keeps what is written, and answers an `SSLRequest` with yes.
struct Memory<'a>(&'a mut Vec<u8>);

impl AsyncRead for Memory<'_> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        buf.put_slice(b"S");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().0.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl TlsStream for Memory<'_> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// TLS that leaves the bytes as they are.
struct InMemory;

impl<'a> TlsConnect<Memory<'a>> for InMemory {
    type Stream = Memory<'a>;
    type Error = io::Error;
    type Future = Ready<io::Result<Memory<'a>>>;

    fn connect(self, stream: Memory<'a>) -> Self::Future {
        ready(Ok(stream))
    }
}
