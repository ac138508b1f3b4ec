//! The keys that may have signed a token, by their ids.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::public_key::{self, PublicKey, Unusable};
use super::strict_json;
use crate::store::PublicKeyRow;

/// More keys than any server rotates through in 30 days.
pub const MAX_KEYS: usize = 100;

/// A set of public keys, and what was wrong with those that were left out.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: HashMap<String, Arc<PublicKey>>,
    /// A sentence for each key that cannot be used; no key's value is in it.
    pub unusable: Vec<String>,
}

impl KeySet {
    /// Reads a JWKS document.
    ///
    /// # Errors
    /// What is wrong with the document as a whole.
    pub fn of_document(text: &[u8]) -> Result<Self, String> {
        let document = strict_json::object(text).ok_or("it is not a JSON object")?;
        let Some(Value::Array(keys)) = document.get("keys") else {
            return Err("it has no \"keys\": it is not a JSON Web Key Set".to_owned());
        };
        if keys.len() > MAX_KEYS {
            return Err(format!("it has {} keys: at most {MAX_KEYS} are read", keys.len()));
        }
        let read = |key: &Value| match key {
            Value::Object(jwk) => PublicKey::of_document(jwk),
            _ => Err(Unusable { id: String::new(), reason: "it is not a JSON object".to_owned() }),
        };
        Ok(Self::of(keys.iter().map(read)))
    }

    /// Reads the rows of the `jwks` table. Better Auth never deletes one: those whose time is over are
    /// left out.
    ///
    /// # Errors
    /// There are more keys than are read.
    pub fn of_rows(rows: &[PublicKeyRow], now: DateTime<Utc>) -> Result<Self, String> {
        let rows: Vec<_> = rows.iter().filter(|row| public_key::is_served(row, now)).collect();
        if rows.len() > MAX_KEYS {
            return Err(format!(
                "it has {} keys that have not expired: at most {MAX_KEYS} are read",
                rows.len()
            ));
        }
        Ok(Self::of(rows.into_iter().map(PublicKey::of_row)))
    }

    fn of(read: impl Iterator<Item = Result<PublicKey, Unusable>>) -> Self {
        let mut set = Self::default();
        let mut ambiguous = Vec::new();
        for key in read {
            match key {
                Err(Unusable { id, reason }) => {
                    set.unusable.push(format!("the key {id:?} cannot be used: {reason}"));
                }
                Ok(key) => match set.keys.entry(key.id().to_owned()) {
                    Entry::Vacant(place) => {
                        place.insert(Arc::new(key));
                    }
                    Entry::Occupied(other) if **other.get() == key => {}
                    // Which of them a token means, nobody can say.
                    Entry::Occupied(other) => ambiguous.push(other.key().clone()),
                },
            }
        }
        for id in ambiguous {
            set.keys.remove(&id);
            set.unusable.push(format!("the key {id:?} cannot be used: another key has the same \"kid\""));
        }
        set
    }

    /// The key with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<PublicKey>> {
        self.keys.get(id)
    }

    /// The ids of the keys that can be used, with their algorithms and ends.
    pub(crate) fn usable(&self) -> impl Iterator<Item = (&str, Vec<&'static str>, Option<DateTime<Utc>>)> {
        self.keys.iter().map(|(id, key)| (id.as_str(), key.algorithm_names(), key.valid_until()))
    }

    /// How many keys can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none can be used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// This set, in which a key that has not changed is the very same object as before: what was
    /// remembered with it stays.
    #[must_use]
    pub(super) fn carrying_over(mut self, before: &Self) -> Self {
        for (id, key) in &mut self.keys {
            if let Some(same) = before.keys.get(id).filter(|old| *old == key) {
                *key = Arc::clone(same);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_usable_keys_are_listed_with_their_algorithms_and_ends() {
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let row = |id: &str, public_key: &str, expires_at| PublicKeyRow {
            id: id.to_owned(),
            public_key: public_key.to_owned(),
            algorithm: None,
            expires_at,
        };
        let now = Utc::now();
        let rows = [row("a", jwk, Some(now)), row("b", jwk, None), row("c", "{}", None)];
        let set = KeySet::of_rows(&rows, now).expect("they are few");
        let mut usable: Vec<_> = set.usable().collect();
        usable.sort();
        let end = now + TimeDelta::days(30);
        assert_eq!(usable, [("a", vec!["EdDSA"], Some(end)), ("b", vec!["EdDSA"], None)]);
    }
}
