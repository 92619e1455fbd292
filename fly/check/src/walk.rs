//! Goes through a file beside the tree of keys.

use toml::{Table, Value};

use crate::{
    Faults,
    kind::Kind,
    tree::{Key, TREE},
};

/// How many letters a typo may get wrong.
const TYPO_MAX: usize = 2;

/// Names where a key belongs, at most so many.
const HOMES_MAX: usize = 3;

pub(crate) fn walk(table: &Table, keys: &'static [Key], place: &str, faults: &mut Faults) {
    for (name, value) in table {
        let here = join(place, name);
        match keys.iter().find(|key| key.name == name) {
            Some(key) => visit(value, &key.kind, &here, faults),
            None => faults.add(&here, unknown(name, keys)),
        }
    }
    for key in keys.iter().filter(|key| key.is_required && !table.contains_key(key.name)) {
        faults.add(&join(place, key.name), format!("is missing: {}", key.kind.expects()));
    }
}

fn visit(value: &Value, kind: &Kind, place: &str, faults: &mut Faults) {
    match (kind, value) {
        (Kind::Section(keys) | Kind::OneOrMore(keys), Value::Table(table)) => {
            walk(table, keys, place, faults);
        }
        (Kind::Sections(keys) | Kind::OneOrMore(keys), Value::Array(tables)) => {
            for (number, table) in tables.iter().enumerate() {
                match table {
                    Value::Table(table) => walk(table, keys, &numbered(place, number), faults),
                    _ => faults.add(place, format!("must be {}", kind.expects())),
                }
            }
        }
        (Kind::Named(kind), Value::Table(table)) => {
            for (name, value) in table {
                visit(value, kind, &join(place, name), faults);
            }
        }
        (Kind::Sections(_), Value::Table(_)) => {
            faults.add(place, format!("is a list of sections: write [[{place}]]"));
        }
        (Kind::Section(_), Value::Array(_)) => {
            faults.add(place, format!("is one section: write [{place}]"));
        }
        _ if kind.takes(value) => {}
        _ => faults.add(place, format!("must be {}", kind.expects())),
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

/// The first of a list needs no number.
fn numbered(place: &str, number: usize) -> String {
    if number == 0 { place.to_owned() } else { format!("{place}[{number}]") }
}

/// What to say about a key that flyctl does not read there.
fn unknown(name: &str, siblings: &'static [Key]) -> String {
    let near = siblings.iter().map(|key| (distance(name, key.name), key.name)).min();
    if let Some((letters, near)) = near
        && letters <= TYPO_MAX
    {
        return format!("is no key of flyctl's: {near} is");
    }
    let mut homes = Vec::new();
    find(name, TREE, "", &mut homes);
    homes.truncate(HOMES_MAX);
    match homes.as_slice() {
        [] => "is no key of flyctl's".to_owned(),
        homes => format!("is not read there: it belongs into {}", homes.join(" or ")),
    }
}

/// Collects the sections that have a key of that name.
fn find(name: &str, keys: &'static [Key], place: &str, homes: &mut Vec<String>) {
    for key in keys {
        if key.name == name {
            homes.push(if place.is_empty() { "the top".to_owned() } else { place.to_owned() });
        }
        // What other sections share is found once; an alias adds nothing.
        if !matches!(key.name, "compute" | "computes" | "mount") {
            find(name, key.kind.keys(), &join(place, key.name), homes);
        }
    }
}

/// How many letters are to be changed, added or removed to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or_default();
            let best = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            diagonal = above;
            if let Some(cell) = row.get_mut(j) {
                *cell = left;
            }
            left = best;
        }
        if let Some(cell) = row.last_mut() {
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_few_letters_away() {
        for (one, other, letters) in [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("same", "same", 0),
            ("h2backend", "h2_backend", 1),
        ] {
            assert_eq!(distance(one, other), letters, "{one} {other}");
        }
    }
}
