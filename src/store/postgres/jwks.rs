//! The public keys of Better Auth's `jwks` table. The private key's column is never named.

use chrono::{DateTime, NaiveDateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::PostgresStore;
use super::catalog::Catalog;
use super::failure::Failure;
use super::schema::{PublicKeyTable, Schema};
use crate::error::Error;
use crate::store::{KeyStore, PublicKeyRow};

impl KeyStore for PostgresStore {
    async fn public_keys(&self) -> Result<Vec<PublicKeyRow>, Error> {
        self.in_time(self.read_public_keys()).await.map_err(Error::into_unavailable)
    }
}

impl PostgresStore {
    async fn read_public_keys(&self) -> Result<Vec<PublicKeyRow>, Error> {
        let mut borrowed = self.borrow().await?;
        let client = borrowed.client()?;
        let tables = self.current.tables();
        let read = |names: Vec<String>| async move {
            Catalog::read(client, &names).await.map_err(Failure::into_error)
        };
        let user = Schema::resolve(tables, &read(Schema::table_names(tables)).await?)?.user;
        let catalog = read(PublicKeyTable::names(&tables.jwks, &user)).await?;
        let sql = PublicKeyTable::resolve(&tables.jwks, &user, &catalog)?.select();
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 0] = [];
        let failed = |error| Failure::of("the jwks table could not be read", error).into_error();
        let rows = client.query_typed(&sql, &parameters).await.map_err(failed)?;
        let keys = rows.iter().filter_map(|row| public_key(row).transpose());
        let keys = keys.collect::<Result<_, _>>().map_err(failed)?;
        borrowed.keep();
        Ok(keys)
    }
}

/// None for a key whose end cannot be read, as `-infinity`: nothing can be said for it.
fn public_key(row: &Row) -> Result<Option<PublicKeyRow>, tokio_postgres::Error> {
    let expires_at: Result<Option<DateTime<Utc>>, _> = match *row.columns()[3].type_() {
        Type::TIMESTAMP => row.try_get(3).map(|time: Option<NaiveDateTime>| time.map(|time| time.and_utc())),
        _ => row.try_get(3),
    };
    let Ok(expires_at) = expires_at else { return Ok(None) };
    let (id, public_key, algorithm) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(Some(PublicKeyRow { id, public_key, algorithm, expires_at }))
}
