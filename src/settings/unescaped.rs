//! Characters that end the user name or the password of a URL, unless they are percent-encoded.
//!
//! People paste generated passwords into `DATABASE_URL` without escaping them. The text after such a character would
//! be read as a host, a database or a parameter. At best the connection fails; at worst part of the password is sent
//! to a name server.

use super::database_parameters as parameters;

/// How `@`, `/`, `?` and `#` are written in a user name or password.
const ESCAPES: [(char, &str); 4] = [('@', "%40"), ('/', "%2F"), ('?', "%3F"), ('#', "%23")];
/// Parameters that can contain any text, including `@`.
pub(super) const FREE_TEXT: [&str; 9] = [
    "user",
    "password",
    "dbname",
    "database",
    "host",
    "schema",
    "options",
    "application_name",
    "sslrootcert",
];

/// The problem with a database URL's escapes, if there is one. The message contains no part of the URL.
pub(super) fn problem(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let credentials = &rest[..end_of_credentials(rest)];
    let found: Vec<_> =
        ESCAPES.into_iter().filter(|(character, _)| credentials.contains(*character)).collect();
    if found.is_empty() {
        // libpq would read it as part of the value; URL parsers drop the text after it.
        return rest.contains('#').then(|| "holds an unescaped \"#\": write it as %23".to_owned());
    }
    let list = |part: fn((char, &str)) -> String| found.iter().copied().map(part).collect::<Vec<_>>();
    Some(format!(
        "holds an unescaped {} in its user name or password: write {} instead (percent-encoded)",
        list(|(character, _)| format!("{character:?}").replace('\'', "\"")).join(" and "),
        list(|(_, escape)| escape.to_owned()).join(" and "),
    ))
}

/// The position of the `@` before the host, or 0 if there is none.
fn end_of_credentials(rest: &str) -> usize {
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let at = before_query.rfind('@');
    let is_parameter = |pair: &str| match pair.split_once('=') {
        Some((key, _)) if FREE_TEXT.contains(&key) => true,
        Some((key, _)) => at.is_some() && parameters::is_known(key),
        None => false,
    };
    let is_query = query.split('&').filter(|pair| pair.contains('@')).all(is_parameter);
    if is_query { at } else { rest.rfind('@') }.unwrap_or(0)
}
