//! Takes `buf/validate/validate.proto` out of the crate that ships it.
//!
//! The crate exports neither the text nor its path, so cargo is asked where the crate is.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const CRATE: &str = "protovalidate-buffa-protos";
const FILE: &str = "proto/buf/validate/validate.proto";

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../Cargo.lock");

    let manifest = manifest_of(CRATE)?;
    let file = manifest.parent().unwrap_or(Path::new("")).join(FILE);
    let out = PathBuf::from(variable("OUT_DIR")?).join("validate.proto");
    fs::copy(&file, out).with_context(|| format!("{CRATE} no longer ships {FILE}"))?;

    Ok(())
}

fn manifest_of(name: &str) -> Result<PathBuf> {
    let output = Command::new(variable("CARGO")?)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform"])
        .arg(variable("HOST")?)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let package = packages.iter().find(|package| package["name"] == name);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    Ok(manifest.with_context(|| format!("{name} is not among the dependencies"))?.into())
}

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts so")]
fn variable(name: &str) -> Result<String> {
    env::var(name).with_context(|| format!("cargo sets {name}"))
}
