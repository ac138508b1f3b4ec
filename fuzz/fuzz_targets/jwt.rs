#![no_main]

#[path = "../../tests/rust/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::jwt::on_bytes(data));
