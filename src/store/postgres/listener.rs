//! A connection that listens: for changes, and for the heartbeats that prove it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Notification};

use super::connection::Connector;
use super::nonce;
use super::table::quote;
use crate::clock::Uptime;
use crate::error::Error;
use crate::settings::{FeedSettings, PreparedStatements};
use crate::store::{Change, FeedId, Follower};

const STANDBY: &str = "the listener's connection leads to a standby, which hears nothing: name the primary in \
                            AUTH_MIDDLEWARE_LISTEN_DATABASE_URL, or in DATABASE_URL where that is not set";

const SETTING: &str = "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL (DATABASE_URL where that is not set)";

/// Heartbeats have a channel of their own, so that no other process hears them. It is the same for every
/// connection: a transaction pooler's goes on listening to whatever we once asked it for. So no number comes
/// twice, and none is taken for another.
pub(super) struct Beats {
    pub(super) channel: String,
    pub(super) sent: u64,
}

impl Default for Beats {
    fn default() -> Self {
        Self { channel: format!("auth_middleware_beat_{:016x}", nonce()), sent: 0 }
    }
}

/// A connection that listens. When it goes, its follower believes nothing.
pub(super) struct Listener<F: Follower> {
    follower: Arc<F>,
    feed: FeedId,
    pub(super) channel: String,
    heard: watch::Receiver<u64>,
    _client: Client,
}

impl<F: Follower> Listener<F> {
    pub(super) async fn connect(
        settings: &FeedSettings,
        follower: &Arc<F>,
        channel: &str,
        beats: &Beats,
    ) -> Result<Self, Error> {
        let connector = Connector::new(&settings.database, PreparedStatements::Off)?.from_setting(SETTING);
        let (numbers, heard) = watch::channel(0);
        // Until the first heartbeat nothing is kept: it does not matter from when on this is heard.
        let feed = follower.begin();
        let (channel, own_channel) = (channel.to_owned(), beats.channel.clone());
        let listen = format!("LISTEN {}; LISTEN {}", quote(&channel), quote(&own_channel));
        let receiver =
            Receiver { follower: Arc::clone(follower), feed, channel: channel.clone(), own_channel, numbers };
        let no_connection = |error: tokio_postgres::Error| match error.code() {
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Error::unavailable(STANDBY),
            _ => Error::unavailable_because("the listener has no connection", error),
        };
        // The task ends with the client, and takes leave: where a forked child has the socket too, nothing else
        // ends the server's side, which would wait for a child that never reads.
        let (client, _task) = connector
            .listen(move |notification| receiver.receive(notification))
            .await
            .map_err(|error| connector.explain(&error))?;
        client.batch_execute(&listen).await.map_err(no_connection)?;
        Ok(Self { follower: Arc::clone(follower), feed, channel, heard, _client: client })
    }

    /// Waits until a number has come back.
    pub(super) async fn wait_for(&mut self, number: u64) -> Result<(), Error> {
        let heard = self.heard.wait_for(|heard| *heard >= number).await;
        heard.map(drop).map_err(|gone| Error::unavailable_because("the listener's connection ended", gone))
    }

    /// Until its connection ends.
    pub(super) async fn end(&mut self) {
        while self.heard.changed().await.is_ok() {}
    }

    pub(super) fn renew(&self, until: Uptime, fingerprint: &str) {
        self.follower.renew(self.feed, until, fingerprint);
    }

    pub(super) fn suspend(&self, why: &str) {
        self.follower.suspend(self.feed);
        self.follower.log(&format!("freshness \"live\": every request asks the store: {why}"));
    }
}

impl<F: Follower> Drop for Listener<F> {
    fn drop(&mut self) {
        self.follower.end(self.feed);
    }
}

/// Hears for a listener, on the connection's own task, in the order in which the server tells.
struct Receiver<F: Follower> {
    follower: Arc<F>,
    feed: FeedId,
    channel: String,
    own_channel: String,
    numbers: watch::Sender<u64>,
}

impl<F: Follower> Receiver<F> {
    fn receive(&self, notification: &Notification) {
        if notification.channel() == self.channel {
            self.follower.apply(self.feed, &Change::read(notification.payload()));
        } else if notification.channel() == self.own_channel
            && let Ok(number) = notification.payload().parse()
        {
            self.numbers.send_replace(number);
        }
    }
}

/// A connection that ends is noticed at once, not by the next heartbeat.
impl<F: Follower> Drop for Receiver<F> {
    fn drop(&mut self) {
        self.follower.end(self.feed);
    }
}
