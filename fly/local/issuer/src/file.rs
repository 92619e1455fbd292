//! The issuer's file: its keys and its accounts, readable by its owner alone.

use std::{fs, io, io::Write, path::Path};

use crate::{Error, State};

/// Reads what was saved, if anything was.
pub(crate) fn load(path: &Path) -> Result<Option<State>, Error> {
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path, error)),
    };
    match serde_json::from_slice(&content) {
        Ok(state) => Ok(Some(state)),
        Err(source) => Err(Error::Damaged { path: path.to_owned(), source: source.into() }),
    }
}

/// Replaces the file: a crash leaves the old one or the new one, whole.
pub(crate) fn save(path: &Path, state: &State) -> Result<(), Error> {
    let save = || -> io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        // Made with mode 0600.
        let mut file = tempfile::Builder::new().prefix(".issuer-").tempfile_in(dir)?;
        file.write_all(&serde_json::to_vec_pretty(state)?)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        fs::File::open(dir)?.sync_all()
    };
    save().map_err(|error| Error::io("write", path, error))
}
