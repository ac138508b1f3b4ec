//! The keys that verify JWTs, read once from where the settings say they are.

use std::sync::Arc;

use serde::Serialize;
use tokio::time::timeout;

use crate::error::Error;
use crate::jwt::jwks::http::HttpKeys;
use crate::jwt::jwks::{DEADLINE, KeySource, TableKeys};
use crate::jwt::key_set::KeySet;
use crate::settings::KeyLocation;
use crate::store::postgres::PostgresStore;

/// The keys of the issuer.
#[derive(Clone, Debug, Serialize)]
pub struct KeysReport {
    /// Those that can verify a token.
    pub keys: Vec<KeyReport>,
    /// Why others cannot.
    pub unusable: Vec<String>,
}

/// One key.
#[derive(Clone, Debug, Serialize)]
pub struct KeyReport {
    /// Its `kid`.
    pub id: String,
    /// The algorithms that it verifies.
    pub algorithms: Vec<&'static str>,
    /// When it stops verifying, in ISO 8601.
    pub valid_until: Option<String>,
}

/// Reads the keys.
///
/// # Errors
/// As [`KeySource::read`].
pub async fn read(location: &KeyLocation, store: Option<Arc<PostgresStore>>) -> Result<KeysReport, Error> {
    let set = match (location, store) {
        (KeyLocation::Url(url), _) => in_time(&HttpKeys::new(url)?).await?,
        (KeyLocation::Table, Some(store)) => in_time(&TableKeys(store)).await?,
        (KeyLocation::Table, None) => {
            return Err(Error::configuration("the keys are in the jwks table, and there is no database"));
        }
    };
    let keys = set.usable().map(|(id, algorithms, valid_until)| KeyReport {
        id: id.escape_debug().take(80).collect(),
        algorithms,
        valid_until: valid_until.map(|until| until.to_rfc3339()),
    });
    let mut keys: Vec<KeyReport> = keys.collect();
    keys.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(KeysReport { keys, unusable: set.unusable })
}

async fn in_time(source: &impl KeySource) -> Result<KeySet, Error> {
    let late = |_elapsed| Err(Error::unavailable(format!("no answer within {} s", DEADLINE.as_secs())));
    timeout(DEADLINE, source.read()).await.unwrap_or_else(late)
}
