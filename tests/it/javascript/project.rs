//! A Node project with other people's clients, the contracts' stubs and the sources of
//! `tests/clients/js`, and the browser that runs some of them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{process::Command, sync::OnceCell, time::timeout};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/js");
const CONTRACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");

/// What is generated stays here for the next run, beside what is installed.
const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/javascript");

const STEP_MAX: Duration = Duration::from_mins(3);

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Where the clients are, and what runs them.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) folder: PathBuf,
    pub(super) chromium: PathBuf,
}

/// The project, made when the first test asks for it; or what this machine lacks for it.
pub(super) async fn project() -> Result<&'static Project, &'static str> {
    static PROJECT: OnceCell<Result<Project, String>> = OnceCell::const_new();
    PROJECT.get_or_init(prepare).await.as_ref().map_err(String::as_str)
}

/// Generates what the last run has not left.
async fn prepare() -> Result<Project, String> {
    let chromium = chromium().await?;
    let folder = tests::packages().await?.to_owned();
    let lock = File::create(folder.join("lock")).expect("cargo's folder for tests is writable");
    // Another run over the same folder finishes first.
    lock.lock().expect("the folder can be locked");

    // What the repository no longer holds must not be there.
    for written in ["contracts", "page", "proto", "src"] {
        let _outcome = fs::remove_dir_all(folder.join(written));
    }
    copy(Path::new(SOURCES), &folder);
    let exported = contract::export(Path::new(CONTRACTS), &folder.join("contracts"));
    exported.expect("the contracts are written");
    write(&folder.join("errors.binpb"), tonic_types::pb::FILE_DESCRIPTOR_SET);
    let contracts = ["contracts", "proto"].map(|name| texts(&folder.join(name)));
    let generated = [
        read(&folder.join("package-lock.json")),
        read(&folder.join("buf.gen.yaml")),
        contracts.concat(),
    ]
    .concat();
    if !is_left(&folder.join("generated"), &generated) {
        let buf = "node node_modules/@bufbuild/buf/bin/buf";
        let outcome = run(&folder, &format!("{buf} build . --output contracts.binpb")).await;
        outcome.expect("the contracts compile");
        run(&folder, &format!("{buf} generate")).await.expect("the stubs are written");
        fs::write(folder.join("generated"), &generated).expect("a file");
    }
    Ok(Project { folder, chromium })
}

async fn chromium() -> Result<PathBuf, String> {
    for browser in BROWSERS {
        if let Ok(path) = run(Path::new(SOURCES), &format!("which {browser}")).await {
            return Ok(path.trim().into());
        }
    }
    Err("there is no Chromium".to_owned())
}

/// Runs a command of the preparation to its end; what it printed.
async fn run(folder: &Path, line: &str) -> Result<String, String> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command.env("BUF_CACHE_DIR", Path::new(FOLDER).join("cache"));
    let Output { status, stdout, stderr } = timeout(STEP_MAX, command.output())
        .await
        .map_err(|_elapsed| format!("`{line}` took longer than {STEP_MAX:?}"))?
        .map_err(|error| format!("`{line}`: {error}"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.success() { Ok(stdout.into()) } else { Err(format!("`{line}`: {stdout}{stderr}")) }
}

/// The entries of a folder, but for what a developer may have installed there.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| !path.ends_with("node_modules"));
    paths.sort();
    paths
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for path in entries(from) {
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

/// Every file under `folder`, one after the other.
fn texts(folder: &Path) -> String {
    let text = |path: PathBuf| if path.is_dir() { texts(&path) } else { read(&path) };
    entries(folder).into_iter().map(text).collect()
}

fn is_left(stamp: &Path, expected: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|text| text == expected)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, contents: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, contents).expect("a file");
}
