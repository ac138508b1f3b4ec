//! What a log may show of a request.

/// How much of a hostile header is logged.
const MAX_LOGGED_CHARACTERS: usize = 120;

/// The text with everything replaced that could be taken for another line or for a terminal's commands.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .take(MAX_LOGGED_CHARACTERS)
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .collect()
}
