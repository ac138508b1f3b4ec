//! A connection that listens: for changes, and for the heartbeats that prove that it receives them.

use tokio::sync::watch;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Notification};

use super::connection::Connector;
use super::nonce;
use super::table::quote;
use crate::error::Error;
use crate::settings::{FeedSettings, PreparedStatements};
use crate::store::{Change, Feed, Follower};

const STANDBY: &str = "the listener's connection leads to a standby, which receives no notifications: set \
                       AUTH_MIDDLEWARE_LISTEN_DATABASE_URL (or DATABASE_URL, where that is not set) to the primary";

const SETTING: &str = "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL (DATABASE_URL where that is not set)";

/// Heartbeats: a channel of their own, so that no other process receives them, and a random nonce for each. A role that
/// may look at the server's activity sees the channel, but cannot send what it cannot guess.
///
/// The channel is the same for every connection: that of a transaction pooler keeps listening after we are gone. No
/// nonce comes twice, so none is taken for another's.
pub(super) struct Heartbeats {
    pub(super) channel: String,
}

impl Default for Heartbeats {
    fn default() -> Self {
        Self { channel: format!("auth_middleware_beat_{:016x}", nonce()) }
    }
}

/// 128 random bits, in hexadecimal.
///
/// # Errors
/// [`Error::Unavailable`] when the system has no random numbers.
pub(super) fn secret_nonce() -> Result<String, Error> {
    let mut bytes = [0; 16];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| Error::unavailable("the system has no random numbers"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// A connection that listens. When it is dropped, its feed ends.
pub(super) struct Listener<F: Feed> {
    feed: F,
    pub(super) channel: String,
    /// The nonce of the heartbeat that is under way.
    expected: watch::Sender<String>,
    /// The nonce of the last heartbeat that came back.
    returns: watch::Receiver<String>,
    _client: Client,
}

impl<F: Feed> Listener<F> {
    pub(super) async fn connect(
        settings: &FeedSettings,
        follower: &mut impl Follower<Feed = F>,
        channel: &str,
        heartbeats: &Heartbeats,
    ) -> Result<Self, Error> {
        let connector = Connector::new(&settings.database, PreparedStatements::Off)?.with_setting(SETTING);
        let (expected, expects) = watch::channel(String::new());
        let (returned, returns) = watch::channel(String::new());
        // Until the first heartbeat nothing is cached: it does not matter when exactly the server starts to notify.
        let feed = follower.begin();
        let (channel, own_channel) = (channel.to_owned(), heartbeats.channel.clone());
        let listen = format!("LISTEN {}; LISTEN {}", quote(&channel), quote(&own_channel));
        let incoming =
            Receiver { feed: feed.clone(), channel: channel.clone(), own_channel, expects, returned };
        let no_connection = |error: tokio_postgres::Error| match error.code() {
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Error::unavailable(STANDBY),
            _ => Error::unavailable_because("the listener has no connection", error),
        };
        // The task ends with the client, and says goodbye to the server: where a forked child has the socket too, nothing
        // else ends the server's side, which would wait for a child that never reads.
        let (client, _task) = connector
            .listen(move |notification| incoming.receive(notification))
            .await
            .map_err(|error| connector.explain(&error))?;
        client.batch_execute(&listen).await.map_err(no_connection)?;
        Ok(Self { feed, channel, expected, returns, _client: client })
    }

    pub(super) fn feed(&self) -> &F {
        &self.feed
    }

    /// To be called before the heartbeat is sent.
    pub(super) fn expect(&self, nonce: &str) {
        self.expected.send_replace(nonce.to_owned());
    }

    /// Waits until this heartbeat has come back.
    pub(super) async fn wait_for(&mut self, nonce: &str) -> Result<(), Error> {
        let received = self.returns.wait_for(|received| received == nonce).await;
        received.map(drop).map_err(|gone| Error::unavailable_because("the listener's connection ended", gone))
    }

    /// Waits until the connection ends.
    pub(super) async fn end(&mut self) {
        while self.returns.changed().await.is_ok() {}
    }
}

impl<F: Feed> Drop for Listener<F> {
    fn drop(&mut self) {
        self.feed.end();
    }
}

/// Receives for a listener, on the connection's own task, in the order in which the server sends.
struct Receiver<F: Feed> {
    feed: F,
    channel: String,
    own_channel: String,
    expects: watch::Receiver<String>,
    returned: watch::Sender<String>,
}

impl<F: Feed> Receiver<F> {
    fn receive(&self, notification: &Notification) {
        if notification.channel() == self.channel {
            self.feed.apply(&Change::read(notification.payload()));
        } else if notification.channel() == self.own_channel {
            // Whatever another role sends here is dropped, so it cannot displace the nonce either.
            let expected = self.expects.borrow().clone();
            if notification.payload() == expected {
                self.returned.send_replace(expected);
            }
        }
    }
}

/// The end of a connection is noticed at once, not by the next heartbeat.
impl<F: Feed> Drop for Receiver<F> {
    fn drop(&mut self) {
        self.feed.end();
    }
}
