//! A copy of the checkout, in which a guard can be missing without anybody being harmed.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use crate::{list::Mutant, suite::Suite};

/// The commands, and those that tests run: the others would be built for every mutant.
const COMMANDS: &str = "tests/src/bin/";
const RUN_BY_TESTS: [&str; 2] = ["standstill.rs", "watch_storm.rs"];

/// What became of a build.
pub(crate) enum Built {
    /// Tests, and whether there was nothing to build for them.
    Suite { suite: Suite, is_fresh: bool },
    /// The compiler, or a build script, has refused.
    Refused(String),
}

/// A copy under `target/mutants`.
pub(crate) struct Scratch {
    tree: PathBuf,
    target: PathBuf,
}

impl Scratch {
    /// Copies what Git knows of the checkout. What has not changed keeps its time, so that it is
    /// not built again.
    pub(crate) fn of(root: &Path) -> Result<Self, String> {
        let mutants = root.join("target/mutants");
        let (tree, target) = (mutants.join("tree"), mutants.join("target"));
        // What was copied by an older one of this, or was deleted since.
        let _none = fs::remove_dir_all(tree.join(COMMANDS));
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output();
        let listed = listed.map_err(|error| format!("git: {error}"))?.stdout;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let is_needed = |path: &str| {
            path.strip_prefix(COMMANDS).is_none_or(|command| RUN_BY_TESTS.contains(&command))
        };
        for path in listed.split('\0').filter(|path| !path.is_empty() && is_needed(path)) {
            let Ok(bytes) = fs::read(root.join(path)) else { continue };
            put(&tree.join(path), &bytes)?;
        }
        // Theirs is built already.
        if !target.exists() {
            let from = root.join("target/debug");
            for dir in ["deps", "build", ".fingerprint"] {
                let to = target.join("debug");
                fs::create_dir_all(&to).map_err(told)?;
                let copied = Command::new("cp").arg("-a").arg(from.join(dir)).arg(to).status();
                copied.map_err(|error| format!("cp: {error}"))?;
            }
        }
        Ok(Self { tree, target })
    }

    /// Takes the guard away, and returns what puts it back.
    pub(crate) fn apply(
        &self,
        mutant: &Mutant,
    ) -> Result<impl FnOnce() -> Result<(), String>, String> {
        let path = self.tree.join(&mutant.path);
        let before = fs::read(&path).map_err(told)?;
        let described =
            if mutant.is_statement() { Some(self.describe(&before, &mutant.text)?) } else { None };
        put(&path, mutant.text.as_bytes())?;
        Ok(move || {
            if let Some(described) = described {
                fs::remove_file(described).map_err(told)?;
            }
            put(&path, &before)
        })
    }

    /// Makes Cargo build a mutant again that was applied.
    pub(crate) fn touch(&self, mutant: &Mutant) -> Result<(), String> {
        fs::write(self.tree.join(&mutant.path), &mutant.text).map_err(told)
    }

    /// A statement that is changed in nothing but its rows has the same columns and parameters:
    /// what Postgres has said of the one holds for the other.
    fn describe(&self, before: &[u8], after: &str) -> Result<PathBuf, String> {
        let file = |text: &[u8]| {
            let mut hash = String::new();
            for byte in digest(&SHA256, text).as_ref() {
                write!(hash, "{byte:02x}").expect("a string takes any text");
            }
            (self.tree.join(format!(".sqlx/query-{hash}.json")), hash)
        };
        let (described, _hash) = file(before);
        let text = fs::read(described).map_err(|error| format!("no description: {error}"))?;
        let mut json: Value = serde_json::from_slice(&text).map_err(told)?;
        let (path, hash) = file(after.as_bytes());
        json["query"] = after.into();
        json["hash"] = hash.into();
        put(&path, json.to_string().as_bytes())?;
        Ok(path)
    }

    /// Builds the tests that `cargo test` would run with these arguments.
    pub(crate) fn build(&self, arguments: &[String]) -> Result<Built, String> {
        let output = Command::new("cargo")
            .args(["test", "--no-run", "--message-format=json-render-diagnostics"])
            .args(arguments)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            .env_remove("RUSTFLAGS")
            .output()
            .map_err(|error| format!("cargo: {error}"))?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let error = told.lines().find(|line| line.trim_start().starts_with("error"));
            return Ok(Built::Refused(error.unwrap_or("without words").to_owned()));
        }
        let messages = String::from_utf8_lossy(&output.stdout).into_owned();
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let suite = messages.filter(|it| it["profile"]["test"] == true).find_map(|message| {
            let executable = message["executable"].as_str()?.into();
            let dir = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
            let is_fresh = message["fresh"] == true;
            Some(Built::Suite { suite: Suite { executable, dir }, is_fresh })
        });
        suite.ok_or_else(|| format!("{arguments:?} builds no tests"))
    }
}

/// Writes a file unless it is as it should be.
fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|have| have == bytes) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(told)?;
    }
    fs::write(path, bytes).map_err(told)
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
