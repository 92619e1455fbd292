//! Which tests stand near a file: those are tried first, and then the rest.

/// One build of tests, and which of them are run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stage {
    /// What `cargo test` is told to build.
    pub(crate) build: Vec<String>,
    /// Parts of the names of those that are run; none are all.
    pub(crate) tests: Vec<&'static str>,
}

/// What notices a change in a file soonest, by a part of its name.
const NEAREST: [(&str, &[&str]); 14] = [
    ("answer", &["once::a_key", "erase::"]),
    ("api_client", &["auth::machines", "auth::standing"]),
    ("attempt", &["auth::attempts", "auth::throttles"]),
    ("block", &["auth::attempts", "auth::throttles"]),
    ("mark", &["auth::standing", "auth::roles"]),
    ("person", &["auth::standing", "auth::administrator"]),
    ("profile", &["user::", "erase::"]),
    ("roles", &["auth::roles", "auth::administrator"]),
    ("secret", &["auth::keys"]),
    ("session", &["auth::sessions"]),
    ("sign_in", &["auth::ends", "auth::sessions", "auth::accounts"]),
    ("standing", &["auth::standing"]),
    ("untold", &["auth::ends", "auth::administrator"]),
    ("tokens", &["auth::tokens", "auth::machines"]),
];

/// What notices a change in a folder soonest, by the folder's name.
const NEAR: [(&str, &[&str]); 9] = [
    ("auth", &["auth::", "roles::"]),
    ("changes", &["watch::"]),
    ("database", &["once::", "erase::"]),
    ("identity", &["identity::", "attacks::access"]),
    ("layers", &["attacks::access", "revocation::"]),
    ("page", &["user::pages"]),
    ("revocation", &["revocation::"]),
    ("ticket", &["user::pages", "watch::cursors"]),
    ("user", &["user::", "erase::", "watch::access"]),
];

/// Everything that looks at who has what.
const ALL: [&str; 9] = [
    "attacks::",
    "auth::",
    "user::",
    "erase::",
    "once::",
    "identity::",
    "revocation::",
    "roles::",
    "watch::",
];

/// Their names hold some of those, and they try something else: a statement that lets everybody
/// through is planned as none should be, whoever is told of it.
pub(crate) const ELSEWHERE: [&str; 2] = ["dev::", "auth::plans"];

/// What a change of the file at `path` is tried with, in this order.
pub(crate) fn stages(path: &str) -> Vec<Stage> {
    let parts: Vec<_> = path.split('/').collect();
    let (is_floor, folder) = match parts[..] {
        ["proto", _, folder, ..] | ["queries" | "functions", folder, ..] => (false, folder),
        ["shared", folder, ..] => (true, folder),
        _ => (false, ""),
    };
    let build = |arguments: &[&str]| arguments.iter().map(ToString::to_string).collect();
    let suite: Vec<_> = build(&["-p", "tests", "--test", "it"]);
    let mut stages = Vec::new();
    if is_floor || path.contains("/model/") {
        // Its own, which are built in no time.
        stages.push(Stage { build: build(&["-p", folder, "--lib"]), tests: Vec::new() });
    }
    if parts[0] == "proto" {
        stages.push(Stage { build: suite.clone(), tests: vec!["attacks::rules"] });
    }
    let name = parts[parts.len() - 1];
    let nearest = NEAREST.iter().find(|(part, _)| !is_floor && name.contains(part));
    let near = NEAR.iter().find(|(name, _)| *name == folder);
    for (_, tests) in nearest.into_iter().chain(near) {
        stages.push(Stage { build: suite.clone(), tests: tests.to_vec() });
    }
    stages.push(Stage { build: suite, tests: ALL.to_vec() });
    stages
}
