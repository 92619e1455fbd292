//! SQL: where it stands, what it is called, who calls it, and whose rows it sees.

use super::tree::{Rust, Tree};

/// Where a crate that owns statements may stand.
const SHELVES: [&str; 4] = ["functions", "shared", "fly", "fly/local"];

/// Statements that may see other people's rows: what they show is public.
const PUBLIC_READS: [&str; 1] = ["user.list_profiles"];

/// Statements that find rows by how old they are, whoever they belong to.
const SWEEPS: [&str; 4] =
    ["auth.append_audit", "auth.count_attempt", "auth.take_untold", "database.sweep_answers"];

/// What a column is called that tells whom a row belongs to.
const OWNERS: [&str; 4] = ["user_id", "person_id", "caller", "subject"];

/// Tables whose rows are no one person's, and why.
const UNOWNED: [(&str, &str); 5] = [
    ("mayfly.secret", "keys that the functions have, which a policy keeps to each"),
    ("mayfly.change", "what has changed, found by topic"),
    ("mayfly.change_log", "the one row of the log"),
    ("mayfly.revocation", "who may not call, which is every function's to read"),
    ("mayfly_auth.api_client", "a machine, which is every administrator's"),
];

/// `queries/<owner>/<name>.sql`.
struct Statement<'a> {
    path: &'a str,
    owner: &'a str,
    name: &'a str,
    text: &'a str,
}

fn statements(tree: &Tree) -> Vec<Statement<'_>> {
    let statement = |(path, text): (_, _)| {
        let (owner, name) = parts(path)?;
        Some(Statement { path, owner, name, text })
    };
    tree.below("queries", ".sql").filter_map(statement).collect()
}

fn parts(path: &str) -> Option<(&str, &str)> {
    let (owner, name) = path.strip_prefix("queries/")?.strip_suffix(".sql")?.split_once('/')?;
    (owner != "migrations" && !name.contains('/')).then_some((owner, name))
}

/// The text without comments and quoted parts.
fn bare(text: &str) -> String {
    let code = text.lines().map(|line| line.split("--").next().unwrap_or_default());
    let code = code.collect::<Vec<_>>().join("\n");
    let unquote =
        |code: &str, quote: char| code.split(quote).step_by(2).collect::<Vec<_>>().join(" ");
    unquote(&unquote(&code, '\''), '"')
}

/// A statement has one name: its file's, which it opens with.
pub(crate) fn statements_say_their_name(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let named = statements(tree);
    for (path, text) in tree.below("queries", "") {
        if !text.ends_with('\n') || text.ends_with("\n\n") {
            faults.push(format!("{path} does not end with one new line"));
        }
        if bare(text).chars().any(char::is_uppercase) {
            faults.push(format!("{path} has upper-case keywords"));
        }
        let is_named = named.iter().any(|statement| statement.path == path);
        if !is_named && !path.starts_with("queries/migrations/") {
            faults.push(format!("{path} is no queries/<owner>/<statement>.sql"));
        }
    }
    for Statement { path, owner, name, text } in named {
        if !text.starts_with(&format!("-- {owner}.{name}: ")) {
            faults.push(format!("{path} does not open with its name"));
        }
    }
    faults
}

/// A statement is called once, by its owner, from a function of its own name.
pub(crate) fn statements_are_called_once(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let sources = tree.below("", ".rs").filter(|(path, _)| !is_test(path));
    let sources: Vec<_> = sources.map(|(path, text)| (path, Rust::read(text))).collect();
    for Statement { path, owner, name, .. } in statements(tree) {
        let mut callers = Vec::new();
        for (source, rust) in &sources {
            let calls = rust.texts.iter().filter(|text| text.value.ends_with(&format!("/{path}")));
            callers.extend(calls.map(|call| (*source, rust.function_at(call.at))));
        }
        let is_owners = |source: &str| {
            SHELVES.iter().any(|shelf| source.starts_with(&format!("{shelf}/{owner}/")))
        };
        match callers[..] {
            [(source, function)] if is_owners(source) && function == Some(name) => {}
            [(source, function)] => faults.push(format!(
                "{path} is called from {} of {source}",
                function.unwrap_or("no function")
            )),
            _ => faults.push(format!("{path} is called {} times", callers.len())),
        }
    }
    faults
}

/// A crate is built again when a statement of its own is edited. The macro that reads statements has
/// the compiler watch those alone that return columns.
pub(crate) fn statements_are_watched(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for Statement { path, owner, .. } in statements(tree) {
        let reads = |text: &str| text.contains(&format!("/{path}")) && text.contains("query_file");
        for shelf in SHELVES {
            let dir = format!("{shelf}/{owner}");
            let is_read = tree.below(&dir, ".rs").any(|(_, text)| reads(text));
            let watch = format!("cargo::rerun-if-changed=../../queries/{owner}\"");
            let build = tree.files.get(&format!("{dir}/build.rs"));
            if is_read && !build.is_some_and(|build| build.contains(&watch)) {
                faults.push(format!("{dir} is not built again when {path} is edited"));
            }
        }
    }
    faults
}

/// SQL stands in `queries/`, where Postgres has checked it.
pub(crate) fn no_sql_stands_in_rust(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree.below("", ".rs").filter(|(path, _)| !is_test(path)) {
        let rust = Rust::without_tests(text);
        let sql = rust.texts.iter().filter(|text| is_sql(&text.value));
        faults.extend(sql.map(|text| format!("{path}: {:?}", text.value)));
        let calls = ["sqlx::query(", "sqlx::query_as(", "sqlx::query_scalar(", "query!("];
        let found = calls.iter().filter(|call| rust.code.contains(**call));
        faults.extend(found.map(|call| format!("{path}: {call}")));
    }
    faults
}

/// A test looks at the tables from outside, and may try a statement that the house runs.
fn is_test(path: &str) -> bool {
    path.contains("tests/") || path.ends_with("/tests.rs")
}

fn is_sql(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut words = lower.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    let objects = ["table", "schema", "role", "database", "index", "unique", "function", "view"];
    match (first, second) {
        ("select", Some(_)) | ("insert", Some("into")) | ("delete", Some("from")) => true,
        ("update", Some(_)) => words.next() == Some("set"),
        ("create" | "alter" | "drop" | "lock" | "truncate", Some(second)) => {
            objects.contains(&second)
        }
        // Without a semicolon these are words, too.
        ("begin" | "begin;" | "commit;" | "rollback;", second) => second.is_none(),
        ("with", Some(_)) => words.next() == Some("as"),
        _ => false,
    }
}

/// A person's rows are found by the person, unless what is shown is public or they are swept.
pub(crate) fn statements_find_rows_by_their_owner(tree: &Tree) -> Vec<String> {
    let (owned, mut faults) = owned_tables(tree);
    for Statement { path, owner, name, text } in statements(tree) {
        let sql = bare(text);
        let found = owned.iter().find(|(table, _)| words(&sql).any(|word| word == table));
        let Some((_table, column)) = found else { continue };
        let is_insert = sql.trim_start().starts_with("insert into");
        let mut columns = words(sql.split(')').next().unwrap_or_default());
        let binds = if is_insert {
            columns.any(|word| word == *column)
        } else {
            let bound = [format!("{column} = $"), format!("{column} = any($")];
            bound.iter().any(|bound| sql.contains(bound))
        };
        let name = format!("{owner}.{name}");
        let is_for_all = PUBLIC_READS.iter().chain(&SWEEPS).any(|for_all| *for_all == name);
        match (binds, is_for_all) {
            (false, false) => faults.push(format!("{path} does not bind {column}")),
            (true, true) => faults.push(format!("{path} binds {column}, and is for nobody else")),
            _ => {}
        }
    }
    faults
}

fn words(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.')
}

/// The tables whose rows belong to a person, with the column that tells to whom; and what is to be said
/// of the others.
fn owned_tables(tree: &Tree) -> (Vec<(String, &'static str)>, Vec<String>) {
    let (mut owned, mut faults) = (Vec::new(), Vec::new());
    for (path, text) in tree.below("queries/migrations", ".sql") {
        for table in bare(text).split("create table ").skip(1) {
            let (name, columns) = table.split_once('(').unwrap_or_default();
            let columns = columns.split("\n)").next().unwrap_or_default();
            let has = |column: &&&str| {
                columns.lines().any(|line| line.split_whitespace().next() == Some(**column))
            };
            let name = name.trim();
            if UNOWNED.iter().any(|(unowned, _why)| *unowned == name) {
                continue;
            }
            match OWNERS.iter().find(has) {
                Some(column) => owned.push((name.to_owned(), *column)),
                None => faults.push(format!(
                    "{path}: whose are the rows of {name}? One of {OWNERS:?} tells, or UNOWNED why not"
                )),
            }
        }
    }
    (owned, faults)
}

/// `NNNN_<owner>_<what>.sql`, numbered without a gap.
pub(crate) fn migrations_are_numbered(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let mut owners = tree.names("functions");
    owners.push("mayfly");
    for (place, file) in tree.names("queries/migrations").into_iter().enumerate() {
        let number = format!("{:04}", place + 1);
        let is_well = file.strip_suffix(".sql").is_some_and(|name| {
            let mut parts = name.splitn(3, '_');
            parts.next() == Some(&number)
                && parts.next().is_some_and(|owner| owners.contains(&owner))
                && parts.next().is_some_and(|what| !what.is_empty())
        });
        if !is_well {
            faults.push(format!("{file} is not {number}_<owner>_<what>.sql"));
        }
    }
    faults
}
