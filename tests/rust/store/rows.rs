//! Writes the same rows to each store.

use std::fmt::Write as _;

use auth_middleware::identity::{Identity, Session, User};
use auth_middleware::settings::{RawSettings, Secret, Settings};
use auth_middleware::signature::{Keys, SessionToken};
use auth_middleware::store::memory::MemoryStore;
use auth_middleware::store::postgres::PostgresStore;
use auth_middleware::store::{LookupKey, LookupResult, Store};
use chrono::{DateTime, TimeZone as _, Utc};
use tokio_postgres::{Client, NoTls};

const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

/// A store whose rows can be added and removed.
pub(crate) enum Rows {
    Memory(MemoryStore),
    PostgreSql { store: Box<PostgresStore>, client: Client },
}

impl Rows {
    /// Each store that can be tested, without rows.
    pub(crate) async fn of_each_store() -> Vec<Self> {
        let mut each = vec![Self::Memory(MemoryStore::default())];
        if let Some(settings) = postgresql_settings() {
            each.push(
                Self::of_postgresql(PostgresStore::new(&settings).expect("the settings are good")).await,
            );
        }
        each
    }

    pub(crate) async fn of_postgresql(store: PostgresStore) -> Self {
        let url = std::env::var("STORE_DATABASE_URL").expect("it is set");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("PostgreSQL is up");
        tokio::spawn(connection);
        let rows = Self::PostgreSql { store: Box::new(store), client };
        rows.execute("DELETE FROM session; DELETE FROM \"user\"").await;
        rows
    }

    pub(crate) async fn find(&self, tokens: &[&str]) -> Vec<LookupResult> {
        self.find_keys(&tokens.iter().map(|token| signed(token).into()).collect::<Vec<_>>()).await
    }

    pub(crate) async fn find_keys(&self, keys: &[LookupKey]) -> Vec<LookupResult> {
        let results = match self {
            Self::Memory(store) => store.find(keys).await,
            Self::PostgreSql { store, .. } => store.find(keys).await,
        };
        results.expect("the store is up")
    }

    pub(crate) async fn insert(&self, identity: Identity) {
        if let Self::Memory(store) = self {
            return store.insert(identity);
        }
        let Identity { session, user } = identity;
        let session = session.expect("it has a session");
        let mut sql = String::new();
        write!(
            sql,
            "INSERT INTO \"user\" (id, name, email, email_verified, image, created_at, updated_at)
             VALUES ({}, {}, {}, {}, {}, {}, {});
             INSERT INTO session (id, user_id, token, expires_at, ip_address, user_agent, created_at, updated_at)
             VALUES ({}, {}, {}, {}, {}, {}, {}, {})",
            literal(&user.id),
            optional(user.name.as_deref()),
            optional(user.email.as_deref()),
            user.email_verified,
            optional(user.image.as_deref()),
            time(user.created_at),
            time(user.updated_at),
            literal(&session.id),
            literal(&session.user_id),
            literal(session.token.as_str()),
            time(Some(session.expires_at)),
            optional(session.ip_address.as_deref()),
            optional(session.user_agent.as_deref()),
            time(session.created_at),
            time(session.updated_at),
        )
        .expect("a text takes everything");
        self.execute(&sql).await;
    }

    pub(crate) async fn remove_session(&self, token: &str) {
        match self {
            Self::Memory(store) => store.remove_session(&signed(token)),
            Self::PostgreSql { .. } => {
                self.execute(&format!("DELETE FROM session WHERE token = {}", literal(token))).await;
            }
        }
    }

    /// Does not remove the user's sessions, like a table without a foreign key.
    pub(crate) async fn remove_user(&self, id: &str) {
        match self {
            Self::Memory(store) => store.remove_user(id),
            Self::PostgreSql { .. } => {
                self.execute(&format!(
                    "ALTER TABLE session DROP CONSTRAINT session_user_id_fkey;
                     DELETE FROM \"user\" WHERE id = {0};
                     ALTER TABLE session ADD CONSTRAINT session_user_id_fkey
                     FOREIGN KEY (user_id) REFERENCES \"user\" (id) ON DELETE CASCADE NOT VALID",
                    literal(id)
                ))
                .await;
            }
        }
    }

    pub(crate) async fn execute(&self, sql: &str) {
        if let Self::PostgreSql { client, .. } = self {
            client.batch_execute(sql).await.expect("the statement is good");
        }
    }
}

/// The settings for the database, if there is one.
pub(crate) fn postgresql_settings() -> Option<Settings> {
    let settings = RawSettings {
        database_url: Some(std::env::var("STORE_DATABASE_URL").ok()?),
        secret: Some(SECRET.into()),
        base_url: Some("http://localhost".into()),
        ..RawSettings::default()
    };
    Some(Settings::check(settings).expect("the settings are good"))
}

pub(crate) fn signed(token: &str) -> SessionToken {
    let keys = Keys::new(&[Secret::new(SECRET)]);
    keys.sign(token).and_then(|value| keys.verify(&value)).expect("we signed it ourselves")
}

/// An identity with a value in every field.
pub(crate) fn identity(token: &str) -> Identity {
    let at = |second: i64| {
        Some(Utc.timestamp_opt(1_700_000_000 + second, 123_456_000).single().expect("it is a time"))
    };
    let session = Session {
        id: format!("session of {token}"),
        user_id: format!("user of {token}"),
        token: signed(token),
        expires_at: at(1).expect("it is a time"),
        ip_address: Some("::1".into()),
        user_agent: Some("a \"browser\"; with 'quotes' and ✨".into()),
        created_at: at(2),
        updated_at: at(3),
        own: Vec::new(),
    };
    let user = User {
        id: format!("user of {token}"),
        name: Some("Ada\nLovelace".into()),
        email: Some(format!("{token}@example.com")),
        email_verified: true,
        image: Some("https://a.example/ada.png".into()),
        created_at: at(4),
        updated_at: at(5),
        ban: None,
        own: Vec::new(),
    };
    Identity { session: Some(session), user }
}

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".to_owned(), literal)
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "NULL".to_owned(), |at| format!("'{}'", at.to_rfc3339()))
}
