//! The rules of the house that no lint can hold. Each is a function from a checkout to its faults,
//! tried on a small one that is good, and on what becomes of it in careless hands.

mod tree;
mod crates;
mod sql;
mod words;

use std::{fs, path::Path};

use tree::Tree;

type Rule = fn(&Tree) -> Vec<String>;

const RULES: [(&str, Rule); 17] = [
    ("dependencies point down", crates::dependencies_point_down),
    ("functions do not see each other", crates::functions_do_not_see_each_other),
    ("names say something, once", crates::names_say_something_once),
    ("versions stand in one place", crates::versions_stand_in_one_place),
    ("dependencies are used", crates::dependencies_are_used),
    ("functions have one shape", crates::functions_have_one_shape),
    ("crate roots say what they are for", crates::crate_roots_say_what_they_are_for),
    ("statements say their name", sql::statements_say_their_name),
    ("statements are called once", sql::statements_are_called_once),
    ("statements are watched", sql::statements_are_watched),
    ("no SQL stands in Rust", sql::no_sql_stands_in_rust),
    ("statements find rows by their owner", sql::statements_find_rows_by_their_owner),
    ("migrations are numbered", sql::migrations_are_numbered),
    ("nothing is half-made", words::nothing_is_half_made),
    ("errors are logged with their causes", words::errors_are_logged_with_their_causes),
    ("files are short", words::files_are_short),
    ("no path of a machine is written down", words::no_path_of_a_machine_is_written_down),
];

#[test]
fn this_house_keeps_its_rules() {
    let tree = Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    assert!(tree.members().len() > 10, "this is the checkout");
    let faults = RULES.iter().flat_map(|(name, rule)| {
        rule(&tree).into_iter().map(move |fault| format!("{name}: {fault}"))
    });
    let faults: Vec<_> = faults.collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

// === a small house ===

const MANIFEST: &str = r#"
[workspace]
members = ["functions/*", "shared/*", "fly/local/*", "tests"]

[workspace.dependencies]
clock = { path = "shared/clock" }
store = { path = "shared/store" }
user = { path = "functions/user" }
file = { path = "functions/file" }
all = { path = "functions/all" }
postgres = { path = "fly/local/postgres" }
tests = { path = "tests" }
sqlx = "1"
"#;

const MIGRATION: &str = "-- Notes.
create table mayfly_user.note (
    user_id text not null,
    text    text not null
);
";

const STATEMENT: &str = "-- user.get_note: a note.
select text from mayfly_user.note where user_id = $1
";

const STORE: &str = r#"//! The queries.
fn get_note() { query_file!("../../queries/user/get_note.sql") }
"#;

const BUILD: &str = r#"//! Rebuilds.
fn main() { println!("cargo::rerun-if-changed=../../queries/user"); }
"#;

/// A crate that names all that any is seen to depend on.
const ROOT: &str = "//! It is for this.
use {all as _, clock as _, file as _, postgres as _, sqlx as _, store as _, user as _};
";

/// The files of a house that keeps every rule.
fn good() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut add = |path: &str, text: &str| files.push((path.to_owned(), text.to_owned()));
    add("Cargo.toml", MANIFEST);
    for (path, dependencies) in [
        ("shared/clock", ""),
        ("shared/store", "clock.workspace = true\nsqlx = { workspace = true, features = [] }\n"),
        ("functions/user", "clock.workspace = true\nstore.workspace = true\n"),
        ("functions/file", "store.workspace = true\n"),
        ("functions/all", "file.workspace = true\nuser.workspace = true\n"),
        ("fly/local/postgres", "clock.workspace = true\n"),
        ("tests", "all.workspace = true\npostgres.workspace = true\n"),
    ] {
        let name = path.rsplit('/').next().unwrap();
        let manifest = format!("[package]\nname = \"{name}\"\n\n[dependencies]\n{dependencies}");
        add(&format!("{path}/Cargo.toml"), &manifest);
        add(&format!("{path}/src/lib.rs"), ROOT);
    }
    for (function, call) in [
        ("user", "chassis::run(\"user\", user::service)"),
        ("file", "chassis::run(\"file\", file::service)"),
        ("all", "chassis::run_all(\"all\", all::functions())"),
    ] {
        let main = format!(
            "//! Its process.\nuse std::process::ExitCode;\nfn main() -> ExitCode {{\n    {call}\n}}\n"
        );
        add(&format!("functions/{function}/src/main.rs"), &main);
        if function != "all" {
            for file in ["model", "service", "store"] {
                add(&format!("functions/{function}/src/{file}.rs"), "//! A part.\n");
            }
        }
    }
    add("functions/user/src/store.rs", STORE);
    add("functions/user/build.rs", BUILD);
    add("queries/user/get_note.sql", STATEMENT);
    add("queries/migrations/0001_user_note.sql", MIGRATION);
    files
}

/// The rules that the small house breaks once these files are changed; without a text they go.
#[track_caller]
fn broken_by(changes: &[(&str, Option<&str>)]) -> Vec<&'static str> {
    let root = tempfile::tempdir().unwrap();
    let is_changed = |path: &str| changes.iter().any(|(changed, _)| *changed == path);
    let kept = good().into_iter().filter(|(path, _)| !is_changed(path));
    let new = changes.iter().filter_map(|(path, text)| Some(((*path).into(), (*text)?.into())));
    for (path, text) in kept.chain(new).collect::<Vec<(String, String)>>() {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let tree = Tree::read(root.path());
    let broken = RULES.iter().filter(|(_, rule)| !rule(&tree).is_empty());
    broken.map(|(name, _)| *name).collect()
}

fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\n\n{rest}")
}

#[test]
fn a_good_house_breaks_none() {
    assert_eq!(broken_by(&[]), [""; 0]);
    let remote = ("functions/user/src/remote.rs", Some("//! Another function.\n"));
    assert_eq!(broken_by(&[remote]), [""; 0]);
}

#[test]
fn a_crate_that_reaches_up_is_seen() {
    for kind in [
        "dependencies",
        "dev-dependencies",
        "build-dependencies",
        "target.'cfg(unix)'.dependencies",
    ] {
        let up = manifest("clock", &format!("[{kind}]\nstore.workspace = true\n"));
        let build = ("shared/clock/build.rs", Some(ROOT));
        let broken = broken_by(&[("shared/clock/Cargo.toml", Some(&up)), build]);
        assert_eq!(broken, ["dependencies point down"], "{kind}");
    }
}

#[test]
fn a_dependency_that_nothing_names_where_it_is_seen_is_seen() {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let named = "//! It is for this.\nuse tokio_util as _;\n";
    let told = "//! It is for tokio_util.\nconst A: &str = \"tokio_util\";\n";
    for (path, seen) in [
        ("src/lib.rs", [true, true, false]),
        ("src/a/b.rs", [true, true, false]),
        ("tests/a.rs", [false, true, false]),
        ("benches/a.rs", [false, true, false]),
        ("build.rs", [false, true, true]),
    ] {
        for (kind, is_seen) in kinds.into_iter().zip(seen) {
            let text = manifest("clock", &format!("[{kind}]\ntokio-util.workspace = true\n"));
            let path = format!("shared/clock/{path}");
            let broken_when = |text_of: &str| {
                broken_by(&[("shared/clock/Cargo.toml", Some(&text)), (&path, Some(text_of))])
            };
            let unseen = ["dependencies are used"];
            assert_eq!(broken_when(named).is_empty(), is_seen, "{kind} in {path}");
            assert_eq!(broken_when(told), unseen, "{kind} in {path}");
        }
    }
}

#[test]
fn a_function_that_sees_another_is_seen() {
    let file = manifest("file", "[dependencies]\nuser.workspace = true\n");
    let broken = broken_by(&[("functions/file/Cargo.toml", Some(&file))]);
    assert_eq!(broken, ["functions do not see each other"]);
    for path in ["shared/store", "functions/user"] {
        let name = path.rsplit('/').next().unwrap();
        let text = manifest(name, "[dev-dependencies]\npostgres.workspace = true\n");
        let broken = broken_by(&[(&format!("{path}/Cargo.toml"), Some(&text))]);
        assert_eq!(broken, ["dependencies point down", "functions do not see each other"]);
    }
}

#[test]
fn a_crate_that_is_called_nothing_or_something_else_is_seen() {
    let renamed = manifest("watch", "");
    let broken = broken_by(&[("shared/clock/Cargo.toml", Some(&renamed))]);
    assert_eq!(broken, ["names say something, once"]);
    let utils = manifest("utils", "");
    let list = format!("{MANIFEST}utils = {{ path = \"shared/utils\" }}\n");
    let broken =
        broken_by(&[("shared/utils/Cargo.toml", Some(&utils)), ("Cargo.toml", Some(&list))]);
    assert_eq!(broken, ["names say something, once"]);
}

#[test]
fn a_version_elsewhere_and_a_list_out_of_order_are_seen() {
    for dependencies in [
        "[dependencies]\nsqlx = \"1\"\n",
        "[dependencies]\nsqlx = { version = \"1\" }\n",
        "[dependencies]\nsqlx = { workspace = true, default-features = false }\n",
        "[dependencies.sqlx]\ngit = \"https://example.com/sqlx\"\n",
        "[dependencies]\nsqlx.workspace = true\nclock.workspace = true\n",
    ] {
        let text = manifest("store", dependencies);
        let broken = broken_by(&[("shared/store/Cargo.toml", Some(&text))]);
        assert_eq!(broken, ["versions stand in one place"], "{dependencies}");
    }
}

#[test]
fn a_function_of_another_shape_is_seen() {
    let main = "//! Its process.\nuse std::process::ExitCode;\nfn main() -> ExitCode {\n    \
        let name = \"user\";\n    chassis::run(name, user::service)\n}\n";
    for change in [
        ("functions/user/src/model.rs", None),
        ("functions/user/src/helpers.rs", Some("//! Help.\n")),
        ("functions/user/src/main.rs", Some(main)),
    ] {
        assert_eq!(broken_by(&[change]), ["functions have one shape"], "{change:?}");
    }
    let bare = ("shared/clock/src/lib.rs", Some("pub struct Clock;\n"));
    assert_eq!(broken_by(&[bare]), ["crate roots say what they are for"]);
}

#[test]
fn a_statement_without_its_name_is_seen() {
    let sql = "select text from mayfly_user.note where user_id = $1\n";
    for text in [
        sql.to_owned(),
        format!("-- user.get: a note.\n{sql}"),
        STATEMENT.trim_end().to_owned(),
        STATEMENT.replace("where", "WHERE"),
    ] {
        let broken = broken_by(&[("queries/user/get_note.sql", Some(&text))]);
        assert_eq!(broken, ["statements say their name"], "{text}");
    }
    let stray = ("queries/stray.sql", Some("select 1\n"));
    assert_eq!(broken_by(&[stray]), ["statements say their name"]);
}

#[test]
fn a_statement_that_is_called_twice_or_never_or_by_another_name_is_seen() {
    let twice =
        format!("{STORE}fn again() {{ query_file!(\"../../queries/user/get_note.sql\") }}\n");
    for store in [&*twice, "//! No query.\n", &STORE.replace("get_note()", "note()")] {
        let broken = broken_by(&[("functions/user/src/store.rs", Some(store))]);
        assert_eq!(broken, ["statements are called once"], "{store}");
    }
    let elsewhere = [
        ("functions/user/src/store.rs", Some("//! -\n")),
        ("functions/file/src/store.rs", Some(STORE)),
    ];
    assert_eq!(broken_by(&elsewhere), ["statements are called once"]);
}

#[test]
fn a_statement_whose_edits_nobody_notices_is_seen() {
    let elsewhere = BUILD.replace("queries/user", "queries/use");
    for build in [None, Some(&*elsewhere), Some("//! Rebuilds.\nfn main() {}\n")] {
        let broken = broken_by(&[("functions/user/build.rs", build)]);
        assert_eq!(broken, ["statements are watched"], "{build:?}");
    }
}

#[test]
fn sql_in_rust_is_seen() {
    for line in [
        "const A: &str = \"select 1\";",
        "const A: &str = r#\"INSERT INTO x\"#;",
        "const A: &str = \"update x\\n set y = 1\";",
        "const A: &str = \"begin;\";",
        "fn a() { sqlx::query(TEXT) }",
    ] {
        let source = format!("//! It is for this.\n{line}\n");
        let broken = broken_by(&[("shared/clock/src/lib.rs", Some(&source))]);
        assert_eq!(broken, ["no SQL stands in Rust"], "{line}");
        let test = format!("//! It is for this.\n#[cfg(test)]\nmod tests {{\n{line}\n}}\n");
        assert_eq!(broken_by(&[("shared/clock/src/lib.rs", Some(&test))]), [""; 0]);
    }
    let prose = "//! It is for this.\nconst A: &str = \"update failed\";\n// select this\n";
    assert_eq!(broken_by(&[("shared/clock/src/lib.rs", Some(prose))]), [""; 0]);
}

#[test]
fn a_statement_that_sees_everybodys_rows_is_seen() {
    for sql in [
        "select text from mayfly_user.note",
        "select text from mayfly_user.note where text = $1",
        "delete from mayfly_user.note where user_id = user_id",
        "insert into mayfly_user.note (text)\nvalues ($1)",
    ] {
        let text = format!("-- user.get_note: a note.\n{sql}\n");
        let broken = broken_by(&[("queries/user/get_note.sql", Some(&text))]);
        assert_eq!(broken, ["statements find rows by their owner"], "{sql}");
    }
    let insert = "-- user.get_note: a note.\ninsert into mayfly_user.note (user_id, text)\nvalues ($1, $2)\n";
    assert_eq!(broken_by(&[("queries/user/get_note.sql", Some(insert))]), [""; 0]);

    // Whatever the owner is called, and of the tables that are shared.
    for (table, owner) in [("mayfly_user.note", "person_id"), ("mayfly.exactly_once", "caller")] {
        let made = MIGRATION.replace("mayfly_user.note", table).replace("user_id", owner);
        let broken_when = |column: &str| {
            let read = STATEMENT.replace("mayfly_user.note", table).replace("user_id", column);
            let made = ("queries/migrations/0001_user_note.sql", Some(&*made));
            broken_by(&[made, ("queries/user/get_note.sql", Some(&read))])
        };
        assert_eq!(broken_when(owner), [""; 0], "{table}");
        assert_eq!(broken_when("text"), ["statements find rows by their owner"], "{table}");
    }
}

#[test]
fn a_table_of_which_nobody_knows_whose_its_rows_are_is_seen() {
    let broken_by_table = |table: &str| {
        let made = format!("-- More.\ncreate table {table} (\n    writer text not null\n);\n");
        broken_by(&[("queries/migrations/0002_user_more.sql", Some(&made))])
    };
    for table in ["mayfly_user.draft", "mayfly.draft"] {
        assert_eq!(broken_by_table(table), ["statements find rows by their owner"], "{table}");
    }
    assert_eq!(broken_by_table("mayfly_auth.api_client"), [""; 0]);
}

#[test]
fn migrations_with_gaps_repeats_or_strange_owners_are_seen() {
    for file in ["0003_user_gap.sql", "0001_file_again.sql", "0002_nobody_x.sql", "2_user_x.sql"] {
        let path = format!("queries/migrations/{file}");
        let broken = broken_by(&[(&path, Some("-- More.\nselect 1\n"))]);
        assert_eq!(broken, ["migrations are numbered"], "{file}");
    }
}

#[test]
fn an_error_that_is_logged_without_its_causes_is_seen() {
    for field in ["error = &error as &dyn std::error::Error", "error = %error"] {
        let text = format!("//! Ticks.\nfn a() {{ tracing::warn!({field}, \"it failed\"); }}\n");
        let broken = broken_by(&[("shared/clock/src/lib.rs", Some(&text))]);
        assert_eq!(broken, ["errors are logged with their causes"], "{field}");
    }
}

#[test]
fn what_is_half_made_or_long_or_somebodys_own_is_seen() {
    for line in ["#[ignore]\nfn a() {}", "fn a() { todo!() }", "#[allow(dead_code)]\nfn a() {}"] {
        let source = format!("//! It is for this.\n{line}\n");
        let broken = broken_by(&[("shared/clock/src/lib.rs", Some(&source))]);
        assert_eq!(broken, ["nothing is half-made"], "{line}");
    }
    let long = format!("//! It is for this.\n{}", "// on and on\n".repeat(500));
    assert_eq!(broken_by(&[("shared/clock/src/lib.rs", Some(&long))]), ["files are short"]);
    let path = format!("See /{}/ada/notes.\n", "home");
    assert_eq!(broken_by(&[("README.md", Some(&path))]), ["no path of a machine is written down"]);
}
