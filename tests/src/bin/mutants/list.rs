//! What can be taken away, found in the sources.

use std::{fs, path::Path};

use crate::checks::CHECKS;

/// One change that makes a guard let everybody through.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    /// What is taken away, and where.
    pub(crate) name: String,
    /// The file, from the root.
    pub(crate) path: String,
    /// Its text with the guard taken away.
    pub(crate) text: String,
}

impl Mutant {
    /// Whether it is a contract, whose own compiler may be what notices.
    pub(crate) fn is_contract(&self) -> bool {
        self.path.starts_with("proto/")
    }

    /// Whether it is a statement, which Postgres has to take.
    pub(crate) fn is_statement(&self) -> bool {
        self.path.starts_with("queries/")
    }
}

/// What binds a statement's rows to whoever may see them, or to the one thing that they asked for.
const PREDICATES: [&str; 15] = [
    "user_id = $",
    "user_id = any($",
    "person_id = $",
    "caller = $",
    "subject = $",
    "session_id = $",
    "api_client_id = $",
    "visibility = ",
    "rpc = $",
    "key_hash = $",
    "starts_with(rpc, $",
    "topic = any($",
    "topic = watched.topic",
    "issued_from = $",
    "name = $",
];

/// Statements in which letting a predicate go changes nothing that anybody could see, and why.
const HARMLESS: [(&str, &str); 3] = [
    (
        "queries/database/drop_expired_answer.sql",
        "more answers go that have expired: nobody is given those anyway",
    ),
    (
        "queries/revocation/enable.sql",
        "a mark is a transaction's, and each writes of one person: nobody else has the same",
    ),
    (
        "queries/revocation/read.sql",
        "of those who are read none are taken in but those who were asked for",
    ),
];

/// A check in a model, which functions call by this name.
const VISIBLE: &str = ".is_visible_to(";

/// Every mutant of a checkout.
pub(crate) fn mutants(root: &Path) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for (path, text) in files(root, "proto/mayfly", ".proto") {
        mutants.extend(laxer_rules(&path, &text));
    }
    for (path, text) in files(root, "queries", ".sql") {
        let is_statement = !path.starts_with("queries/migrations/");
        if is_statement && !HARMLESS.iter().any(|(harmless, _why)| *harmless == path) {
            mutants.extend(blind_statements(&path, &text));
        }
    }
    for (path, text) in files(root, "functions", ".rs") {
        mutants.extend(blind_checks(&path, &text));
    }
    mutants.extend(CHECKS.iter().map(|check| check.taken_away(root)));
    mutants
}

/// Each rule of an RPC, open to everybody, and to everybody who is signed in where it names fewer.
fn laxer_rules(path: &str, text: &str) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    let mut rpc = "";
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let words = line.trim();
        if let Some(rest) = words.strip_prefix("rpc ") {
            rpc = rest.split('(').next().unwrap_or_default();
        }
        let is_access = ["signed_in:", "role:", "service:"].iter().any(|it| words.starts_with(it));
        if is_access && !rpc.is_empty() {
            let (before, rest) = text.split_at(at);
            let after = rest.strip_prefix(whole(rest, line)).unwrap_or_default();
            // What is exactly once needs a caller, or it does not build.
            let for_all = after.replacen("exactly_once: {}", "not_retryable: {}", 1);
            let mut mutate = |access: &str, after: &str, whom: &str| {
                let text = format!("{before}      {access}: {{}}\n{after}");
                let name = format!("{path}: {rpc} open to {whom}");
                mutants.push(Mutant { name, path: path.to_owned(), text });
            };
            mutate("public", &for_all, "everybody");
            if !words.starts_with("signed_in:") {
                mutate("signed_in", after, "everybody who is signed in");
            }
        }
        at += line.len();
    }
    mutants
}

/// A rule's access, which may go over several lines.
fn whole<'t>(rest: &'t str, line: &'t str) -> &'t str {
    if !line.trim_end().ends_with('{') {
        return line;
    }
    let end = rest.find("\n      }\n").map_or(rest.len(), |end| end + "\n      }\n".len());
    rest.split_at(end).0
}

/// Each predicate of a statement, always true. The parameters stay, and with them the types.
fn blind_statements(path: &str, text: &str) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for predicate in PREDICATES {
        for (at, _) in text.match_indices(predicate) {
            let (before, rest) = text.split_at(at);
            // A change of a column is no predicate, and neither is the end of another's name.
            if is_in_set(before) || before.ends_with(is_of_name) {
                continue;
            }
            let end = at + predicate_length(rest, predicate);
            // With the alias of its table.
            let start = before.trim_end_matches(|c| is_of_name(c) || c == '.').len();
            let (before, rest) = text.split_at(start);
            let (whole, after) = rest.split_at(end - start);
            let text = format!("{before}({whole} or true){after}");
            let name = format!("{path}: without {whole}");
            mutants.push(Mutant { name, path: path.to_owned(), text });
        }
    }
    mutants
}

fn predicate_length(rest: &str, predicate: &str) -> usize {
    let after = rest.strip_prefix(predicate).unwrap_or_default();
    let digits = after.chars().take_while(char::is_ascii_digit).count();
    let closing = usize::from(predicate.contains('('));
    predicate.len() + digits + closing
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_in_set(before: &str) -> bool {
    let last = |word: &str| before.rfind(word);
    last("\nset").is_some_and(|set| last("where").is_none_or(|condition| condition < set))
}

/// Each call of a model's check, always true.
fn blind_checks(path: &str, text: &str) -> Vec<Mutant> {
    let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
    let calls = text.match_indices(VISIBLE).filter(|(at, _)| *at < tests);
    let calls = calls.map(|(at, _)| {
        let (before, after) = text.split_at(at);
        let start = before.trim_end_matches(is_of_name).len();
        let (before, object) = before.split_at(start);
        let line = before.lines().count();
        let text = format!("{before}true || {object}{after}");
        Mutant {
            name: format!("{path}:{line}: everything is visible"),
            path: path.to_owned(),
            text,
        }
    });
    calls.collect()
}

/// The files below a directory whose names end so, by their path from the root.
fn files(root: &Path, dir: &str, end: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root.join(&dir)).expect("a directory of ours") {
            let entry = entry.expect("an entry");
            let path = format!("{dir}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                dirs.push(path);
            } else if path.ends_with(end) && !path.contains("/policy/") {
                let text = fs::read_to_string(entry.path()).expect("text");
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}
