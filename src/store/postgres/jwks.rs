//! The public keys of Better Auth's `jwks` table. The private key's column is never named.

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
        let keys = rows.iter().map(|row| {
            Ok(PublicKeyRow { id: row.try_get(0)?, public_key: row.try_get(1)?, algorithm: row.try_get(2)? })
        });
        let keys = keys.collect::<Result<_, _>>().map_err(failed)?;
        borrowed.keep();
        Ok(keys)
    }
}
