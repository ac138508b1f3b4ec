//! One recorded case, as it stands in the file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

pub type Row = Map<String, Value>;

#[derive(Deserialize)]
pub struct Entry {
    pub id: String,
    pub config: Config,
    pub cookie_names: BTreeMap<String, String>,
    pub now_ms: i64,
    pub cookie_header: Option<String>,
    pub authorization_header: Option<String>,
    #[serde(default)]
    pub query: Option<Row>,
    pub db: Option<Rows>,
    pub expected: Expected,
    #[serde(default)]
    pub tags: Vec<String>,
}

#[derive(Deserialize)]
pub struct Config {
    pub secret: Option<String>,
    #[serde(default)]
    pub secrets: Vec<VersionedSecret>,
    pub base_url: Option<String>,
    pub cookie_prefix: Option<String>,
    #[serde(default)]
    pub cookies: Option<Map<String, Value>>,
    pub use_secure_cookies: Option<bool>,
    #[serde(default)]
    pub user_fields: Option<BTreeMap<String, Field>>,
    #[serde(default)]
    pub session_fields: Option<BTreeMap<String, Field>>,
    #[serde(default)]
    pub secondary: Option<Value>,
    #[serde(default)]
    pub stateless: Option<bool>,
    #[serde(default)]
    pub cookie_cache: Option<CookieCache>,
}

#[derive(Deserialize)]
pub struct CookieCache {
    #[serde(default)]
    pub enabled: bool,
}

#[derive(Deserialize)]
pub struct VersionedSecret {
    pub version: u32,
    pub value: String,
}

#[derive(Deserialize)]
pub struct Field {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default = "yes")]
    pub returned: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
pub struct Rows {
    pub user: Vec<Row>,
    pub session: Vec<Row>,
}

#[derive(Deserialize)]
pub struct Expected {
    pub outcome: String,
    pub data: Option<Data>,
    pub db_needed: bool,
    #[serde(default)]
    pub db_sessions_updated: Vec<Row>,
}

#[derive(Deserialize, Clone)]
pub struct Data {
    pub session: Row,
    pub user: Row,
}
