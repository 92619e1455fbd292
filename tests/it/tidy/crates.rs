//! Crates: which floor they stand on, what they are called, what they are made of.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Member, Rust, Tree};

/// A name that says nothing draws everything in.
const NAMES_OF_NOTHING: [&str; 10] =
    ["base", "common", "core", "helper", "helpers", "lib", "misc", "shared", "util", "utils"];

/// The function that hosts the others in one process.
const ALL: &str = "all";

/// Dependencies that no Rust names, each for a reason that its manifest gives.
const UNNAMED: [&str; 1] = ["protovalidate-buffa-protos"];

/// A crate sees only what stands above it in the workspace's list of dependencies.
pub(crate) fn dependencies_point_down(tree: &Tree) -> Vec<String> {
    let floors: Vec<_> = tree.floors().into_iter().map(|(name, _path)| name).collect();
    let mut faults = Vec::new();
    for member in tree.members() {
        let Some(floor) = floors.iter().position(|name| name == member.name()) else { continue };
        for name in ours(&member, &floors) {
            if floors[floor..].contains(&name) {
                faults
                    .push(format!("{} depends on {name}, which is no floor below it", member.path));
            }
        }
    }
    faults
}

/// Functions see shared crates only; shared crates and functions see neither the platform nor tests.
pub(crate) fn functions_do_not_see_each_other(tree: &Tree) -> Vec<String> {
    let paths: BTreeMap<_, _> = tree.floors().into_iter().collect();
    let names: Vec<_> = paths.keys().cloned().collect();
    let mut faults = Vec::new();
    for member in tree.members() {
        for name in ours(&member, &names) {
            let to = &paths[&name];
            let (from_function, from_shared) =
                (member.path.starts_with("functions/"), member.path.starts_with("shared/"));
            let is_open = match to.split('/').next() {
                Some("shared") => true,
                Some("functions") => !from_shared && (!from_function || member.name() == ALL),
                _ => !from_shared && !from_function,
            };
            if !is_open {
                faults.push(format!("{} depends on {to}", member.path));
            }
        }
    }
    faults
}

fn ours(member: &Member, names: &[String]) -> Vec<String> {
    let tables = member.dependencies();
    let keys = tables.into_iter().flat_map(|table| table.keys());
    keys.filter(|name| names.contains(name) && *name != member.name()).cloned().collect()
}

/// A directory, its package and its line in the workspace's list have one name, which says something.
pub(crate) fn names_say_something_once(tree: &Tree) -> Vec<String> {
    let floors = tree.floors();
    let mut faults = Vec::new();
    for member in tree.members() {
        let (path, name) = (&member.path, member.name());
        if path.rsplit('/').next() != Some(name) {
            faults.push(format!("{path} holds the package {name}"));
        }
        if NAMES_OF_NOTHING.contains(&name) {
            faults.push(format!("{path}: {name} says nothing"));
        }
        if !floors.contains(&(name.to_owned(), path.clone())) {
            faults.push(format!("{path} is not in the workspace's list of dependencies"));
        }
    }
    let is_crate = |path: &String| tree.files.contains_key(&format!("{path}/Cargo.toml"));
    let paths = tree.member_paths().into_iter();
    faults.extend(paths.filter(|path| !is_crate(path)).map(|path| format!("{path} is no crate")));
    faults
}

/// Versions stand in the root's table; a member writes `x.workspace = true`, in order.
pub(crate) fn versions_stand_in_one_place(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for member in tree.members() {
        for (name, value) in member.dependencies().into_iter().flatten() {
            let table = value.as_table();
            let is_inherited =
                table.is_some_and(|table| table.get("workspace") == Some(&true.into()));
            let adds = table.into_iter().flat_map(toml::Table::keys);
            let adds_only_features =
                adds.into_iter().all(|key| ["workspace", "features", "optional"].contains(&&**key));
            if !is_inherited || !adds_only_features {
                faults.push(format!("{}: {name} is not the workspace's", member.path));
            }
        }
        faults.extend(out_of_order(&member));
    }
    faults
}

fn out_of_order(member: &Member) -> Vec<String> {
    let mut faults = Vec::new();
    let mut last: Option<&str> = None;
    let mut is_dependencies = false;
    for line in member.text.lines() {
        if line.starts_with('[') {
            (is_dependencies, last) = (line.trim_end_matches(']').ends_with("dependencies"), None);
        }
        let name = line.split([' ', '.', '=']).next().unwrap_or_default();
        let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !is_dependencies || !is_name {
            continue;
        }
        if last.is_some_and(|last| last > name) {
            faults.push(format!("{}: {name} stands too late", member.path));
        }
        last = Some(name);
    }
    faults
}

/// What is depended on is named where that kind of dependency is seen: whatever is built for nothing
/// is built for as long as nobody notices.
pub(crate) fn dependencies_are_used(tree: &Tree) -> Vec<String> {
    let kinds =
        [("dependencies", "src/"), ("dev-dependencies", ""), ("build-dependencies", "build.rs")];
    let mut faults = Vec::new();
    for member in tree.members() {
        for (kind, place) in kinds {
            let tables = member.dependencies_of(kind);
            if tables.is_empty() {
                continue;
            }
            let words = words(tree, &member.path, place);
            let names = tables.into_iter().flat_map(|table| table.keys());
            let unused = names.filter(|name| {
                !words.contains(&name.replace('-', "_")) && !UNNAMED.contains(&name.as_str())
            });
            let told = |name| format!("{}: {name} of its {kind} is not used", member.path);
            faults.extend(unused.map(told));
        }
    }
    faults
}

/// The words of a crate's Rust, below `place` in it.
fn words(tree: &Tree, member: &str, place: &str) -> BTreeSet<String> {
    let place = format!("{member}/{place}");
    let sources = tree.below(member, ".rs").filter(|(path, _)| path.starts_with(&place));
    let code = sources.map(|(_, text)| Rust::read(text).code).collect::<Vec<_>>().join(" ");
    let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.map(str::to_owned).collect()
}

/// Whoever knows one function knows them all.
pub(crate) fn functions_have_one_shape(tree: &Tree) -> Vec<String> {
    let shape = ["lib.rs", "main.rs", "model.rs", "service.rs", "store.rs"];
    let mut faults = Vec::new();
    for function in tree.names("functions") {
        let src = format!("functions/{function}/src");
        let mut files = tree.names(&src);
        // What leaves the process, and what a file that has become long is made of.
        let parts = shape.map(|file| file.trim_end_matches(".rs"));
        files.retain(|file| !["remote.rs", "remote"].contains(file) && !parts.contains(file));
        if function != ALL && files != shape {
            faults.push(format!("{src} holds {files:?}"));
        }
        let call = match function {
            ALL => "chassis::run_all(\"\", all::functions())".to_owned(),
            _ => format!("chassis::run(\"\", {function}::service)"),
        };
        let main = Rust::read(tree.text(&format!("{src}/main.rs")));
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = format!("use std::process::ExitCode; fn main() -> ExitCode {{ {call} }}");
        if words(&main.code) != words(&wanted)
            || main.texts.iter().any(|text| text.value != function)
        {
            faults.push(format!("{src}/main.rs is more than one call, or another"));
        }
    }
    faults
}

/// Every crate root says what the crate is for.
pub(crate) fn crate_roots_say_what_they_are_for(tree: &Tree) -> Vec<String> {
    let is_root = |path: &str| {
        let (dir, file) = path.rsplit_once('/').unwrap_or_default();
        let is_in = |name: &str| dir.ends_with(name);
        matches!(file, "lib.rs" | "main.rs") && is_in("/src")
            || path == "tests/it/main.rs"
            || file == "build.rs"
            || is_in("/src/bin")
            || (is_in("/tests") && !dir.contains("/src/"))
            || is_in("/examples")
    };
    let roots = tree.below("", ".rs").filter(|(path, _)| is_root(path));
    let bare = roots.filter(|(_, text)| !text.starts_with("//! "));
    bare.map(|(path, _)| format!("{path} does not begin with what it is for")).collect()
}
