//! Properties that hold for every request. `main.rs` tests them with random inputs in `make test`, and `fuzz/` with
//! coverage-guided inputs in `make fuzz`.

#[path = "../../../dev/rust/better_auth_cookies.rs"]
pub(crate) mod better_auth_cookies;
pub(crate) mod cookie_header;
pub(crate) mod jwt;
pub(crate) mod jwt_issuer;
pub(crate) mod origin_pattern;
pub(crate) mod parse_cookies;
pub(crate) mod person;
pub(crate) mod session_data;
mod wildcard;
