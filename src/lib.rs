//! Who sent this request, when people sign in at a Better Auth server?
//!
//! The modules, in the order in which a request meets them:
//!
//! | | module | |
//! |---|---|---|
//! | | [`settings`] | what the operator configured, checked once |
//! | 1 | [`credentials`] | what the request presents |
//! | 2 | [`origin`] | whether the page that sent it is trusted |
//! | 3 | [`signature`] | whether Better Auth signed the token |
//! | 4 | [`cookie_cache`] | Better Auth's signed snapshot of the session |
//! | 5 | [`live_cache`] | sessions found before, kept coherent by the database's notifications |
//! | 6 | [`lookup`] | gathers requests and queries the store for all of them at once |
//! | | [`store`] | where sessions are stored |
//! | | [`identity`] | the session and its user |
//! | | [`refusal`] | why a request is refused, and what is probably wrong |
//! | | [`causes`] | finds that out from the headers of a refused request |
//! | | [`advice`] | what an operator can do about it |
//! | | [`guards`] | connections that end with their session |
//! | | [`authenticator`] | steps 1 to 4: what the headers alone decide |
//! | | [`engine`] | the whole path, and what is open |
//! | | [`diagnosis`] | facts for the doctor |
//! | | [`testing`] | what a Better Auth server signs, for tests without one |
//!
//! Everything that the headers can decide is decided synchronously; then there is at most one await.
//!
//! ```
//! use auth_middleware::authenticator::{Authenticator, Verdict};
//! use auth_middleware::cookie_cache::keys::PublicKeys;
//! use auth_middleware::credentials::{Request, Kind};
//! use auth_middleware::refusal::Reason;
//! use auth_middleware::settings::{RawSettings, Settings};
//!
//! let settings = Settings::check(RawSettings {
//!     database_url: Some("postgresql://app@localhost/app".into()),
//!     secret: Some("0123456789abcdefghijklmnopqrstuv".into()),
//!     base_url: Some("http://localhost:3000".into()),
//!     ..RawSettings::default()
//! })?;
//! let authenticator = Authenticator::new(&settings, &PublicKeys::default());
//! let headers = [(b"cookie".as_slice(), b"better-auth.session_token=forged.signature".as_slice())];
//! let verdict = authenticator.inspect(Request::new(Kind::SafeHttp, headers), chrono::Utc::now());
//! assert!(matches!(verdict, Verdict::Refused(refusal) if refusal.reason == Reason::BadSignature));
//! # Ok::<(), auth_middleware::error::Error>(())
//! ```

pub mod advice;
pub mod authenticator;
pub mod causes;
pub mod checks;
pub mod clock;
pub mod cookie_cache;
pub mod counters;
pub mod credentials;
pub mod diagnosis;
pub mod engine;
pub mod error;
pub mod guards;
pub mod identity;
pub mod jwt;
pub mod live_cache;
pub mod lookup;
pub mod origin;
pub mod process;
pub mod refusal;
pub mod settings;
pub mod signature;
pub mod store;
pub mod testing;

mod bounded_cache;
#[cfg(any(feature = "python", test))]
mod completion_queue;
mod json_fields;
mod signature_cache;
mod sync;
mod uri_component;

#[cfg(feature = "python")]
mod python;
