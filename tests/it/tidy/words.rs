//! Words that are written nowhere, and files that can be read in one go.

use super::tree::{Rust, Tree};

const LINES_MAX: usize = 500;

/// What is half-made, switched off or excused without an end.
const UNFINISHED: [&str; 6] =
    ["#[ignore", "should_panic", "todo!", "unimplemented!", "#[allow(", "#![allow("];

/// Nothing half-made is merged, and an exception is expected, not allowed.
pub(crate) fn nothing_is_half_made(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree.below("", ".rs") {
        let code = Rust::read(text).code;
        let found = UNFINISHED.iter().filter(|word| code.contains(**word));
        faults.extend(found.map(|word| format!("{path}: {word}")));
    }
    faults
}

/// What a line of the log holds of an error that it is given as one: its own words, and no cause.
const CAUSELESS: [&str; 4] = ["as &dyn std::error::Error", "as &dyn Error", "= %error", "(%error"];

/// Whoever reads a line sees what is behind an error: `fault::chain` writes it out.
pub(crate) fn errors_are_logged_with_their_causes(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in ["shared", "functions", "fly"].iter().flat_map(|at| tree.below(at, ".rs")) {
        let code = Rust::read(text).code;
        let found = CAUSELESS.iter().filter(|word| code.contains(**word));
        faults.extend(found.map(|word| format!("{path}: {word}, where fault::chain belongs")));
    }
    faults
}

/// A file is read from the top to the end.
pub(crate) fn files_are_short(tree: &Tree) -> Vec<String> {
    let ends = [".rs", ".sql", ".proto", ".sh", ".py", ".js", "Cargo.toml"];
    let written = ends.iter().flat_map(|end| tree.below("", end));
    let long = written.filter(|(_, text)| text.lines().count() > LINES_MAX);
    long.map(|(path, text)| format!("{path} has {} lines", text.lines().count())).collect()
}

/// What lies on somebody's own machine is nobody else's business.
pub(crate) fn no_path_of_a_machine_is_written_down(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in &tree.files {
        for (number, line) in text.lines().enumerate() {
            if names_a_machines_path(line) {
                faults.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    faults
}

fn names_a_machines_path(line: &str) -> bool {
    ["home", "root", "work", "Users"].iter().any(|top| {
        let parts: Vec<_> = line.split(&format!("/{top}/")).collect();
        parts.windows(2).any(|around| {
            let (before, after) = (around[0].chars().next_back(), around[1].chars().next());
            // It begins there, rather than being the middle of a path or of a URL.
            let begins = before.is_none_or(|c| !c.is_alphanumeric() && !"/._-}$~".contains(c));
            begins && after.is_some_and(char::is_alphanumeric)
        })
    })
}

#[test]
fn a_path_of_a_machine_is_known() {
    let of = |dir: &str| format!("see /{dir}/ada/notes");
    for dir in ["home", "root", "work", "Users"] {
        assert!(names_a_machines_path(&of(dir)), "{dir}");
    }
    for line in ["https://example.com/home/page", "a/root/b", "/homes/x", "~/work/x", "/home"] {
        assert!(!names_a_machines_path(line), "{line}");
    }
}
