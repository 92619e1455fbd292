//! The contracts' stubs for grpcio, and scripts that run with them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Map, Value};
use tests::world;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::OnceCell,
    time::{Instant, timeout, timeout_at},
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python");
const CONTRACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");

/// What is generated stays here, beside what is installed, for the next run.
const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/grpcio");

const GENERATE_MAX: Duration = Duration::from_mins(2);
const SCRIPT_MAX: Duration = Duration::from_mins(1);

/// The people of the scripts; each case has its own.
const PEOPLE: [&str; 17] = [
    "ada", "bob", "carol", "dave", "erin", "frank", "page_a", "page_b", "page_c", "thread_0",
    "thread_1", "thread_2", "thread_3", "thread_4", "thread_5", "thread_6", "thread_7",
];

/// The interpreter, made when the first test asks for it; or what this machine lacks for it.
pub(super) async fn interpreter() -> Result<&'static Path, &'static str> {
    static INTERPRETER: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    let made = INTERPRETER.get_or_init(prepare).await;
    made.as_deref().map_err(String::as_str)
}

/// Generates what the last run has not left.
async fn prepare() -> Result<PathBuf, String> {
    let python = tests::interpreter().await?;
    let folder = Path::new(FOLDER);
    let lock = File::create(folder.join("lock")).expect("cargo's folder for tests is writable");
    // Another run over the same folder finishes first.
    lock.lock().expect("the folder can be locked");

    let exported = folder.join("contracts");
    // What the repository no longer holds must not be there.
    let _outcome = fs::remove_dir_all(&exported);
    contract::export(Path::new(CONTRACTS), &exported).expect("the contracts are written");
    let contracts = contracts(&exported);
    let texts: String = contracts.iter().map(|path| read(path)).collect();
    let requirements = read(&Path::new(SCRIPTS).join("requirements.txt"));
    let generated = [requirements, texts].concat();
    if !is_left(&folder.join("generated"), &generated) {
        generate(folder, python, &contracts).await.expect("the contracts compile");
        fs::write(folder.join("generated"), &generated).expect("a file");
    }
    Ok(python.to_owned())
}

async fn generate(folder: &Path, python: &Path, contracts: &[PathBuf]) -> Result<(), String> {
    let stubs = folder.join("stubs");
    // What no contract asks for any more must not be there.
    let _outcome = fs::remove_dir_all(&stubs);
    fs::create_dir_all(&stubs).expect("a folder");

    let mut protoc = Command::new(python);
    protoc.args(["-m", "grpc_tools.protoc", "-I"]).arg(folder.join("contracts"));
    for kind in ["--python_out", "--grpc_python_out"] {
        protoc.arg(format!("{kind}={}", stubs.display()));
    }
    run(protoc.args(contracts)).await.map(|_printed| ())
}

/// Runs a command of the preparation to its end; what it printed.
async fn run(command: &mut Command) -> Result<String, String> {
    let told = format!("{:?}", command.as_std());
    command.current_dir(SCRIPTS).stdin(Stdio::null()).kill_on_drop(true);
    let Output { status, stdout, stderr } = timeout(GENERATE_MAX, command.output())
        .await
        .map_err(|_elapsed| format!("{told} took longer than {GENERATE_MAX:?}"))?
        .map_err(|error| format!("{told}: {error}"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.success() { Ok(stdout.into()) } else { Err(format!("{told}: {stdout}{stderr}")) }
}

/// Every .proto file under `folder`.
fn contracts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the contracts are there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let is_proto = |path: &PathBuf| path.extension().is_some_and(|suffix| suffix == "proto");
    let (folders, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    let within = folders.iter().flat_map(|folder| contracts(folder));
    files.into_iter().filter(is_proto).chain(within).collect()
}

fn is_left(stamp: &Path, expected: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|text| text == expected)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A script that runs; dropped, it is killed.
#[derive(Debug)]
pub(super) struct Script {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    end: Instant,
}

impl Script {
    /// Starts the cases of `topic`, against whoever serves at `address`.
    pub(super) fn start(python: &Path, topic: &str, address: &str) -> Self {
        let sign = |name| world().issuer.id_token(name, &Map::new());
        let tokens: Map<String, Value> =
            PEOPLE.iter().map(|name| ((*name).to_owned(), sign(name).into())).collect();
        let mut child = Command::new(python)
            .args(["-u", "run.py", topic])
            .current_dir(SCRIPTS)
            .env("PYTHONPATH", Path::new(FOLDER).join("stubs"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("ADDRESS", address)
            .env("TOKENS", Value::from(tokens).to_string())
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the interpreter starts");
        let stdin = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, stdin, lines, end: Instant::now() + SCRIPT_MAX }
    }

    /// Waits until it prints `line`.
    pub(super) async fn says(&mut self, line: &str) {
        while let Some(printed) = self.line().await {
            if printed == line {
                return;
            }
        }
        panic!("the script ended before it said {line:?}");
    }

    /// Gives it a line to read.
    pub(super) async fn tell(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.stdin.write_all(line.as_bytes()).await.expect("the script reads");
    }

    /// Waits for its end; all of its cases hold.
    pub(super) async fn passes(mut self) {
        while let Some(_printed) = self.line().await {}
        let status = timeout_at(self.end, self.child.wait()).await;
        let status = status.expect("the script ends").expect("a status");
        assert!(status.success(), "{status}: the cases that failed are told above");
    }

    /// The next line it prints, which is shown where the test fails.
    #[expect(clippy::print_stdout, reason = "the harness of tests keeps it for failures")]
    async fn line(&mut self) -> Option<String> {
        let read = timeout_at(self.end, self.lines.next_line()).await;
        let line = read.expect("the script does not hang").expect("it prints text")?;
        println!("{line}");
        Some(line)
    }
}
