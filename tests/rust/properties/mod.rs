//! What must hold whatever a request carries. `properties.rs` beside this folder tries it on chance's
//! inputs in `make test`, `fuzz/` on those that coverage leads to in `make fuzz`.

pub(crate) mod better_auth;
pub(crate) mod cookie_header;
pub(crate) mod jwt;
pub(crate) mod jwt_issuer;
pub(crate) mod origin_pattern;
pub(crate) mod parse_cookies;
pub(crate) mod person;
pub(crate) mod session_data;
mod wildcard;
