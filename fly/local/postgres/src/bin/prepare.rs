//! `cargo prepare`: checks every query against a live Postgres and writes what it learned to
//! `.sqlx`, which every other build reads. With `--check` it only tells whether the folder is fresh.
//!
//! sqlx's macros write a file per query when they are expanded with a database at hand; so this
//! starts one, migrates it, and has Cargo check the workspace.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it does")]

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, SystemTime},
};

use postgres::{Durability, Options, find_or_start};

const KEPT: &str = ".sqlx";

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn main() -> ExitCode {
    match run(env::args().nth(1).as_deref()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("prepare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(argument: Option<&str>) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let is_check = match argument {
        None => false,
        Some("--check") => true,
        Some(_) => return Err("usage: cargo prepare [--check]".into()),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize()?;
    let fresh = expand(&root)?;
    let kept = read(&root.join(KEPT))?;
    if fresh == kept {
        println!("{KEPT} is fresh: {} queries", fresh.len());
        return Ok(ExitCode::SUCCESS);
    }
    if is_check {
        eprintln!("prepare: {KEPT} is stale; run `cargo prepare` and commit the folder");
        return Ok(ExitCode::FAILURE);
    }
    write(&root.join(KEPT), &fresh)?;
    println!("{KEPT} is written anew: {} queries", fresh.len());
    Ok(ExitCode::SUCCESS)
}

/// Expands every query of the workspace against a migrated database.
fn expand(root: &Path) -> Result<Files, Box<dyn std::error::Error>> {
    let scratch = tempfile::Builder::new().prefix("mayfly-prepare-").tempdir()?;
    let postgres = find_or_start(&Options {
        url: None,
        binaries: None,
        data: None,
        durability: Durability::Fast,
        connections_max: 20,
        tell: |line| eprintln!("prepare: {line}"),
    })?;
    let url = postgres.url(None, "postgres");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(schema::migrate(&url))?;

    let written = scratch.path().join("sqlx");
    fs::create_dir(&written)?;
    touch_queries(&root.join("functions"))?;
    touch_queries(&root.join("shared"))?;
    #[expect(clippy::disallowed_methods, reason = "Cargo tells which Cargo it is")]
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["check", "--quiet", "--workspace", "--all-features"])
        .current_dir(root)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &written)
        .env("DATABASE_URL", &url)
        .status()?;
    // The next build is to read the folder again, whatever this one has compiled.
    touch_queries(&root.join("functions"))?;
    touch_queries(&root.join("shared"))?;
    if !status.success() {
        return Err("the workspace does not compile against the database".into());
    }
    Ok(read(&written)?)
}

/// Has Cargo expand the macros again: it does not know that they depend on a database.
fn touch_queries(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            touch_queries(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && fs::read_to_string(&path)?.contains("query_file")
        {
            fs::File::options().append(true).open(&path)?.set_modified(now())?;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a file's time is the machine's time")]
fn now() -> SystemTime {
    // Cargo compares with the second it started in; a file of that second must count as newer.
    SystemTime::now() + Duration::from_secs(1)
}

fn read(dir: &Path) -> io::Result<Files> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Files::new()),
        Err(error) => return Err(error),
    };
    entries
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().into(), fs::read(entry.path())?))
        })
        .collect()
}

fn write(dir: &Path, files: &Files) -> io::Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir(dir)?;
    for (name, content) in files {
        fs::write(dir.join(name), content)?;
    }
    Ok(())
}
