//! JWTs: what is accepted, what is not, and where the keys come from.

#![expect(clippy::expect_used, reason = "a test that panics has failed, and says where")]

#[path = "jwt/claims.rs"]
mod claims;
#[path = "jwt/forgeries.rs"]
mod forgeries;
#[path = "jwt/issuer.rs"]
mod issuer;
#[path = "jwt/key_changes.rs"]
mod key_changes;
#[path = "jwt/key_server.rs"]
mod key_server;
#[path = "jwt/key_sets.rs"]
mod key_sets;
#[path = "jwt/recorded.rs"]
mod recorded;
