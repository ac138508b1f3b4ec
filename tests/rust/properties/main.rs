//! Properties that hold for every request, tested with random inputs.
//!
//! `PROPTEST_CASES=100000 cargo test --test properties` tries more inputs. `make fuzz` runs the same functions.

mod inputs;
#[path = "mod.rs"]
mod properties;
mod strangers;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use inputs::{
    data_piece, form, header, hole, json, jwt_piece, misshapen_payload, pattern_piece, person, url, url_piece,
};
use properties::better_auth_cookies::Form;
use properties::person::Person;
use properties::{cookie_header, jwt, jwt_issuer, origin_pattern, session_data};

proptest! {
    #![proptest_config(cases(1))]

    #[test]
    fn every_fuzz_input_is_handled(data in vec(any::<u8>(), 0..200)) {
        cookie_header::on_bytes(&data);
        session_data::on_bytes(&data);
        origin_pattern::on_bytes(&data);
        jwt::on_bytes(&data);
    }

    #[test]
    fn cookies_that_better_auth_writes_are_read(form in form(), person in person()) {
        session_data::reads_what_better_auth_writes(form, &person);
    }

    #[test]
    fn a_cookie_with_one_changed_bit_is_refused(form in form(), person in person(), bit in any::<Index>()) {
        session_data::refuses_one_changed_bit(form, &person, bit.index(1 << 20));
    }

    #[test]
    fn session_data_of_another_session_or_version_or_expired_is_not_used(
        form in form(), person in person(), another in person(),
    ) {
        session_data::queries_the_store_if_the_cookie_is_not_valid(form, &person, &another);
    }

    #[test]
    fn malformed_session_data_never_returns_another_user(form in form(), payload in misshapen_payload()) {
        session_data::identifies_only_the_user_of_the_snapshot(form, &payload);
    }

    #[test]
    fn unsigned_session_data_is_not_used(form in form(), data in vec(data_piece(), 0..8)) {
        session_data::refuses_unsigned_data(form, data.concat().as_bytes());
    }
}

proptest! {
    #![proptest_config(cases(4))]

    #[test]
    fn whatever_jwt_better_auth_writes_is_read(id in "[a-zA-Z0-9-]{1,64}", members in json()) {
        jwt::accepts_what_better_auth_writes(&id, &members);
    }

    #[test]
    fn a_jwt_of_any_header_or_claims_names_nobody_else(text in vec(jwt_piece(), 0..12)) {
        let text = text.concat();
        jwt::reads_only_what_it_says(&format!("{{{text}}}"), &jwt_issuer::claims("ada").to_string());
        jwt::reads_only_what_it_says(jwt_issuer::HEADER, &format!("{{{text}}}"));
        jwt::accepts_only_what_was_signed(&text);
    }

    #[test]
    fn a_jwt_that_is_changed_anywhere_is_refused(at in any::<Index>(), piece in jwt_piece(), cut in 0_usize..4) {
        jwt::accepts_no_edit(at.index(1 << 16), cut, &piece);
    }
}

// These are fast.
proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn every_cookie_header_is_parsed_as_by_better_auth(lines in vec(header(), 1..3)) {
        cookie_header::finds_what_better_auth_finds(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }

    #[test]
    fn a_pattern_trusts_the_same_urls_as_in_better_auth(
        pattern in vec(pattern_piece(), 0..7), url in vec(url_piece(), 0..7),
    ) {
        origin_pattern::trusts_what_better_auth_trusts(&pattern.concat(), &url.concat());
    }

    #[test]
    fn a_pattern_made_from_a_url_trusts_the_same_urls_as_in_better_auth(url in url(), holes in vec(hole(), 0..3)) {
        let mut pattern = url.clone();
        for (at, length, wildcard) in holes {
            let from = at.index(pattern.len() + 1);
            pattern.replace_range(from..(from + length).min(pattern.len()), wildcard);
        }
        origin_pattern::trusts_what_better_auth_trusts(&pattern, &url);
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn a_pattern_that_is_accepted_trusts_no_stranger(
        pattern in vec(strangers::pattern_piece(), 1..7), fills in vec(strangers::fill(), 1..4),
    ) {
        strangers::trusts_no_stranger(&pattern.concat(), &fills);
    }
}

fn cases(times: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: times * usual.cases, failure_persistence: None, ..usual }
}

#[test]
fn every_changed_bit_of_a_cookie_is_refused() {
    let person =
        Person::from_lines("YpzT0Yk3nW5v\nsession\nuser\nAda\nAda@example.com\n\n::1\ncurl\nadmin\n41.5\n");
    for form in Form::ALL {
        session_data::reads_what_better_auth_writes(form, &person);
        for bit in 0..12_000 {
            session_data::refuses_one_changed_bit(form, &person, bit);
        }
    }
}

/// An imprecise number parser loses the last bit of the first number.
#[test]
fn numbers_are_read_exactly() {
    for number in
        [8.203_222_676_764_815e-192, -0.0, 9_007_199_254_740_993.0, 1.234_567_890_123_456_8e18, 1e21]
    {
        let mut person = Person::from_lines("token");
        person.user_own[0] = Some(number.into());
        for form in Form::ALL {
            session_data::reads_what_better_auth_writes(form, &person);
        }
    }
}
