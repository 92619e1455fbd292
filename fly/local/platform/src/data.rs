//! Where everything is kept: one directory, which one platform uses at a time.

use std::{
    fs::{self, File, TryLockError},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
};

use ::postgres::{Durability, Postgres, erase, find_or_start};
use ::settings::Env;

use crate::{Error, Options, report::progress};

/// Connections of the local cluster: each function's pool, control connections, and people.
const CONNECTIONS_MAX: u32 = 100;

/// Takes the data directory, which one platform uses at a time.
pub(crate) fn lock(data: &Path) -> Result<File, Error> {
    let fail = |cause| Error::Data { data: data.to_owned(), cause };
    fs::create_dir_all(data).map_err(fail)?;
    let path = data.join("lock");
    let file = File::options().create(true).read(true).append(true).open(&path);
    let mut file = file.map_err(fail)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let process = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
            return Err(Error::InUse { data: data.to_owned(), process });
        }
        // Not every file system has locks; Postgres still guards its own.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    // For whoever comes second; the lock itself ends with the process.
    file.set_len(0).map_err(fail)?;
    writeln!(file, "{}", std::process::id()).map_err(fail)?;
    Ok(file)
}

/// Removes what `--fresh` begins without.
pub(crate) fn empty(options: &Options) -> Result<(), Error> {
    let data = options.data();
    erase(&data.join("postgres"))?;
    if options.data.is_none() {
        erase(&open_data(&data)?)?;
    }
    match fs::remove_dir_all(data.join("issuer")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::Data { data, cause: error })
        }
        _ => Ok(()),
    }
}

pub(crate) fn start_postgres(options: &Options, env: &Env) -> Result<Postgres, Error> {
    let data = options.data();
    let postgres_options = |data: PathBuf| postgres::Options {
        url: env.get("DATABASE_URL").map(str::to_owned),
        binaries: env.get("PG_BIN").map(PathBuf::from),
        data: Some(data),
        durability: Durability::Durable,
        connections_max: CONNECTIONS_MAX,
        tell: progress,
    };
    match find_or_start(&postgres_options(data.join("postgres"))) {
        // Root's own directories are closed to the account that Postgres runs under.
        Err(postgres::Error::Barrier { .. }) if options.data.is_none() => {
            Ok(find_or_start(&postgres_options(open_data(&data)?))?)
        }
        outcome => Ok(outcome?),
    }
}

/// A directory for this checkout's cluster that every account can enter.
fn open_data(data: &Path) -> io::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    std::path::absolute(data)?.hash(&mut hasher);
    Ok(Path::new("/var/tmp").join(format!("mayfly-{:016x}", hasher.finish())))
}
