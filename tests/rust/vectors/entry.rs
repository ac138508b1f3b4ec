//! One recorded case, in the format of the file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) type Row = Map<String, Value>;

#[derive(Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) config: Config,
    pub(crate) cookie_names: BTreeMap<String, String>,
    pub(crate) now_ms: i64,
    pub(crate) cookie_header: Option<String>,
    pub(crate) authorization_header: Option<String>,
    #[serde(default)]
    pub(crate) query: Option<Row>,
    pub(crate) db: Option<Rows>,
    pub(crate) expected: Expected,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct Config {
    pub(crate) secret: Option<String>,
    #[serde(default)]
    pub(crate) secrets: Vec<VersionedSecret>,
    pub(crate) base_url: Option<String>,
    pub(crate) cookie_prefix: Option<String>,
    #[serde(default)]
    pub(crate) cookies: Option<Map<String, Value>>,
    pub(crate) use_secure_cookies: Option<bool>,
    #[serde(default)]
    pub(crate) user_fields: Option<BTreeMap<String, Field>>,
    #[serde(default)]
    pub(crate) session_fields: Option<BTreeMap<String, Field>>,
    #[serde(default)]
    pub(crate) secondary: Option<Value>,
    #[serde(default)]
    pub(crate) stateless: Option<bool>,
    #[serde(default)]
    pub(crate) cookie_cache: Option<CookieCache>,
    #[serde(default)]
    pub(crate) plugins: Vec<Plugin>,
}

#[derive(Deserialize)]
pub(crate) struct CookieCache {
    #[serde(default)]
    pub(crate) enabled: bool,
    pub(crate) strategy: Option<String>,
    pub(crate) version: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Plugin {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) options: Value,
}

#[derive(Deserialize)]
pub(crate) struct VersionedSecret {
    pub(crate) version: u32,
    pub(crate) value: String,
}

#[derive(Deserialize)]
pub(crate) struct Field {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default = "yes")]
    pub(crate) returned: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
pub(crate) struct Rows {
    pub(crate) user: Vec<Row>,
    pub(crate) session: Vec<Row>,
    #[serde(default)]
    pub(crate) jwks: Vec<Row>,
}

#[derive(Deserialize)]
pub(crate) struct Expected {
    pub(crate) outcome: String,
    pub(crate) data: Option<Data>,
    db_needed: bool,
    #[serde(default)]
    db_calls: Vec<String>,
    #[serde(default)]
    pub(crate) db_sessions_updated: Vec<Row>,
}

impl Expected {
    /// Whether the store decides: Better Auth looked up the session, or failed. Better Auth also reads the `jwks` table
    /// for each cookie, which does not count: we read that table in the background.
    pub(crate) fn needs_store(&self) -> bool {
        let reads_only_keys =
            !self.db_calls.is_empty() && self.db_calls.iter().all(|call| call.ends_with(":jwks"));
        self.outcome == "error" || self.db_needed && !reads_only_keys
    }
}

#[derive(Deserialize, Clone)]
pub(crate) struct Data {
    pub(crate) session: Row,
    pub(crate) user: Row,
}
