//! The issuer's file: its key and its accounts, readable by its owner alone.

use std::{
    borrow::Cow,
    error, fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{Error, accounts::Accounts, key::Key};

/// What is kept beside the accounts, and where.
pub(crate) struct File {
    path: PathBuf,
    /// PKCS #8, in base64.
    key: String,
}

#[derive(Serialize, Deserialize)]
struct Content<'a> {
    key: Cow<'a, str>,
    #[serde(flatten)]
    accounts: Cow<'a, Accounts>,
}

impl File {
    /// Saves a new key, and nobody yet.
    pub(crate) fn make(path: PathBuf) -> Result<Self, Error> {
        let file = Self { path, key: STANDARD.encode(Key::generate()?.to_pkcs8()?) };
        file.save(&Accounts::default())?;
        Ok(file)
    }

    /// Reads what was saved, if anything was.
    pub(crate) fn load(path: &Path) -> Result<Option<(Self, Accounts)>, Error> {
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path, error)),
        };
        let path = path.to_owned();
        match serde_json::from_slice(&content) {
            Ok(Content { key, accounts }) => {
                let key = key.into_owned();
                Ok(Some((Self { path, key }, accounts.into_owned())))
            }
            Err(source) => Err(Error::Damaged { path, source: source.into() }),
        }
    }

    pub(crate) fn key(&self) -> Result<Key, Error> {
        let damaged = |source: Box<dyn error::Error + Send + Sync>| Error::Damaged {
            path: self.path.clone(),
            source,
        };
        let pkcs8 = STANDARD.decode(&self.key).map_err(|error| damaged(error.into()))?;
        Key::from_pkcs8(&pkcs8).map_err(|error| damaged(error.to_string().into()))
    }

    /// Replaces the file: a crash leaves the old one or the new one, whole.
    pub(crate) fn save(&self, accounts: &Accounts) -> Result<(), Error> {
        let save = || -> io::Result<()> {
            let content =
                Content { key: Cow::Borrowed(&self.key), accounts: Cow::Borrowed(accounts) };
            let dir = self.path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(dir)?;
            // Made with mode 0600.
            let mut file = tempfile::Builder::new().prefix(".issuer-").tempfile_in(dir)?;
            file.write_all(&serde_json::to_vec_pretty(&content)?)?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            fs::File::open(dir)?.sync_all()
        };
        save().map_err(|error| Error::io("write", &self.path, error))
    }
}
