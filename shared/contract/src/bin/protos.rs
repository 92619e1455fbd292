//! `cargo protos DIR`: writes the contracts, and what they import, for generators of clients.
//!
//! The repository does not hold what they import, `buf/validate/validate.proto`: with it, `buf
//! generate DIR` and `protoc -I DIR` find everything.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

const CONTRACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
const USAGE: &str = "usage: cargo protos DIR, which the contracts and their imports are written to";

fn main() -> Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from).context(USAGE)?;
    ensure!(!folder.to_string_lossy().starts_with('-'), USAGE);
    contract::export(Path::new(CONTRACTS), &folder)
}
