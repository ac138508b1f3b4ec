//! Compares the user id that a session names with the ids of users.
//!
//! The two columns may have different types. A cast that loses something (`'12'::character(1)`, `1.5::integer`)
//! would join a session to another user's row, so such pairs are refused, and no cast here carries a length:
//! `bpchar` is `character` without one. As a second guard, [`IdJoin::is_same`] compares the two ids of each row
//! that was read.

use super::catalog::CatalogColumn;

/// The type of an id column, as far as comparing it needs to know. A domain has the type that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum IdType {
    /// `text`, and `varchar` of any length.
    Text,
    /// `char` of any length: trailing spaces do not count.
    PaddedText,
    /// `citext`, `name`, enums: their text says all.
    OtherText,
    Uuid,
    Integer,
    Numeric,
    /// Compared by its text, without an index: `double precision`, for one.
    Other,
}

const TEXT: &str = "::pg_catalog.text";

/// How the joined ids compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdJoin {
    /// A cast of `user.id`: nothing, wherever its index can serve.
    pub(super) user_cast: &'static str,
    /// A cast of `session.user_id`, or nothing.
    pub(super) session_cast: &'static str,
    form: Form,
}

/// Which texts mean the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    PaddedText,
    Uuid,
    Number,
}

impl IdJoin {
    /// How `session.user_id` is compared with `user.id`; None where PostgreSQL would have to lose something, or
    /// cannot compare the two at all.
    pub(super) fn between(session_user_id: &CatalogColumn, user_id: &CatalogColumn) -> Option<Self> {
        use IdType::{Integer, Numeric, Other, OtherText, PaddedText, Text, Uuid};
        let is_same_type = session_user_id.qualified_type == user_id.qualified_type;
        if !is_same_type && user_id.has_domain_length {
            return None;
        }
        let join = |session_cast, form| Some(Self { user_cast: "", session_cast, form });
        match (IdType::of(user_id), IdType::of(session_user_id)) {
            (_, Other) | (Other, _) => Some(Self { user_cast: TEXT, session_cast: TEXT, form: Form::Text }),
            (Text | OtherText, _) => join(TEXT, Form::Text),
            (PaddedText, PaddedText) => join("", Form::PaddedText),
            (PaddedText, _) => join("::pg_catalog.text::pg_catalog.bpchar", Form::PaddedText),
            (Uuid, Uuid) => join("", Form::Uuid),
            (Uuid, Text | PaddedText | OtherText) => join("::pg_catalog.text::pg_catalog.uuid", Form::Uuid),
            (Integer, Integer) | (Numeric, Numeric) => join("", Form::Number),
            (Integer, Text | PaddedText | OtherText) => {
                join("::pg_catalog.text::pg_catalog.int8", Form::Number)
            }
            (Numeric, Integer) => join("::pg_catalog.numeric", Form::Number),
            (Numeric, Text | PaddedText | OtherText) => {
                join("::pg_catalog.text::pg_catalog.numeric", Form::Number)
            }
            (Uuid, Integer | Numeric) | (Integer, Uuid | Numeric) | (Numeric, Uuid) => None,
        }
    }

    /// How a text that names a user is compared with `user.id`.
    pub(super) fn with_text(user_id: &CatalogColumn) -> Self {
        let (user_cast, session_cast, form) = match IdType::of(user_id) {
            IdType::Other => (TEXT, TEXT, Form::Text),
            IdType::Text | IdType::OtherText => ("", TEXT, Form::Text),
            IdType::PaddedText => ("", "::pg_catalog.bpchar", Form::PaddedText),
            IdType::Uuid => ("", "::pg_catalog.uuid", Form::Uuid),
            IdType::Integer => ("", "::pg_catalog.int8", Form::Number),
            IdType::Numeric => ("", "::pg_catalog.numeric", Form::Number),
        };
        Self { user_cast, session_cast, form }
    }

    /// Whether the id that the session names is the user's, both as PostgreSQL writes them.
    pub(super) fn is_same(self, named: &str, id: &str) -> bool {
        if named == id {
            return true;
        }
        match self.form {
            Form::Text => false,
            Form::PaddedText => named.trim_end_matches(' ') == id.trim_end_matches(' '),
            Form::Uuid => uuid(named).is_some_and(|digits| Some(digits) == uuid(id)),
            Form::Number => number(named).is_some_and(|digits| Some(digits) == number(id)),
        }
    }
}

impl IdType {
    fn of(column: &CatalogColumn) -> Self {
        match column.base_type.as_str() {
            "text" | "varchar" => Self::Text,
            "bpchar" => Self::PaddedText,
            "uuid" => Self::Uuid,
            "int2" | "int4" | "int8" => Self::Integer,
            "numeric" => Self::Numeric,
            _ if column.is_text() || column.is_enum() => Self::OtherText,
            _ => Self::Other,
        }
    }
}

/// The digits of a uuid, which PostgreSQL reads in either case, with or without hyphens and braces.
fn uuid(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | '{' | '}')).collect();
    let is_uuid = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_uuid.then(|| digits.to_ascii_lowercase())
}

/// A decimal number without what does not change it: spaces around it, a plus, zeros at both ends.
fn number(text: &str) -> Option<(bool, &str, &str)> {
    let text = text.trim_ascii();
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = !(whole.is_empty() && fraction.is_empty())
        && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let is_zero = whole.is_empty() && fraction.is_empty();
    is_number.then_some((is_negative && !is_zero, whole, fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(form: Form, named: &str, id: &str) -> bool {
        IdJoin { user_cast: "", session_cast: "", form }.is_same(named, id)
    }

    #[test]
    fn text_is_compared_exactly() {
        assert!(same(Form::Text, "12", "12"));
        for (named, id) in [("12", "1"), ("u1", "U1"), ("u1", "u1 "), ("042", "42"), ("", " ")] {
            assert!(!same(Form::Text, named, id), "{named:?} {id:?}");
        }
    }

    #[test]
    fn trailing_spaces_of_padded_text_do_not_count() {
        assert!(same(Form::PaddedText, "12", "12  "));
        assert!(!same(Form::PaddedText, "12", "1"));
        assert!(!same(Form::PaddedText, "12", " 12"));
    }

    #[test]
    fn a_uuid_has_several_spellings() {
        const ID: &str = "4f9c4a1e-7d0f-4b61-9f0f-6c1f0a3b2d11";
        for spelling in [ID.to_uppercase(), ID.replace('-', ""), format!("{{{ID}}}")] {
            assert!(same(Form::Uuid, &spelling, ID), "{spelling}");
        }
        assert!(!same(Form::Uuid, &ID.replace("11", "12"), ID));
        assert!(!same(Form::Uuid, "", "-"));
    }

    #[test]
    fn a_number_has_several_spellings() {
        for (named, id) in
            [("042", "42"), (" 42 ", "42"), ("+42", "42"), ("42.00", "42"), ("-0", "0"), ("0.50", ".5")]
        {
            assert!(same(Form::Number, named, id), "{named:?} {id:?}");
        }
        for (named, id) in [
            ("42.5", "42"),
            ("-42", "42"),
            ("420", "42"),
            ("4 2", "42"),
            ("", "0"),
            ("0x2A", "42"),
            (".", "0"),
        ] {
            assert!(!same(Form::Number, named, id), "{named:?} {id:?}");
        }
    }
}
