//! Facts for the doctor, found by the code that identifies requests, so that the two cannot disagree.
//!
//! It explains what a configuration, a cookie or a token is. Whether a credential is accepted is decided by the
//! [engine](crate::engine), as for a request.

mod cookie;
mod effective;
mod jwt;
mod keys;
mod value;

pub use self::cookie::{CookieReport, Role, SeenCookie, read as read_cookies};
pub use self::effective::Effective;
pub use self::jwt::{JwtParts, read as read_jwt};
pub use self::keys::{KeysReport, read as read_keys};
pub use self::value::{Signers, ValueVerdict};
