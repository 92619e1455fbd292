//! The directory with the data: made once, whole or not at all, and kept.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{Error, account::Account, binaries::Binaries, url::SUPERUSER};

/// The major version of the cluster in `data`, if there is one, and where that is.
pub(crate) fn version(data: &Path) -> Result<Option<(u32, PathBuf)>, Error> {
    let file = data.join("PG_VERSION");
    match fs::read_to_string(&file) {
        Ok(version) => match version.trim().split('.').next().map(str::parse) {
            Some(Ok(major)) => Ok(Some((major, data.to_owned()))),
            _ => Err(Error::NotACluster { data: data.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // Somebody else's cluster: the account's check says so better.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(Error::io("read", file, error)),
    }
}

/// Makes the cluster unless it is there.
pub(crate) fn prepare(
    data: &Path,
    binaries: &Binaries,
    owner: Option<&Account>,
    tell: fn(&str),
) -> Result<(), Error> {
    sweep(data);
    if data.join("PG_VERSION").exists() {
        return Ok(());
    }
    if fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::NotACluster { data: data.to_owned() });
    }

    // Made beside and moved into place: an initdb that is cut short leaves half a cluster.
    tell(&format!("making a database cluster in {}", data.display()));
    let (parent, prefix) = unfinished(data);
    let made = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent);
    let made = made.map_err(|error| Error::io("make a directory in", parent, error))?;
    initialise(made.path(), binaries, owner)?;

    if data.exists() {
        fs::remove_dir(data).map_err(|error| Error::io("replace", data, error))?;
    }
    let moved = fs::rename(made.path(), data);
    moved.map_err(|error| Error::io("move the new cluster to", data, error))?;
    // Its directory has a new name, so there is nothing for it to remove.
    drop(made.keep());
    Ok(())
}

/// Removes what an `initdb` that was killed has left beside `data`.
pub(crate) fn sweep(data: &Path) {
    let (parent, prefix) = unfinished(data);
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // What cannot be removed is in nobody's way; the next start tries again.
            fs::remove_dir_all(entry.path()).unwrap_or_default();
        }
    }
}

/// Where a cluster is made before it is moved into place, and how its directory's name begins.
fn unfinished(data: &Path) -> (&Path, String) {
    let name = data.file_name().unwrap_or_default().to_string_lossy();
    (data.parent().unwrap_or(Path::new("/")), format!("{name}.new-"))
}

fn initialise(dir: &Path, binaries: &Binaries, owner: Option<&Account>) -> Result<(), Error> {
    let first = initdb(dir, "C.UTF-8", binaries, owner)?;
    if first.status.success() {
        return Ok(());
    }
    // Not every system has C.UTF-8, and C sorts the same.
    let second = match said(&first) {
        said if said.contains("locale") => initdb(dir, "C", binaries, owner)?,
        said => return Err(Error::Initdb { said }),
    };
    if second.status.success() { Ok(()) } else { Err(Error::Initdb { said: said(&second) }) }
}

fn initdb(
    dir: &Path,
    locale: &str,
    binaries: &Binaries,
    owner: Option<&Account>,
) -> Result<Output, Error> {
    let fail = |error| Error::io("make", dir, error);
    // It wants an empty directory, and failing it may have removed the one it was given.
    fs::remove_dir_all(dir).or_else(missing_is_fine).map_err(fail)?;
    DirBuilder::new().mode(0o700).create(dir).map_err(fail)?;
    let program = binaries.program("initdb");
    let mut command = Command::new(&program);
    command
        .args(["-A", "trust", "-N", "--encoding=UTF8", "-U", SUPERUSER])
        .arg(format!("--locale={locale}"))
        .arg("-D")
        .arg(dir)
        .current_dir("/")
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    if let Some(account) = owner {
        account.give(dir)?;
        account.run(&mut command);
    }
    command.output().map_err(|error| Error::io("run", program, error))
}

fn missing_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn said(output: &Output) -> String {
    last_lines(&String::from_utf8_lossy(&output.stderr))
}

/// As much of a log's end as helps.
pub(crate) fn last_lines(log: &str) -> String {
    const LINES_MAX: usize = 20;
    let lines: Vec<_> = log.trim_end().lines().collect();
    lines.get(lines.len().saturating_sub(LINES_MAX)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_of_a_log_are_shown() {
        let log = (1..=30).map(|line: u32| line.to_string()).collect::<Vec<_>>().join("\n") + "\n";
        assert!(last_lines(&log).starts_with("11\n12\n"));
        assert!(last_lines(&log).ends_with("\n30"));
        assert_eq!(last_lines("one\n"), "one");
    }
}
