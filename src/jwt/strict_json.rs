//! JSON in which every reader sees the same values.
//!
//! Two parsers can read two users out of one text: where a name stands twice, one takes the first
//! member and another the last; where a number is huge, one rounds and another fails. Whatever
//! could be read in two ways is refused (RFC 8725 §2.4, RFC 7515 §4).

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, de};
use serde_json::{Map, Number, Value};

/// 2⁶³: what no 64-bit integer holds, a JSON reader rounds, wraps or refuses.
const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;

/// The members of a JSON object. None for whatever is not one, in UTF-8, whole: a name that stands
/// twice at any depth, half a surrogate pair, a number beyond 64 bits, NaN, text after the end,
/// more than 127 levels.
pub(super) fn object(text: &[u8]) -> Option<Map<String, Value>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        i64::try_from(number).map(Value::from).map_err(|_| E::custom("a number beyond 64 bits"))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        let finite = Number::from_f64(number).filter(|_| number.abs() < TOO_LARGE);
        finite.map(Value::Number).ok_or_else(|| E::custom("a number beyond 64 bits"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Self)?;
            if read.insert(name, value).is_some() {
                return Err(de::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_json_stringify_writes() {
        let text = r#"{"a":null,"b":[true,1,-2,0.5,1e3],"c":{"d":"\ud83d\ude00 \u0000"},"":"","e":-9223372036854775808}"#;
        let read = json!({"a": null, "b": [true, 1, -2, 0.5, 1e3], "c": {"d": "\u{1f600} \0"}, "": "", "e": i64::MIN});
        assert_eq!(object(text.as_bytes()).map(Value::Object), Some(read));
        assert_eq!(object(b" { } "), Some(Map::new()));
    }

    #[test]
    fn refuses_what_two_readers_could_read_in_two_ways() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"c":{},"b":2}}"#,
            r#"{"a":[{"b":1,"b":1}]}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00\ud800"}"#,
            r#"{"\ud83d":1}"#,
            r#"{"a":NaN}"#,
            r#"{"a":Infinity}"#,
            r#"{"a":1e400}"#,
            r#"{"a":-1e400}"#,
            r#"{"a":1e19}"#,
            r#"{"a":9223372036854775808}"#,
            r#"{"a":[-9223372036854775809]}"#,
            r#"{"a":123456789012345678901234567890}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":+1}"#,
            r#"{"a":0x10}"#,
            r#"{"a":1}{"a":2}"#,
            r#"{"a":1}x"#,
            r#"{"a":1,}"#,
            r"{'a':1}",
            r#"{"a":1 /* */}"#,
            "{\"a\":\"\n\"}",
            "\u{feff}{}",
            r#"["a"]"#,
            r#""a""#,
            "1",
            "null",
            "",
        ] {
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
        assert_eq!(object(b"{\"a\":\"\xed\xa0\x80\"}"), None, "a surrogate in UTF-8");
    }

    #[test]
    fn a_deep_text_does_not_exhaust_the_stack() {
        let nested = |depth| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(object(nested(100).as_bytes()).is_some());
        assert_eq!(object(nested(8000).as_bytes()), None);
    }

    #[test]
    fn a_name_that_a_reader_of_ours_gives_a_meaning_has_none() {
        // serde_json's own `Value` reads such a member's text as JSON again.
        let text = r#"{"a":{"$serde_json::private::RawValue":"{\"sub\":\"b\"}"}}"#;
        let read = json!({"a": {"$serde_json::private::RawValue": "{\"sub\":\"b\"}"}});
        assert_eq!(object(text.as_bytes()).map(Value::Object), Some(read));
    }
}
