//! Columns whose changes alone are not notified: those that an application updates with each request.

use std::collections::BTreeMap;

use super::super::problem::Model;
use super::super::schema::Schema;
use super::super::table::{FoundTable, quote};
use super::{Check, Finding};
use crate::error::Error;
use crate::settings::{Tables, spellings};

/// Whose change decides who is signed in, and until when.
const SESSION_ESSENTIALS: [&str; 4] = ["id", "token", "user_id", "expires_at"];
const USER_ESSENTIALS: [&str; 3] = ["id", "banned", "ban_expires"];
/// Read, but ORMs update it together with any other column.
const MAY_BE_STALE: &str = "updated_at";

const SYNTAX: &str = "write --ignoring session.lastActivityAt, and separate several columns by commas; names with a comma in double quotes";

/// The ignored columns of both tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Ignoring {
    user: Option<IgnoredColumns>,
    session: Option<IgnoredColumns>,
}

/// The ignored columns of one table, and all its others, each in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct IgnoredColumns {
    pub(super) ignored: Vec<String>,
    pub(super) compared: Vec<String>,
}

/// Columns of a table that must not be ignored.
#[derive(Debug)]
pub(in super::super) struct Protected {
    table: String,
    /// For every application.
    essential: Vec<String>,
    /// Columns that this application reads, with the fields that they fill.
    read: Vec<(String, String)>,
}

impl Ignoring {
    /// Finds the columns that an operator listed, in the spelling of the database or of Better Auth's fields.
    ///
    /// # Errors
    /// [`Error::Configuration`] if a column does not exist, or must not be ignored.
    pub(in super::super) fn resolve(
        lists: &[String],
        schema: &Schema,
        settings: &Tables,
        check: &Check,
        finding: &Finding,
    ) -> Result<Self, Error> {
        let (mut user, mut session) = (Vec::new(), Vec::new());
        for list in lists {
            for (table, column) in parse(list)? {
                let (model, found, renamed, columns) = if table == "session" {
                    (Model::Session, &schema.session, &settings.session.columns, &mut session)
                } else if table == "user" {
                    (Model::User, &schema.user, &settings.user.columns, &mut user)
                } else if table == schema.session.name {
                    (Model::Session, &schema.session, &settings.session.columns, &mut session)
                } else if table == schema.user.name {
                    (Model::User, &schema.user, &settings.user.columns, &mut user)
                } else {
                    return Err(refused(&format!(
                        "{table}.{column} is in neither the session table nor the user table: {SYNTAX}"
                    )));
                };
                let existing = finding.columns(model);
                let column = find(&column, renamed, existing).ok_or_else(|| {
                    let table = found.quoted_name();
                    refused(&format!("{table} has no column {column}; it has {}", existing.join(", ")))
                })?;
                if let Some(why) = check.protected(model).and_then(|protected| protected.refusal(&column)) {
                    return Err(refused(&why));
                }
                columns.push(column);
            }
        }
        let split = |model, named: Vec<String>| IgnoredColumns::of(&named, finding.columns(model));
        Ok(Self { user: split(Model::User, user), session: split(Model::Session, session) })
    }

    pub(super) fn of(&self, model: Model) -> Option<&IgnoredColumns> {
        if model == Model::User { self.user.as_ref() } else { self.session.as_ref() }
    }

    pub(super) fn set(&mut self, model: Model, columns: IgnoredColumns) {
        *(if model == Model::User { &mut self.user } else { &mut self.session }) = Some(columns);
    }

    /// The columns as an operator names them.
    pub(in super::super) fn names(&self) -> Vec<String> {
        let named = [("session", &self.session), ("user", &self.user)];
        let columns = |(table, columns): (&str, &Option<IgnoredColumns>)| {
            let ignored = columns.iter().flat_map(|columns| &columns.ignored);
            ignored.map(|column| format!("{table}.{}", written(column))).collect::<Vec<_>>()
        };
        named.into_iter().flat_map(columns).collect()
    }
}

impl IgnoredColumns {
    fn of(named: &[String], existing: &[String]) -> Option<Self> {
        let (ignored, compared) = existing.iter().cloned().partition(|column| named.contains(column));
        Some(Self { ignored, compared }).filter(|columns| !columns.ignored.is_empty())
    }

    /// One line for the comment at the beginning of the function.
    pub(super) fn header(&self) -> String {
        serde_json::json!([self.ignored, self.compared]).to_string()
    }

    /// Reads that line.
    pub(super) fn read(source: &str) -> Option<Self> {
        let (ignored, compared) = serde_json::from_str(source.lines().next()?).ok()?;
        Some(Self { ignored, compared }).filter(|columns| !columns.ignored.is_empty())
    }

    /// Whether these are all columns of the table.
    pub(super) fn compares_all_but_ignored(&self, existing: &[String]) -> bool {
        existing.iter().filter(|column| !self.ignored.contains(column)).eq(&self.compared)
    }
}

impl Protected {
    pub(super) fn of(model: Model, table: &FoundTable) -> Self {
        let fields: &[&str] = if model == Model::User { &USER_ESSENTIALS } else { &SESSION_ESSENTIALS };
        // A table without bans, or with columns for them that cannot be read, may get others.
        let names = |field: &&str| {
            if table.has(field) { vec![table.column_name(field).to_owned()] } else { spellings(field) }
        };
        let essential: Vec<String> = fields.iter().flat_map(names).collect();
        let read = table.columns.iter().filter(|column| column.field != MAY_BE_STALE);
        let read = read.map(|column| (column.name.clone(), column.field.clone()));
        Self { table: table.quoted_name(), essential, read: read.collect() }
    }

    pub(super) fn forget_fields(&mut self) {
        self.read.clear();
    }

    /// Why no application may ignore this column, if it may not.
    fn refusal(&self, column: &str) -> Option<String> {
        self.essential.iter().any(|essential| essential == column).then(|| {
            format!(
                "changes of {}.{} must be notified: they decide who is signed in (session: id, token, user id and \
                 expiry; user: id, ban and its end)",
                self.table,
                quote(column)
            )
        })
    }

    /// Why this application cannot work with triggers that ignore these columns, if it cannot.
    pub(super) fn refusal_at_start(&self, ignored: &[String]) -> Option<String> {
        const RUN: &str = "run python -m auth_middleware migrate live --ignoring again, without this column";
        let essential = ignored.iter().find_map(|column| self.refusal(column));
        let read = || {
            let (column, field) = self.read.iter().find(|(column, _)| ignored.contains(column))?;
            Some(format!(
                "the triggers ignore changes of {}.{}, which the model's field {field} reads: its value would be stale",
                self.table,
                quote(column)
            ))
        };
        essential.or_else(read).map(|why| format!("freshness \"live\": {why}. To fix it, {RUN}"))
    }
}

fn refused(why: &str) -> Error {
    Error::configuration(format!("--ignoring: {why}"))
}

/// The column of this name: as it stands, renamed by the settings, or in the other spelling.
fn find(name: &str, renamed: &BTreeMap<String, String>, existing: &[String]) -> Option<String> {
    let exists = |column: &String| existing.contains(column);
    let field = snake_case(name);
    let by_setting =
        renamed.iter().find(|(key, _)| snake_case(key) == field).map(|(_, column)| column.clone());
    let names = [name.to_owned()].into_iter().chain(by_setting).chain(spellings(&field));
    names.into_iter().find(exists)
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The name as [`parse`] reads it.
fn written(name: &str) -> String {
    let is_plain = !name.contains(',') && !name.starts_with('"') && name.trim() == name;
    if is_plain { name.to_owned() } else { quote(name) }
}

/// Tables and columns from `session.lastActivityAt,user."odd, name"`.
fn parse(list: &str) -> Result<Vec<(String, String)>, Error> {
    let wrong = || refused(&format!("{list:?} is not a list of columns: {SYNTAX}"));
    let mut rest = list;
    let mut columns = Vec::new();
    loop {
        let (table, after) = name(rest, &['.', ',']).ok_or_else(wrong)?;
        let (column, after) =
            after.strip_prefix('.').and_then(|column| name(column, &[','])).ok_or_else(wrong)?;
        columns.push((table, column));
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(columns),
            None => return Err(wrong()),
        }
    }
}

/// A name up to one of these ends, or in double quotes, and what follows it.
fn name<'a>(text: &'a str, ends: &[char]) -> Option<(String, &'a str)> {
    let text = text.trim_start();
    let Some(mut quoted) = text.strip_prefix('"') else {
        let (name, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
        return Some((name.trim_end().to_owned(), rest)).filter(|(name, _)| !name.is_empty());
    };
    let mut name = String::new();
    loop {
        let (part, rest) = quoted.split_once('"')?;
        name += part;
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                quoted = more;
            }
            None => return Some((name, rest.trim_start())).filter(|(name, _)| !name.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_is_written() {
        let pairs = |list: &str| parse(list).expect("it is a list");
        let pair = |table: &str, column: &str| (table.to_owned(), column.to_owned());
        assert_eq!(pairs("session.lastActivityAt"), [pair("session", "lastActivityAt")]);
        assert_eq!(pairs(" session.a , user.b"), [pair("session", "a"), pair("user", "b")]);
        assert_eq!(
            pairs(r#"session."odd, ""name""" ,user.b"#),
            [pair("session", "odd, \"name\""), pair("user", "b")]
        );
        assert_eq!(pairs("user.être.là"), [pair("user", "être.là")]);
        for column in ["plain", "we\"ird", "\"quoted\"", "with, comma", " spaced ", "Ünïcode", "line\nfeed"]
        {
            assert_eq!(pairs(&format!("session.{}", written(column))), [pair("session", column)]);
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for list in [
            "",
            " ",
            ",",
            "session",
            "session.",
            ".a",
            "session.a,",
            "session.a,,session.b",
            "lastActivityAt",
        ] {
            assert!(parse(list).is_err(), "{list:?}");
        }
        for list in [r#"session."a"#, r#"session."a"b"#, r#""session"x.a"#, r#"session."""#] {
            assert!(parse(list).is_err(), "{list:?}");
        }
    }

    #[test]
    fn a_column_is_found_in_either_spelling_and_renamed() {
        let existing = ["lastActivityAt", "seen_at", "touched", "Ünïcode"].map(String::from);
        let renamed = BTreeMap::from([("updated_at".to_owned(), "touched".to_owned())]);
        let found = |name| find(name, &renamed, &existing);
        assert_eq!(found("last_activity_at").as_deref(), Some("lastActivityAt"));
        assert_eq!(found("lastActivityAt").as_deref(), Some("lastActivityAt"));
        assert_eq!(found("seenAt").as_deref(), Some("seen_at"));
        assert_eq!(found("updatedAt").as_deref(), Some("touched"));
        assert_eq!(found("updated_at").as_deref(), Some("touched"));
        assert_eq!(found("Ünïcode").as_deref(), Some("Ünïcode"));
        assert_eq!(found("unknown"), None);
    }

    #[test]
    fn a_header_is_read_as_it_is_written() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let columns = IgnoredColumns {
            ignored: names(&["line\nfeed", "a\"b"]),
            compared: names(&["$body$", "\u{2028}", "--", "\\"]),
        };
        assert_eq!(IgnoredColumns::read(&format!("{}\nDECLARE", columns.header())), Some(columns.clone()));
        assert!(!columns.header().contains('\n'));
        assert_eq!(IgnoredColumns::read("[[],[\"id\"]]\n"), None);
        assert_eq!(IgnoredColumns::read("nothing"), None);
    }
}
