//! The keys in Better Auth's `jwks` table.

use std::sync::Arc;

use chrono::Utc;

use super::KeySource;
use crate::error::Error;
use crate::jwt::key_set::KeySet;
use crate::store::KeyStore;

/// Reads the public keys of a store.
#[derive(Clone, Debug)]
pub struct TableKeys<S>(pub Arc<S>);

impl<S: KeyStore> KeySource for TableKeys<S> {
    async fn read(&self) -> Result<KeySet, Error> {
        let rows = self.0.public_keys().await?;
        KeySet::of_rows(&rows, Utc::now())
            .map_err(|reason| Error::Schema(format!("the jwks table cannot be read: {reason}")))
    }
}
