//! A folder with the packages of `tests/clients/js`, and Node to run them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::sync::OnceCell;

use super::{folder, is_left, read, run};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/js");

/// What the packages ask for.
const NODE_MAJOR_MIN: u32 = 20;

/// The folder, made when it is first asked for; or what this machine lacks for it.
pub async fn packages() -> Result<&'static Path, &'static str> {
    static PACKAGES: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    let made = PACKAGES.get_or_init(prepare).await;
    made.as_deref().map_err(String::as_str)
}

async fn prepare() -> Result<PathBuf, String> {
    let (folder, _lock) = folder("javascript");
    let node = node().await?;
    for name in ["package.json", "package-lock.json", "rolling.js"] {
        fs::copy(Path::new(SOURCES).join(name), folder.join(name)).expect("a source");
    }
    let installed = [node, read(&folder.join("package-lock.json"))].concat();
    if !is_left(&folder.join("installed"), &installed) {
        run(&folder, "npm", "ci --no-progress").await?;
        fs::write(folder.join("installed"), &installed).expect("a file");
    }
    Ok(folder)
}

async fn node() -> Result<String, String> {
    let version = run(Path::new(SOURCES), "node", "--version").await?;
    let major =
        version.trim_start_matches('v').split('.').next().and_then(|text| text.parse().ok());
    if major.is_none_or(|major: u32| major < NODE_MAJOR_MIN) {
        return Err(format!("Node {NODE_MAJOR_MIN} or newer is needed, not {version}"));
    }
    Ok(version)
}
