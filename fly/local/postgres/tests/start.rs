//! A server on this machine, with its real binaries: found, made, started, kept, and gone in time.

#![expect(clippy::unwrap_used, reason = "helpers of tests expect as tests do")]

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use postgres::{Durability, Error, Options, Postgres, erase, find_or_start};
use tempfile::TempDir;

/// A test that is started with this starts a server there and holds it until it is killed.
const HOLD: &str = "POSTGRES_TEST_HOLD";

/// Instead of a directory: one whose cluster goes with it.
const FOR_ONE_RUN: &str = "for one run";

#[test]
fn a_cluster_is_made_once_and_kept() {
    let dir = dir();
    let Some(first) = start(dir.path(), Durability::Durable) else { return };
    assert!(first.origin().starts_with("PostgreSQL "), "{}", first.origin());
    assert_eq!(ask(&first, "postgres", "create table kept as select 7 as it"), "");
    let sockets = sockets(&first);
    assert_eq!(fs::metadata(&sockets).unwrap().permissions().mode() & 0o777, 0o700);
    first.stop().unwrap();
    assert!(!sockets.exists());
    assert!(!dir.path().join("data/postmaster.pid").exists());

    let second = start(dir.path(), Durability::Fast).unwrap();
    assert_eq!(ask(&second, "postgres", "select it from kept"), "7");
    let settings = "select string_agg(setting, ' ' order by name) from pg_settings where name in \
        ('fsync', 'full_page_writes', 'synchronous_commit', 'jit', 'max_connections')";
    assert_eq!(ask(&second, "postgres", settings), "off off off 33 off");
    let encoding = "select pg_encoding_to_char(encoding), datcollate like 'C%' from pg_database \
        where datname = 'template0'";
    assert_eq!(ask(&second, "postgres", encoding), "UTF8|t");
}

#[test]
fn a_role_and_a_database_are_reached_by_their_url() {
    let dir = dir();
    let Some(postgres) = start(dir.path(), Durability::Fast) else { return };
    ask(&postgres, "postgres", "create role \"a person\" login");
    ask(&postgres, "postgres", "create database \"a/b\" owner \"a person\"");
    let psql = postgres.psql().unwrap();
    let url = postgres.url(Some("a person"), "a/b");
    let who = run(&psql, &url, "select current_user, current_database()");
    assert_eq!(who, "a person|a/b");
}

#[test]
fn dropping_it_stops_it() {
    let dir = dir();
    let Some(postgres) = start(dir.path(), Durability::Fast) else { return };
    let sockets = sockets(&postgres);
    drop(postgres);
    assert!(!sockets.exists());
    assert!(!dir.path().join("data/postmaster.pid").exists());
}

#[test]
fn a_second_one_on_the_same_data_is_told_the_process() {
    let dir = dir();
    let Some(first) = start(dir.path(), Durability::Fast) else { return };
    let pid = postmaster(&dir.path().join("data")).unwrap();

    let error = find_or_start(&options(dir.path(), Durability::Fast)).unwrap_err();

    assert!(matches!(error, Error::Running { pid: Some(other), .. } if other == pid), "{error}");
    assert_eq!(ask(&first, "postgres", "select 1"), "1");
}

#[test]
fn nothing_is_left_when_the_process_is_killed() {
    let dir = dir();
    // The cluster is made beforehand, so that only the start is waited for.
    let Some(postgres) = start(dir.path(), Durability::Fast) else { return };
    postgres.stop().unwrap();

    let (mut holder, sockets) = hold(dir.path());
    let data = dir.path().join("data");
    let pid = postmaster(&data).unwrap();
    assert!(sockets.exists() && runs(pid));
    let group = group_of(pid);
    assert!(members(&group) >= 3, "a watchdog, its keeper and a server");

    holder.kill().unwrap();
    holder.wait().unwrap();

    let gone = || !sockets.exists() && !data.join("postmaster.pid").exists() && !runs(pid);
    assert!(within_secs(10, gone));
    assert!(within_secs(2, || members(&group) == 0));
    let again = start(dir.path(), Durability::Fast).unwrap();
    assert_eq!(ask(&again, "postgres", "select 1"), "1");
}

#[test]
fn a_cluster_for_one_run_goes_with_its_server() {
    let postgres = match find_or_start(&for_one_run()) {
        Ok(postgres) => postgres,
        Err(error @ Error::Missing { .. }) => return skip(&error.to_string()),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(ask(&postgres, "postgres", "select 1"), "1");
    let sockets_of_first = sockets(&postgres);
    assert!(sockets_of_first.join("data/PG_VERSION").exists());
    postgres.stop().unwrap();
    assert!(!sockets_of_first.exists());

    let (mut holder, sockets) = hold(Path::new(FOR_ONE_RUN));
    let data = sockets.join("data");
    let pid = postmaster(&data).unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(within_secs(10, || !sockets.exists() && !runs(pid)));
}

#[test]
fn one_that_was_killed_is_waited_for() {
    let dir = dir();
    if start(dir.path(), Durability::Durable).is_none() {
        return;
    }
    let (mut holder, _sockets) = hold(dir.path());
    holder.kill().unwrap();
    holder.wait().unwrap();
    // Its server is still there, or on its way out.
    let again = start(dir.path(), Durability::Durable).unwrap();
    assert_eq!(ask(&again, "postgres", "select 1"), "1");
}

#[test]
fn what_an_initdb_that_was_killed_has_left_is_removed() {
    let dir = dir();
    let (left, other) = (dir.path().join("data.new-k1LLed"), dir.path().join("data.newer"));
    fs::create_dir_all(left.join("base/1")).unwrap();
    fs::create_dir(&other).unwrap();
    if start(dir.path(), Durability::Fast).is_none() {
        return;
    }
    assert!(!left.exists() && other.exists());
}

#[test]
fn data_that_a_server_runs_on_is_not_erased() {
    let dir = dir();
    let data = dir.path().join("data");
    erase(&data).unwrap();
    let Some(postgres) = start(dir.path(), Durability::Fast) else { return };
    let error = erase(&data).unwrap_err();
    assert!(matches!(error, Error::Running { pid: Some(_), .. }), "{error}");
    assert_eq!(ask(&postgres, "postgres", "select 1"), "1");
    postgres.stop().unwrap();
    erase(&data).unwrap();
    assert!(!data.exists());
}

#[test]
fn holds_a_server_when_told_to() {
    #[expect(clippy::disallowed_methods, reason = "one test tells another how to run")]
    let Some(dir) = std::env::var_os(HOLD) else { return };
    let postgres = match dir.to_str() {
        Some(FOR_ONE_RUN) => find_or_start(&for_one_run()).unwrap(),
        _ => start(Path::new(&dir), Durability::Fast).unwrap(),
    };
    writeln!(io::stdout(), "at {}", sockets(&postgres).display()).unwrap();
    // Ends by itself should the other test be gone.
    io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn a_server_that_is_killed_is_no_obstacle() {
    let dir = dir();
    let Some(first) = start(dir.path(), Durability::Durable) else { return };
    let pid = postmaster(&dir.path().join("data")).unwrap();
    signal("-KILL", pid);
    let sockets = sockets(&first);
    assert!(within_secs(10, || !sockets.exists()));
    assert!(dir.path().join("data/postmaster.pid").exists(), "it left its lock behind");
    first.stop().unwrap();

    let second = start(dir.path(), Durability::Durable).unwrap();
    assert_eq!(ask(&second, "postgres", "select 1"), "1");
}

#[test]
fn a_watchdog_that_is_killed_is_done_without() {
    let dir = dir();
    let Some(postgres) = start(dir.path(), Durability::Fast) else { return };
    let pid = postmaster(&dir.path().join("data")).unwrap();
    let sockets = sockets(&postgres);
    signal("-KILL", parent_of(pid));
    postgres.stop().unwrap();
    assert!(!sockets.exists());
    assert!(within_secs(2, || !runs(pid)));
}

#[test]
fn another_versions_cluster_is_refused_by_both_names() {
    let dir = dir();
    if start(dir.path(), Durability::Fast).is_none() {
        return;
    }
    fs::write(dir.path().join("data/PG_VERSION"), "9\n").unwrap();
    let error = find_or_start(&options(dir.path(), Durability::Fast)).unwrap_err();
    assert!(matches!(error, Error::Version { cluster: 9, .. }), "{error}");
    assert!(error.to_string().contains("--fresh"), "{error}");
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let dir = dir();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("thesis.txt"), "years of work").unwrap();
    match find_or_start(&options(dir.path(), Durability::Fast)) {
        Err(Error::Missing { skipped }) => skip(&format!("{skipped:?}")),
        Err(error) => assert!(matches!(error, Error::NotACluster { .. }), "{error}"),
        Ok(_) => panic!("a server was started on somebody's thesis"),
    }
    assert_eq!(fs::read_to_string(data.join("thesis.txt")).unwrap(), "years of work");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let dir = dir();
    if start(dir.path(), Durability::Fast).is_none() {
        return;
    }
    let settings = dir.path().join("data/postgresql.conf");
    let broken = fs::read_to_string(&settings).unwrap() + "\nno_such_setting = 1\n";
    fs::write(&settings, broken).unwrap();
    let error = find_or_start(&options(dir.path(), Durability::Fast)).unwrap_err();
    assert!(matches!(error, Error::Ended { .. }), "{error}");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[test]
fn a_given_url_starts_nothing() {
    let dir = dir();
    let url = Some("postgres://me:secret@db.internal/main".to_owned());
    let options = Options { url, ..options(dir.path(), Durability::Durable) };
    let postgres = find_or_start(&options).unwrap();
    assert_eq!(postgres.origin(), "DATABASE_URL");
    assert_eq!(postgres.url(None, "x"), "postgres://me:secret@db.internal/x");
    assert!(!format!("{options:?} {postgres:?} {:?}", postgres.psql()).contains("secret"));
    assert!(!dir.path().join("data").exists());
    postgres.stop().unwrap();
}

// === helpers ===

/// A directory that whoever Postgres runs as can enter.
fn dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn options(dir: &Path, durability: Durability) -> Options {
    let data = Some(dir.join("data"));
    let tell = |_line: &str| {};
    Options { url: None, binaries: None, data, durability, connections_max: 33, tell }
}

fn for_one_run() -> Options {
    Options { data: None, ..options(Path::new("/"), Durability::Fast) }
}

/// Another process of this test that holds a server, and the directory of its socket.
fn hold(dir: &Path) -> (Child, PathBuf) {
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_server_when_told_to", "--nocapture"])
        .env(HOLD, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let sockets = lines.find_map(|line| Some(PathBuf::from(line.unwrap().strip_prefix("at ")?)));
    (holder, sockets.unwrap())
}

fn start(dir: &Path, durability: Durability) -> Option<Postgres> {
    match find_or_start(&options(dir, durability)) {
        Ok(postgres) => Some(postgres),
        Err(error @ Error::Missing { .. }) => {
            skip(&error.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Says so past the harness of tests, which keeps the output of a test that passes.
fn skip(why: &str) {
    #[expect(clippy::disallowed_methods, reason = "CI has a Postgres, and says that it is CI")]
    let is_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!is_ci, "CI skips nothing: {why}");
    io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes()).unwrap();
}

fn ask(postgres: &Postgres, database: &str, sql: &str) -> String {
    run(
        &postgres.psql().expect("psql is installed with the server"),
        &postgres.url(None, database),
        sql,
    )
}

fn run(psql: &str, url: &str, sql: &str) -> String {
    let program = psql.split_whitespace().next().unwrap();
    let output = Command::new(program).args(["-XAtq", "-d", url, "-c", sql]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn sockets(postgres: &Postgres) -> PathBuf {
    let psql = postgres.psql().unwrap();
    PathBuf::from(psql.split_whitespace().nth(2).unwrap())
}

fn postmaster(data: &Path) -> Option<u32> {
    let lock = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    lock.lines().next()?.parse().ok()
}

/// Whether a process runs: one that is dead and not yet reaped does not.
fn runs(pid: u32) -> bool {
    !matches!(ps(pid, "stat").chars().next(), None | Some('Z'))
}

fn group_of(pid: u32) -> String {
    ps(pid, "pgid")
}

fn parent_of(pid: u32) -> u32 {
    ps(pid, "ppid").parse().unwrap()
}

fn ps(pid: u32, column: &str) -> String {
    let output =
        Command::new("ps").args(["-o", &format!("{column}="), "-p", &pid.to_string()]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

fn members(group: &str) -> usize {
    let output = Command::new("ps").args(["-A", "-o", "pgid=,stat="]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let is_member = |line: &&str| {
        let mut columns = line.split_whitespace();
        columns.next() == Some(group) && columns.next().is_some_and(|stat| !stat.starts_with('Z'))
    };
    lines.lines().filter(is_member).count()
}

fn signal(signal: &str, pid: u32) {
    let sent = Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

fn within_secs(secs: u32, happened: impl Fn() -> bool) -> bool {
    (0..secs * 50).any(|_| {
        let has = happened();
        if !has {
            thread::sleep(Duration::from_millis(20));
        }
        has
    })
}
