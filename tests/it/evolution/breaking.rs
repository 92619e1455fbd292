//! What `.ci/buf` lets through, and what it does not.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use settings::Env;
use tests::skip;
use tokio::sync::OnceCell;

use super::contract::{PROTO, changed, next};
use crate::process::program::{Ended, Program, command};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/buf");

/// Installing it may take as long as the network does.
const INSTALL_MAX: Duration = Duration::from_mins(3);
const CHECK_MAX: Duration = Duration::from_mins(5);

/// buf, in the version that the repository names.
#[derive(Clone, Debug)]
pub(crate) struct Buf(PathBuf);

/// buf, installed by the first test that asks for it; nothing, where that is not possible.
pub(crate) async fn buf() -> Option<Buf> {
    static BUF: OnceCell<Result<Buf, String>> = OnceCell::const_new();
    let install = async || {
        let ended = Program::run(&mut script(&["--tool"]), INSTALL_MAX).await;
        match ended.code() {
            Some(0) => Ok(Buf(ended.stdout.trim().into())),
            _ => Err(format!("buf is not to be had: {}", ended.stderr)),
        }
    };
    match BUF.get_or_init(install).await {
        Ok(buf) => Some(buf.clone()),
        Err(why) => {
            skip(why);
            None
        }
    }
}

fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new(SCRIPT);
    command.args(arguments);
    command
}

impl Buf {
    pub(crate) async fn run(&self, common: &[&str], arguments: &[&str]) -> Ended {
        let env = Env::of_process().unwrap();
        let mut command = command(&self.0);
        for name in ["PATH", "HOME"] {
            command.env(name, env.get(name).unwrap_or_default());
        }
        Program::run(command.args(common).args(arguments), CHECK_MAX).await
    }
}

async fn check(folder: &Path) -> Ended {
    Program::run(&mut script(&[folder.to_str().unwrap()]), CHECK_MAX).await
}

/// A contract without an RPC.
fn without(rpc: &str, text: &str) -> String {
    let (before, rest) = text.split_once(&format!("  rpc {rpc}(")).unwrap();
    let (_rpc, after) = rest.split_once("\n  }\n").unwrap();
    format!("{before}{after}")
}

#[tokio::test]
async fn what_only_adds_passes() {
    let Some(_buf) = buf().await else { return };
    let ended = check(changed(next).path()).await;

    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains("compared with the release "), "{ended:?}");
}

#[tokio::test]
async fn what_an_old_client_would_trip_over_is_found() {
    type Change = fn(&str) -> String;
    let Some(_buf) = buf().await else { return };
    let changes: [(&str, Change, &str); 4] = [
        (
            "another type",
            |text| {
                let bytes = "bytes etag = 8 [(buf.validate.field).bytes.max_len = 64]";
                text.replace("string etag = 8 [(buf.validate.field).string.max_len = 64]", bytes)
            },
            "Field \"8\" with name \"etag\" on message \"Profile\" changed type",
        ),
        (
            "a number for another field",
            |text| text.replace("string bio = 4 ", "string motto = 4 "),
            "Field \"4\" on message \"Profile\" changed name from \"bio\" to \"motto\"",
        ),
        (
            "a value that is gone",
            |text| text.replace("  VISIBILITY_PUBLIC = 2;\n", ""),
            "Previously present enum value \"2\" on enum \"Visibility\"",
        ),
        (
            "an RPC that is gone",
            |text| without("ListProfiles", text),
            "Previously present RPC \"ListProfiles\"",
        ),
    ];
    let checks = changes.map(async |(what, change, told)| {
        let ended = check(changed(change).path()).await;
        assert_ne!(ended.code(), Some(0), "{what}: {ended:?}");
        let lines = ended.stdout.lines().filter(|line| line.contains("user.proto:"));
        assert!(lines.clone().any(|line| line.contains(told)), "{what}: {ended:?}");
    });
    futures_util::future::join_all(checks).await;
}

#[tokio::test]
async fn a_release_stays_as_it_was() {
    let folder = changed(next);
    let releases = folder.path().join("releases");
    let before = std::fs::read_dir(&releases).unwrap().count();
    let release = async |version: &str| {
        let mut cargo = Command::new(Env::of_process().unwrap().get("CARGO").unwrap_or("cargo"));
        cargo.args(["run", "--quiet", "--package", "contract", "--bin", "release", "--", version]);
        cargo.arg(folder.path()).current_dir(Path::new(PROTO).parent().unwrap());
        Program::run(&mut cargo, CHECK_MAX).await
    };

    let made = release("900.0.0").await;
    assert_eq!(made.code(), Some(0), "{made:?}");
    let kept = std::fs::read(releases.join("900.0.0.binpb")).unwrap();
    assert_eq!(kept, contract::descriptors(folder.path()).unwrap());
    for refused in ["900.0.0", "0.0.1", "1", "900.0.x", "0900.1.0", "../x"] {
        let ended = release(refused).await;
        assert_ne!(ended.code(), Some(0), "{refused}: {ended:?}");
        assert!(ended.stderr.contains(refused), "{ended:?}");
    }
    assert_eq!(std::fs::read_dir(&releases).unwrap().count(), before + 1);
    assert_eq!(std::fs::read(releases.join("900.0.0.binpb")).unwrap(), kept);
}
