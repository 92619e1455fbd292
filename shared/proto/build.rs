//! Turns the contracts into Rust.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

const CONTRACTS: &str = "../../proto";
const PROBE: &str = "probe";
/// The services of gRPC itself, whose contracts are not ours to annotate.
const FOREIGN: &str = "foreign";

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed={CONTRACTS}");
    println!("cargo::rerun-if-changed={PROBE}");
    println!("cargo::rerun-if-changed={FOREIGN}");

    let out = out()?;
    let (contracts, foreign) = (Path::new(CONTRACTS), Path::new(FOREIGN));
    contract::compile(contracts, &[], &out.join("contracts"))?;
    contract::compile_foreign(foreign, &out.join("foreign"))?;
    contract::describe(&[contracts, foreign], &out.join("descriptors"))?;
    contract::compile(Path::new(PROBE), &[contracts], &out.join("probe"))
}

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts so")]
fn out() -> Result<PathBuf> {
    Ok(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?.into())
}
