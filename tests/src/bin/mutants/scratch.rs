//! A copy of the checkout, in which a guard can be missing without anybody being harmed.

use std::{
    fmt::Write,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::Instant;

use crate::list::Mutant;

/// How long one build and its tests may take. The first build is of everything.
const TEST_MAX: Duration = Duration::from_mins(20);

const POLL: Duration = Duration::from_millis(50);

/// What the tests say.
pub(crate) enum Outcome {
    /// Nothing was noticed, in something that was built for it or in what there was already.
    Green { is_built: bool },
    /// Something was, by this.
    Red(String),
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
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output();
        let listed = listed.map_err(|error| format!("git: {error}"))?.stdout;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
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
        let described = self.describe(&before, &mutant.text)?;
        put(&path, mutant.text.as_bytes())?;
        Ok(move || {
            if let Some(described) = described {
                fs::remove_file(described).map_err(told)?;
            }
            put(&path, &before)
        })
    }

    /// A statement that is changed in nothing but its rows has the same columns and parameters:
    /// what Postgres has said of the one holds for the other.
    fn describe(&self, before: &[u8], after: &str) -> Result<Option<PathBuf>, String> {
        let file = |text: &[u8]| {
            let mut hash = String::new();
            for byte in digest(&SHA256, text).as_ref() {
                write!(hash, "{byte:02x}").expect("a string takes any text");
            }
            (self.tree.join(format!(".sqlx/query-{hash}.json")), hash)
        };
        let (described, _hash) = file(before);
        let Ok(text) = fs::read(described) else { return Ok(None) };
        let mut json: serde_json::Value = serde_json::from_slice(&text).map_err(told)?;
        let (path, hash) = file(after.as_bytes());
        json["query"] = after.into();
        json["hash"] = hash.into();
        put(&path, json.to_string().as_bytes())?;
        Ok(Some(path))
    }

    /// Runs `cargo test` with these arguments.
    pub(crate) fn test(&self, arguments: &[&str]) -> Result<Outcome, String> {
        let mut cargo = Command::new("cargo")
            .arg("test")
            .args(arguments)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            .env_remove("RUSTFLAGS")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cargo: {error}"))?;
        let (mut out, mut err) = (cargo.stdout.take(), cargo.stderr.take());
        let read = std::thread::spawn(move || {
            let mut text = String::new();
            // What cannot be read is not told; the exit code says enough.
            let _read = out.as_mut().map(|out| out.read_to_string(&mut text));
            text
        });
        let drained = std::thread::spawn(move || {
            let mut text = String::new();
            let _read = err.as_mut().map(|err| err.read_to_string(&mut text));
            text
        });
        let give_up = Instant::now() + TEST_MAX;
        let status = loop {
            if let Some(status) = cargo.try_wait().map_err(told)? {
                break status;
            }
            if Instant::now() > give_up {
                cargo.kill().map_err(told)?;
                return Err(format!("not over after {} s", TEST_MAX.as_secs()));
            }
            sleep(POLL);
        };
        let (out, err) = (read.join().unwrap_or_default(), drained.join().unwrap_or_default());
        if status.success() {
            return Ok(Outcome::Green { is_built: err.contains(" Compiling ") });
        }
        let failed = out.lines().find(|line| line.ends_with("FAILED"));
        let refused = err.lines().find(|line| line.trim_start().starts_with("error"));
        Ok(Outcome::Red(match (failed, refused) {
            (Some(test), _) => test.replace(" ... FAILED", ""),
            (None, Some(error)) => format!("does not build: {error}"),
            (None, None) => "red".to_owned(),
        }))
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
