//! Keeps the contracts as they are now, for later ones to be compared with.
//!
//! `cargo run -p contract --bin release -- 0.1.0` writes `proto/releases/0.1.0.binpb`. What was
//! released stays as it was: a version that is there, or older than one that is, is refused.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

const CONTRACTS: &str = "proto";
const RELEASES: &str = "releases";

fn main() -> Result<()> {
    let usage = "usage: release VERSION [CONTRACTS]";
    let text = env::args().nth(1).context(usage)?;
    let contracts = env::args_os().nth(2).map_or_else(|| PathBuf::from(CONTRACTS), PathBuf::from);
    let Some(version) = version(&text) else {
        bail!("{text:?} is no version such as 1.2.3; {usage}");
    };
    let releases = contracts.join(RELEASES);
    if let Some(last) = last(&releases)? {
        ensure!(version > last, "{text} does not come after {}", written(last));
    }

    let set = contract::descriptors(&contracts)?;
    let path = releases.join(format!("{}.binpb", written(version)));
    fs::create_dir_all(&releases)?;
    fs::write(&path, set).with_context(|| format!("cannot write {}", path.display()))
}

type Version = [u32; 3];

fn version(text: &str) -> Option<Version> {
    let parts: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
    let version = parts?.try_into().ok()?;
    (written(version) == text).then_some(version)
}

fn written([major, minor, patch]: Version) -> String {
    format!("{major}.{minor}.{patch}")
}

/// Returns the last version of a folder, which need not be there.
fn last(releases: &Path) -> Result<Option<Version>> {
    if !releases.exists() {
        return Ok(None);
    }
    let mut last = None;
    for entry in fs::read_dir(releases)? {
        let path = entry?.path();
        last = last.max(path.file_stem().and_then(|stem| version(stem.to_str()?)));
    }
    Ok(last)
}
