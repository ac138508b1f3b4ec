//! A circuit breaker: while the store is down, requests are refused immediately, instead of each waiting for its timeout.
//!
//! When a lookup fails because of its connection, or times out, the store is suspected to be down, and a probe checks it:
//! a new connection with a trivial statement. Only if the probe fails too is the store considered down. So a lock on a
//! table, a slow statement or a row that cannot be read never counts. Neither does a database that takes some time to
//! start: the probe has the timeout of a second lookup.
//!
//! While the store is down, probes continue: one with a short timeout about every second, and one with a long timeout, for
//! a server that takes long to accept a connection. Any response, to a probe or to a lookup that is under way, closes the
//! breaker.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::error::Error;
use crate::store::Store;

/// A short probe: how long it may take, and the pause after it.
const SHORT: Duration = Duration::from_secs(1);
const SHORT_PAUSE: Duration = Duration::from_millis(250);
/// The timeout of a patient probe: long enough for a database on Neon that has to start first.
const PATIENT: Duration = Duration::from_secs(15);
const PATIENT_PAUSE: Duration = Duration::from_secs(1);

/// The state of the store.
#[derive(Clone, Debug, Default)]
enum State {
    /// It responds, as far as is known.
    #[default]
    Up,
    /// A lookup failed. A probe finds out why; meanwhile lookups are sent.
    Suspected,
    /// It is down. Requests get this error.
    Down(Arc<Error>),
}

impl State {
    /// The store responded. Returns whether anything changed, as the other transitions do.
    fn responded(&mut self) -> bool {
        let is_news = !matches!(self, Self::Up);
        *self = Self::Up;
        is_news
    }

    /// A lookup had no connection, or no answer in time.
    fn failed(&mut self) -> bool {
        let is_news = matches!(self, Self::Up);
        if is_news {
            *self = Self::Suspected;
        }
        is_news
    }

    /// A probe failed, so a suspicion is confirmed.
    fn confirm(&mut self, why: &Error) -> bool {
        let is_news = matches!(self, Self::Suspected);
        if is_news {
            *self = Self::Down(Arc::new(down(why)));
        }
        is_news
    }
}

/// Refuses requests while the store is down.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: watch::Sender<State>,
}

impl Breaker {
    /// The error for requests, while the store is down.
    pub(super) fn refusal(&self) -> Option<Arc<Error>> {
        match &*self.state.borrow() {
            State::Down(why) => Some(Arc::clone(why)),
            State::Up | State::Suspected => None,
        }
    }

    /// The store responded, if only with an error.
    pub(super) fn responded(&self) {
        self.state.send_if_modified(State::responded);
    }

    /// A lookup had no connection, or no answer in time.
    pub(super) fn failed(&self) {
        self.state.send_if_modified(State::failed);
    }

    /// Probes the store whenever it is suspected to be down, for as long as it is polled. `patience` is what the probe
    /// has to confirm a suspicion. `on_down` is called each time when the store is found to be down.
    pub(super) async fn watch(&self, store: &impl Store, patience: Duration, on_down: impl Fn(&Arc<Error>)) {
        let mut states = self.state.subscribe();
        loop {
            if states.wait_for(|state| !matches!(state, State::Up)).await.is_err() {
                return;
            }
            tokio::select! {
                () = self.probe(store, patience.max(SHORT), &on_down) => {}
                // The store responded to a lookup that was under way.
                _ = states.wait_for(|state| matches!(state, State::Up)) => {}
            }
        }
    }

    /// Probes until the store responds.
    async fn probe(&self, store: &impl Store, patience: Duration, on_down: &impl Fn(&Arc<Error>)) {
        if let Err(why) = probed(store, patience).await {
            if self.state.send_if_modified(|state| state.confirm(&why))
                && let Some(error) = self.refusal()
            {
                on_down(&error);
            }
            let (short, patient) =
                (pin!(succeed(store, SHORT, SHORT_PAUSE)), pin!(succeed(store, PATIENT, PATIENT_PAUSE)));
            tokio::select! {
                () = short => {}
                () = patient => {}
            }
        }
        self.responded();
    }
}

/// Probes until one probe succeeds.
async fn succeed(store: &impl Store, patience: Duration, pause: Duration) {
    while probed(store, patience).await.is_err() {
        sleep(pause).await;
    }
}

/// Whether the store responds at all. An error that a server sends is a response.
async fn probed(store: &impl Store, patience: Duration) -> Result<(), Error> {
    match timeout(patience, store.ping()).await {
        Ok(Err(error)) if error.is_down() => Err(error),
        Ok(_) => Ok(()),
        Err(_elapsed) => {
            Err(Error::unavailable(format!("a probe had no answer within {} s", patience.as_secs_f64())))
        }
    }
}

fn down(why: &Error) -> Error {
    Error::unavailable(format!(
        "it is down, so nothing is sent to it until it responds again: {}",
        why.what()
    ))
}

#[cfg(test)]
mod tests;
