//! The unverified content of a JWT, for the developer who pasted it.

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::value::json;

/// The parts of a token that can be read without a key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JwtParts {
    /// How many parts there are between the dots.
    pub parts: usize,
    /// Its header, where it can be read.
    pub header: Option<Map<String, Json>>,
    /// Its claims, where they can be read.
    pub claims: Option<Map<String, Json>>,
}

/// Reads a token's parts.
#[must_use]
pub fn read(text: &str) -> JwtParts {
    let parts: Vec<&str> = text.trim().split('.').collect();
    let part = |index: usize| parts.get(index).copied().and_then(json);
    JwtParts { parts: parts.len(), header: part(0), claims: part(1) }
}
