//! `wildcardMatch` of better-auth's `utils/wildcard.mjs`. The original makes a regular expression; this
//! model matches the same parts one by one.

#[derive(Clone, Copy)]
enum Part {
    Is(char),
    /// `[^/\\]`
    Any,
    /// `[^/\\]*?`
    Run,
    /// `[/\\]+?`
    Separator,
    /// `[/\\]*?`
    OptionalSeparator,
    /// `(?:[^/\\]*?[/\\]+?)*?`
    Segments,
    /// `(?:[^/\\]*?[/\\]*?)*?`
    Everything,
}

pub(crate) fn matches(pattern: &str, sample: &str) -> bool {
    let sample: Vec<char> = sample.chars().collect();
    let parts = transform(pattern);
    // reached[at]: the previous parts can match the first `at` characters.
    let mut reached = vec![false; sample.len() + 1];
    reached[0] = true;
    for part in parts {
        reached = after(part, &reached, &sample);
    }
    reached[sample.len()]
}

fn transform(pattern: &str) -> Vec<Part> {
    let segments: Vec<&str> = pattern.split('/').collect();
    let mut parts = Vec::new();
    for (at, &segment) in segments.iter().enumerate() {
        if segment.is_empty() && at > 0 {
            continue;
        }
        let is_last = at == segments.len() - 1;
        let separator = if is_last {
            Some(Part::OptionalSeparator)
        } else if segments[at + 1] == "**" {
            None
        } else {
            Some(Part::Separator)
        };
        if segment == "**" {
            if let Some(separator) = separator {
                parts.extend((at > 0).then_some(separator));
                parts.push(if is_last { Part::Everything } else { Part::Segments });
            }
            continue;
        }
        let mut characters = segment.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => parts.extend(characters.next().map(Part::Is)),
                '?' => parts.push(Part::Any),
                '*' => parts.push(Part::Run),
                other => parts.push(Part::Is(other)),
            }
        }
        parts.extend(separator);
    }
    parts
}

/// The positions that can be reached after this part, from those before it.
fn after(part: Part, before: &[bool], sample: &[char]) -> Vec<bool> {
    let is_slash = |at: usize| sample[at] == '/' || sample[at] == '\\';
    let can = |from: usize, to: usize| {
        let mut between = from..to;
        match part {
            Part::Is(character) => to == from + 1 && sample[from] == character,
            Part::Any => to == from + 1 && !is_slash(from),
            Part::Run => between.all(|at| !is_slash(at)),
            Part::Separator => to > from && between.all(is_slash),
            Part::OptionalSeparator => between.all(is_slash),
            Part::Segments => to == from || is_slash(to - 1),
            Part::Everything => true,
        }
    };
    (0..=sample.len()).map(|to| (0..=to).any(|from| before[from] && can(from, to))).collect()
}
