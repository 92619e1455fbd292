//! Other people's clients: what they need is installed once, into the folder that Cargo has for
//! tests, and left there for the next run.

mod node;
mod python;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{process::Command, time::timeout};

pub use node::packages;
pub use python::interpreter;

const STEP_MAX: Duration = Duration::from_mins(3);

/// Where one kind of them is installed. Another run over the same folder waits for the file's end.
fn folder(name: &str) -> (PathBuf, File) {
    let program = std::env::current_exe().expect("this program");
    // Cargo keeps what it knows of the compiler in the folder of everything that it builds.
    let target = program.ancestors().find(|folder| folder.join(".rustc_info.json").exists());
    let folder = target.expect("Cargo has built this program").join("tmp").join(name);
    fs::create_dir_all(&folder).expect("Cargo's folder is writable");
    let lock = File::create(folder.join("lock")).expect("Cargo's folder is writable");
    lock.lock().expect("a file can be locked");
    (folder, lock)
}

/// Runs a command of the preparation to its end; what it printed.
async fn run(folder: &Path, program: impl AsRef<Path>, words: &str) -> Result<String, String> {
    let line = format!("{} {words}", program.as_ref().display());
    let mut command = Command::new(program.as_ref());
    command.args(words.split_whitespace()).current_dir(folder);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let Output { status, stdout, stderr } = timeout(STEP_MAX, command.output())
        .await
        .map_err(|_elapsed| format!("`{line}` took longer than {STEP_MAX:?}"))?
        .map_err(|error| format!("`{line}`: {error}"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.success() { Ok(stdout.into()) } else { Err(format!("`{line}`: {stdout}{stderr}")) }
}

/// Whether the last run has left this stamp, and with it what the stamp is of.
fn is_left(stamp: &Path, expected: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|text| text == expected)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
