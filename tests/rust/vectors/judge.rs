//! Processes the request of a case, and compares the result with Better Auth's.

use std::collections::BTreeMap;

use auth_middleware::authenticator::{Authenticator, Verdict};
use auth_middleware::credentials::{Kind, Request};
use auth_middleware::identity::{Identity, Value as Own};
use auth_middleware::settings::{OwnField, RawSettings, Settings};
use auth_middleware::signature::Keys;
use auth_middleware::store::{LookupResult, Store};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::entry::{Config, Data, Entry, Field, Plugin, Row};
use super::rows::{id, own_fields, public_keys, store, text};

pub(crate) enum Outcome {
    Passed,
    SetAside(&'static str),
}

pub(crate) fn judge(entry: &Entry) -> Result<Outcome, String> {
    if let Some(reason) = not_built(entry) {
        return Ok(Outcome::SetAside(reason));
    }
    let settings = Settings::check(raw_settings(&entry.config)).map_err(|error| error.to_string())?;
    let expected_name = entry.cookie_names.get("session_token");
    if expected_name != Some(&settings.cookie_names.session_token) {
        return Err(format!(
            "the cookie is called {}, not {expected_name:?}",
            settings.cookie_names.session_token
        ));
    }
    let store = store(entry, &Keys::new(&settings.secrets.signing))?;
    let authenticator = Authenticator::new(&settings, &public_keys(entry)?);
    let now = DateTime::from_timestamp_millis(entry.now_ms).ok_or("now_ms is out of range")?;
    let header = entry.cookie_header.as_deref().map(header_bytes);
    let authorization =
        entry.authorization_header.iter().map(|value| (b"authorization".as_slice(), value.as_bytes()));
    let cookies = header.iter().map(|value| (b"cookie".as_slice(), value.as_slice()));
    let headers = cookies.chain(authorization);
    let request = || Request::new(Kind::SafeHttp, headers.clone());
    let skips_cache =
        entry.query.as_ref().is_some_and(|query| query.get("disableCookieCache") == Some(&json!(true)));
    let verdict = if skips_cache {
        authenticator.inspect_for_store(request(), now)
    } else {
        authenticator.inspect(request(), now)
    };
    if !skips_cache && authenticator.inspect(request(), now) != verdict {
        return Err("the second request has another result than the first, from a cache".into());
    }
    let identity = match verdict.clone() {
        Verdict::Refused(_) => None,
        Verdict::Known(identity) => Some(identity),
        Verdict::NeedsKeys(..) | Verdict::Unavailable(_) => return Err(format!("{verdict:?}")),
        Verdict::Lookup(token) => {
            let results = block_on(store.find(&[token])).map_err(|error| error.to_string())?;
            let result = results.into_iter().next().unwrap_or(LookupResult::NoSession);
            Authenticator::decide(result, now).ok()
        }
    };
    let queried = store.lookups() > 0;
    if queried != (entry.expected.needs_store() || lacks_declared_field(entry)) {
        return Err(format!(
            "we queried the store: {queried}; Better Auth did: {}",
            entry.expected.needs_store()
        ));
    }
    let ours = identity.map(|identity| show(&entry.config, &identity));
    let theirs = expected(entry)?;
    if ours != theirs {
        return Err(format!("our result is {ours:?}, Better Auth's is {theirs:?}"));
    }
    Ok(Outcome::Passed)
}

fn not_built(entry: &Entry) -> Option<&'static str> {
    match entry {
        _ if entry.tags.iter().any(|tag| tag == "clock-racy") => Some("its clock raced when it was recorded"),
        _ if entry.config.stateless == Some(true) || entry.db.is_none() => {
            Some("stateless: there is no store")
        }
        _ if entry.config.secondary.is_some() => Some("secondary storage is not read yet"),
        _ if has_key_of(entry, "ES512") => Some("ES512 is not read: every request queries the store"),
        _ => None,
    }
}

fn has_key_of(entry: &Entry, algorithm: &str) -> bool {
    let mut rows = entry.db.iter().flat_map(|rows| &rows.jwks);
    rows.any(|row| row.get("alg").and_then(Value::as_str) == Some(algorithm))
}

fn raw_settings(config: &Config) -> RawSettings {
    let secrets: Vec<String> =
        config.secrets.iter().map(|secret| format!("{}:{}", secret.version, secret.value)).collect();
    let name =
        |cookie| config.cookies.as_ref().and_then(|cookies| cookies.get(cookie)?.get("name")?.as_str());
    let cache = config.cookie_cache.as_ref().filter(|cache| cache.enabled);
    let is_signed_by_public_keys =
        |plugin: &Plugin| plugin.id == "jwt" && plugin.options["sessionCookieCache"] == true;
    let strategy = match cache.and_then(|cache| cache.strategy.clone()) {
        Some(strategy) if strategy == "jwt" && config.plugins.iter().any(is_signed_by_public_keys) => {
            Some("jwks".into())
        }
        strategy => strategy,
    };
    let bearer = config.plugins.iter().find(|plugin| plugin.id == "bearer");
    RawSettings {
        credentials: bearer.iter().flat_map(|_| ["cookie", "bearer"]).map(String::from).collect(),
        bearer_unsigned: bearer.map(|plugin| plugin.options["requireSignature"] != true),
        database_url: Some("postgresql://nobody@localhost/none".into()),
        secret: config.secret.clone(),
        secrets: Some(secrets.join(",")),
        base_url: config.base_url.clone(),
        cookie_prefix: config.cookie_prefix.clone(),
        cookie_name: name("session_token").map(String::from),
        cache_cookie_name: name("session_data").map(String::from),
        freshness: cache.map(|_| "cookie_cache".into()),
        cache_strategy: strategy,
        cache_version: cache.and_then(|cache| cache.version.clone()),
        user_fields: declared(config.user_fields.as_ref()),
        session_fields: declared(config.session_fields.as_ref()),
        secure_cookies: config.use_secure_cookies,
        ..RawSettings::default()
    }
}

fn declared(fields: Option<&BTreeMap<String, Field>>) -> Vec<OwnField> {
    own_fields(fields).map(|(name, _)| OwnField::from(name.clone())).collect()
}

/// Node reads headers as Latin-1. Other text can only have been sent as UTF-8.
fn header_bytes(text: &str) -> Vec<u8> {
    let latin1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    latin1.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Our identity in Better Auth's format, with the fields that Better Auth returns.
fn show(config: &Config, identity: &Identity) -> (Row, Row) {
    let Identity { session: Some(session), user } = identity else { return <_>::default() };
    let iso = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut session_fields = object(json!({
        "id": session.id, "userId": session.user_id, "token": session.token.as_str(), "expiresAt": iso(session.expires_at),
        "ipAddress": session.ip_address, "userAgent": session.user_agent,
        "createdAt": session.created_at.map(iso), "updatedAt": session.updated_at.map(iso),
    }));
    let mut user_fields = object(json!({
        "id": user.id, "name": user.name, "email": user.email, "emailVerified": user.email_verified, "image": user.image,
        "createdAt": user.created_at.map(iso), "updatedAt": user.updated_at.map(iso),
    }));
    let json_of = |value: &Own| match value {
        Own::Absent | Own::Null => Value::Null,
        Own::Text(text) => json!(text),
        Own::Bool(flag) => json!(flag),
        Own::Int(number) => json!(number),
        Own::Float(number) => json!(number),
        Own::Time(time) => json!(iso(*time)),
        Own::Json(value) => value.clone(),
    };
    for ((name, _), value) in own_fields(config.session_fields.as_ref()).zip(&session.own) {
        session_fields.insert(name.clone(), json_of(value));
    }
    for ((name, _), value) in own_fields(config.user_fields.as_ref()).zip(&user.own) {
        user_fields.insert(name.clone(), json_of(value));
    }
    (without_nulls(session_fields), without_nulls(user_fields))
}

/// Better Auth's result, except for the times of a session that it refreshed, since we never write.
fn expected(entry: &Entry) -> Result<Option<(Row, Row)>, String> {
    let data = match entry.expected.outcome.as_str() {
        "session" if !lacks_declared_field(entry) => {
            entry.expected.data.clone().ok_or("a session without data")?
        }
        "null" => return Ok(None),
        "session" | "error" => match from_rows(entry) {
            Some(data) => data,
            None => return Ok(None),
        },
        other => return Err(format!("unknown outcome {other:?}")),
    };
    let Data { mut session, mut user } = data;
    session.retain(|field, _| is_returned(field, &SESSION_FIELDS, entry.config.session_fields.as_ref()));
    user.retain(|field, _| is_returned(field, &USER_FIELDS, entry.config.user_fields.as_ref()));
    if !entry.expected.db_sessions_updated.is_empty() {
        let row = entry
            .db
            .iter()
            .flat_map(|rows| &rows.session)
            .find(|row| row.get("token") == session.get("token"));
        for field in ["expiresAt", "updatedAt"] {
            session.insert(field.into(), row.and_then(|row| row.get(field)).cloned().unwrap_or_default());
        }
    }
    session.insert("id".into(), json!(id(session.get("id").unwrap_or(&Value::Null))));
    user.insert("id".into(), json!(id(user.get("id").unwrap_or(&Value::Null))));
    session.insert("userId".into(), json!(id(session.get("userId").unwrap_or(&Value::Null))));
    if !entry.expected.needs_store() {
        // Like Better Auth 1.7, and unlike 1.4.6, we convert a snapshot's email to lower case.
        let email = text(&user, "email").map(|email| email.to_lowercase());
        user.insert("email".into(), json!(email));
    }
    Ok(Some((without_nulls(session), without_nulls(user))))
}

/// Whether the snapshot lacks a declared field. In that case we query the store, and Better Auth does not.
fn lacks_declared_field(entry: &Entry) -> bool {
    let Some(data) = entry.expected.data.as_ref().filter(|_| !entry.expected.needs_store()) else {
        return false;
    };
    let lacks = |row: &Row, fields| own_fields(fields).any(|(name, _)| !row.contains_key(name));
    lacks(&data.session, entry.config.session_fields.as_ref())
        || lacks(&data.user, entry.config.user_fields.as_ref())
}

/// The result according to the rows, which is expected if Better Auth fails or does not read them.
fn from_rows(entry: &Entry) -> Option<Data> {
    let rows = entry.db.as_ref()?;
    let header = entry.cookie_header.as_deref()?;
    let session = rows
        .session
        .iter()
        .find(|row| row.get("token").and_then(Value::as_str).is_some_and(|token| header.contains(token)))?;
    let user = rows.user.iter().find(|user| user.get("id") == session.get("userId"))?;
    Some(Data { session: session.clone(), user: user.clone() })
}

const SESSION_FIELDS: [&str; 8] =
    ["id", "userId", "token", "expiresAt", "ipAddress", "userAgent", "createdAt", "updatedAt"];
const USER_FIELDS: [&str; 7] = ["id", "name", "email", "emailVerified", "image", "createdAt", "updatedAt"];

/// Whether a field is returned: only Better Auth's own fields and the declared ones are.
fn is_returned(field: &str, known: &[&str], own: Option<&BTreeMap<String, Field>>) -> bool {
    known.contains(&field) || own.and_then(|own| own.get(field)).is_some_and(|field| field.returned)
}

fn object(value: Value) -> Row {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// Absent and null are equivalent.
fn without_nulls(mut row: Row) -> Row {
    row.retain(|_, value| !value.is_null());
    row
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => panic!("{error}"),
    }
}
