//! Parses the .proto files, without protoc.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use prost_reflect::{DescriptorPool, FileDescriptor};
use prost_types::FileDescriptorSet;
use protox::{
    Compiler,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver},
};

/// The annotations of `buf.validate`, which the contracts import.
const VALIDATE: (&str, &str) =
    ("buf/validate/validate.proto", include_str!(concat!(env!("OUT_DIR"), "/validate.proto")));

/// Is the package that describes the rules; it is read here and needed nowhere else.
const POLICY: &str = "mayfly.policy.v1";
const GOOGLE: &str = "google.protobuf";

/// Parsed contracts, with whatever they import.
#[derive(Debug)]
pub(crate) struct Sources {
    pool: DescriptorPool,
    set: FileDescriptorSet,
    compiler: Compiler,
    own: Vec<String>,
}

/// Files that are held in memory.
struct Texts(Vec<(String, String)>);

// === impl Sources ===

impl Sources {
    /// Parses every .proto file under some folders.
    pub(crate) fn folders(contracts: &[&Path], imports: &[&Path]) -> Result<Self> {
        let mut own = Vec::new();
        let mut resolver = ChainFileResolver::new();
        for folder in contracts {
            own.extend(find(folder, folder)?);
            resolver.add(IncludeFileResolver::new((*folder).to_owned()));
        }
        Self::parse(own, resolver, imports)
    }

    /// Parses files that are given as pairs of name and text.
    #[cfg(test)]
    pub(crate) fn texts(texts: &[(&str, &str)], imports: &[&Path]) -> Result<Self> {
        let own = texts.iter().map(|(name, _)| (*name).to_owned()).collect();
        let held = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let mut resolver = ChainFileResolver::new();
        resolver.add(Texts(held.collect()));
        Self::parse(own, resolver, imports)
    }

    fn parse(own: Vec<String>, mut resolver: ChainFileResolver, imports: &[&Path]) -> Result<Self> {
        for folder in imports {
            resolver.add(IncludeFileResolver::new((*folder).to_owned()));
        }
        resolver.add(Texts(vec![(VALIDATE.0.to_owned(), VALIDATE.1.to_owned())]));
        resolver.add(GoogleFileResolver::new());

        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).include_source_info(true);
        for name in &own {
            compiler.open_file(name).with_context(|| format!("{name} does not parse"))?;
        }
        let (pool, set) = (compiler.descriptor_pool(), compiler.file_descriptor_set());
        compiler.include_source_info(false);
        Ok(Self { pool, set, compiler, own })
    }

    /// Returns the contracts that are to be written, by name.
    pub(crate) fn files(&self) -> impl Iterator<Item = FileDescriptor> {
        let files = self.own.iter().filter_map(|name| self.pool.get_file_by_name(name));
        files.filter(|file| file.package_name() != POLICY)
    }

    /// Returns every file, imports included, as a `google.protobuf.FileDescriptorSet` with all
    /// options and without comments.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        // prost's own types would lose the options, which are extensions.
        self.compiler.encode_file_descriptor_set()
    }

    /// Describes every file, imports included.
    pub(crate) fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// Returns the same contracts as prost wants them: with `google.protobuf`, for which it writes
    /// nothing, and without what is only options.
    pub(crate) fn own(&self) -> FileDescriptorSet {
        let is_own = |name: &str| self.files().any(|file| file.name() == name);
        let files = self.set.file.iter();
        let files = files.filter(|file| is_own(file.name()) || file.package() == GOOGLE);
        FileDescriptorSet { file: files.cloned().collect() }
    }
}

// === impl Texts ===

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((name, text)) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Returns every .proto file under a folder, by name and text, with what they import.
pub(crate) fn read(folder: &Path) -> Result<Vec<(String, String)>> {
    let own = find(folder, folder)?.into_iter().map(|name| {
        let path = folder.join(&name);
        let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
        Ok((name, text))
    });
    let imported = Ok((VALIDATE.0.to_owned(), VALIDATE.1.to_owned()));
    own.chain([imported]).collect()
}

/// Returns the names of the .proto files under a folder, relative to the root, in order.
fn find(root: &Path, folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();

    let mut names = Vec::new();
    for path in paths {
        if path.is_dir() {
            names.extend(find(root, &path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            let parts = path.strip_prefix(root)?.components();
            let parts: Vec<_> = parts.map(|part| part.as_os_str().to_string_lossy()).collect();
            names.push(parts.join("/"));
        }
    }
    Ok(names)
}
