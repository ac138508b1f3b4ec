//! What does a JWT cost, beside the bare verification of its signature?
//!
//! `cargo bench --bench jwt`: in several rounds, so that other load on the machine affects all alike: an Ed25519 token as Better Auth issues it by default. A first-seen token may cost twice
//! what `ed25519-dalek` alone takes with a key that was decoded beforehand, and one that was seen before next to nothing.

#[path = "../../tests/rust/properties/jwt_issuer.rs"]
mod jwt_issuer;

use std::hint::black_box;
use std::time::Duration;

use auth_middleware::jwt::Outcome;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion};
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};

/// As many as benches/scenarios/tokens.py reads.
const ROUNDS: usize = 5;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let token = jwt_issuer::sign(jwt_issuer::HEADER, &jwt_issuer::claims("ada").to_string());
    let (message, signature) = token.rsplit_once('.').unwrap_or_default();
    let key: [u8; 32] = decode(jwt_issuer::PUBLIC).try_into().unwrap_or_default();
    let signature: [u8; 64] = decode(signature).try_into().unwrap_or([0; 64]);
    let key = VerifyingKey::from_bytes(&key).unwrap_or_default();
    let bare = || {
        let signature = Signature::from_bytes(black_box(&signature));
        black_box(&key).verify(black_box(message.as_bytes()), &signature).is_ok()
    };
    assert!(bare(), "the signature is good");
    let verifier = jwt_issuer::verifier();
    assert!(matches!(jwt_issuer::verify_by(&verifier, &token), Outcome::Verified(_)), "the token is good");
    for round in 0..ROUNDS {
        criterion.bench_function(&format!("jwt_bare_signature_{round}"), |run| run.iter(bare));
        criterion.bench_function(&format!("jwt_first_seen_{round}"), |run| {
            run.iter_batched_ref(
                jwt_issuer::verifier,
                |verifier| jwt_issuer::verify_by(verifier, black_box(&token)),
                BatchSize::SmallInput,
            );
        });
        criterion.bench_function(&format!("jwt_again_{round}"), |run| {
            run.iter(|| jwt_issuer::verify_by(&verifier, black_box(&token)));
        });
    }
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
}
