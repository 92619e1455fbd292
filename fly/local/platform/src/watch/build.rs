//! Builds the functions with the cargo that runs us.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde_json::Value;
use tokio::process::Command;

use crate::Error;

/// The package, and its binary, that holds every function.
const FUNCTIONS: &str = "all";

/// The package that we are.
const PLATFORM: &str = env!("CARGO_PKG_NAME");

/// Cargo, in the workspace of the current directory.
#[derive(Debug)]
pub(crate) struct Cargo {
    program: String,
    root: PathBuf,
}

/// What a build has made.
#[derive(Debug)]
pub(crate) struct Built {
    /// The binary of every function.
    pub(crate) binary: PathBuf,
    /// It is the one of the build before.
    pub(crate) is_same: bool,
}

impl Cargo {
    /// Finds the workspace that we stand in.
    pub(crate) async fn of_workspace(program: &str) -> Result<Self, Error> {
        let locate = ["locate-project", "--workspace", "--message-format", "plain"];
        let located = output(Command::new(program).args(locate)).await?;
        let manifest = String::from_utf8_lossy(&located.stdout).trim().to_owned();
        match Path::new(&manifest).parent() {
            Some(root) if located.status.success() => {
                Ok(Self { program: program.to_owned(), root: root.to_owned() })
            }
            _ => Err(Error::NoWorkspace),
        }
    }

    /// The workspace.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Builds every function; what the compiler has to say goes to standard error.
    pub(crate) async fn build(&self) -> Result<Built, Error> {
        let told = ["--quiet", "--message-format", "json-render-diagnostics"];
        let mut build = Command::new(&self.program);
        // With the platform, which is built already, among the packages, both are built with the same
        // features of what they share: it is built once.
        build.args(["build", "--package", PLATFORM, "--package", FUNCTIONS, "--bin", FUNCTIONS]);
        build.args(told);
        let Output { status, stdout, .. } = output(build.current_dir(&self.root)).await?;
        if !status.success() {
            return Err(Error::Build);
        }
        String::from_utf8_lossy(&stdout).lines().find_map(built).ok_or(Error::Build)
    }
}

/// Runs to its end; what it says to people, it says to them.
async fn output(command: &mut Command) -> Result<Output, Error> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let run = async { command.spawn()?.wait_with_output().await };
    run.await.map_err(Error::Cargo)
}

/// Reads one of cargo's messages, if it tells of the functions' binary.
fn built(line: &str) -> Option<Built> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["target"]["name"] != FUNCTIONS {
        return None;
    }
    let binary = message["executable"].as_str()?.into();
    Some(Built { binary, is_same: message["fresh"] == true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_read_from_what_cargo_tells_of_it() {
        let library = r#"{"reason":"compiler-artifact","target":{"name":"all"},"executable":null,"fresh":true}"#;
        let binary = r#"{"reason":"compiler-artifact","target":{"name":"all"},"executable":"/w/all","fresh":false}"#;
        let other = r#"{"reason":"compiler-artifact","target":{"name":"dev"},"executable":"/w/dev","fresh":false}"#;
        for line in [library, other, "", "{}", r#"{"reason":"build-finished","success":true}"#] {
            assert!(built(line).is_none(), "{line}");
        }
        let Built { binary, is_same } = built(binary).unwrap();
        assert_eq!((binary.as_path(), is_same), (Path::new("/w/all"), false));
    }
}
