//! The path of a request through the engine, with sessions in memory.

use std::sync::Arc;
use std::time::Duration;

use auth_middleware::authenticator::Verdict;
use auth_middleware::credentials::{Kind, Request};
use auth_middleware::engine::{Decision, Engine};
use auth_middleware::error::Error;
use auth_middleware::identity::{Identity, Session, User};
use auth_middleware::refusal::Reason;
use auth_middleware::settings::{RawSettings, Secret, Settings};
use auth_middleware::signature::Keys;
use auth_middleware::store::LookupKey;
use auth_middleware::store::Source;
use auth_middleware::store::memory::MemoryStore;
use chrono::{TimeDelta, Utc};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

fn signed(token: &str) -> String {
    let keys = Keys::new(&[Secret::new(SECRET)]);
    keys.sign(token).unwrap_or_else(|| panic!("{token:?} cannot be signed"))
}

fn session(token: &str, valid_for: TimeDelta) -> Identity {
    let token = Keys::new(&[Secret::new(SECRET)]).verify(&signed(token));
    let Some(token) = token else { panic!("its signature is good") };
    let user = User {
        id: format!("user of {}", token.as_str()),
        name: Some("Ada".into()),
        email: Some("ada@example.com".into()),
        email_verified: true,
        image: None,
        created_at: None,
        updated_at: None,
        ban: None,
        own: Vec::new(),
    };
    let session = Session {
        id: format!("session of {}", token.as_str()),
        user_id: user.id.clone(),
        token,
        expires_at: Utc::now() + valid_for,
        ip_address: None,
        user_agent: None,
        created_at: None,
        updated_at: None,
        own: Vec::new(),
    };
    Identity { session: Some(session), user }
}

fn engine(freshness: &str, runtime: fn() -> Result<Handle, Error>) -> (Engine, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new([
        session("ada", TimeDelta::hours(1)),
        session("bob", TimeDelta::hours(1)),
        session("expired", TimeDelta::seconds(-1)),
    ]));
    let settings = Settings::check(RawSettings {
        database_url: Some("postgresql://app@localhost/app".into()),
        secret: Some(SECRET.into()),
        base_url: Some("http://localhost:3000".into()),
        freshness: Some(freshness.into()),
        ..RawSettings::default()
    });
    let engine =
        settings.and_then(|settings| Engine::new(settings, Source::Memory(Arc::clone(&store)), runtime));
    (engine.unwrap_or_else(|error| panic!("{error}")), store)
}

fn ours() -> Result<Handle, Error> {
    Handle::try_current().map_err(|error| Error::unavailable_because("there is no runtime", error))
}

fn none() -> Result<Handle, Error> {
    Err(Error::unavailable("there are no threads"))
}

fn inspect(engine: &Engine, cookie: &str) -> Result<Verdict, Error> {
    let cookie = format!("better-auth.session_token={cookie}");
    let headers = [(b"cookie".as_slice(), cookie.as_bytes())];
    engine.inspect(Request::new(Kind::SafeHttp, headers)).verdict
}

fn token(verdict: Result<Verdict, Error>) -> LookupKey {
    match verdict {
        Ok(Verdict::Lookup(token)) => token,
        other => panic!("{other:?}"),
    }
}

async fn look_up(engine: &Engine, token: &LookupKey) -> Decision {
    let (sender, decision) = oneshot::channel();
    let pending = engine.look_up(token, |decision| {
        let _gone = sender.send(decision);
    });
    if let Some(lookup) = pending.unwrap_or_else(|error| panic!("{error}")).to_send {
        lookup.send();
    }
    decision.await.unwrap_or_else(|error| panic!("{error}"))
}

fn user_id(decision: Decision) -> Result<String, Reason> {
    match decision {
        Ok(Ok(identity)) => Ok(identity.user.id.clone()),
        Ok(Err(refusal)) => Err(refusal.reason),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_token_is_looked_up_and_decided() {
    let (engine, store) = engine("always", ours);
    for (name, expected) in [
        ("ada", Ok("user of ada".to_owned())),
        ("bob", Ok("user of bob".to_owned())),
        ("expired", Err(Reason::Expired)),
        ("signed out", Err(Reason::UnknownSession)),
    ] {
        let token = token(inspect(&engine, &signed(name)));
        assert_eq!(user_id(look_up(&engine, &token).await), expected);
    }
    assert_eq!(store.lookups(), 4);
}

#[tokio::test]
async fn a_request_refused_for_its_headers_opens_nothing() {
    let (engine, store) = engine("always", none);
    for (cookie, reason) in [("", Reason::NoCookie), ("ada.forged", Reason::BadSignature)] {
        assert!(
            matches!(inspect(&engine, cookie), Ok(Verdict::Refused(refusal)) if refusal.reason == reason)
        );
    }
    let token = token(inspect(&engine, &signed("ada")));
    assert!(matches!(engine.look_up(&token, drop), Err(Error::Unavailable { .. })));
    assert_eq!(store.lookups(), 0);
}

#[tokio::test]
async fn a_cache_identifies_until_it_is_closed() {
    let (engine, store) = engine("60", ours);
    let ada = token(inspect(&engine, &signed("ada")));
    assert_eq!(user_id(look_up(&engine, &ada).await), Ok("user of ada".into()));
    assert!(
        matches!(inspect(&engine, &signed("ada")), Ok(Verdict::Known(identity)) if identity.user.id == "user of ada")
    );
    assert!(matches!(engine.inspect_value(&signed("ada")).verdict, Ok(Verdict::Known(_))));
    assert!(matches!(inspect(&engine, &signed("bob")), Ok(Verdict::Lookup(_))));
    assert_eq!((engine.cache_size().0, store.lookups()), (1, 1));
    engine.close();
    assert_eq!(engine.cache_size(), (0, 0));
    assert!(matches!(inspect(&engine, &signed("ada")), Ok(Verdict::Lookup(_))));
}

#[tokio::test]
async fn a_route_that_needs_the_current_state_skips_the_cache() {
    let (engine, store) = engine("60", ours);
    let ada = token(inspect(&engine, &signed("ada")));
    for queries in 1..4 {
        assert!(look_up(&engine, &ada).await.is_ok());
        assert_eq!(store.lookups(), queries);
        let cookie = format!("better-auth.session_token={}", signed("ada"));
        let headers = [(b"cookie".as_slice(), cookie.as_bytes())];
        assert_eq!(token(engine.inspect_for_store(Request::new(Kind::SafeHttp, headers)).verdict), ada);
    }
}

#[tokio::test]
async fn opening_a_store_in_memory_needs_no_database() {
    for freshness in ["always", "60", "cookie_cache"] {
        let (engine, _) = engine(freshness, ours);
        assert!(engine.open(true).await.is_ok_and(|warnings| warnings.is_empty()));
    }
}

#[tokio::test]
async fn a_moved_clock_expires_sessions_and_what_is_cached() {
    const HALF_AN_HOUR: Duration = Duration::from_secs(1800);
    let (engine, store) = engine("60", ours);
    let ada = token(inspect(&engine, &signed("ada")));
    assert!(look_up(&engine, &ada).await.is_ok());
    assert!(matches!(inspect(&engine, &signed("ada")), Ok(Verdict::Known(_))));
    store.advance(HALF_AN_HOUR);
    assert_eq!(token(inspect(&engine, &signed("ada"))), ada);
    assert_eq!(user_id(look_up(&engine, &ada).await), Ok("user of ada".into()));
    assert!(
        matches!(inspect(&engine, &signed("ada")), Ok(Verdict::Known(_))),
        "the age counts from the lookup"
    );
    store.advance(HALF_AN_HOUR);
    assert_eq!(user_id(look_up(&engine, &ada).await), Err(Reason::Expired));
    assert!(engine.now().wall > Utc::now() + TimeDelta::minutes(59));
}

#[tokio::test]
async fn live_with_a_store_in_memory_evicts_what_changes_and_trusts_nothing_in_an_outage() {
    let (engine, store) = engine("live", ours);
    assert!(engine.open(false).await.is_ok());
    let ada = token(inspect(&engine, &signed("ada")));
    let is_known = || matches!(inspect(&engine, &signed("ada")), Ok(Verdict::Known(_)));
    assert!(look_up(&engine, &ada).await.is_ok());
    assert!(is_known());
    let LookupKey::Session(session_token) = &ada else { panic!("{ada:?}") };
    store.remove_session(session_token);
    assert!(!is_known());
    assert_eq!(user_id(look_up(&engine, &ada).await), Err(Reason::UnknownSession));

    store.insert(session("ada", TimeDelta::hours(1)));
    assert!(look_up(&engine, &ada).await.is_ok());
    assert!(is_known());
    store.set_unavailable(true);
    assert!(!is_known());
    assert!(look_up(&engine, &ada).await.is_err());
    store.set_unavailable(false);
    assert!(look_up(&engine, &ada).await.is_ok());
    assert!(is_known());
    store.remove_user("user of ada");
    assert_eq!(user_id(look_up(&engine, &ada).await), Err(Reason::UnknownUser));
    // A cache that was closed follows no more, and the next one does.
    engine.close();
    store.insert(session("ada", TimeDelta::hours(1)));
    let _opens_again = inspect(&engine, &signed("ada"));
    assert!(look_up(&engine, &ada).await.is_ok());
    assert!(is_known());
}
