//! A pooled connection that goes back to the pool only when its last response was read to the end.

use deadpool_postgres::Object;
use tokio::runtime::Handle;

use super::connection::Connector;
use crate::error::Error;

/// Unless [`Self::keep`] is called, the connection is closed and its statement cancelled: a lookup that is given
/// up in the middle, or whose response was not ours, leaves rows behind that the next one would read.
pub(super) struct Borrowed<'a> {
    object: Option<Object>,
    is_kept: bool,
    connector: &'a Connector,
}

impl<'a> Borrowed<'a> {
    pub(super) fn new(object: Object, connector: &'a Connector) -> Self {
        Self { object: Some(object), is_kept: false, connector }
    }

    pub(super) fn client(&self) -> Result<&Object, Error> {
        self.object.as_ref().ok_or_else(|| Error::unavailable("the connection was given back"))
    }

    pub(super) fn connector(&self) -> &'a Connector {
        self.connector
    }

    /// The response was read: the connection may serve others.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let Some(object) = self.object.take().filter(|_| !self.is_kept) else { return };
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
