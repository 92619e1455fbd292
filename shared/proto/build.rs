//! Turns the contracts into Rust.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

const CONTRACTS: &str = "../../proto";
const PROBE: &str = "probe";

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed={CONTRACTS}");
    println!("cargo::rerun-if-changed={PROBE}");

    let out = out()?;
    contract::compile(Path::new(CONTRACTS), &[], &out.join("contracts"))?;
    contract::compile(Path::new(PROBE), &[Path::new(CONTRACTS)], &out.join("probe"))
}

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts so")]
fn out() -> Result<PathBuf> {
    Ok(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?.into())
}
