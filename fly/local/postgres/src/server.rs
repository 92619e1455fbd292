//! A running server, under a watchdog that ends it with us.

use std::{
    fs::{self, File},
    io,
    os::unix::{
        fs::{FileExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    Durability, Error, Options, account::Account, binaries::Binaries, cluster::last_lines,
};

const WATCHDOG: &str = include_str!("watchdog.sh");

const START_SECS_MAX: u64 = 20;
const STOP_SECS_MAX: u64 = 10;
/// How long a watchdog may take to notice that its process is gone.
const NOTICE_SECS_MAX: u64 = 1;
/// How often a start is tried while processes of a server that was killed are still there, which may
/// be for as long as a statement of theirs takes.
const LEFTOVER_TRIES_MAX: u32 = 50;
const POLL: Duration = Duration::from_millis(10);
const POLLS_PER_SEC: u64 = 100;

/// A log that has grown beyond this is begun anew.
const LOG_BYTES_MAX: u64 = 8 << 20;

/// The room for a socket's path is 104 bytes on some systems, and its name takes 20.
const SOCKETS_BYTES_MAX: usize = 80;

/// A server of ours.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its standard input is what keeps the server running.
    watchdog: Child,
    data: PathBuf,
    sockets: PathBuf,
}

impl Server {
    /// Starts a server on a cluster and waits until it takes connections.
    pub(crate) fn start(
        options: &Options,
        data: &Path,
        sockets: tempfile::TempDir,
        binaries: &Binaries,
        owner: Option<&Account>,
    ) -> Result<Self, Error> {
        wait_while_stopping(data, options.tell);
        let mut started = Self::launch(options, data, sockets, binaries, owner);
        for _ in 0..LEFTOVER_TRIES_MAX {
            if !started.as_ref().is_err_and(has_leftovers) {
                break;
            }
            thread::sleep(10 * POLL);
            started = Self::launch(options, data, self::sockets(owner)?, binaries, owner);
        }
        started
    }

    fn launch(
        options: &Options,
        data: &Path,
        sockets: tempfile::TempDir,
        binaries: &Binaries,
        owner: Option<&Account>,
    ) -> Result<Self, Error> {
        let log = Log::open(data.join("server.log"))?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(sockets.path())
            .arg(binaries.program("postgres"))
            .arg("-D")
            .arg(data)
            .arg("-k")
            .arg(sockets.path())
            .args(settings(options).iter().flat_map(|setting| ["-c", setting.as_str()]))
            .current_dir("/")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(log.handle()?)
            .stderr(log.handle()?)
            // Ctrl-C at the terminal is for us; the server then ends after us, not beside us.
            .process_group(0);
        if let Some(account) = owner {
            account.run(&mut command);
        }
        let watchdog = command.spawn().map_err(|error| Error::io("run", "/bin/sh", error))?;

        // From here on the watchdog removes the directory.
        let mut server = Self { watchdog, data: data.to_owned(), sockets: sockets.keep() };
        server.wait_until_ready(&log)?;
        Ok(server)
    }

    /// The directory of its socket.
    pub(crate) fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// Stops it and waits until it is gone. Does nothing the second time.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        drop(self.watchdog.stdin.take());
        for _ in 0..STOP_SECS_MAX * POLLS_PER_SEC {
            match self.watchdog.try_wait() {
                Ok(None) => thread::sleep(POLL),
                Ok(Some(_)) if self.sockets.exists() => return self.stop_without_watchdog(),
                Ok(Some(_)) => return Ok(()),
                Err(error) => return Err(Error::io("wait for", "/bin/sh", error)),
            }
        }
        Err(Error::NotStopped { secs: STOP_SECS_MAX, pid: pid(&self.data) })
    }

    /// Somebody killed the watchdog, so its work is ours.
    fn stop_without_watchdog(&self) -> Result<(), Error> {
        let mut polls = STOP_SECS_MAX * POLLS_PER_SEC;
        while let Some(lock) = Lock::read(&self.data).filter(|lock| lock.is_of(&self.sockets)) {
            match polls {
                0 => return Err(Error::NotStopped { secs: STOP_SECS_MAX, pid: lock.pid() }),
                // A signal that finds nobody shows in the next round.
                _ if polls.is_multiple_of(POLLS_PER_SEC) => interrupt(lock.pid()),
                _ => thread::sleep(POLL),
            }
            polls -= 1;
        }
        let removed = fs::remove_dir_all(&self.sockets);
        removed.map_err(|error| Error::io("remove", &self.sockets, error))
    }

    fn wait_until_ready(&mut self, log: &Log) -> Result<(), Error> {
        for _ in 0..START_SECS_MAX * POLLS_PER_SEC {
            let lock = Lock::read(&self.data);
            if lock.is_some_and(|lock| lock.is_of(&self.sockets) && lock.is_ready()) {
                return Ok(());
            }
            match self.watchdog.try_wait() {
                Ok(None) => thread::sleep(POLL),
                Ok(Some(_)) => return Err(self.ended(log)),
                Err(error) => return Err(Error::io("wait for", "/bin/sh", error)),
            }
        }
        Err(Error::NotReady { secs: START_SECS_MAX, log: log.path.clone(), said: log.said() })
    }

    fn ended(&self, log: &Log) -> Error {
        let said = log.said();
        if said.contains("lock file \"postmaster.pid\" already exists") {
            return Error::Running { data: self.data.clone(), pid: pid(&self.data) };
        }
        Error::Ended { log: log.path.clone(), said }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // There is nobody left to tell; the watchdog goes on trying.
        self.stop().unwrap_or_default();
    }
}

/// Whether the last server on the same data was killed, and processes of its are still there: they
/// notice, and go.
fn has_leftovers(error: &Error) -> bool {
    matches!(error, Error::Ended { said, .. } if said.contains("is still in use"))
}

/// Waits while the last server on `data` shuts down: it outlives a process that was killed.
pub(crate) fn wait_while_stopping(data: &Path, tell: fn(&str)) {
    if running(data).is_none() {
        return;
    }
    let is_stopping = || Lock::read(data).is_some_and(|lock| lock.is_stopping());
    if poll(NOTICE_SECS_MAX, || is_stopping() || Lock::read(data).is_none()) && is_stopping() {
        tell("waiting for the last server on the same data to stop");
        poll(STOP_SECS_MAX, || !is_stopping());
    }
}

/// The process of a server that runs on `data`.
pub(crate) fn running(data: &Path) -> Option<u32> {
    let pid = Lock::read(data)?.pid()?;
    let asked = Command::new("kill").args(["-0", &pid.to_string()]).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success()).then_some(pid)
}

fn poll(secs_max: u64, has_happened: impl Fn() -> bool) -> bool {
    (0..secs_max * POLLS_PER_SEC).any(|_| {
        let has = has_happened();
        if !has {
            thread::sleep(POLL);
        }
        has
    })
}

fn settings(options: &Options) -> Vec<String> {
    let mut settings = vec![
        format!("max_connections={}", options.connections_max),
        "listen_addresses=".to_owned(),
        "port=5432".to_owned(),
        "unix_socket_permissions=0700".to_owned(),
        "shared_buffers=64MB".to_owned(),
        "jit=off".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
        "logging_collector=off".to_owned(),
        "log_destination=stderr".to_owned(),
    ];
    let lost: &[&str] = match options.durability {
        Durability::Durable => &[],
        // What the system was given outlives the server.
        Durability::OfServer => &["fsync=off"],
        Durability::Fast => &["fsync=off", "full_page_writes=off", "synchronous_commit=off"],
    };
    settings.extend(lost.iter().map(|&setting| setting.to_owned()));
    settings
}

/// A directory for the socket that nobody else can enter, with a name short enough.
pub(crate) fn sockets(owner: Option<&Account>) -> Result<tempfile::TempDir, Error> {
    let short = |dir: &Path| dir.as_os_str().len() <= SOCKETS_BYTES_MAX;
    // The watchdog removes it, and it is not root even if we are.
    let open = |dir: &Path| owner.is_none_or(|account| account.may_write(dir));
    let preferred = std::env::temp_dir();
    let parent = if short(&preferred) && open(&preferred) { &preferred } else { Path::new("/tmp") };

    let only_owner = fs::Permissions::from_mode(0o700);
    let made =
        tempfile::Builder::new().prefix("mayfly-").permissions(only_owner).tempdir_in(parent);
    let made = made.map_err(|error| Error::io("make a directory in", parent, error))?;
    if let Some(account) = owner {
        account.give(made.path())?;
    }
    Ok(made)
}

fn interrupt(pid: Option<u32>) {
    let Some(pid) = pid else { return };
    let kill = Command::new("kill").args(["-INT", &pid.to_string()]).stderr(Stdio::null()).status();
    // Whether it was there to be told is seen by its lock file.
    drop(kill);
}

fn pid(data: &Path) -> Option<u32> {
    Lock::read(data)?.pid()
}

/// `postmaster.pid`: process, data, start, port, directory of sockets, address, memory, status.
struct Lock(Vec<String>);

impl Lock {
    fn read(data: &Path) -> Option<Self> {
        let lines = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        Some(Self(lines.lines().map(|line| line.trim().to_owned()).collect()))
    }

    fn pid(&self) -> Option<u32> {
        self.0.first()?.parse().ok()
    }

    /// A crashed server leaves its file behind; ours is known by its directory.
    fn is_of(&self, sockets: &Path) -> bool {
        self.0.get(4).is_some_and(|dir| Path::new(dir) == sockets)
    }

    /// Whether it takes connections, if only of readers: one that follows another says `standby`.
    fn is_ready(&self) -> bool {
        self.0.get(7).is_some_and(|status| matches!(status.as_str(), "ready" | "standby"))
    }

    fn is_stopping(&self) -> bool {
        self.0.get(7).is_some_and(|status| status == "stopping")
    }
}

/// The server's log, of which only what this start wrote is ours to show.
struct Log {
    path: PathBuf,
    file: File,
    begin: u64,
}

impl Log {
    fn open(path: PathBuf) -> Result<Self, Error> {
        let open = || -> io::Result<(File, u64)> {
            let file = File::options().create(true).read(true).append(true).open(&path)?;
            if file.metadata()?.len() > LOG_BYTES_MAX {
                file.set_len(0)?;
            }
            let begin = file.metadata()?.len();
            Ok((file, begin))
        };
        match open() {
            Ok((file, begin)) => Ok(Self { path, file, begin }),
            Err(error) => Err(Error::io("write", path, error)),
        }
    }

    fn handle(&self) -> Result<Stdio, Error> {
        let file = self.file.try_clone();
        file.map(Stdio::from).map_err(|error| Error::io("write", &self.path, error))
    }

    fn said(&self) -> String {
        // Through the handle: the watchdog may have removed the file with its directory.
        let read = || -> io::Result<Vec<u8>> {
            let length = self.file.metadata()?.len().saturating_sub(self.begin);
            let mut said = vec![0; usize::try_from(length.min(LOG_BYTES_MAX)).unwrap_or_default()];
            let read = self.file.read_at(&mut said, self.begin)?;
            said.truncate(read);
            Ok(said)
        };
        last_lines(&String::from_utf8_lossy(&read().unwrap_or_default()))
    }
}
