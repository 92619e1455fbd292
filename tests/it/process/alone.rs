//! Static binaries, as images hold them: alone in a root with certificates, and run by nobody.
//!
//! `.ci/static` builds them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use proto::{Access, Kind, METHODS, Method, Mutation, Rule};
use settings::Env;
use tests::{Answer, Proxy, leave_out, skip, world};

use super::{Environment, Serving, lines, secs};
use crate::process::program::Program;

const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// What images are run as.
const NOBODY: &str = "65534:65534";

#[tokio::test]
async fn a_static_binary_serves_in_a_root_with_nothing_but_certificates() {
    for function in functions() {
        let binary = target().join("static").join(&function);
        if !binary.exists() {
            return skip("there are no static binaries: .ci/static builds them");
        }
        let root = Root::of(&binary);
        let Some(ended) = root.run(&["--version"]).await else {
            return leave_out("a root for a program, which takes root or a user namespace");
        };
        assert!(ended.starts_with(&format!("mayfly {function} ")), "{ended}");
        root.serves(&function).await;
    }
}

/// A directory with a function and certificates in it.
struct Root(tempfile::TempDir);

impl Root {
    fn of(binary: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::copy(binary, dir.path().join("function")).unwrap();
        let certificates = dir.path().join(CERTIFICATES);
        fs::create_dir_all(certificates.parent().unwrap()).unwrap();
        // What a machine may not have, an image does; no call of this test leaves the machine.
        let system = fs::read(Path::new("/").join(CERTIFICATES)).unwrap_or_default();
        fs::write(certificates, system).unwrap();
        Self(dir)
    }

    /// The function with this directory as its root, if that is allowed here.
    fn command(&self, environment: &Environment, arguments: &[&str]) -> Option<Command> {
        let enter: &[&str] = if is_given("id", &["-u"], "0") {
            &["chroot", "--userspec", NOBODY]
        } else if is_given("unshare", &["--user", "--map-root-user", "id", "-u"], "0") {
            &["unshare", "--user", "--map-root-user", "chroot"]
        } else {
            return None;
        };
        let root = self.0.path().to_str().unwrap();
        let line = [&enter[1..], &[root, "/function"], arguments].concat();
        let mut command = environment.command_of(enter[0].as_ref(), &line);
        command.env("PATH", Env::of_process().unwrap().get("PATH").unwrap_or_default());
        Some(command)
    }

    async fn run(&self, arguments: &[&str]) -> Option<String> {
        let mut command = self.command(&Environment::default(), arguments)?;
        let ended = Program::run(&mut command, secs(5)).await;
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        Some(ended.stdout)
    }

    /// It verifies a token, reads the database, and drains.
    async fn serves(&self, function: &str) {
        let (database, proxy) = (world().new_database().await, Proxy::open());
        let environment = Environment::of(&proxy.url(&database)).with_issuer();
        let environment = environment.with("FIREBASE_API_KEY", "any");
        let mut serving = Serving::of(&mut self.command(&environment, &[]).unwrap()).await;
        let json = [("content-type", "application/json")];
        let (ada, mut answers) = (serving.person("ada"), Vec::new());
        for read in reads(function) {
            answers.push(ada.post(read.path, "{}", &json).await);
        }
        let is_read = |answer: &Answer| answer.status == 200 || answer.body["code"] == "not_found";
        assert!(answers.iter().any(is_read), "{function}: {answers:?}");
        serving.program.signal("TERM");
        let ended = serving.program.end(secs(5)).await;
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        let failed = |line: &&serde_json::Map<_, _>| line["level"] == "ERROR";
        assert_eq!(lines(&ended.stdout).iter().find(failed), None);
    }
}

/// What whoever is signed in may read of a function. One of these at least needs nothing in its
/// request.
fn reads(function: &str) -> impl Iterator<Item = &'static Method> {
    METHODS.iter().copied().filter(move |method| {
        let Rule { access, mutation, .. } = &method.rule;
        let is_of_it = function == "all" || method.function() == function;
        let is_read = matches!((access, mutation), (Access::SignedIn, Mutation::NoSideEffects));
        is_of_it && is_read && method.kind == Kind::Unary
    })
}

/// What images are built of: every function's own binary.
fn functions() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

/// Where cargo builds, as the program that is being tested tells.
fn target() -> PathBuf {
    let program = Path::new(super::USER);
    program.parent().and_then(Path::parent).unwrap().to_owned()
}

fn is_given(program: &str, arguments: &[&str], answer: &str) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == answer)
}
