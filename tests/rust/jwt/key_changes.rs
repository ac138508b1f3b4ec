//! When keys are read, how often, and what holds while they cannot be.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use auth_middleware::clock::{Clock, Moment, Uptime};
use auth_middleware::error::Error;
use auth_middleware::jwt::jwks::{
    COOL_DOWN, DEADLINE, Jwks, KeySource, MAX_AGE, MAX_AGE_IN_OUTAGE, REFRESH_AFTER,
};
use auth_middleware::jwt::key_set::KeySet;
use auth_middleware::jwt::{Outcome, Rejection, Verifier};
use auth_middleware::store::PublicKeyRow;
use serde_json::json;
use tokio::sync::Notify;

use crate::issuer::{
    ED25519, at, claims, document, encode, expected, header, hex, keys, signed, token, user_id, verifier_of,
    with,
};

/// Keys that a test changes; None is an outage.
#[derive(Default)]
struct Changing {
    keys: Mutex<Option<KeySet>>,
    readings: AtomicUsize,
    /// Readings wait for it where it is there.
    gate: Option<Notify>,
}

impl KeySource for Changing {
    async fn read(&self) -> Result<KeySet, Error> {
        self.readings.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        self.keys.lock().expect("no panic").clone().ok_or_else(|| Error::unavailable("down"))
    }
}

struct Setting {
    source: Arc<Changing>,
    verifier: Arc<Verifier>,
    jwks: Jwks,
}

impl Setting {
    fn new(source: Changing) -> Self {
        let (source, jwks) = (Arc::new(source), Jwks::default());
        tokio::spawn(jwks.clone().keep(Arc::clone(&source), Clock::default()));
        let verifier = Arc::new(Verifier::new(expected(), Duration::from_secs(15), jwks.clone()));
        Self { source, verifier, jwks }
    }

    fn with(keys: KeySet) -> Self {
        Self::new(Changing { keys: Mutex::new(Some(keys)), ..Changing::default() })
    }

    fn set(&self, keys: Option<KeySet>) {
        *self.source.keys.lock().expect("no panic") = keys;
    }

    fn readings(&self) -> usize {
        self.source.readings.load(Ordering::SeqCst)
    }

    /// Without waiting, so long from now.
    fn at_once(&self, token: &str, later: Duration) -> Outcome {
        self.verifier.verify(token, moment(later))
    }

    /// As a request does that waits for keys, where it has to.
    async fn ask(&self, token: &str, later: Duration) -> Outcome {
        match self.at_once(token, later) {
            Outcome::NeedsKeys => {
                self.verifier.keys_read().await;
                self.verifier.verify_after_reading(token, moment(Duration::ZERO))
            }
            settled => settled,
        }
    }
}

/// The tokens' own time stands still; only the keys grow old.
fn moment(later: Duration) -> Moment {
    Moment { wall: at(crate::issuer::NOW), uptime: Uptime::now().after(later) }
}

const SOON: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

fn just_before(age: Duration) -> Duration {
    age.saturating_sub(SECOND)
}

fn unknown(number: usize) -> String {
    signed(&with(header(), json!({"kid": format!("unknown {number}")})), &claims())
}

#[tokio::test]
async fn keys_are_read_once_when_they_are_first_needed() {
    let setting = Setting::with(keys());
    assert_eq!(setting.readings(), 0);
    for _ in 0..3 {
        assert_eq!(user_id(&setting.ask(&token(), SOON).await), Some("ada"));
    }
    assert_eq!(user_id(&setting.at_once(&token(), just_before(REFRESH_AFTER))), Some("ada"));
    tokio::task::yield_now().await;
    assert_eq!(setting.readings(), 1);
}

#[tokio::test]
async fn what_can_be_seen_without_keys_has_none_read() {
    let setting = Setting::with(keys());
    for token in ["", "a.b.c", &signed(&json!({"alg": "none", "kid": "ed"}), &claims())] {
        assert!(matches!(setting.at_once(token, SOON), Outcome::Rejected(_)));
    }
    tokio::task::yield_now().await;
    assert_eq!(setting.readings(), 0);
}

#[tokio::test]
async fn all_who_wait_share_one_reading() {
    let setting = Setting::new(Changing {
        keys: Mutex::new(Some(keys())),
        gate: Some(Notify::new()),
        ..Changing::default()
    });
    let mut waiting = Vec::new();
    for number in 0..50 {
        let (verifier, token) =
            (Arc::clone(&setting.verifier), [token(), unknown(number)][number % 2].clone());
        assert_eq!(verifier.verify(&token, moment(SOON)), Outcome::NeedsKeys);
        waiting.push(tokio::spawn(async move {
            verifier.keys_read().await;
            verifier.verify_after_reading(&token, moment(SOON))
        }));
    }
    tokio::task::yield_now().await;
    setting.source.gate.as_ref().expect("there is a gate").notify_one();
    for (number, outcome) in waiting.into_iter().enumerate() {
        let outcome = outcome.await.expect("no panic");
        assert_eq!(user_id(&outcome), (number % 2 == 0).then_some("ada"));
    }
    assert_eq!(setting.readings(), 1);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_one_reading_each_30_seconds() {
    let setting = Setting::with(keys());
    assert_eq!(user_id(&setting.ask(&token(), SOON).await), Some("ada"));
    for number in 0..100 {
        let outcome = setting.ask(&unknown(number), SOON).await;
        assert_eq!(outcome, Outcome::Rejected(Rejection::UnknownKey));
    }
    assert_eq!(setting.readings(), 2);
    assert_eq!(
        setting.at_once(&unknown(1), just_before(COOL_DOWN)),
        Outcome::Rejected(Rejection::UnknownKey)
    );
    assert_eq!(setting.at_once(&unknown(1), COOL_DOWN + SECOND), Outcome::NeedsKeys);
}

#[tokio::test]
async fn a_new_key_is_found_by_the_first_token_that_it_signed() {
    let setting = Setting::with(keys());
    assert_eq!(user_id(&setting.ask(&token(), SOON).await), Some("ada"));
    let mut document = document();
    document["keys"][0]["kid"] = json!("new");
    setting.set(KeySet::of_document(document.to_string().as_bytes()).ok());
    let new = signed(&with(header(), json!({"kid": "new"})), &claims());
    assert_eq!(user_id(&setting.ask(&new, SOON).await), Some("ada"));
    // The old key has left the set, and with it every token that it verified.
    assert_eq!(setting.ask(&token(), SOON).await, Outcome::Rejected(Rejection::UnknownKey));
}

#[tokio::test]
async fn a_token_is_verified_anew_when_its_key_was_replaced() {
    let setting = Setting::with(keys());
    assert_eq!(user_id(&setting.ask(&token(), SOON).await), Some("ada"));
    let mut document = document();
    document["keys"][0]["x"] = json!(encode(hex(ED25519[1].public)));
    setting.set(KeySet::of_document(document.to_string().as_bytes()).ok());
    assert_eq!(setting.ask(&unknown(0), SOON).await, Outcome::Rejected(Rejection::UnknownKey));
    assert_eq!(setting.at_once(&token(), SOON), Outcome::Rejected(Rejection::Signature));
}

#[test]
fn a_key_of_the_table_whose_time_is_over_verifies_nothing_though_it_was_read_before() {
    const DAY: i64 = 86_400;
    let now = crate::issuer::NOW;
    let row = PublicKeyRow {
        id: "ed".into(),
        public_key: document()["keys"][0].to_string(),
        algorithm: None,
        expires_at: Some(at(now - 29 * DAY)),
    };
    let verifier = verifier_of(KeySet::of_rows(&[row], at(now)).expect("there is one"));
    let token = |name: &str| signed(&header(), &with(claims(), json!({"exp": now + 9 * DAY, "name": name})));
    let verify = |token: &str, seconds: i64| verifier.verify(token, crate::issuer::moment(seconds));
    let (seen, new) = (token("seen"), token("new"));
    assert_eq!(user_id(&verify(&seen, now)), Some("ada"));
    for token in [&seen, &new] {
        assert_eq!(verify(token, now + DAY), Outcome::Rejected(Rejection::UnknownKey));
    }
    assert_eq!(user_id(&verify(&new, now + DAY - 1)), Some("ada"));
}

#[tokio::test]
async fn old_keys_are_read_again_in_the_background_and_older_ones_are_waited_for() {
    let setting = Setting::with(keys());
    assert_eq!(user_id(&setting.ask(&token(), SOON).await), Some("ada"));
    assert_eq!(user_id(&setting.at_once(&token(), REFRESH_AFTER)), Some("ada"));
    setting.verifier.keys_read().await;
    assert_eq!(setting.readings(), 2);
    setting.set(Some(KeySet::default()));
    assert_eq!(setting.at_once(&token(), MAX_AGE), Outcome::NeedsKeys);
    setting.verifier.keys_read().await;
    let outcome = setting.verifier.verify_after_reading(&token(), moment(SOON));
    assert_eq!(outcome, Outcome::Rejected(Rejection::UnknownKey));
}

#[tokio::test]
async fn in_an_outage_the_old_keys_stay_valid_for_an_hour() {
    let setting = Setting::with(keys());
    assert_eq!(user_id(&setting.ask(&token(), SOON).await), Some("ada"));
    setting.set(None);
    assert_eq!(setting.at_once(&token(), MAX_AGE), Outcome::NeedsKeys);
    setting.verifier.keys_read().await;
    assert_eq!(user_id(&setting.verifier.verify_after_reading(&token(), moment(MAX_AGE))), Some("ada"));
    // Nobody waits for the next reading to fail.
    assert_eq!(user_id(&setting.at_once(&token(), MAX_AGE)), Some("ada"));
    assert_eq!(user_id(&setting.at_once(&token(), just_before(MAX_AGE_IN_OUTAGE))), Some("ada"));
    setting.verifier.keys_read().await;
    assert!(!matches!(setting.ask(&token(), MAX_AGE_IN_OUTAGE).await, Outcome::Rejected(_)));
    let outcome = setting.verifier.verify_after_reading(&token(), moment(MAX_AGE_IN_OUTAGE));
    assert_eq!(outcome, Outcome::KeysUnavailable);
    // Whether the issuer has a key that it had not before, nobody can say.
    assert_eq!(setting.ask(&unknown(0), MAX_AGE).await, Outcome::KeysUnavailable);
    let messages = setting.jwks.take_messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].contains("down"), "{messages:?}");
}

#[tokio::test]
async fn without_any_keys_it_is_unavailable_and_recovers_by_itself() {
    let setting = Setting::new(Changing::default());
    assert_eq!(setting.ask(&token(), SOON).await, Outcome::KeysUnavailable);
    // A flood of requests has none read until a second has passed.
    for _ in 0..50 {
        assert_eq!(setting.at_once(&token(), SOON), Outcome::KeysUnavailable);
    }
    assert_eq!(setting.readings(), 1);
    setting.set(Some(keys()));
    assert_eq!(setting.at_once(&token(), SECOND + SECOND), Outcome::NeedsKeys);
    setting.verifier.keys_read().await;
    assert_eq!(user_id(&setting.at_once(&token(), SOON)), Some("ada"));
    let messages = setting.jwks.take_messages();
    assert_eq!(messages.len(), 2, "{messages:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_does_not_end_is_given_up() {
    let setting = Setting::new(Changing { gate: Some(Notify::new()), ..Changing::default() });
    let start = tokio::time::Instant::now();
    assert_eq!(setting.ask(&token(), SOON).await, Outcome::KeysUnavailable);
    assert_eq!(start.elapsed().as_secs(), DEADLINE.as_secs());
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_logged_once() {
    let mut document = document();
    document["keys"][1] =
        json!({"kid": "es512", "kty": "EC", "crv": "P-521", "alg": "ES512", "x": "AA", "y": "AA"});
    let setting = Setting::with(KeySet::of_document(document.to_string().as_bytes()).expect("keys"));
    assert_eq!(user_id(&setting.ask(&token(), SOON).await), Some("ada"));
    assert_eq!(setting.ask(&unknown(0), SOON).await, Outcome::Rejected(Rejection::UnknownKey));
    let messages = setting.jwks.take_messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].contains("es512") && messages[0].contains("P-521"), "{messages:?}");
}
