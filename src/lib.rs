//! Who sent this request, when people sign in at a Better Auth server?
//!
//! The modules stand in the order in which a request meets them:
//!
//! | | module | answers |
//! |---|---|---|
//! | | [`settings`] | what the operator configured, checked once |
//! | 1 | [`credentials`] | what does the request show? |
//! | 2 | [`origin`] | may a page from there speak for this user? |
//! | 3 | [`signature`] | did Better Auth sign this token? |
//! | 4 | [`cookie_cache`] | does a signed snapshot tell, and may it be believed? |
//! | 5 | [`live_cache`] | who was it, and has the database told of no change since? |
//! | 6 | [`lookup`] | gathers what waits, asks once, answers each |
//! | | [`store`] | what does the database say of the token? |
//! | | [`identity`] | the session and its user |
//! | | [`authenticator`] | the whole way as one story |
//!
//! Everything that headers alone can tell is decided synchronously; then at most one await.
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

pub mod authenticator;
pub mod clock;
pub mod cookie_cache;
pub mod credentials;
pub mod error;
pub mod identity;
pub mod jwt;
pub mod live_cache;
pub mod lookup;
pub mod origin;
pub mod refusal;
pub mod settings;
pub mod signature;
pub mod store;

mod signature_cache;
mod uri_component;

#[cfg(feature = "python")]
mod python;
