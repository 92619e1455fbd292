//! Reads the contracts at build time, refuses those that are unfit, and writes them as Rust.
//!
//! A contract is fit when each RPC has a rule that does not contradict itself, and each field that
//! a request can carry has a bound. What is refused is said with its name and what to write, all
//! of it at once.
//!
//! Options are read here by reflection, so that nothing has to be reflected on at run time:
//! [`compile`] leaves messages with tonic's clients and servers, checks as straight code, and
//! constant tables of methods and of their JSON forms.

mod sources;
mod refusals;
mod names;
mod policy;
mod rules;
mod reach;
mod emit;
#[cfg(test)]
mod tests;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use prost_reflect::MessageDescriptor;

use crate::{reach::Reach, refusals::Refusals, sources::Sources};

/// Compiles the contracts under a folder into another one.
///
/// A contract may import another of the same folder, `buf.validate`, `google.protobuf`, and for
/// its options what is under `imports`.
///
/// What is left there: `packages.rs`, to be included where the packages' modules shall be, and
/// `tables.rs`, to be included in a module of its own.
pub fn compile(contracts: &Path, imports: &[&Path], out: &Path) -> Result<()> {
    let sources = Sources::folders(&[contracts], imports)?;
    let tables = tables(&sources)?;

    write(out, "tables.rs", tables)?;
    write(out, "packages.rs", emit::packages(&sources))?;
    messages(&sources, out)
}

/// Compiles contracts that are not ours to annotate into another folder: like [`compile`], but
/// without rules, so that nothing is checked. `tables.rs` has the translations of each RPC's messages.
pub fn compile_foreign(contracts: &Path, out: &Path) -> Result<()> {
    let sources = Sources::folders(&[contracts], &[])?;
    let services = sources.files().flat_map(|file| file.services().collect::<Vec<_>>());
    let methods: Vec<_> =
        services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let reach = Reach::foreign(&methods);

    write(out, "tables.rs", emit::foreign(&methods, &reach))?;
    write(out, "packages.rs", emit::packages(&sources))?;
    messages(&sources, out)
}

/// Describes the contracts of some folders in another one, for whoever asks at run time.
///
/// What is left there: `descriptors.binpb`, as [`descriptors`] returns it, and `descriptors.rs`,
/// which knows where in it everything lies.
pub fn describe(contracts: &[&Path], out: &Path) -> Result<()> {
    let sources = Sources::folders(contracts, &[])?;

    let set = sources.encoded();

    write(out, "descriptors.rs", emit::descriptors(sources.pool(), &set)?)?;
    write(out, "descriptors.binpb", set)
}

/// Returns the contracts of a folder as an encoded `google.protobuf.FileDescriptorSet`, with what
/// they import and with all options.
pub fn descriptors(contracts: &Path) -> Result<Vec<u8>> {
    Ok(Sources::folders(&[contracts], &[])?.encoded())
}

/// Copies the contracts of a folder into another one, with what they import, for tools that want
/// files.
pub fn export(contracts: &Path, out: &Path) -> Result<()> {
    sources::read(contracts)?.into_iter().try_for_each(|(name, text)| write(out, &name, text))
}

fn write(out: &Path, name: &str, contents: impl AsRef<[u8]>) -> Result<()> {
    let path = out.join(name);
    fs::create_dir_all(path.parent().unwrap_or(out))
        .and_then(|()| fs::write(&path, contents))
        .with_context(|| format!("cannot write {name} in {}", out.display()))
}

/// Returns the text of `tables.rs`, or everything that is wrong with the contracts.
fn tables(sources: &Sources) -> Result<String> {
    let mut refusals = Refusals::default();
    let methods = policy::methods(sources, &mut refusals);
    let reach = Reach::of(&methods, &mut refusals);
    let checks = rules::read(&reach.requests, &mut refusals);
    refusals.into_result()?;

    Ok(emit::tables(&methods, &reach, &checks))
}

/// Writes the messages, clients and servers, a file per package.
fn messages(sources: &Sources, out: &Path) -> Result<()> {
    let mut config = tonic_prost_build::Config::new();
    config.skip_debug(emit::secretive(sources).iter().map(MessageDescriptor::full_name));
    tonic_prost_build::configure()
        .codec_path("crate::Codec")
        .btree_map(".")
        .bytes(".")
        .emit_rerun_if_changed(false)
        .out_dir(out)
        .compile_fds_with_config(sources.own(), config)
        .context("the messages do not compile")
}
