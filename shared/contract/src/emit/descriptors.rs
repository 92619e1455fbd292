//! Where each file lies in the encoded set, and which file defines what.

use std::{collections::BTreeSet, fmt::Write, ops::Range};

use anyhow::{Context, Result, ensure};
use prost::encoding::decode_varint;
use prost_reflect::{DescriptorPool, FileDescriptor};

/// The key of `FileDescriptorSet.file`.
const FILE_KEY: u8 = 10;

/// Returns the index of a set that is written beside it as `descriptors.binpb`.
pub(crate) fn text(pool: &DescriptorPool, set: &[u8]) -> Result<String> {
    let mut files = String::new();
    let ranges = ranges(set)?;
    ensure!(ranges.len() == pool.files().len(), "the set and its pool differ");
    for (file, Range { start, end }) in pool.files().zip(ranges) {
        let (name, imports) = (file.name(), imports(&file));
        writeln!(
            files,
            "    crate::descriptors::File {{ name: {name:?}, \
             bytes: crate::descriptors::part(SET, {start}, {end}), imports: &{imports:?} }},"
        )?;
    }
    let (symbols, extensions) = (symbols(pool), extensions(pool));
    Ok(format!(
        "pub(crate) mod generated {{\n\
         pub(crate) static SET: &[u8] = include_bytes!(\"descriptors.binpb\");\n\
         pub(crate) static FILES: &[crate::descriptors::File] = &[\n{files}];\n\
         pub(crate) static SYMBOLS: &[(&str, u16)] = &{symbols:?};\n\
         pub(crate) static EXTENSIONS: &[(&str, u32, u16)] = &{extensions:?};\n}}\n"
    ))
}

/// Returns where each file's bytes lie in an encoded set.
fn ranges(set: &[u8]) -> Result<Vec<Range<usize>>> {
    let (mut rest, mut ranges) = (set, Vec::new());
    while let Some((&key, mut after)) = rest.split_first() {
        ensure!(key == FILE_KEY, "a set of files holds nothing but files");
        let length = usize::try_from(decode_varint(&mut after)?)?;
        let start = set.len() - after.len();
        rest = after.get(length..).context("a file is cut short")?;
        ranges.push(start..start + length);
    }
    Ok(ranges)
}

fn imports(file: &FileDescriptor) -> Vec<String> {
    file.dependencies().map(|import| import.name().to_owned()).collect()
}

/// Returns a file's place in the pool, which is its place in the set.
fn place(pool: &DescriptorPool, file: &FileDescriptor) -> u16 {
    let place = pool.files().position(|one| one.name() == file.name());
    place.and_then(|place| place.try_into().ok()).expect("there are fewer than 65,536 files")
}

/// Returns everything that has a name, by name: the names of fields and values, too.
fn symbols(pool: &DescriptorPool) -> Vec<(String, u16)> {
    let mut symbols = BTreeSet::new();
    let mut add = |file: &FileDescriptor, name: &str| {
        symbols.insert((name.to_owned(), place(pool, file)));
    };
    for service in pool.services() {
        add(&service.parent_file(), service.full_name());
        for method in service.methods() {
            add(&service.parent_file(), method.full_name());
        }
    }
    for message in pool.all_messages() {
        let file = message.parent_file();
        add(&file, message.full_name());
        message.fields().for_each(|field| add(&file, field.full_name()));
        message.oneofs().for_each(|oneof| add(&file, oneof.full_name()));
    }
    for values in pool.all_enums() {
        let file = values.parent_file();
        add(&file, values.full_name());
        values.values().for_each(|value| add(&file, value.full_name()));
    }
    for extension in pool.all_extensions() {
        add(&extension.parent_file(), extension.full_name());
    }
    symbols.into_iter().collect()
}

/// Returns the extensions, by the message that they extend and their number.
fn extensions(pool: &DescriptorPool) -> Vec<(String, u32, u16)> {
    let extensions = pool.all_extensions().map(|extension| {
        let message = extension.containing_message().full_name().to_owned();
        (message, extension.number(), place(pool, &extension.parent_file()))
    });
    extensions.collect::<BTreeSet<_>>().into_iter().collect()
}
