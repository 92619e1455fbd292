//! Writes what the contracts import and the repository does not hold, for tools that want files.
//!
//! `cargo run -p contract --bin protos -- DIR` leaves `DIR/buf/validate/validate.proto`.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from).context("usage: protos DIR")?;
    let (name, text) = contract::VALIDATE;
    let path = folder.join(name);

    fs::create_dir_all(path.parent().unwrap_or(&folder))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
