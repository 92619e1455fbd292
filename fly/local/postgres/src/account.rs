//! Whom Postgres runs as. It refuses root, so root hands it to somebody else.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use crate::Error;

const ROOT: u32 = 0;

/// An account that root runs Postgres under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

/// Whom to become for the cluster in `data`, or for a new one. None: nobody, we are not root.
pub(crate) fn owner_of(data: Option<&Path>) -> Result<Option<Account>, Error> {
    let ours = effective_uid()?;
    let theirs = match data.map(|data| (data, fs::metadata(data))) {
        Some((data, Ok(metadata))) => Some((data, metadata.uid(), metadata.gid())),
        Some((data, Err(error))) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("look at", data, error));
        }
        _ => None,
    };
    if ours != ROOT {
        return match theirs {
            Some((data, uid, _)) if uid != ours => Err(Error::Owner {
                data: data.to_owned(),
                owner: name_of(uid),
                wanted: name_of(ours),
            }),
            _ => Ok(None),
        };
    }

    // A cluster that somebody made without being root stays theirs.
    if let Some((_, uid, gid)) = theirs.filter(|(_, uid, _)| *uid != ROOT) {
        return Ok(Some(Account { name: name_of(uid), uid, gid }));
    }
    let account = find(&passwd(), |name, _| name == "postgres")
        .or_else(|| find(&passwd(), |name, _| name == "nobody"))
        .ok_or(Error::NoAccount)?;
    if let Some(data) = data.filter(|data| data.join("PG_VERSION").exists()) {
        let owner = name_of(ROOT);
        return Err(Error::Owner { data: data.to_owned(), owner, wanted: account.name });
    }
    Ok(Some(account))
}

/// Reads our effective user id off a file of ours: the standard library does not tell it.
fn effective_uid() -> Result<u32, Error> {
    let metadata = tempfile::tempfile().and_then(|file| file.metadata());
    Ok(metadata.map_err(|error| Error::io("write to", std::env::temp_dir(), error))?.uid())
}

fn name_of(uid: u32) -> String {
    let known = find(&passwd(), |_, theirs| theirs == uid);
    known.map_or_else(|| format!("user {uid}"), |account| account.name)
}

fn passwd() -> String {
    fs::read_to_string("/etc/passwd").unwrap_or_default()
}

fn find(passwd: &str, wanted: impl Fn(&str, u32) -> bool) -> Option<Account> {
    let account = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { name, uid, gid })
    };
    passwd.lines().filter_map(account).find(|account| wanted(&account.name, account.uid))
}

// === impl Account ===

impl Account {
    /// Gives a file or directory to this account.
    pub(crate) fn give(&self, path: &Path) -> Result<(), Error> {
        let given = chown(path, Some(self.uid), Some(self.gid));
        given.map_err(|error| Error::io("give away", path, error))
    }

    /// Makes `command` run as this account.
    pub(crate) fn run(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Checks that this account can go through every directory above `path`.
    pub(crate) fn check_can_enter(&self, path: &Path) -> Result<(), Error> {
        let barrier = |dir: &&Path| fs::metadata(dir).is_ok_and(|dir| !self.may_enter(&dir));
        // From the top: that is the order in which one is stopped.
        let above: Vec<_> = path.ancestors().skip(1).collect();
        match above.into_iter().rev().find(barrier) {
            None => Ok(()),
            Some(barrier) => {
                let barrier: PathBuf = barrier.to_owned();
                Err(Error::Barrier { account: self.name.clone(), barrier })
            }
        }
    }

    fn may_enter(&self, dir: &fs::Metadata) -> bool {
        let bit = if dir.uid() == self.uid {
            0o100
        } else if dir.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        dir.mode() & bit != 0
    }

    /// Whether this account may make and remove files of its own in `dir`.
    pub(crate) fn may_write(&self, dir: &Path) -> bool {
        let everybody = 0o003;
        self.check_can_enter(dir).is_ok()
            && fs::metadata(dir).is_ok_and(|dir| dir.mode() & everybody == everybody)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn accounts_are_read_from_passwd() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\npostgres:x:101:104:a,b:/var/lib:/bin/sh\n";
        let account = find(passwd, |name, _| name == "postgres").unwrap();
        assert_eq!(account, Account { name: "postgres".into(), uid: 101, gid: 104 });
        assert_eq!(find(passwd, |name, _| name == "nobody"), None);
    }

    #[test]
    fn a_closed_directory_above_is_named() {
        let root = tempfile::tempdir().unwrap();
        let closed = root.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();

        let stranger = Account { name: "stranger".into(), uid: 54_321, gid: 54_321 };
        stranger.check_can_enter(&closed).unwrap();
        let error = stranger.check_can_enter(&closed.join("data")).unwrap_err();
        assert!(matches!(&error, Error::Barrier { barrier, .. } if *barrier == closed), "{error}");
    }
}
