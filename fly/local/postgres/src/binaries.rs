//! Finds the binaries of a Postgres.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Error, Skipped};

/// The oldest major version with what we use (`client_connection_check_interval`, functions whose
/// body is SQL). On a Mac the first of them came a version later.
const VERSION_MIN: u32 = if cfg!(target_os = "macos") { 15 } else { 14 };

/// Where packages put versions side by side: what stands before and after the version's directory.
const SHELVES: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// Binaries that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    /// None: the shell finds them.
    dir: Option<PathBuf>,
    /// As they say it, such as `15.19`.
    version: String,
    major: u32,
}

impl Binaries {
    /// Takes the first that can run a cluster of major version `cluster`, or any without one.
    pub(crate) fn find(
        given: Option<&Path>,
        cluster: Option<(u32, PathBuf)>,
    ) -> Result<Self, Error> {
        let mut skipped = Vec::new();
        let mut others: Vec<u32> = Vec::new();
        let places = match given {
            Some(dir) => vec![("PG_BIN".to_owned(), Ok(Some(absolute(dir))))],
            None => places(),
        };
        for (place, dir) in places {
            match dir.and_then(Self::of) {
                Err(why) => skipped.push(Skipped { place, why }),
                Ok(binaries) => match &cluster {
                    Some((major, _)) if *major != binaries.major => others.push(binaries.major),
                    _ => return Ok(binaries),
                },
            }
        }
        match cluster {
            Some((cluster, data)) if !others.is_empty() => {
                others.sort_unstable();
                others.dedup();
                let found: Vec<_> = others.iter().map(u32::to_string).collect();
                Err(Error::Version { data, cluster, found: found.join(", ") })
            }
            _ => Err(Error::Missing { skipped }),
        }
    }

    /// The directory they are in; none if the shell finds them.
    pub(crate) fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The path of one of them.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.as_ref().map_or_else(|| PathBuf::from(name), |dir| dir.join(name))
    }

    /// The client, if it is installed too.
    pub(crate) fn psql(&self) -> Option<PathBuf> {
        let psql = self.program("psql");
        (self.dir.is_none() || psql.exists()).then_some(psql)
    }

    fn of(dir: Option<PathBuf>) -> Result<Self, String> {
        let candidate = Self { dir, version: String::new(), major: 0 };
        for name in ["initdb", "postgres"] {
            let program = candidate.program(name);
            if candidate.dir.is_some() && !program.exists() {
                return Err(format!("{} does not exist", program.display()));
            }
        }
        // Only the server's version counts, but both have to be there.
        ask(&candidate.program("initdb"), "--version")?;
        let said = ask(&candidate.program("postgres"), "--version")?;
        let (version, major) = version(&said).ok_or_else(|| format!("unknown version `{said}`"))?;
        if major < VERSION_MIN {
            return Err(format!("PostgreSQL {version} is older than {VERSION_MIN}"));
        }
        Ok(Self { version, major, ..candidate })
    }
}

impl fmt::Display for Binaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.dir {
            Some(dir) => write!(f, "{} from {}", self.version, dir.display()),
            None => write!(f, "{} from PATH", self.version),
        }
    }
}

/// A name for people, and a directory, or that the shell is to search, or why there is neither.
type Place = (String, Result<Option<PathBuf>, String>);

fn places() -> Vec<Place> {
    let asked = ask(Path::new("pg_config"), "--bindir").map(|dir| Some(PathBuf::from(dir)));
    let mut places = vec![("pg_config --bindir".to_owned(), asked)];
    for (shelf, before, after) in SHELVES {
        let found = on_shelf(Path::new(shelf), before, after);
        if found.is_empty() {
            let place = format!("{shelf}/{before}*/{after}");
            places.push((place, Err("does not exist".to_owned())));
        }
        places.extend(found.into_iter().map(|dir| (dir.display().to_string(), Ok(Some(dir)))));
    }
    places.push(("PATH".to_owned(), Ok(None)));
    places
}

/// The newest first.
fn on_shelf(shelf: &Path, before: &str, after: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(shelf).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = name.strip_prefix(before)?.trim_start_matches('@');
            let major = number.split('.').next()?.parse().unwrap_or(0);
            Some((major, entry.path().join(after)))
        })
        .filter(|(_, dir)| dir.is_dir())
        .collect();
    found.sort_unstable();
    found.into_iter().rev().map(|(_, dir)| dir).collect()
}

/// A relative directory would be looked up where the server runs, which is elsewhere.
fn absolute(dir: &Path) -> PathBuf {
    dir.canonicalize().unwrap_or_else(|_| dir.to_owned())
}

/// Runs a program and returns its one line.
fn ask(program: &Path, flag: &str) -> Result<String, String> {
    let output = Command::new(program).arg(flag).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{} does not run: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("{} {flag} failed: {}", program.display(), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Reads `postgres (PostgreSQL) 15.19 (Debian 15.19-0+deb12u1)`, or `.. 18beta1`.
fn version(said: &str) -> Option<(String, u32)> {
    let version = said.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
    let digits = version.split(|digit: char| !digit.is_ascii_digit()).next()?;
    Some((version.to_owned(), digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_they_are_said() {
        let debian = version("postgres (PostgreSQL) 15.19 (Debian 15.19-0+deb12u1)");
        assert_eq!(debian, Some(("15.19".into(), 15)));
        assert_eq!(version("postgres (PostgreSQL) 18beta1"), Some(("18beta1".into(), 18)));
        assert_eq!(version("postgres 15"), None);
    }

    #[test]
    fn the_newest_on_a_shelf_comes_first() {
        let shelf = tempfile::tempdir().unwrap();
        for name in ["postgresql", "postgresql@9", "postgresql@17", "postgresql@16", "redis"] {
            fs::create_dir_all(shelf.path().join(name).join("bin")).unwrap();
        }
        fs::create_dir(shelf.path().join("postgresql@99")).unwrap();
        let found: Vec<_> = on_shelf(shelf.path(), "postgresql", "bin")
            .into_iter()
            .map(|dir| dir.strip_prefix(shelf.path()).unwrap().display().to_string())
            .collect();
        let newest_first =
            ["postgresql@17/bin", "postgresql@16/bin", "postgresql@9/bin", "postgresql/bin"];
        assert_eq!(found, newest_first);
    }

    #[test]
    fn a_directory_without_a_server_is_skipped_with_the_reason() {
        let empty = tempfile::tempdir().unwrap();
        let error = Binaries::find(Some(empty.path()), None).unwrap_err().to_string();
        assert!(error.contains("PG_BIN: "), "{error}");
        assert!(error.contains("initdb does not exist"), "{error}");
        assert!(error.contains("apt-get install postgresql"), "{error}");
    }
}
