//! Field masks as JSON: a comma list in lowerCamelCase.

/// Returns the mask of a list; a list that no mask spells so is none.
pub(crate) fn parse(text: &str) -> Option<prost_types::FieldMask> {
    if text.is_empty() {
        return Some(prost_types::FieldMask::default());
    }
    let paths: Option<Vec<_>> = text.split(',').map(snake).collect();
    Some(prost_types::FieldMask { paths: paths? })
}

/// Returns the list of a mask; a path that would not read back has none.
pub(crate) fn format(mask: &prost_types::FieldMask) -> Option<String> {
    let paths: Option<Vec<_>> = mask.paths.iter().map(|path| camel(path)).collect();
    Some(paths?.join(","))
}

fn snake(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len() + 4);
    for letter in path.chars() {
        match letter {
            '_' => return None,
            'A'..='Z' => out.extend(['_', letter.to_ascii_lowercase()]),
            other => out.push(other),
        }
    }
    Some(out)
}

fn camel(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '_' => out.push(letters.next().filter(char::is_ascii_lowercase)?.to_ascii_uppercase()),
            'A'..='Z' | ',' => return None,
            other => out.push(other),
        }
    }
    Some(out)
}
