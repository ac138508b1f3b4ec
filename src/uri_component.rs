//! JavaScript's `decodeURIComponent`, which decodes a whole text or none of it.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The percent-decoded text, or the text itself if JavaScript would throw: for an incomplete escape,
/// or if the decoded bytes are not UTF-8.
pub(crate) fn decode(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains('%') || !has_only_whole_escapes(text.as_bytes()) {
        return text;
    }
    match percent_decode(text.as_bytes()).decode_utf8() {
        Ok(decoded) => Cow::Owned(decoded.into_owned()),
        Err(_) => text,
    }
}

fn has_only_whole_escapes(bytes: &[u8]) -> bool {
    let escapes = bytes.split(|&byte| byte == b'%').skip(1);
    escapes.into_iter().all(|rest| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit))
}
